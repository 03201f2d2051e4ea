import { inject } from "vitest";
import { describeStore } from "../conformance/store.ts";
import { createLedgerTable } from "../support/ledger-table.ts";

const moto = inject("moto");

describeStore(
  "dynamodb",
  async () => {
    const table = await createLedgerTable(moto);
    // The suite looks at every single time that a repository was seen.
    const open = () => table.open({ repositoryNoteSeconds: 0 });
    return { store: open(), reopen: async () => open(), close: () => table.close() };
  },
  { skip: moto === "", runs: 10, jobsAtOnce: 25 },
);
