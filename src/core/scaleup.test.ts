import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fleetRecord, fleetSpec, job, machine, policy, preset, start, timing } from "../../test/builders.ts";
import { countersOf } from "./counters.ts";
import { demandOf } from "./demand.ts";
import { jobAfter, machineAfter } from "./lifecycle.ts";
import type { Binding, Change, Job, Ledger, Machine, MachineState, Policy, PoolRefusal } from "./model.ts";
import { rememberRerun } from "./rerun.ts";
import { everyPool } from "./retry.ts";
import {
  type Command,
  changesPlan,
  deadlineOf,
  deservesLook,
  isSameBlocked,
  needsLook,
  type Plan,
  plan,
  withSpecOfToday,
} from "./scaleup.ts";

const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const labels = ["self-hosted", "linux", "x64"];

function ledger(jobs: readonly Job[], machines: readonly Machine[] = [], record = fleetRecord()): Ledger {
  return { fleet: "fleet-a", version: 1, record, jobs, machines };
}

function jobs(count: number, overrides: Partial<Job> = {}): Job[] {
  return Array.from({ length: count }, (_, index) =>
    job({ id: 2_000 + index, ...overrides, times: { created: start + index } }),
  );
}

function countersOfAll(machines: readonly Machine[]): Record<string, number> {
  const counters: Record<string, number> = {};
  for (const entry of machines) {
    for (const counter of countersOf(entry)) counters[counter] = (counters[counter] ?? 0) + 1;
  }
  return counters;
}

function planned(before: Ledger, rules: Policy = policy(), now = start + 60_000, spentTodayUsd = 0): Plan {
  return plan(before, rules, { counters: countersOfAll(before.machines), spentTodayUsd }, now);
}

function launchOf(result: Plan): Command & { kind: "launch" } {
  const command = result.commands.find((entry) => entry.kind === "launch");
  if (command?.kind !== "launch") throw new Error("Nothing is launched.");
  return command;
}

function launches(result: Plan): number {
  return result.commands.reduce((sum, entry) => sum + (entry.kind === "launch" ? entry.count : 0), 0);
}

function bindingFor(some: Job, overrides: Partial<Binding> = {}): Binding {
  const { owner, name } = some.repository;
  return { jobId: some.id, repository: `${owner}/${name}`, scope, labels: some.labels, ...overrides };
}

function registered(id: string, some: Job, at = start, overrides: Partial<Binding> = {}): Machine {
  return machine({
    id,
    state: "registered",
    binding: bindingFor(some, overrides),
    registration: { runnerId: 1, scope },
    times: { claimed: at, registered: at },
  });
}

/** The ledger with what this change puts in the place of what was there. */
function changed(before: Ledger, change: Change): Ledger {
  if (change.put === "fleet") return { ...before, record: change.record };
  if (change.put === "job") {
    const others = before.jobs.filter(({ id }) => id !== change.job.id);
    return { ...before, jobs: change.job.state === "done" ? others : [...others, change.job] };
  }
  const others = before.machines.filter(({ id }) => id !== change.machine.id);
  return { ...before, machines: change.machine.state === "ended" ? others : [...others, change.machine] };
}

function defined<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]: NonNullable<Fields[Name]> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Name in keyof Fields]: NonNullable<Fields[Name]> };
}

/** The ledger after a plan was carried out and every launch was answered. */
function applied(before: Ledger, result: Plan, now: number): Ledger {
  const machines = new Map(before.machines.map((entry) => [entry.id, entry]));
  const remaining = new Map(before.jobs.map((entry) => [entry.id, entry]));
  for (const command of result.commands) {
    if (command.kind === "launch") {
      for (let index = 0; index < command.count; index++) {
        const id = `new-${machines.size}`;
        machines.set(id, machine({ id, purchase: command.purchase, times: { requested: now } }));
      }
    } else if (command.kind === "relaunch") {
      const { id, launchAttempts } = command.machine;
      machines.set(id, { ...command.machine, launchAttempts: launchAttempts + 1 });
    } else if (command.kind === "retire") {
      const event = { kind: "retire", because: command.because, detail: "" } as const;
      machines.set(command.machine.id, machineAfter(command.machine, event, now));
    } else remaining.delete(command.job.id);
  }
  const { blocked } = result;
  const { blocked: _, ...record } = before.record ?? fleetRecord();
  return {
    ...before,
    record: { ...record, ...(blocked !== undefined && { blocked }) },
    jobs: [...remaining.values()],
    machines: [...machines.values()],
  };
}

