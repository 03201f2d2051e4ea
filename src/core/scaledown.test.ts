import { describe, expect, it } from "vitest";
import { fleetRecord, machine, policy, preset, start } from "../../test/builders.ts";
import { machineAfter } from "./lifecycle.ts";
import type { Binding, Machine } from "./model.ts";
import {
  adoptable,
  compare,
  type Listing,
  listingOf,
  nextStep,
  orphanRecord,
  overdue,
  terminateAgainSeconds,
} from "./scaledown.ts";

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
  const says = (sentence: RegExp): string => expect.stringMatching(sentence);

  it.each<[string, Machine, number, object]>([
    [
      "when its launch was never answered",
      machine(),
      300,
      { kind: "refused", detail: says(/never answered/) },
    ],
    [
      "when it never asked for a job",
      machine({ state: "launched", times: { launched: start } }),
      300,
      { because: "boot-timeout", detail: says(/did not ask/) },
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
      { because: "idle", detail: says(/no job in time/) },
    ],
    [
      "when its job runs too long",
      busy,
      3_660,
      { because: "job-timeout", forced: true, detail: says(/longer than the 3600 s/) },
    ],
    [
      "when its job runs longer than its machine was told, whatever the preset says by now",
      { ...busy, registration: { ...claimed.registration, jobTimeoutSeconds: 7_200 } },
      7_260,
      { because: "job-timeout", forced: true, detail: says(/longer than the 7200 s/) },
    ],
    [
      "when it asks no more, and GitHub gives its runner no job",
      machine({ ...claimed, state: "registered", contactedAt: at(100), times: { registered: start } }),
      400,
      { because: "idle" },
    ],
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
  const listed = listingOf([{ machineId: "mayfly-1", providerId: "p" }]);
  const nothing = listingOf([]);
  const known = machine({ state: "launched", providerId: "p", times: { launched: start } });
  const decide = (some: Machine, listing: Listing, seconds: number) =>
    compare([some], listing, new Set(), policy(), at(seconds)).map(({ event }) => event);

  it("a machine that is there is left alone, adopted, or no longer missed", () => {
    expect(decide(known, listed, 999)).toEqual([]);
    expect(decide(machine(), listed, 0)).toEqual([{ kind: "launched", providerId: "p" }]);
    expect(decide({ ...known, missingSince: start }, listed, 999)).toEqual([{ kind: "seen" }]);
  });

  it("a machine that is not there is missed after the delay, and gone after another", () => {
    expect(decide(known, nothing, 119)).toEqual([]);
    expect(decide(known, nothing, 120)).toEqual([{ kind: "missing" }]);
    expect(decide({ ...known, missingSince: at(120) }, nothing, 239)).toEqual([]);
    expect(decide({ ...known, missingSince: at(120) }, nothing, 240)).toEqual([
      { kind: "gone", detail: "The provider no longer lists it." },
    ]);
    const late = { ...known, times: { requested: start, launched: at(60) } };
    expect(decide(late, nothing, 179)).toEqual([]);
    expect(decide(late, nothing, 180)).toEqual([{ kind: "missing" }]);
  });

  it("a launch that was not answered is not missed: its own limit decides", () => {
    expect(decide(machine(), nothing, 9_999)).toEqual([]);
  });

  it("a machine of which the provider says how it ended is gone at once, and was taken back if it says so", () => {
    const ending = (takenBack: boolean) =>
      listingOf([{ machineId: "mayfly-1", providerId: "p", ended: { detail: "Gone.", takenBack } }]);
    expect(decide(known, ending(false), 0)).toEqual([{ kind: "gone", detail: "Gone." }]);
    expect(decide(known, ending(true), 0).map(({ kind }) => kind)).toEqual(["interrupted", "gone"]);
    expect(decide(machine(), ending(false), 0)).toEqual([]);
    expect(adoptable([machine()], ending(false))).toEqual([]);
  });

  it("instances that bear only their launch are given to its machines that have none, and to no others", () => {
    const launch = [1, 2, 3, 4].map((number) => machine({ id: `m-${number}`, launchToken: "m-1" }));
    const [first, second, third, fourth] = launch as [Machine, Machine, Machine, Machine];
    const ledger = [
      { ...first, providerId: "i-1", state: "launched" as const },
      { ...second, state: "retiring" as const, reason: "operator" as const },
      third,
      fourth,
      machine({ id: "other", launchToken: "other" }),
    ];
    const alike = listingOf(["i-0", "i-1", "i-2"].map((providerId) => ({ providerId, launchToken: "m-1" })));
    expect(adoptable(ledger, alike).map(({ providerId }) => providerId)).toEqual(["i-0", "i-2"]);
    const adopted = (ended: readonly string[]) =>
      compare(ledger, alike, new Set(ended), policy(), at(0)).map((one) => [one.machine.id, one.event]);
    expect(adopted([])).toEqual([
      ["m-3", { kind: "launched", providerId: "i-0" }],
      ["m-4", { kind: "launched", providerId: "i-2" }],
    ]);
    expect(adopted(["i-0"])).toEqual([["m-3", { kind: "launched", providerId: "i-2" }]]);
  });

  it("a machine that was given an instance is known by it, though the provider knows no machine of that id", () => {
    const alike = listingOf([{ providerId: "p", launchToken: "launch-1" }]);
    expect(decide({ ...known, missingSince: start }, alike, 999)).toEqual([{ kind: "seen" }]);
  });

  it("nothing is left to adopt of a launch whose machines all have an instance", () => {
    const more = listingOf(["p", "q"].map((providerId) => ({ providerId, launchToken: "launch-1" })));
    expect(adoptable([known], more)).toEqual([]);
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
    expect(nextStep({ ...done, missingSince: start }, at(1)).kind).toBe("terminate");
    expect(nextStep({ ...done, reason: "operator" }, at(1)).kind).toBe("terminate");
  });
});

