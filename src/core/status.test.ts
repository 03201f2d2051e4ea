import { describe, expect, it } from "vitest";
import { fleetRecord, fleetSpec, job, machine, policy, preset, start } from "../../test/builders.ts";
import type { Binding, BlockReason, Job, Ledger, Machine } from "./model.ts";
import {
  jobStatus,
  machineStatus,
  percentile,
  type StatusInput,
  statusDocument,
  waitContext,
  waitSummary,
} from "./status.ts";

const now = start + 600_000;
const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const binding: Binding = {
  jobId: 1001,
  repository: "acme/app",
  scope,
  labels: ["self-hosted", "linux", "x64"],
};
const registration = { runnerId: 1, scope };

function ledger(jobs: readonly Job[], machines: readonly Machine[] = [], record = fleetRecord()): Ledger {
  return { fleet: "fleet-a", version: 1, record, jobs, machines };
}

function documentOf(overrides: Partial<StatusInput> = {}) {
  return statusDocument({
    version: "1.2.3",
    now,
    policy: policy(),
    ledgers: [],
    history: { jobs: [], machines: [] },
    usage: [],
    budgets: [],
    problems: [],
    listLimit: 10,
    ...overrides,
  });
}

const ran = (id: number, seconds: number, conclusion = "success"): Job =>
  job({
    id,
    state: "done",
    outcome: { kind: "completed", conclusion },
    times: { created: start, started: start + seconds * 1_000, completed: start + 300_000 },
  });