describe("a plan", () => {
  it("launches one machine per queued job and none for other jobs", () => {
    const others = [job({ id: 1, state: "waiting" }), job({ id: 2, state: "running" })];
    const result = planned(ledger([...jobs(3), ...others]));
    expect(launchOf(result)).toMatchObject({ count: 3, because: "demand", purchase: "on-demand" });
    expect(launchOf(result).jobs.map((some) => some.id)).toEqual([2000, 2001, 2002]);
    expect(result.blocked).toBeUndefined();
  });

  it("adds the warm target, for a fleet without options only", () => {
    const warm = policy({ presets: [preset({ warm: 2 })] });
    expect(launchOf(planned(ledger([]), warm))).toMatchObject({ count: 2, because: "warm-target" });
    expect(launches(planned(ledger(jobs(1)), warm))).toBe(3);
    expect(launches(planned(ledger(jobs(1), [], fleetRecord({ options: { cpu: 4 } })), warm))).toBe(1);
  });

  it.each<[string, Policy, number, string, RegExp]>([
    [
      "its preset",
      policy({ presets: [preset({ max: 3 })] }),
      3,
      "preset-limit",
      /^The preset linux-x64 .* 3 /,
    ],
    [
      "all machines",
      policy({ limits: { machines: 2, perRepository: 50 } }),
      2,
      "total-limit",
      /^All 2 machines of limits\.machines/,
    ],
    [
      "the repository",
      policy({ limits: { machines: 50, perRepository: 1 } }),
      1,
      "repository-limit",
      /^acme\/app has all of its 1 machines/,
    ],
    [
      "the budget",
      policy({ limits: { machines: 9, perRepository: 9, dailyBudgetUsd: 5 } }),
      0,
      "budget",
      /the budget of 5 USD/,
    ],
    [
      "the preset, named when all machines are as few",
      policy({ presets: [preset({ max: 3 })], limits: { machines: 3, perRepository: 50 } }),
      3,
      "preset-limit",
      /linux-x64/,
    ],
  ])("stops at the cap of %s and says so", (_what, rules, count, because, sentence) => {
    const result = planned(ledger(jobs(5)), rules, start + 60_000, 5);
    expect(launches(result)).toBe(count);
    expect(result.commands).toHaveLength(count === 0 ? 0 : 1);
    expect(result.blocked).toMatchObject({ because, since: start + 60_000 });
    expect(result.blocked?.detail).toMatch(sentence);
    if (because === "budget") expect(result.blocked?.nextAttemptAt).toBe(start + 86_400_000);
  });

  it("launches until the budget is reached", () => {
    const rules = policy({ limits: { machines: 9, perRepository: 9, dailyBudgetUsd: 5 } });
    expect(launches(planned(ledger(jobs(2)), rules, start + 60_000, 4.99))).toBe(2);
  });

  it("is not blocked when only warm machines are lacking, nor when nothing is", () => {
    const warm = policy({ presets: [preset({ warm: 2, max: 1 })] });
    const result = planned(ledger([]), warm);
    expect(launchOf(result)).toMatchObject({ count: 1, because: "warm-target", jobs: [] });
    expect(result.blocked).toBeUndefined();
    expect(planned(ledger([]), policy({ presets: [] }))).toMatchObject({ commands: [], blocked: undefined });
  });

  it("names the jobs for which no machine was asked yet, and those that it counts for the first time", () => {
    const [first, second, third] = jobs(3);
    const known = { ...second!, times: { ...second!.times, planned: start } };
    const result = planned(
      ledger([first!, known, third!], [machine()]),
      policy({ presets: [preset({ max: 2 })] }),
    );
    expect(launchOf(result).jobs).toEqual([known]);
    expect(result.planned).toEqual([first, third]);
  });

  it("is made with the fleet's own preset", () => {
    const rules = policy({ presets: [preset({ name: "other", max: 0, warm: 9 }), preset()] });
    expect(launches(planned(ledger(jobs(2)), rules))).toBe(2);
  });

  it("keeps since when it has been blocked for the same reason", () => {
    const rules = policy({ presets: [preset({ max: 0 })] });
    const first = ledger(jobs(1));
    const later = applied(first, planned(first, rules, start + 1_000), start + 1_000);
    expect(planned(later, rules, start + 9_000).blocked).toMatchObject({ since: start + 1_000 });
    const other = planned(later, policy({ limits: { machines: 0, perRepository: 9 } }), start + 9_000);
    expect(other.blocked).toMatchObject({ because: "total-limit", since: start + 9_000 });
  });

  it("launches nothing while its image is built, and says so", () => {
    const nextAttemptAt = start + 75_000;
    const image = { kind: "building", detail: "It is built.", nextAttemptAt, isFinal: false } as const;
    const result = plan(ledger(jobs(2)), policy(), { counters: {}, spentTodayUsd: 0, image }, start + 60_000);
    expect(result.commands).toEqual([]);
    expect(result.blocked).toMatchObject({
      because: "image-building",
      detail: "It is built.",
      nextAttemptAt,
    });
  });

  it("gives up the jobs whose image cannot be built, but for those whose deadline has passed anyway", () => {
    const detail = "No such image.";
    const image = { kind: "failed", detail, nextAttemptAt: start + 75_000, isFinal: true } as const;
    const late = job({ id: 1, labels: [...labels, "gpu"], times: { created: start - 86_400_000 } });
    const served = job({ id: 2 });
    const claimed = registered("m-1", served);
    const all = ledger([late, served, ...jobs(1)], [claimed]);
    const result = plan(all, policy(), { counters: {}, spentTodayUsd: 0, image }, start + 60_000);
    const said = result.commands.map((command) => {
      return command.kind === "give-up" ? [command.job.id, command.because, command.detail] : command;
    });
    expect(said).toEqual([
      [1, "deadline-passed", expect.any(String)],
      [2000, "image-failed", detail],
    ]);
  });

  it("counts places of other fleets", () => {
    const counters = { machines: 199, "preset:linux-x64": 10 };
    expect(launches(plan(ledger(jobs(5)), policy(), { counters, spentTodayUsd: 0 }, start))).toBe(1);
    const ofRepository = { counters: { "repository:acme/app": 48 }, spentTodayUsd: 0 };
    expect(launches(plan(ledger(jobs(5)), policy(), ofRepository, start))).toBe(2);
  });

  it("says that the preset was removed, and launches nothing", () => {
    const result = planned(ledger(jobs(2)), policy({ presets: [] }));
    expect(launches(result)).toBe(0);
    expect(result.blocked).toMatchObject({
      because: "preset-removed",
      detail: expect.stringContaining("linux-x64"),
    });
    const unknown = planned({ ...ledger(jobs(2)), record: undefined });
    expect(launches(unknown)).toBe(0);
    expect(unknown.blocked?.detail).toMatch(/fleet-a is no longer/);
  });
});

