import { describe, expect, it } from "vitest";
import { fleetRecord, machine, policy, start } from "../../test/builders.ts";
import { machineAfter } from "./lifecycle.ts";
import type { Binding, Machine } from "./model.ts";
import { compare, nextStep, orphanRecord, overdue } from "./scaledown.ts";

const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const binding: Binding = { jobId: 1, repository: "acme/app", scope, labels: [] };
const claimed = { binding, registration: { runnerId: 1, scope }, providerId: "p" };

function at(seconds: number): number {
  return start + seconds * 1_000;
}

describe("a machine is overdue", () => {
  const decide = (some: Machine, now: number) =>
    overdue(
      { fleet: "fleet-a", version: 1, record: fleetRecord(), jobs: [], machines: [some] },
      policy(),
      now,
    ).map(({ event }) => event);
  const busy = machine({ ...claimed, state: "busy", times: { started: start } });

  it.each<[string, Machine, number, object]>([
    ["when its launch was never answered", machine(), 300, { kind: "refused" }],
    [
      "when it never asked for a job",
      machine({ state: "launched", times: { launched: start } }),
      300,
      { because: "boot-timeout" },
    ],
    [
      "when it asks no more",
      machine({ state: "launched", contactedAt: at(100), times: { launched: start } }),
      400,
      { because: "boot-timeout" },
    ],
    [
      "when GitHub gives its runner no job",
      machine({ ...claimed, state: "registered", times: { registered: start } }),
      300,
      { because: "idle" },
    ],
    ["when its job runs too long", busy, 3_660, { because: "job-timeout", forced: true }],
    [
      "when its job runs too long while it retires",
      machine({
        ...claimed,
        state: "retiring",
        fence: "refused",
        times: { retiring: at(10), started: start },
      }),
      3_660,
      { because: "job-timeout", forced: true },
    ],
    [
      "when a fence that was refused, or never answered, lasts too long",
      machine({ ...claimed, state: "retiring", times: { retiring: start } }),
      3_960,
      { because: "job-timeout", forced: true },
    ],
  ])("%s", (_what, some, seconds, event) => {
    expect(decide(some, at(seconds) - 1)).toEqual([]);
    expect(decide(some, at(seconds))).toEqual([expect.objectContaining(event)]);
  });

  it("never when its job is done, when it was forced already, or when it has ended", () => {
    const late = at(1_000_000);
    expect(decide({ ...busy, times: { ...busy.times, finished: at(9) } }, late)).toEqual([]);
    expect(decide({ ...busy, state: "retiring", forced: true }, late)).toEqual([]);
    expect(decide({ ...busy, state: "ended" }, late)).toEqual([]);
  });

  it("and is so no more once that was applied", () => {
    const overdueOnes = [
      machine(),
      machine({ state: "launched", providerId: "p" }),
      machine({ ...claimed, state: "registered", times: { registered: start } }),
      busy,
    ];
    for (const some of overdueOnes) {
      const late = at(3_700);
      const [event] = decide(some, late);
      expect(event).toBeDefined();
      expect(decide(machineAfter(some, event!, late), late)).toEqual([]);
    }
  });
});

describe("what the provider lists is compared", () => {
  const listed = new Map([["mayfly-1", { machineId: "mayfly-1", providerId: "p" }]]);
  const nothing = new Map<string, never>();
  const known = machine({ state: "launched", providerId: "p", times: { launched: start } });
  const decide = (
    some: Machine,
    listing: ReadonlyMap<string, { machineId: string; providerId: string }>,
    seconds: number,
  ) => compare([some], listing, policy(), at(seconds)).map(({ event }) => event);

  it("a machine that is there is left alone, adopted, or no longer missed", () => {
    expect(decide(known, listed, 999)).toEqual([]);
    expect(decide(machine(), listed, 0)).toEqual([{ kind: "launched", providerId: "p" }]);
    expect(decide({ ...known, missingSince: start }, listed, 999)).toEqual([{ kind: "seen" }]);
  });

  it("a machine that is not there is missed after the delay, and gone after another", () => {
    expect(decide(known, nothing, 119)).toEqual([]);
    expect(decide(known, nothing, 120)).toEqual([{ kind: "missing" }]);
    expect(decide({ ...known, missingSince: at(120) }, nothing, 239)).toEqual([]);
    expect(decide({ ...known, missingSince: at(120) }, nothing, 240)).toMatchObject([{ kind: "gone" }]);
  });

  it("a launch that was not answered is not missed: its own limit decides", () => {
    expect(decide(machine(), nothing, 9_999)).toEqual([]);
  });
});

describe("a retiring machine", () => {
  const retiring = machine({ ...claimed, state: "retiring", reason: "idle", times: { retiring: start } });

  it.each<[string, Partial<Machine>, string]>([
    ["is fenced while its runner may exist", {}, "fence"],
    ["is fenced again when GitHub refused", { fence: "refused" }, "fence"],
    ["is terminated when the fence has passed", { fence: "passed" }, "terminate"],
    ["is terminated when the operator forces it", { forced: true }, "terminate"],
    ["is fenced when it was forced and is gone", { forced: true, missingSince: start }, "fence"],
  ])("%s", (_what, facts, kind) => {
    expect(nextStep({ ...retiring, ...facts }, at(1)).kind).toBe(kind);
  });

  it("is terminated when it was never bound", () => {
    expect(nextStep(machine({ state: "retiring", reason: "boot-timeout" }), start).kind).toBe("terminate");
  });

  it("has ten seconds to end by itself when its job is done", () => {
    const done: Machine = { ...retiring, reason: "completed", times: { ...retiring.times, finished: start } };
    expect(nextStep(done, at(9))).toEqual({ kind: "wait", until: at(10) });
    expect(nextStep(done, at(10)).kind).toBe("terminate");
    expect(nextStep({ ...done, exitCode: 0 }, at(1)).kind).toBe("terminate");
  });
});

it("an orphan enters the ledger retiring, to be fenced first: it may run a job", () => {
  const listed = {
    machineId: "m",
    providerId: "p",
    fleet: "fleet-a",
    preset: "linux-x64",
    launchedAt: start,
  };
  const orphan = orphanRecord(listed, "memory", at(200));
  expect(orphan).toMatchObject({ id: "m", state: "retiring", reason: "orphan", providerId: "p" });
  expect(nextStep(orphan, at(200)).kind).toBe("fence");
  expect(nextStep({ ...orphan, fence: "passed" }, at(200)).kind).toBe("terminate");
});

it("an orphan of a fleet without a record ends when the longest limits of all presets have passed", () => {
  const orphan = machine({
    state: "retiring",
    reason: "orphan",
    times: { requested: start, retiring: start },
  });
  const unknown = { fleet: orphan.fleet, version: 1, record: undefined, jobs: [], machines: [orphan] };
  const config = policy();
  const longest = Math.max(
    ...config.presets.map((entry) => entry.jobTimeoutSeconds + entry.idleTimeoutSeconds),
  );
  expect(overdue(unknown, config, at(longest))).toEqual([]);
  expect(overdue(unknown, config, at(longest + 60))).toMatchObject([
    { event: { kind: "retire", because: "job-timeout", forced: true } },
  ]);
});