describe("the status document", () => {
  it("of nothing is ready, and empty", () => {
    const status = documentOf();
    expect(status).toMatchObject({
      state: "ready",
      version: "1.2.3",
      at: new Date(now).toISOString(),
      jobs: { waiting: 0, queued: 0, running: 0 },
      machines: { alive: 0 },
      waits: { jobs: 0, p50Seconds: null },
      cost: { todayUsd: 0, dailyBudgetUsd: null },
    });
    expect(status.lastHour).toHaveLength(60);
  });

  it("counts jobs and machines by their states, also those that a list leaves out", () => {
    const jobs = (["waiting", "queued", "queued", "running", "running", "running", "running"] as const).map(
      (state, index) => job({ id: index, state }),
    );
    const states = ["requested", "launched", "registered", "busy", "retiring"] as const;
    const machines = states.flatMap((state, index) =>
      Array.from({ length: index + 1 }, (_, number) => machine({ id: `${state}-${number}`, state })),
    );
    const status = documentOf({ ledgers: [ledger(jobs, machines)], listLimit: 1 });
    expect(status.jobs).toMatchObject({ waiting: 1, queued: 2, running: 4 });
    expect(status.machines).toMatchObject({
      ...{ requested: 1, launched: 2, registered: 3, busy: 4, retiring: 5 },
      ...{ alive: 15, launchedLastHour: 0, endedLastHour: 0, launchFailuresLastHour: 0 },
    });
    expect(status.fleets).toMatchObject([{ fleet: "fleet-a", queued: 2, running: 4, machines: 15 }]);
    expect(status.activeJobs).toHaveLength(1);
    expect(status.activeMachines).toHaveLength(1);
  });

  it("counts the machines of the last hour, to the millisecond", () => {
    const hourAgo = now - 3_600_000;
    const ended = (id: string, at: number, facts: Partial<Machine> = {}) =>
      machine({ id, state: "ended", ...facts, times: { ...facts.times, ended: at } });
    const launched = (at: number) => ({ times: { requested: at, launched: at } });
    const history = [
      ended("a", hourAgo + 1, launched(hourAgo - 9)),
      ended("b", now, launched(hourAgo + 1)),
      ...["c", "g", "h"].map((id) => ended(id, now, { reason: "launch-failed" })),
      ended("d", hourAgo, launched(hourAgo + 1)),
      ended("e", hourAgo, { reason: "launch-failed" }),
      machine({ id: "f", state: "ended" }),
    ];
    const alive = [hourAgo, hourAgo + 1, now].map((at) => machine({ id: `${at}`, ...launched(at) }));
    const status = documentOf({ ledgers: [ledger([], alive)], history: { jobs: [], machines: history } });
    expect(status.machines).toMatchObject({
      launchedLastHour: 3,
      endedLastHour: 2,
      launchFailuresLastHour: 3,
    });
  });

  it("lists presets and fleets with what each has, and what blocks it", () => {
    const presets = [preset({ max: 7 }), preset({ name: "arm", labels: ["arm64"], compute: "docker" })];
    const blocked = { because: "no-capacity", detail: "Full.", since: start, nextAttemptAt: now } as const;
    const arm = fleetRecord({ id: "fleet-b", spec: fleetSpec({ preset: "arm" }), blocked });
    const machines = [machine({ id: "a" }), machine({ id: "b" })];
    const status = documentOf({
      policy: policy({ presets }),
      ledgers: [
        ledger([job()], machines),
        { ...ledger([], [machine({ id: "c", preset: "arm" })], arm), fleet: "fleet-b" },
        { ...ledger([], []), fleet: "fleet-c", record: undefined },
      ],
    });
    expect(status.presets).toEqual([
      {
        name: "linux-x64",
        compute: "memory",
        labels: ["linux", "x64"],
        machines: 2,
        max: 7,
        status: "ready",
      },
      { name: "arm", compute: "docker", labels: ["arm64"], machines: 1, max: 50, status: "blocked" },
    ]);
    const none = { queued: 0, running: 0, machines: 0, blocked: null };
    const shown = {
      ...{ because: "no-capacity", alias: null, detail: "Full." },
      ...{ since: "2026-01-01T00:00:00.000Z", nextAttemptAt: "2026-01-01T00:10:00.000Z" },
    };
    expect(status.fleets).toEqual([
      { ...none, fleet: "fleet-a", preset: "linux-x64", queued: 1, machines: 2 },
      { ...none, fleet: "fleet-b", preset: "arm", machines: 1, blocked: shown },
      { ...none, fleet: "fleet-c", preset: "fleet-c" },
    ]);
  });

  it("lists the jobs that are alive, the oldest first, with what each waits for in its own fleet", () => {
    const blocked = { because: "total-limit", detail: "All 3 machines are in use.", since: start } as const;
    const young = job({ id: 1, times: { created: start } });
    const old = job({ id: 2, fleet: "fleet-b", times: { created: start - 9_000 } });
    const middle = job({ id: 3, state: "running", times: { created: start - 5_000 } });
    const other = { ...ledger([old], [], fleetRecord({ id: "fleet-b", blocked })), fleet: "fleet-b" };
    const status = documentOf({
      ledgers: [ledger([young, middle]), other],
      history: { jobs: [ran(4, 5)], machines: [] },
    });
    expect(status.activeJobs.map(({ id, waitsFor }) => [id, waitsFor])).toEqual([
      [2, "All 3 machines are in use."],
      [3, null],
      [1, expect.stringMatching(/about to be asked for/)],
    ]);
    expect(status.recentJobs).toEqual([jobStatus(ran(4, 5), undefined, now)]);
  });

  it("tells how often GitHub may still be asked", () => {
    const budget = { installationId: 7, limit: 5_000, remaining: 12, resetAt: now };
    expect(documentOf({ budgets: [budget] }).github).toEqual([
      { installationId: 7, remaining: 12, limit: 5_000, resetAt: new Date(now).toISOString() },
    ]);
  });

  it("counts the starts and the machines of each of sixty minutes", () => {
    const minute = 60_000;
    const first = now - 59 * minute;
    const startedAt = (id: number, at: number) => job({ id, state: "running", times: { started: at } });
    const jobs = [startedAt(1, first), startedAt(2, first + 1), startedAt(3, first - 1), startedAt(4, now)];
    const machines = [machine({ id: "a", times: { requested: now - minute } })];
    const gone = machine({ id: "b", times: { requested: first + minute, ended: first + 2 * minute } });
    const { lastHour } = documentOf({
      now: now + 59_999,
      ledgers: [ledger([...jobs, job({ id: 5 }), startedAt(6, now + minute)], machines)],
      history: { jobs: [{ ...ran(7, 0), times: { ...ran(7, 0).times, started: now } }], machines: [gone] },
    });
    const quiet = { started: 0, machines: 0 };
    expect(lastHour).toHaveLength(60);
    expect(lastHour[0]).toEqual({ at: new Date(first).toISOString(), ...quiet, started: 2 });
    expect(lastHour[1]).toEqual({ at: new Date(first + minute).toISOString(), ...quiet, machines: 1 });
    expect(lastHour.slice(3, 58).every(({ started, machines: alive }) => started + alive === 0)).toBe(true);
    expect(lastHour[58]).toMatchObject({ started: 0, machines: 1 });
    expect(lastHour[59]).toEqual({ at: new Date(now).toISOString(), started: 2, machines: 1 });
  });

  it("counts how the jobs of the last hour ended", () => {
    const outcome = { because: "deadline-passed", detail: "" } as const;
    const jobs = [
      ran(1, 5),
      ran(2, 5, "failure"),
      job({ id: 3, state: "done", outcome: { kind: "given-up", ...outcome }, times: { completed: start } }),
      { ...ran(4, 5), times: { ...ran(4, 5).times, completed: now - 3_600_000 } },
      ...[5, 6, 8, 9].map((id) =>
        job({
          id,
          state: "done",
          outcome: { kind: "refused", because: "no-preset", detail: "" },
          times: { completed: start },
        }),
      ),
      ran(7, 5),
    ];
    expect(documentOf({ history: { jobs, machines: [] } }).jobs).toMatchObject({
      completedLastHour: 3,
      failedLastHour: 1,
      givenUpLastHour: 1,
      refusedLastHour: 4,
    });
  });

  it("is degraded by what an operator has to change, not by a cap", () => {
    const blocked = (because: BlockReason) =>
      documentOf({
        ledgers: [
          ledger([job()], [], fleetRecord({ blocked: { because, detail: "No such image.", since: start } })),
        ],
      });
    expect(blocked("launch-refused")).toMatchObject({ state: "degraded" });
    const problem = "1 jobs of fleet fleet-a wait: No such image.";
    expect(blocked("launch-refused").problems).toEqual([problem]);
    expect(blocked("preset-removed").problems).toEqual([problem]);
    expect(blocked("image-failed").problems).toEqual([problem]);
    expect(documentOf({ problems: ["The disk is full."] })).toMatchObject({ state: "degraded" });
    expect(blocked("total-limit")).toMatchObject({ state: "ready", problems: [] });
    expect(blocked("total-limit").presets[0]?.status).toBe("blocked");
  });

  it("is JSON, and says the same after a journey", () => {
    const status = documentOf({ ledgers: [ledger([job()], [machine()])] });
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
  });

  it("adds up what the day has cost", () => {
    const paid = machine({ state: "busy", pricePerHourUsd: 6, times: { launched: start } });
    const running = job({ state: "running", times: { started: now - 61_000 } });
    const usage = [{ fleet: "fleet-a", hostedMinutes: 5, machineSeconds: 3_600, costUsd: 2 }];
    const { cost } = documentOf({ usage, ledgers: [ledger([running], [paid])] });
    expect(cost.todayUsd).toBeCloseTo(2 + 1);
    expect(cost.githubHostedTodayUsd).toBeCloseTo((5 + 2) * 0.006);
    expect(cost.ec2SpotTodayUsd).toBeCloseTo(((3_600 + 600) / 3_600) * 0.0339, 3);
    const waiting = documentOf({ usage, ledgers: [ledger([job()], [])] });
    expect(waiting.cost.githubHostedTodayUsd).toBeCloseTo(5 * 0.006);
  });

  it("compares with runners of the size of each fleet, also of one that has nothing alive", () => {
    const presets = [preset({ name: "other" }), preset({ cpu: 8 })];
    const of = (fleet: string) => [{ fleet, hostedMinutes: 1, machineSeconds: 0, costUsd: 0 }];
    const spec = fleetSpec({ cpu: 4 });
    const alive = { ...ledger([], [], fleetRecord({ spec })), fleet: "linux-x64/cpu=4" };
    const hosted = (fleet: string) =>
      documentOf({ policy: policy({ presets }), ledgers: [alive], usage: of(fleet) }).cost
        .githubHostedTodayUsd;
    expect(hosted("linux-x64/cpu=4")).toBeCloseTo(0.012);
    expect(hosted("linux-x64/diskGib=9")).toBeCloseTo(0.022);
    expect(hosted("removed")).toBeCloseTo(0.006);
    const limits = { machines: 9, perRepository: 9, dailyBudgetUsd: 3 };
    expect(documentOf({ policy: policy({ limits }) }).cost.dailyBudgetUsd).toBe(3);
  });
});

