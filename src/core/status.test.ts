import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, policy, start } from "../../test/builders.ts";
import type { Binding, Job, Ledger, Machine } from "./model.ts";
import {
  jobStatus,
  percentile,
  type StatusInput,
  statusDocument,
  waitContext,
  waitSummary,
} from "./status.ts";
import { whyDocument } from "./why.ts";

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
    const jobs = [
      job({ id: 1 }),
      job({ id: 2 }),
      job({ id: 3, state: "running" }),
      job({ id: 4, state: "waiting" }),
    ];
    const machines = [machine({ id: "a" }), machine({ id: "b", state: "busy" })];
    const status = documentOf({ ledgers: [ledger(jobs, machines)], listLimit: 1 });
    expect(status.jobs).toMatchObject({ queued: 2, running: 1, waiting: 1 });
    expect(status.machines).toMatchObject({ requested: 1, busy: 1, alive: 2 });
    expect(status.activeJobs).toHaveLength(1);
    expect(status.activeMachines).toHaveLength(1);
    expect(status.presets[0]).toMatchObject({ name: "linux-x64", machines: 2, max: 50, status: "ready" });
  });

  it("counts how the jobs of the last hour ended", () => {
    const outcome = { because: "no-capacity", detail: "" } as const;
    const jobs = [
      ran(1, 5),
      ran(2, 5, "failure"),
      job({ id: 3, state: "done", outcome: { kind: "given-up", ...outcome }, times: { completed: start } }),
      { ...ran(4, 5), times: { ...ran(4, 5).times, completed: now - 3_600_000 } },
    ];
    expect(documentOf({ history: { jobs, machines: [] } }).jobs).toMatchObject({
      completedLastHour: 2,
      failedLastHour: 1,
      givenUpLastHour: 1,
      refusedLastHour: 0,
    });
  });

  it("is degraded by what an operator has to change, not by a cap", () => {
    const blocked = (because: "launch-refused" | "total-limit") =>
      documentOf({
        ledgers: [
          ledger([job()], [], fleetRecord({ blocked: { because, detail: "No such image.", since: start } })),
        ],
      });
    expect(blocked("launch-refused")).toMatchObject({ state: "degraded" });
    expect(blocked("launch-refused").problems).toEqual([expect.stringContaining("No such image.")]);
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
    expect(waitSummary([ran(1, 10)], start + 10_001).jobs).toBe(0);
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
    ["GitHub's word", { ...claimed, presumedAt: start }, [], /GitHub is asked/],
  ])("%s", (_what, some, machines, sentence) => {
    const said = says(some, machines);
    if (sentence === null) expect(said).toBeNull();
    else expect(said).toMatch(sentence);
  });

  it("a place, when its fleet is blocked", () => {
    const blocked = { because: "total-limit", detail: "All 3 machines are in use.", since: start } as const;
    expect(says(job(), [], fleetRecord({ blocked }))).toBe("All 3 machines are in use.");
  });
});

describe("why", () => {
  const why = (some: Job, machines: readonly Machine[] = [], record = fleetRecord()) =>
    whyDocument(some, ledger(some.state === "done" ? [] : [some], [], record), machines, policy(), now);

  it("tells what happened in the order in which it happened", () => {
    const done = {
      ...ran(1001, 40),
      machineId: "m",
      runnerName: "m",
      times: {
        ...ran(1001, 40).times,
        received: start + 1_000,
        planned: start + 2_000,
        claimed: start + 30_000,
      },
    };
    const busy = machine({
      id: "m",
      state: "ended",
      jobId: 1001,
      binding,
      reason: "completed",
      pricePerHourUsd: 1,
    });
    const { steps, summary, next } = why(done, [busy]);
    expect(steps.map((step) => step.what)).toEqual([
      "GitHub created the job",
      "Mayfly heard of it",
      "it was counted as demand of fleet fleet-a",
      "machine m claimed the job",
      "the job started on m",
      "the job ended: success",
    ]);
    expect(steps.map((step) => step.afterSeconds)).toEqual([0, 1, 1, 28, 10, 260]);
    expect(summary).toBe("The job ran and ended: success.");
    expect(next).toBeNull();
  });

  it("names the machines that claimed it and did not run it", () => {
    const lost = machine({
      id: "m",
      state: "ended",
      binding,
      reason: "interrupted",
      detail: "Taken back.",
      interruptedAt: start + 5_000,
      times: { retiring: start + 6_000 },
    });
    const text = why(job(), [lost]).steps.map((step) => step.what);
    expect(text).toContain("machine m was told that it will be taken back");
    expect(text).toContain("machine m retired: interrupted. Taken back.");
  });

  it.each<[string, Job, RegExp]>([
    [
      "refused",
      job({ state: "done", outcome: { kind: "refused", because: "no-preset", detail: "No preset." } }),
      /^The job was refused\. No preset\.$/,
    ],
    [
      "given up",
      job({ state: "done", outcome: { kind: "given-up", because: "operator", detail: "Ended." } }),
      /given up \(operator\)\. Ended\./,
    ],
    [
      "cancelled in the queue",
      job({ state: "done", outcome: { kind: "completed", conclusion: "cancelled" } }),
      /ended before it ran: cancelled/,
    ],
    ["running", { ...job({ state: "running" }), machineId: "m" }, /runs on m\./],
    ["running elsewhere", job({ state: "running" }), /a runner that is not ours/],
    ["queued", job(), /has been queued for 601 s\. It was just received/],
  ])("sums up a job that is %s", (_what, some, sentence) => {
    expect(why(some).summary).toMatch(sentence);
  });

  it("says what comes next, and when", () => {
    const blocked = { because: "no-capacity", detail: "Full.", since: start } as const;
    const at = now + 60_000;
    expect(why(job(), [], fleetRecord({ blocked: { ...blocked, nextAttemptAt: at } })).next).toEqual({
      what: "A machine is asked for again.",
      at: new Date(at).toISOString(),
    });
    expect(why(job(), [], fleetRecord({ blocked })).next).toMatchObject({ at: null });
    expect(why(job()).next).toMatchObject({ at: new Date(start - 1_000 + 86_400_000).toISOString() });
    expect(why(job({ state: "waiting" })).next).toMatchObject({ at: null });
  });

  it("knows what a job cost only when a machine ran it", () => {
    expect(why(job()).job.costUsd).toBeNull();
    const free = machine({ jobId: 1001, state: "busy", times: { launched: start } });
    expect(why(job({ state: "running" }), [free]).job.costUsd).toBe(0);
  });
});
