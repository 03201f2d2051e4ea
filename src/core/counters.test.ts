import { expect, it } from "vitest";
import { machine, policy, preset } from "../../test/builders.ts";
import { countersOf, gaveFreeWhatWasScarce } from "./counters.ts";

const rules = policy({
  presets: [preset({ max: 60 }), preset({ name: "windows", max: 1_000 })],
  limits: { machines: 200, perRepository: 50 },
});
const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const binding = { jobId: 1, repository: "Acme/App", scope, labels: [] };
const ended = machine({ state: "ended", binding });

it.each([
  ["nothing was near its cap", [ended], {}, false],
  ["all machines were nearly too many", [ended], { machines: 179 }, true],
  ["and just not so", [ended], { machines: 178 }, false],
  ["those of the preset", [ended], { "preset:linux-x64": 53 }, true],
  ["and just not so", [ended], { "preset:linux-x64": 52 }, false],
  ["those of the repository", [ended], { "repository:acme/app": 44 }, true],
  ["and just not so", [ended], { "repository:acme/app": 43 }, false],
  ["those of another preset", [ended], { "preset:windows": 1_000 }, false],
  ["those of a repository for which it was not", [machine()], { "repository:acme/app": 50 }, false],
  ["many ended at once", Array(100).fill(ended), { machines: 80 }, true],
  ["those of a preset that is gone", [machine({ preset: "gone" })], { "preset:gone": 9_999 }, false],
] as const)("places were scarce: %s", (_what, machines, counters, expected) => {
  expect(gaveFreeWhatWasScarce(machines, rules, counters)).toBe(expected);
});

it("a machine has a place in each of its counters until it has ended", () => {
  expect(countersOf(machine())).toEqual(["machines", "preset:linux-x64"]);
  expect(countersOf(machine({ binding }))).toEqual(["machines", "preset:linux-x64", "repository:acme/app"]);
  expect(countersOf(ended)).toEqual([]);
});