describe("waits", () => {
  it("are nearest ranks", () => {
    expect(percentile([], 0.5)).toBeNull();
    expect(percentile([7], 0.99)).toBe(7);
    expect(percentile([1, 2, 3, 4], 0.5)).toBe(2);
    expect(percentile([1, 2, 3, 4], 0.95)).toBe(4);
    expect(percentile([1, 2, 3, 4], 0)).toBe(1);
  });

  it("are of jobs that started since, from their creation or their approval", () => {
    const approved = { ...ran(3, 500), times: { ...ran(3, 500).times, queued: start + 470_000 } };
    expect(waitSummary([ran(1, 10), ran(2, 20), approved, job()], start)).toMatchObject({
      jobs: 3,
      p50Seconds: 20,
      p95Seconds: 30,
    });
    expect(waitSummary([ran(1, 10)], start + 10_000).jobs).toBe(1);
    expect(waitSummary([ran(1, 10)], start + 10_001).jobs).toBe(0);
  });

  it("are sorted as numbers, and beside them GitHub's part of each", () => {
    const told = (id: number, waits: number, heard: number) => ({
      ...ran(id, waits),
      times: { ...ran(id, waits).times, received: start + heard * 1_000 },
    });
    expect(waitSummary([told(1, 100, 9), told(2, 9, 5), told(3, 20, 10)], start)).toEqual({
      ...{ jobs: 3, p50Seconds: 20, p95Seconds: 100, p99Seconds: 100 },
      ...{ githubP50Seconds: 9, githubP95Seconds: 10 },
    });
  });

  it("of a document are those of the last hour, of jobs that run and of jobs that ended", () => {
    const running = (id: number, at: number) =>
      job({ id, state: "running", times: { created: at - 4_000, started: at } });
    const jobs = [running(1, now), running(2, now - 3_600_001)];
    const { waits } = documentOf({ ledgers: [ledger(jobs)], history: { jobs: [ran(3, 6)], machines: [] } });
    expect(waits).toMatchObject({ jobs: 2, p50Seconds: 4, p95Seconds: 6 });
  });
});

