import { inject } from "vitest";
import { describeStore } from "../conformance/store.ts";
import { createLedgerTable } from "../support/ledger-table.ts";

const dynamodb = inject("dynamodb");

describeStore(
  "dynamodb",
  async () => {
    const table = await createLedgerTable(dynamodb);
    // The suite looks at every single time that a repository was seen.
    const open = () => table.open({ repositoryNoteSeconds: 0 });
    return { store: open(), reopen: async () => open(), close: () => table.close() };
  },
  { skip: dynamodb === "", runs: 10, jobsAtOnce: 25 },
);
