import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { explainDocument } from "../src/cli/config-explain.ts";
import type { WhatIfDocument } from "../src/cli/what-if.ts";
import { routeJob } from "../src/core/route.ts";
import { whatIfReport } from "../src/targets/sim/what-if.ts";
import { job, machine, policy, start } from "../test/builders.ts";
import { busyStatus, interruptedWhy } from "../test/support/cli-scenes.ts";

const page = await readFile(new URL("../docs/reference/cli-json.md", import.meta.url), "utf8");

test.each([
  ["status", busyStatus()],
  ["why", interruptedWhy()],
  ["config explain", explainDocument(["linux"], routeJob(["linux"], policy()))],
  ["simulate --trace", whatIf()],
])("docs/reference/cli-json.md names every field of %s", (_command, document) => {
  const missing = fieldNames(document).filter((name) => !page.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

function whatIf(): WhatIfDocument {
  const times = { launched: start, started: start, completed: start + 1, ended: start + 1 };
  const unserved = [{ labels: ["gpu"], result: "ignored", detail: "No.", jobs: 1 } as const];
  const history = { jobs: [job({ times })], machines: [machine({ times })] };
  const replay = { history, shiftMilliseconds: 0, unserved };
  return {
    trace: { file: "day.jsonl", jobs: 2, repositories: 1, from: "", until: "" },
    assumptions: { bootSeconds: 25, taskSeconds: 45, interruptionsPercent: 0, seed: "1" },
    reports: [whatIfReport({ config: "mayfly.yaml", policy: policy(), jobs: [], replay })],
    chart: null,
  };
}

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