describe("markets", () => {
  it("buys machines on demand for jobs that were lost before, and the rest as always", () => {
    const spot = fleetRecord({ spec: fleetSpec({ market: "spot-preferred" }) });
    const record = rememberRerun(spot, job({ id: 1, runId: 77, name: "lost" }), start);
    const again = job({ id: 9, runId: 77, name: "lost", runAttempt: 2 });
    const result = planned({ ...ledger([...jobs(2), again]), record });
    const bought = result.commands.map((command) =>
      command.kind === "launch" ? [command.purchase, command.count, command.jobs.length] : command.kind,
    );
    expect(bought).toEqual([
      ["on-demand", 1, 1],
      ["spot", 2, 2],
    ]);
  });

  it("buys spot for jobs that were lost before while nothing else can be had", () => {
    const spec = fleetSpec({ market: "spot-preferred" });
    const refusals = [refusal("on-demand", "capacity")];
    const record = rememberRerun(
      fleetRecord({ spec, refusals }),
      job({ id: 1, runId: 77, name: "lost" }),
      start,
    );
    const again = job({ id: 9, runId: 77, name: "lost", runAttempt: 2 });
    const { purchase, jobs: served } = launchOf(planned(ledger([again], [], record)));
    expect([purchase, served]).toEqual(["spot", [again]]);
  });

  it("asks once where all is bought on demand anyway", () => {
    const spec = fleetSpec({ market: "spot-preferred" });
    const refusals = [refusal("spot", "capacity")];
    const lost = job({ id: 1, runId: 77, name: "lost" });
    const record = rememberRerun(fleetRecord({ spec, refusals }), lost, start);
    const again = job({ id: 9, runId: 77, name: "lost", runAttempt: 2 });
    const { commands } = planned(ledger([again, ...jobs(1)], [], record));
    expect(commands).toMatchObject([{ kind: "launch", count: 2, purchase: "on-demand" }]);
  });

  const refusal = (
    purchase: "spot" | "on-demand",
    kind: PoolRefusal["kind"],
    until = start + 90_000,
  ): PoolRefusal => ({
    pool: everyPool,
    purchase,
    kind,
    code: "NO",
    message: "No machine.",
    at: start,
    until,
    inARow: 1,
  });
  const inMarket = (market: "spot-only" | "spot-preferred" | "on-demand-only", refusals: PoolRefusal[]) =>
    planned(ledger(jobs(1), [], fleetRecord({ spec: fleetSpec({ market }), refusals })));

  it("are tried spot first where it is allowed", () => {
    expect(launchOf(inMarket("spot-only", [])).purchase).toBe("spot");
    expect(launchOf(inMarket("spot-preferred", [])).purchase).toBe("spot");
    expect(launchOf(inMarket("on-demand-only", [])).purchase).toBe("on-demand");
  });

  it.each(["capacity", "quota"] as const)("become on-demand when spot refuses for %s", (kind) => {
    expect(launchOf(inMarket("spot-preferred", [refusal("spot", kind)])).purchase).toBe("on-demand");
    expect(launchOf(inMarket("spot-preferred", [refusal("spot", kind, start + 1)])).purchase).toBe("spot");
  });

  it.each(["throttle", "transient", "configuration"] as const)(
    "stay spot when it was refused for %s",
    (kind) => {
      const result = inMarket("spot-preferred", [refusal("spot", kind)]);
      expect(launches(result)).toBe(0);
      expect(result.blocked).toMatchObject({ because: "launch-refused", nextAttemptAt: start + 90_000 });
    },
  );

  it("wait, with the reason and the time, when only spot is allowed", () => {
    const result = inMarket("spot-only", [refusal("spot", "capacity")]);
    expect(launches(result)).toBe(0);
    expect(result.blocked).toMatchObject({
      because: "no-spot-capacity",
      detail: "NO: No machine.",
      nextAttemptAt: start + 90_000,
    });
    expect(result.recheckAt).toBe(start + 90_000);
  });

  it("wait for the first of both when both refuse", () => {
    const both = [refusal("spot", "capacity", start + 99_000), refusal("on-demand", "quota", start + 80_000)];
    expect(inMarket("spot-preferred", both).blocked).toMatchObject({
      because: "no-capacity",
      nextAttemptAt: start + 80_000,
    });
    const spotFirst = [
      refusal("spot", "quota", start + 80_000),
      refusal("on-demand", "capacity", start + 99_000),
    ];
    expect(inMarket("spot-preferred", spotFirst).blocked?.nextAttemptAt).toBe(start + 80_000);
  });

  it("show a refusal that only an operator can end", () => {
    const result = inMarket("on-demand-only", [refusal("on-demand", "configuration")]);
    expect(result.blocked).toMatchObject({
      because: "launch-refused",
      detail: "NO: No machine.",
      nextAttemptAt: start + 90_000,
    });
    const broken = [refusal("spot", "capacity"), refusal("on-demand", "configuration")];
    expect(inMarket("spot-preferred", broken).blocked).toMatchObject({ because: "launch-refused" });
    expect(inMarket("on-demand-only", [refusal("on-demand", "quota")]).blocked?.because).toBe("no-capacity");
  });

  it("leave out the pools that refused", () => {
    const pool = { ...refusal("spot", "capacity"), pool: "m7i.large/a" };
    expect(launchOf(inMarket("spot-only", [pool])).avoidPools).toEqual(["m7i.large/a"]);
  });
});