it("is asked about again soon while it is being destroyed, and then less and less often", () => {
  const retiring = machine({ state: "retiring", times: { retiring: start } });
  const asked = [0, 1, 3, 7, 15, 600].map((seconds) => terminateAgainSeconds(retiring, at(seconds)));
  expect(asked).toEqual([2, 2, 3, 7, 15, 15]);
  expect(terminateAgainSeconds(machine({ state: "retiring" }), start)).toBe(2);
});

it("an orphan enters the ledger retiring, to be fenced first: it may run a job", () => {
  const listed = {
    machineId: "m",
    providerId: "p",
    fleet: "fleet-a",
    preset: "linux-x64",
    launchedAt: start,
  };
  const orphan = orphanRecord(listed, "memory", false, at(200));
  expect(orphanRecord(listed, "memory", true, at(200))).toStrictEqual(orphan);
  expect(orphan).toStrictEqual({
    id: "m",
    fleet: "fleet-a",
    preset: "linux-x64",
    compute: "memory",
    state: "retiring",
    purchase: "on-demand",
    launchToken: "m",
    launchAttempts: 0,
    providerId: "p",
    reason: "orphan",
    detail: "It exists at the provider and the ledger does not know it.",
    times: { requested: start, launched: start, retiring: at(200) },
  });
  expect(nextStep(orphan, at(200)).kind).toBe("fence");
  expect(nextStep({ ...orphan, fence: "passed" }, at(200)).kind).toBe("terminate");
});

describe("the machines of a fleet without a record", () => {
  const presets = [
    preset({ jobTimeoutSeconds: 1_000, bootTimeoutSeconds: 20, idleTimeoutSeconds: 3 }),
    preset({ jobTimeoutSeconds: 100, bootTimeoutSeconds: 200, idleTimeoutSeconds: 30 }),
  ];
  const retiring = { requested: start, retiring: start };

  it.each<[string, Machine, number]>([
    ["an orphan", machine({ state: "retiring", reason: "orphan", times: retiring }), 30 + 1_000 + 60],
    ["one that boots", machine({ state: "launched", times: { launched: start } }), 200],
    ["one that idles", machine({ state: "registered", times: { registered: start } }), 30],
  ])("end when the longest limit of all presets has passed: %s", (_what, some, seconds) => {
    const unknown = { fleet: some.fleet, version: 1, record: undefined, jobs: [], machines: [some] };
    expect(overdue(unknown, policy({ presets }), at(seconds) - 1)).toEqual([]);
    expect(overdue(unknown, policy({ presets }), at(seconds))).toMatchObject([{ event: { kind: "retire" } }]);
  });
});

describe("an orphan that bears only the token of its launch", () => {
  const listed = { providerId: "i-0AB", launchToken: "m-1", fleet: "f", preset: "p", launchedAt: start };

  it("was never registered, when the launch is known: it may be terminated at once", () => {
    const orphan = orphanRecord(listed, "memory", true, at(200));
    expect(orphan).toMatchObject({ id: "i-0ab", providerId: "i-0AB", launchToken: "m-1", reason: "orphan" });
    expect(orphan.detail).toMatch(/^Its launch was given up/);
    expect(nextStep(orphan, at(200)).kind).toBe("terminate");
  });

  it("may run a job under a name that was lost, when it is not known: it is left to its own limits", () => {
    const orphan = orphanRecord(listed, "memory", false, at(200));
    expect(orphan.nameless).toBe(true);
    expect(orphan.detail).toMatch(/neither it nor its launch/);
    expect(nextStep(orphan, at(200)).kind).toBe("fence");
  });

  it("gets an id from what the provider calls it, of letters that every provider takes", () => {
    const orphan = orphanRecord({ ...listed, providerId: "zones/_a/Vm.1" }, "memory", true, at(200));
    expect(orphan.id).toBe("zones-a-vm-1");
  });
});
