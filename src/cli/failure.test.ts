import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { explainFailure } from "./failure.ts";

test("a path that the system refuses is no bug, and is named", () => {
  const inFile = `${fileURLToPath(import.meta.url)}/folder`;
  const { text, exitCode } = explainFailure(
    failureOf(() => mkdirSync(inFile)),
    { colours: false },
  );
  expect(text).toBe(
    [
      `error: The system refused: ENOTDIR: not a directory, mkdir '${inFile}'.`,
      "next:  Name a place that is there, has room, and is open to you, or make it so.",
    ].join("\n"),
  );
  expect(exitCode).toBe(1);
});

test("what nobody foresaw is a bug, with its lines", () => {
  const { text, exitCode } = explainFailure(new TypeError("x is not a function"), { colours: false });
  expect(text).toMatch(
    /^error: Something went wrong that Mayfly did not expect\.\nTypeError: x is not a function\n/,
  );
  expect(text).toContain("failure.test.ts");
  expect(exitCode).toBe(1);
});

function failureOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}