describe("supply", () => {
  const wanted = jobs(1)[0]!;

  it.each<[string, Machine, number]>([
    ["an unclaimed machine", machine({ state: "launched" }), 0],
    ["a machine that was asked for", machine(), 0],
    ["a machine that claims for it", machine({ state: "launched", binding: bindingFor(wanted) }), 0],
    ["its registered machine", registered("m", wanted), 0],
    ["one registered for another job like it", registered("m", job({ id: 3 })), 0],
    ["one with more labels", registered("m", job({ id: 3, labels: [...labels, "gpu"] })), 0],
    [
      "one with labels in another case",
      registered("m", job({ id: 3, labels: ["SELF-HOSTED", "Linux", "X64"] })),
      0,
    ],
    ["one without a label of it", registered("m", job({ id: 3, labels: ["self-hosted"] })), 1],
    [
      "one of another organisation",
      registered("m", wanted, start, { scope: { ...scope, owner: "other" } }),
      1,
    ],
    [
      "one of another repository",
      registered("m", wanted, start, { scope: { ...scope, kind: "repository", name: "other" } }),
      1,
    ],
    [
      "one of its repository",
      registered("m", wanted, start, { scope: { ...scope, kind: "repository", name: "app" } }),
      0,
    ],
    ["a busy machine", machine({ state: "busy", binding: bindingFor(wanted), jobId: 3 }), 1],
    ["a retiring machine", machine({ state: "retiring", binding: bindingFor(wanted) }), 1],
  ])("%s leaves %o", (_what, some, count) => {
    expect(launches(planned(ledger([wanted], [some])))).toBe(count);
  });

  it("a job whose machine says that it runs one is not served twice until GitHub was asked", () => {
    const presumed = { ...wanted, presumedAt: start + 5_000 };
    expect(launches(planned(ledger([presumed])))).toBe(0);
    expect(launches(planned(ledger([{ ...presumed, checkedAt: start + 5_000 }])))).toBe(0);
    expect(launches(planned(ledger([{ ...presumed, checkedAt: start + 5_001 }])))).toBe(1);
  });
});

describe("surplus", () => {
  it("is retired after the grace, last in first out", () => {
    const [first, ...others] = jobs(3);
    const machines = ["a", "b", "c"].map((id, index) => registered(id, first!, start + index));
    const retired = (now: number, some = [first!]) =>
      planned(ledger(some, machines), policy(), now).commands.flatMap((command) =>
        command.kind === "retire" ? [command.machine.id] : [],
      );
    expect(retired(start + 60_000)).toEqual([]);
    expect(retired(start + 60_001)).toEqual(["b"]);
    expect(retired(start + 60_002)).toEqual(["c", "b"]);
    expect(retired(start + 60_002, [first!, ...others])).toEqual([]);
    expect(planned(ledger([first!], machines), policy(), start + 1_000).recheckAt).toBe(start + 60_001);
  });

  it("leaves unclaimed machines to claim", () => {
    const unclaimed = machine({ state: "launched", times: { launched: start } });
    expect(planned(ledger([], [unclaimed]), policy(), start + 999_000).commands).toEqual([]);
  });

  it("leaves one that is claiming to be registered", () => {
    const claiming = machine({ state: "launched", binding: bindingFor(job()), times: { claimed: start } });
    const claims = (now: number) => planned(ledger([], [claiming]), policy(), now);
    expect(claims(start + 1_000)).toMatchObject({ commands: [], recheckAt: undefined });
    expect(claims(start + 999_000).commands).toEqual([]);
  });

  it("is told why, and idles from its registration on", () => {
    const some = registered("m", job());
    const late = { ...some, times: { ...some.times, registered: start + 5_000 } };
    expect(planned(ledger([], [late]), policy(), start + 64_999).commands).toEqual([]);
    expect(planned(ledger([], [late]), policy(), start + 65_000).commands).toEqual([
      { kind: "retire", machine: late, because: "surplus", detail: "No queued job needs it any more." },
    ]);
  });
});

describe("launches that were not answered", () => {
  it("are asked for again at their times, until the limit", () => {
    const again = (attempts: number, afterSeconds: number) =>
      planned(ledger([], [machine({ launchAttempts: attempts })]), policy(), start + afterSeconds * 1_000)
        .commands;
    expect(again(1, 29)).toEqual([]);
    expect(again(1, 30)).toMatchObject([{ kind: "relaunch", because: "launch-unanswered" }]);
    expect(again(2, 59)).toEqual([]);
    expect(again(2, 60)).toHaveLength(1);
    expect(again(1, 300)).toEqual([]);
    const answered = machine({ state: "launched" });
    expect(planned(ledger([], [answered]), policy(), start + 60_000).commands).toEqual([]);
  });
});

