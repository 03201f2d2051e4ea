import { expect, it } from "vitest";
import { machine } from "../../test/builders.ts";
import { countersOf, presetCounter, repositoryCounter, totalCounter } from "./counters.ts";

const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const binding = { jobId: 1, repository: "Acme/App", scope, labels: [] };

// The names are kept in databases: another version has to find the sums under them.
it("a machine occupies its places from its request to its end, that of a repository once it claims", () => {
  expect(countersOf(machine())).toEqual(["machines", "preset:linux-x64"]);
  const places = ["machines", "preset:linux-x64", "repository:acme/app"];
  for (const state of ["requested", "launched", "registered", "busy", "retiring"] as const) {
    expect(countersOf(machine({ state, binding }))).toEqual(places);
  }
  expect(countersOf(machine({ state: "ended", binding }))).toEqual([]);
  expect([totalCounter, presetCounter("linux-x64"), repositoryCounter("ACME/app")]).toEqual(places);
});
