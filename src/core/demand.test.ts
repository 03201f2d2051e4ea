import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, policy, preset, repository, start } from "../../test/builders.ts";
import { canServe, demandOf, isPresumedRunning, scopeName, scopeOf, warmTargetOf } from "./demand.ts";
import type { FleetRecord, Job, Ledger, Machine, MachineState, Scope } from "./model.ts";

const organization: Scope = { kind: "organization", installationId: 7, owner: "acme" };
const ofRepository: Scope = { kind: "repository", installationId: 7, owner: "acme", name: "app" };
const labels = ["self-hosted", "linux", "x64"];

function ledger(jobs: readonly Job[], machines: readonly Machine[]): Ledger {
  return { fleet: "fleet-a", version: 1, record: fleetRecord(), jobs, machines };
}

function bound(id: string, scope: Scope, some: readonly string[], claimedAt?: number): Machine {
  return machine({
    id,
    state: "registered",
    binding: { jobId: 1, repository: "acme/app", scope, labels: some },
    times: { ...(claimedAt !== undefined && { claimed: claimedAt }) },
  });
}

describe("what GitHub could give to a runner", () => {
  it.each<[string, Machine, Job, boolean]>([
    ["a job of its organisation", bound("m", organization, labels), job(), true],
    ["one of its repository", bound("m", ofRepository, labels), job(), true],
    [
      "one of another repository",
      bound("m", ofRepository, labels),
      job({ repository: repository({ name: "other" }) }),
      false,
    ],
    [
      "one of another organisation",
      bound("m", organization, labels),
      job({ repository: repository({ owner: "other" }) }),
      false,
    ],
    [
      "one whose owner is written in another case",
      bound("m", { ...organization, owner: "ACME" }, labels),
      job({ repository: repository({ owner: "Acme" }) }),
      true,
    ],
    [
      "one whose repository is written in another case",
      bound("m", { ...ofRepository, name: "APP" }, labels),
      job({ repository: repository({ name: "App" }) }),
      true,
    ],
    ["one with some of its labels", bound("m", organization, labels), job({ labels: ["linux"] }), true],
    [
      "one with its labels in another case and order",
      bound("m", organization, ["X64", "self-hosted", "linux"]),
      job({ labels: ["Self-Hosted", "x64"] }),
      true,
    ],
    ["one with another label", bound("m", organization, labels), job({ labels: ["linux", "gpu"] }), false],
    ["no job, when it never claimed", machine({ state: "launched" }), job(), false],
  ])("%s", (_what, some, wanted, can) => {
    expect(canServe(some, wanted)).toBe(can);
    // The same is said by the view of a whole fleet.
    const { unserved } = demandOf(ledger([wanted], [some]));
    expect(unserved).toEqual(can ? [] : [wanted]);
  });
});

describe("a machine counts", () => {
  const { binding } = bound("m", organization, labels);
  const binds = { ...(binding !== undefined && { binding }) };
  const alive: readonly MachineState[] = ["requested", "launched", "registered", "busy", "retiring"];

  it.each(
    alive.flatMap((state) => [
      { state, facts: {}, as: state === "requested" || state === "launched" ? "unclaimed" : "nothing" },
      { state, facts: binds, as: state === "busy" || state === "retiring" ? "nothing" : "offered" },
      { state, facts: { ...binds, times: { started: start } }, as: "nothing" },
    ]),
  )("$state with $facts: as $as", ({ state, facts, as }) => {
    const some = machine({ state, ...facts });
    const { unclaimed, surplus } = demandOf(ledger([], [some]));
    expect(unclaimed).toEqual(as === "unclaimed" ? [some] : []);
    expect(surplus).toEqual(as === "offered" ? [some] : []);
  });
});

describe("a job is presumed to run", () => {
  it.each<[string, Job, boolean]>([
    ["not when no machine said so", job(), false],
    ["when one said so", job({ presumedAt: start }), true],
    ["when GitHub was asked before", job({ presumedAt: start, checkedAt: start }), true],
    ["not when GitHub was asked since", job({ presumedAt: start, checkedAt: start + 1 }), false],
    ["not when it is known to run", job({ presumedAt: start, state: "running" }), false],
  ])("%s", (_what, some, presumed) => {
    expect(isPresumedRunning(some)).toBe(presumed);
  });
});

it("a job takes a machine made for its labels before one that has more", () => {
  const large = bound("large", organization, [...labels, "gpu"], start);
  const exact = bound("exact", organization, ["X64", "Linux", "Self-Hosted"], start + 1);
  const gpu = job({ id: 2, labels: [...labels, "gpu"] });
  expect(demandOf(ledger([job({ id: 1, labels }), gpu], [large, exact])).unserved).toEqual([]);
});