describe("deadlines", () => {
  const rules = policy({ timing: timing({ jobDeadlineSeconds: 100 }) });
  const late = job({ times: { created: start } });
  const at = start + 100_000;

  it("give a job up with the reason why it was not served", () => {
    const blocked = { because: "total-limit", detail: "All 2 machines are in use.", since: start } as const;
    const given = (some: Ledger) => planned(some, rules, at).commands;
    const said = (sentence: string) => `The job could not be served until its deadline. ${sentence}`;
    expect(given(ledger([late], [], fleetRecord({ blocked })))).toEqual([
      { kind: "give-up", job: late, because: "deadline-passed", detail: said("All 2 machines are in use.") },
    ]);
    expect(given(ledger([late]))).toMatchObject([{ detail: said("No machine became free for it.") }]);
    expect(given({ ...ledger([late]), record: undefined })).toMatchObject([{ because: "deadline-passed" }]);
    expect(launches(planned(ledger([late]), rules, at - 1))).toBe(1);
  });

  it("leave what is not queued, and do not keep others from their machines", () => {
    const others = [job({ id: 1, state: "waiting" }), job({ id: 2, state: "running" })];
    const young = job({ id: 3, times: { created: start + 1 } });
    const result = planned(ledger([...others, late, young]), rules, at);
    expect(result.commands.map((command) => command.kind)).toEqual(["give-up", "launch"]);
    expect(launchOf(result).jobs).toEqual([young]);
    expect(result.planned).toEqual([young]);
  });

  it("name a preset that was removed", () => {
    const detail = "The preset linux-x64 is no longer in the config.";
    const blocked = { because: "preset-removed", detail, since: start } as const;
    const before = ledger([late], [], fleetRecord({ blocked }));
    expect(planned(before, { ...rules, presets: [] }, at).commands).toMatchObject([
      { because: "preset-removed" },
    ]);
  });

  it("are reached by a job that is presumed to run and of which GitHub tells nothing", () => {
    const presumed = { ...job(), presumedAt: start };
    expect(planned(ledger([presumed]), rules, start + 200_000).commands).toMatchObject([{ kind: "give-up" }]);
  });

  it("count from the approval of a job that waited for one", () => {
    const approvedAt = start + 500_000;
    const waited = jobAfter(job({ state: "waiting" }), {
      ...({ action: "queued", id: 1001 } as Parameters<typeof jobAfter>[1]),
      receivedAt: approvedAt,
    });
    expect(deadlineOf(waited, rules)).toBe(approvedAt + 100_000);
    expect(launches(planned(ledger([waited]), rules, approvedAt + 1_000))).toBe(1);
  });
});

describe("a plan is made again", () => {
  const rules = policy({ timing: timing({ jobDeadlineSeconds: 100 }) });
  const queued = job({ times: { created: start } });
  const blocked = policy({
    timing: rules.timing,
    limits: { machines: 0, perRepository: 9, dailyBudgetUsd: 0 },
  });

  it.each<[string, Ledger, Policy, number, number | undefined]>([
    ["at the deadline of a job", ledger([queued]), rules, 1, 100],
    [
      "at the first of two",
      ledger([job({ id: 2, times: { created: start + 5_000 } }), queued]),
      rules,
      1,
      100,
    ],
    [
      "not for a job that waits or runs",
      ledger([job({ state: "waiting" }), job({ state: "running" })]),
      rules,
      1,
      undefined,
    ],
    ["when a launch is asked for again", ledger([], [machine()]), rules, 29, 30],
    ["not at the instant at which it is", ledger([], [machine()]), rules, 30, undefined],
    ["not for a launch that was answered", ledger([], [machine({ state: "launched" })]), rules, 1, undefined],
    ["when a surplus machine has waited", ledger([], [registered("m", queued)]), rules, 1, 60],
    [
      "when the budget begins anew",
      ledger([job({ times: { created: start + 86_390_000 } })]),
      blocked,
      1,
      86_400,
    ],
    [
      "when a cap may no longer hold it back",
      ledger([job()]),
      policy({ presets: [preset({ max: 0 })] }),
      1,
      31,
    ],
    ["not for what is past", ledger([queued], [machine({ launchAttempts: 9 })]), rules, 300, undefined],
  ])("%s", (_what, before, policyOfCase, now, seconds) => {
    const { recheckAt } = planned(before, policyOfCase, start + now * 1_000);
    expect(recheckAt).toBe(seconds === undefined ? undefined : start + seconds * 1_000);
  });
});

// ------------------------------------------------------------------------------------------ properties

const states: readonly MachineState[] = ["requested", "launched", "registered", "busy", "retiring"];

const anyJob = fc
  .record({
    id: fc.integer({ min: 1, max: 40 }),
    state: fc.constantFrom("waiting", "queued", "queued", "queued", "running"),
    name: fc.constantFrom("app", "other"),
    labels: fc.constantFrom(labels, ["self-hosted", "linux"], [...labels, "gpu"]),
    age: fc.integer({ min: 0, max: 300 }),
  })
  .map(({ id, state, name, labels: some, age }) =>
    job({
      id,
      state: state as Job["state"],
      repository: { owner: "acme", name, private: true },
      labels: some,
      times: { created: start - age * 1_000 },
    }),
  );