describe("what is shown of a machine", () => {
  it("is all that is known of it", () => {
    const some = machine({
      ...{ state: "ended", purchase: "spot", pool: "a", providerId: "i-1", jobId: 7, binding },
      ...{ reason: "completed", detail: "done", pricePerHourUsd: 36 },
      times: { launched: start, ended: start + 5_000 },
    });
    expect(machineStatus(some, now)).toStrictEqual({
      ...{ id: "mayfly-1", preset: "linux-x64", fleet: "fleet-a", compute: "memory", state: "ended" },
      ...{ purchase: "spot", pool: "a", providerId: "i-1", jobId: 7, reason: "completed", detail: "done" },
      ...{ ageSeconds: 5, requestedAt: "2026-01-01T00:00:00.000Z", endedAt: "2026-01-01T00:00:05.000Z" },
      costUsd: expect.closeTo(0.05),
    });
  });

  it("is null where nothing is known, and the job that it claimed", () => {
    expect(machineStatus(machine(), now)).toMatchObject({
      ...{ pool: null, providerId: null, jobId: null, endedAt: null, reason: null, detail: null },
      ...{ ageSeconds: 600, costUsd: 0 },
    });
    expect(machineStatus(machine({ binding }), now).jobId).toBe(1001);
  });
});

describe("what is shown of a job", () => {
  it("is all that is known of one that ended", () => {
    expect(jobStatus({ ...ran(1, 40), machineId: "m" }, undefined, now)).toStrictEqual({
      ...{ id: 1, name: "build", workflow: "CI", repository: "acme/app", labels: job().labels },
      ...{ url: job().url, fleet: "fleet-a", state: "done", machine: "m", costUsd: null, waitsFor: null },
      ...{ outcome: "success", because: null, detail: null, waitSeconds: 40, runSeconds: 260 },
      ...{ createdAt: "2026-01-01T00:00:00.000Z", startedAt: "2026-01-01T00:00:40.000Z" },
      completedAt: "2026-01-01T00:05:00.000Z",
    });
  });

  it("is null where nothing is known, and its wait and run until now", () => {
    const waits = { waitSeconds: 601, runSeconds: null, machine: null, startedAt: null, completedAt: null };
    expect(jobStatus(job(), undefined, now)).toMatchObject({
      ...waits,
      ...{ outcome: null, because: null, detail: null },
    });
    const running = job({ state: "running", times: { started: now - 5_000 } });
    expect(jobStatus(running, undefined, now)).toMatchObject({ waitSeconds: 596, runSeconds: 5 });
  });

  it("is why it was given up, and until when it waited", () => {
    const outcome = { kind: "given-up", because: "operator", detail: "Ended by hand." } as const;
    const done = job({ state: "done", outcome, times: { completed: start + 9_000 } });
    expect(jobStatus(done, undefined, now)).toMatchObject({
      ...{ outcome: "given-up", because: "operator", detail: "Ended by hand.", waitSeconds: 10 },
    });
  });
});

