import { expect, test } from "vitest";
import { mutationTable } from "./mutation-table.ts";

test("the table has a row for each file with faults, and their sum; faults that broke the run do not count", () => {
  const file = (...statuses: readonly string[]) => ({ mutants: statuses.map((status) => ({ status })) });
  const table = mutationTable({
    files: {
      "src/core/why.ts": file("Killed", "Killed", "Survived", "RuntimeError"),
      "src/core/route.ts": file("Killed", "Timeout", "NoCoverage", "Killed"),
      "src/core/errors.ts": file(),
    },
  });
  expect(table.split("\n").slice(2)).toEqual([
    "| route.ts | 4 | 2 | 1 | 0 | 1 | 75.0 % |",
    "| why.ts | 3 | 2 | 0 | 1 | 0 | 66.7 % |",
    "| **all** | 7 | 4 | 1 | 1 | 1 | 71.4 % |",
  ]);
});