const anyMachine = fc
  .record({
    id: fc.integer({ min: 1, max: 40 }).map((number) => `m-${number}`),
    state: fc.constantFrom(...states),
    claimed: fc.option(anyJob, { nil: undefined }),
    age: fc.integer({ min: 0, max: 400 }),
  })
  .map(({ id, state, claimed, age }) => {
    const at = start - age * 1_000;
    const binds = state !== "requested" && (state !== "launched" || age % 2 === 0);
    return machine({
      id,
      state,
      ...(binds &&
        claimed !== undefined && { binding: bindingFor(claimed), registration: { runnerId: 1, scope } }),
      times: { requested: at, ...(binds && { claimed: at, registered: at }) },
    });
  });

const anyLedger = fc
  .record({
    jobs: fc.uniqueArray(anyJob, { selector: (some) => some.id, maxLength: 30 }),
    machines: fc.uniqueArray(anyMachine, { selector: (some) => some.id, maxLength: 30 }),
  })
  .map((parts) => ledger(parts.jobs, parts.machines));

const anyPolicy = fc
  .record({
    max: fc.integer({ min: 0, max: 40 }),
    machines: fc.integer({ min: 0, max: 60 }),
    perRepository: fc.integer({ min: 0, max: 40 }),
    warm: fc.integer({ min: 0, max: 5 }),
  })
  .map(({ max, machines, perRepository, warm }) =>
    policy({ presets: [preset({ max, warm })], limits: { machines, perRepository } }),
  );

describe("any ledger", () => {
  it("is planned without passing a cap", () => {
    fc.assert(
      fc.property(anyLedger, anyPolicy, (before, rules) => {
        const now = start + 1_000;
        const count = launches(planned(before, rules, now));
        const counters = countersOfAll(before.machines);
        const free = (counter: string, max: number) => Math.max(0, max - (counters[counter] ?? 0));
        expect(count).toBeLessThanOrEqual(free("machines", rules.limits.machines));
        expect(count).toBeLessThanOrEqual(free("preset:linux-x64", rules.presets[0]?.max ?? 0));
        const places = ["acme/app", "acme/other"].map((name) =>
          free(`repository:${name}`, rules.limits.perRepository),
        );
        const warm = rules.presets[0]?.warm ?? 0;
        expect(count).toBeLessThanOrEqual(places.reduce((sum, place) => sum + place, warm));
      }),
    );
  });

  it("gets exactly the machines that it lacks when nothing caps it", () => {
    fc.assert(
      fc.property(anyLedger, fc.integer({ min: 0, max: 5 }), (before, warm) => {
        const rules = policy({
          presets: [preset({ max: 1_000, warm })],
          limits: { machines: 1_000, perRepository: 1_000 },
        });
        const { unserved, unclaimed } = demandOf(before);
        const lacking = Math.max(0, unserved.length + warm - unclaimed.length);
        expect(launches(planned(before, rules, start + 1_000))).toBe(lacking);
      }),
    );
  });

  it("needs nothing more once its plan was carried out", () => {
    fc.assert(
      fc.property(anyLedger, anyPolicy, (before, rules) => {
        const now = start + 1_000;
        const first = planned(before, rules, now);
        const second = planned(applied(before, first, now), rules, now);
        expect(launches(second)).toBe(0);
        expect(second.commands.filter((command) => command.kind === "retire")).toEqual([]);
        expect(second.blocked).toEqual(first.blocked);
      }),
    );
  });

  it("says why whenever a due job is left without a machine", () => {
    fc.assert(
      fc.property(anyLedger, anyPolicy, (before, rules) => {
        const result = planned(before, rules, start + 1_000);
        const { unserved, unclaimed } = demandOf(before);
        const left = unserved.length - unclaimed.length - launches(result);
        if (left > 0) expect(result.blocked).toBeDefined();
      }),
    );
  });

  it("has each job served once, each machine counted once", () => {
    fc.assert(
      fc.property(anyLedger, (before) => {
        const { unserved, surplus, unclaimed } = demandOf(before);
        const queued = before.jobs.filter((some) => some.state === "queued");
        const offered = before.machines.filter(
          (some) =>
            some.binding !== undefined && ["requested", "launched", "registered"].includes(some.state),
        );
        expect(queued.length - unserved.length).toBe(offered.length - surplus.length);
        expect(new Set([...surplus, ...unclaimed]).size).toBe(surplus.length + unclaimed.length);
      }),
    );
  });
});

it("plans 10,000 jobs and 10,000 machines", () => {
  const many = jobs(10_000);
  const machines = many.slice(0, 5_000).map((some, index) => registered(`r-${index}`, some));
  const unclaimed = Array.from({ length: 5_000 }, (_, index) => machine({ id: `u-${index}` }));
  const rules = policy({
    presets: [preset({ max: 20_000 })],
    limits: { machines: 20_000, perRepository: 20_000 },
  });
  expect(launches(planned(ledger(many, [...machines, ...unclaimed]), rules, start + 1_000))).toBe(0);
  expect(launches(planned(ledger(many, machines), rules, start + 1_000))).toBe(5_000);
});

const now = start + 60_000;