describe("what a job waits for", () => {
  const claimed = { ...job(), machineId: "m" };
  const says = (some: Job, machines: readonly Machine[] = [], record = fleetRecord()) => {
    const before = ledger([some], machines, record);
    return jobStatus(some, waitContext(before, now), now).waitsFor;
  };

  it.each<[string, Job, readonly Machine[], RegExp | null]>([
    ["an approval", job({ state: "waiting" }), [], /approval/],
    ["nothing, when it runs", job({ state: "running" }), [], null],
    ["a machine that is about to be asked for", job(), [], /about to be asked for/],
    ["the provider", job(), [machine()], /not answered/],
    ["a machine that starts", job(), [machine({ state: "launched" })], /is starting for it/],
    ["its registration", claimed, [machine({ id: "m", state: "launched", binding })], /is being registered/],
    [
      "its runner",
      claimed,
      [machine({ id: "m", state: "registered", binding, registration })],
      /runner on machine m is starting/,
    ],
    [
      "GitHub",
      claimed,
      [machine({ id: "m", state: "registered", binding, registration, times: { online: start } })],
      /GitHub has not assigned/,
    ],
    ["GitHub's word", { ...claimed, presumedAt: start }, [], /A machine says .* GitHub is asked/],
    [
      "the name of what its machine runs",
      { ...claimed, presumedAt: start, checkedAt: start + 1 },
      [
        machine({ id: "m", state: "busy", binding, registration, times: { online: start, started: start } }),
        machine({ id: "other", state: "registered", binding, registration }),
      ],
      /^Machine m runs a job; GitHub is asked which/,
    ],
    [
      "any runner that can get it",
      claimed,
      [
        machine({ id: "m", state: "retiring", binding: { ...binding, jobId: 7 } }),
        machine({ id: "other", state: "registered", binding: { ...binding, jobId: 8 }, registration }),
      ],
      /^A runner is ready; GitHub has not assigned it yet/,
    ],
    [
      "its own machine, not another that claimed it too",
      claimed,
      [
        machine({ id: "other", state: "registered", binding, registration, times: { online: start } }),
        machine({ id: "m", state: "launched", binding }),
      ],
      /^Machine m claimed it/,
    ],
    [
      "one of its machines that starts",
      job(),
      [machine(), machine({ id: "b", state: "launched" })],
      /is starting/,
    ],
    [
      "no machine that claimed nothing",
      claimed,
      [machine({ id: "m", state: "launched" })],
      /is starting for it/,
    ],
  ])("%s", (_what, some, machines, sentence) => {
    const said = says(some, machines);
    if (sentence === null) expect(said).toBeNull();
    else expect(said).toMatch(sentence);
  });

  it("a place, when its fleet is blocked", () => {
    const blocked = { because: "total-limit", detail: "All 3 machines are in use.", since: start } as const;
    expect(says(job(), [], fleetRecord({ blocked }))).toBe("All 3 machines are in use.");
    const unknown = waitContext({ ...ledger([job()]), record: undefined }, now);
    expect(jobStatus(job(), unknown, now).waitsFor).toMatch(/about to be asked for/);
  });
});
