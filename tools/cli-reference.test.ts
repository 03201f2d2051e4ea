import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { explainDocument } from "../src/cli/config-explain.ts";
import { routeJob } from "../src/core/route.ts";
import { policy } from "../test/builders.ts";
import { busyStatus, interruptedWhy } from "../test/support/cli-scenes.ts";

const page = await readFile(new URL("../docs/reference/cli-json.md", import.meta.url), "utf8");

test.each([
  ["status", busyStatus()],
  ["why", interruptedWhy()],
  ["config explain", explainDocument(["linux"], routeJob(["linux"], policy()))],
])("docs/reference/cli-json.md names every field of %s", (_command, document) => {
  const missing = fieldNames(document).filter((name) => !page.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

/** The names at every depth, but for those of the machine of `config explain`, which the configuration explains. */
function fieldNames(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(fieldNames);
  if (typeof value !== "object" || value === null) return [];
  const names = Object.entries(value).flatMap(([name, inner]) => [
    name,
    ...(name === "machine" || name === "options" ? [] : fieldNames(inner)),
  ]);
  return [...new Set(names)];
}