it("a job takes a machine made for its labels, in whatever order either has them", () => {
  const large = bound("large", organization, [...labels, "gpu"], start);
  const exact = bound("exact", organization, ["x64", "linux", "self-hosted"], start + 1);
  const gpu = job({ id: 2, labels: ["x64", "gpu", "linux", "self-hosted"] });
  expect(demandOf(ledger([job({ id: 1, labels }), gpu], [large, exact])).unserved).toEqual([]);
});

it("labels that look alike when they are joined are not the same", () => {
  const machines = [bound("m", organization, ["a b", "c"])];
  expect(demandOf(ledger([job({ labels: ["a", "bc"] })], machines)).unserved).toHaveLength(1);
  expect(demandOf(ledger([job({ labels: ["a bc"] })], machines)).unserved).toHaveLength(1);
});

it("machines are kept warm for a fleet without options, as its preset says", () => {
  const rules = policy({ presets: [preset({ name: "other", warm: 5 }), preset({ warm: 2 })] });
  const warm = (record: FleetRecord | undefined, of = rules) =>
    warmTargetOf({ ...ledger([], []), record }, of);
  expect(warm(fleetRecord())).toBe(2);
  expect(warm(fleetRecord({ options: { cpu: 4 } }))).toBe(0);
  expect(warm(fleetRecord(), policy({ presets: [] }))).toBe(0);
  expect(warm(undefined)).toBe(0);
});

it("a runner is registered where the policy says", () => {
  expect(scopeOf(job(), policy())).toEqual(organization);
  expect(scopeOf(job(), policy({ registration: "repository" }))).toEqual(ofRepository);
  expect([organization, ofRepository].map(scopeName)).toEqual(["acme", "acme/app"]);
});

describe("any fleet", () => {
  const anyLabels = fc.subarray(["self-hosted", "Linux", "x64", "gpu"], { minLength: 1 });
  const anyJob = fc
    .record({
      id: fc.nat(),
      name: fc.constantFrom("app", "other"),
      labels: anyLabels,
      age: fc.nat({ max: 3 }),
    })
    .map(({ id, name, age, ...rest }) =>
      job({ id, ...rest, repository: repository({ name }), times: { created: start - age } }),
    );
  const anyScope = fc.constantFrom(organization, ofRepository, { ...ofRepository, name: "other" });
  const anyMachine = fc
    .record({
      id: fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 6 }),
      scope: anyScope,
      labels: anyLabels.map((some) => some.map((label) => label.toUpperCase())),
      claimedAt: fc.option(fc.integer({ min: start - 3, max: start + 3 }), { nil: undefined }),
    })
    .map(({ id, scope, labels: some, claimedAt }) => bound(id, scope, some, claimedAt));
  const anyLedger = fc
    .record({
      jobs: fc.uniqueArray(anyJob, { selector: (some) => some.id, maxLength: 12 }),
      machines: fc.uniqueArray(anyMachine, { selector: (some) => some.id, maxLength: 12 }),
    })
    .map((parts) => ledger(parts.jobs, parts.machines));

  it("has no job without a machine beside a machine without a job that could run it", () => {
    fc.assert(
      fc.property(anyLedger, (before) => {
        const { unserved, surplus } = demandOf(before);
        expect(before.jobs.length - unserved.length).toBe(before.machines.length - surplus.length);
        for (const some of surplus) {
          expect(unserved.filter((waiting) => canServe(some, waiting))).toEqual([]);
        }
      }),
    );
  });

  it("has the oldest job first and the newest machine first, whatever their order in the ledger", () => {
    const claimedAt = ({ times }: Machine) => times.claimed ?? times.requested;
    fc.assert(
      fc.property(anyLedger, (before) => {
        const { unserved } = demandOf({ ...before, machines: [] });
        expect(unserved).toEqual(
          before.jobs.toSorted((a, b) => a.times.created - b.times.created || a.id - b.id),
        );
        const { surplus } = demandOf({ ...before, jobs: [] });
        const byAge = before.machines.toSorted((a, b) => (a.id < b.id ? 1 : -1));
        expect(surplus).toEqual(byAge.sort((a, b) => claimedAt(b) - claimedAt(a)));
      }),
    );
  });

  it("retires the newest of the machines that would get the same jobs", () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: 5 }),
        fc.nat({ max: 5 }),
        (ages, needed) => {
          const machines = ages.map((age) => bound(`m-${age}`, organization, labels, start - age));
          const jobs = ages.slice(0, needed).map((id) => job({ id, labels }));
          const { surplus } = demandOf(ledger(jobs, machines));
          expect(surplus.map(({ id }) => id)).toEqual(
            [1, 2, 3, 4, 5].slice(0, 5 - needed).map((age) => `m-${age}`),
          );
        },
      ),
    );
  });
});