describe("a look at a fleet", () => {
  const needed = (before: Ledger, rules: Policy, now: number): boolean =>
    needsLook(before, rules, { counters: countersOfAll(before.machines), spentTodayUsd: 0 }, now);
  const known = job({ times: { planned: start } });

  it("is needed while a job has no machine that it could have", () => {
    const launched = machine({ id: "m-1", state: "launched" });
    expect(needed(ledger([known]), policy(), now)).toBe(true);
    expect(needed(ledger([known], [launched]), policy(), now)).toBe(false);
    expect(needed(ledger([]), policy(), now)).toBe(false);
  });

  it("is needed when the reason for waiting is another than the one that is noted", () => {
    const full = policy({ presets: [preset({ max: 0 })] });
    const waiting = ledger([known]);
    const { blocked } = planned(waiting, full, now);
    const noted = { ...waiting, record: { ...fleetRecord(), blocked: blocked! } };
    expect(needed(waiting, full, now)).toBe(true);
    expect(needed(noted, full, now)).toBe(false);
    expect(needed(noted, policy(), now)).toBe(true);
    expect(needed(noted, full, now + full.timing.jobDeadlineSeconds * 1_000)).toBe(true);
  });

  it("is needed to count a job for the first time, though a machine is on its way", () => {
    const launched = machine({ id: "m-1", state: "launched" });
    expect(needed(ledger([job()], [launched]), policy(), now)).toBe(true);
  });

  it("is not needed for a fleet of which nothing is known and to which nothing belongs", () => {
    expect(needed({ ...ledger([]), record: undefined }, policy(), now)).toBe(false);
  });

  it("is made with what its preset says today, as far as there is one", () => {
    const before = ledger([], [], fleetRecord({ options: { cpu: 8 } }));
    const presets = [preset({ name: "other", compute: "other" }), preset({ compute: "docker", cpu: 2 })];
    expect(withSpecOfToday(before, policy({ presets })).record).toEqual({
      ...before.record,
      spec: { ...before.record?.spec, compute: "docker", cpu: 8 },
    });
    expect(withSpecOfToday(before, policy({ presets: [] }))).toBe(before);
    const unknown = { ...before, record: undefined };
    expect(withSpecOfToday(unknown, policy({ presets }))).toBe(unknown);
  });

  describe("after a change", () => {
    const deserved = (before: Ledger, after: Ledger, at = now): boolean =>
      deservesLook(before, after, policy(), at);
    const idle = (since: number) => registered("m-1", known, since);

    it("is deserved when there is something to do", () => {
      expect(deserved(ledger([]), ledger([known]))).toBe(true);
      expect(deserved(ledger([]), ledger([job()], [machine({ state: "launched" })]))).toBe(true);
      expect(deserved(ledger([known]), ledger([]))).toBe(false);
    });

    it("is deserved for what is to be done now, also where a later look is arranged", () => {
      const launched = machine({ id: "m-1", state: "launched" });
      const second = machine({ id: "m-2", state: "launched" });
      const later = (planned: boolean) =>
        job({ id: 2, times: { created: start, ...(planned && { planned: start }) } });
      expect(deserved(ledger([known], [launched]), ledger([known, later(true)], [launched]))).toBe(true);
      expect(deserved(ledger([known], [launched]), ledger([known, later(false)], [launched, second]))).toBe(
        true,
      );
      expect(deserved(ledger([]), ledger([], [machine({ state: "busy" })]))).toBe(false);
    });

    it("is deserved when there will be something to do, and no look before has arranged for it", () => {
      expect(deserved(ledger([]), ledger([], [idle(now - 1)]))).toBe(true);
      expect(deserved(ledger([], [idle(now - 1)]), ledger([], [idle(now - 2)]))).toBe(true);
      expect(deserved(ledger([], [idle(now - 1)]), ledger([], [idle(now - 1)]))).toBe(false);
      expect(deserved(ledger([], [idle(now - 2)]), ledger([], [idle(now - 1)]))).toBe(false);
    });
  });
});

it("a reason for waiting is the same while all of it is", () => {
  const blocked = { because: "no-capacity", detail: "Full.", since: start, nextAttemptAt: now } as const;
  expect(isSameBlocked(blocked, { ...blocked })).toBe(true);
  expect(isSameBlocked(undefined, undefined)).toBe(true);
  for (const other of [
    undefined,
    { ...blocked, because: "budget" } as const,
    { ...blocked, detail: "" },
    { ...blocked, since: now },
    { ...blocked, nextAttemptAt: start },
  ]) {
    expect(isSameBlocked(blocked, other)).toBe(false);
    expect(isSameBlocked(other, blocked)).toBe(false);
  }
});

describe("a change", () => {
  const [first, second] = jobs(2, { state: "queued" }).map((some) => ({
    ...some,
    times: { ...some.times, planned: start },
  })) as [Job, Job];
  const running: Job = { ...first, id: 7, state: "running" };
  const busy = machine({ id: "busy", state: "busy", jobId: 7 });
  const ready = registered("ready", first);
  const before = ledger([running, first], [busy, ready]);
  const deserves = (after: Partial<Ledger>): boolean =>
    deservesLook(before, { ...before, ...after }, policy(), start + 1_000);
  const putJob = (some: Job): Change => ({ put: "job", job: some });
  const putMachine = (some: Machine): Change => ({ put: "machine", machine: some });

  it("of what no plan reads changes none", () => {
    const { record } = before;
    const changes: readonly Change[] = [
      { put: "fleet", record: record! },
      putJob({ ...running, state: "done" }),
      putJob({ ...first, times: { ...first.times, online: start } }),
      putJob({ ...running, id: 9 }),
      putMachine({ ...busy, state: "retiring" }),
      putMachine({ ...ready, times: { ...ready.times, online: start } }),
      putMachine({ ...busy, id: "ended", state: "ended" }),
    ];
    expect(changes.filter((change) => changesPlan(before, [change]))).toEqual([]);
    expect(changesPlan(before, changes)).toBe(false);
    expect(changesPlan(before, [])).toBe(false);
  });

  it("of what plans read may change one", () => {
    const changes: readonly Change[] = [
      { put: "fleet", record: { ...before.record! } },
      putJob({ ...first, state: "running" }),
      putJob({ ...first, presumedAt: start }),
      putJob({ ...first, times: { ...first.times, queued: start } }),
      putJob({ ...first, times: { created: start, received: start } }),
      putJob({ ...running, state: "queued" }),
      putJob(second),
      putMachine({ ...ready, state: "busy" }),
      putMachine({ ...ready, state: "ended" }),
      putMachine({ ...ready, times: { ...ready.times, started: start } }),
      putMachine({ ...ready, binding: bindingFor(second) }),
      putMachine(machine({ id: "new", state: "launched" })),
    ];
    expect(changes.filter((change) => !changesPlan(before, [change]))).toEqual([]);
  });

  it("of a job that is presumed to run changes no plan, and its deadline was arranged before", () => {
    const presumed: Job = { ...first, presumedAt: start };
    const known = ledger([presumed], [busy]);
    expect(changesPlan(known, [putJob({ ...presumed, state: "running" })])).toBe(false);
    expect(changesPlan(known, [putJob({ ...presumed, checkedAt: start + 1 })])).toBe(true);
  });

  it("that changes no plan launches nothing else, plans nothing else, and is nothing to look for sooner", () => {
    const states = ["waiting", "queued", "running", "done"] as const;
    const machineStates = ["requested", "launched", "registered", "busy", "retiring", "ended"] as const;
    const instant = fc.constantFrom(start - 7_200_000, start - 1_000, start, start + 1_000);
    const some = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
    const anyJob = fc
      .record({
        id: fc.integer({ min: 1, max: 4 }),
        state: fc.constantFrom(...states),
        presumedAt: some(instant),
      })
      .chain(({ id, state, presumedAt }) =>
        fc
          .record({ created: fc.constant(start + id), planned: some(instant), online: some(instant) })
          .map((times) =>
            job({ id, state, ...(presumedAt !== undefined && { presumedAt }), times: defined(times) }),
          ),
      );
    const anyMachine = fc
      .record({
        id: fc.constantFrom("m-1", "m-2", "m-3"),
        state: fc.constantFrom(...machineStates),
        isBound: fc.boolean(),
        online: some(instant),
        started: some(instant),
      })
      .map(({ id, state, isBound, ...times }) =>
        machine({
          ...{ id, state },
          ...(isBound && { binding: bindingFor(job({ id: 1 })) }),
          times: { requested: start, registered: start, ...defined(times) },
        }),
      );
    const unique = { selector: ({ id }: { readonly id: unknown }) => id, maxLength: 4 } as const;
    const anyLedger = fc
      .tuple(fc.uniqueArray(anyJob, unique), fc.uniqueArray(anyMachine, unique))
      .map(([someJobs, machines]) =>
        ledger(
          someJobs.filter(({ state }) => state !== "done"),
          machines.filter(({ state }) => state !== "ended"),
        ),
      );
    const anyChange = fc.oneof(anyJob.map(putJob), anyMachine.map(putMachine));
    let unchanged = 0;
    fc.assert(
      fc.property(anyLedger, anyChange, instant, (known, change, now) => {
        // GitHub presumes nothing: a job that is presumed to run was queued before.
        const isPresumed = change.put === "job" && change.job.presumedAt !== undefined;
        if (isPresumed && !known.jobs.some(({ id, state }) => id === change.job.id && state === "queued"))
          return;
        if (changesPlan(known, [change])) return;
        unchanged += 1;
        const context = { counters: {}, spentTodayUsd: 0 };
        const earlier = plan(known, policy(), context, now);
        const next = plan(changed(known, change), policy(), context, now);
        const isLaunch = ({ kind }: Command): boolean => kind === "launch";
        expect(next.commands.filter(isLaunch)).toEqual(earlier.commands.filter(isLaunch));
        expect(next.commands.length).toBeLessThanOrEqual(earlier.commands.length);
        expect(next.planned.length).toBe(earlier.planned.length);
        expect(next.recheckAt ?? Infinity).toBeGreaterThanOrEqual(earlier.recheckAt ?? Infinity);
      }),
      { numRuns: 2_000 },
    );
    expect(unchanged).toBeGreaterThan(200);
  });

  it("that leaves a job without a machine deserves one", () => {
    expect(deserves({ machines: [busy] })).toBe(true);
    expect(deserves({ machines: [busy, { ...ready, state: "retiring" }] })).toBe(true);
    expect(deserves({ jobs: [running, first, second] })).toBe(true);
  });

  it("deserves none when as many machines were wanted before it", () => {
    const waiting = { ...before, jobs: [running, first, second] };
    const started = { ...waiting, jobs: [running, { ...first, state: "running" }, second] as const };
    const taken = { ...started, machines: [busy, { ...ready, state: "busy" }] as const };
    expect(deservesLook(waiting, taken, policy(), start + 1_000)).toBe(false);
    expect(deservesLook(waiting, started, policy(), start + 1_000)).toBe(false);
  });
});
