import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../adapters/random/seeded.ts";
import { GithubModel, type GithubModelOptions } from "./model.ts";
import { faultPresets, noFaults } from "./model-faults.ts";
import type { Effect, Job, Run, Runner, Scope } from "./model-state.ts";
import { type PlannedJob, plannedJob } from "./planned-job.ts";
import { GithubRefusal } from "./refusal.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const start = Date.UTC(2026, 0, 1);
const organization: Scope = { kind: "organization", owner: "octo-org" };

/** A model with `octo-org/demo`, an installation on it, and words for what tests do most. */
function world(options: Partial<GithubModelOptions> = {}) {
  const model = new GithubModel({ random: createSeededRandom(1), ...options });
  const repository = model.addRepository(start, { owner: "octo-org", name: "demo" });
  const installation = model.addInstallation(start, { account: "octo-org" });
  let runners = 0;
  const register = (
    now: number,
    labels: readonly string[] = ["linux"],
    scope: Scope = organization,
  ): Runner => model.registerRunner(now, scope, { name: `runner-${++runners}`, runnerGroupId: 1, labels });
  const online = (now: number, labels?: readonly string[], scope?: Scope): Runner => {
    const runner = register(now, labels, scope);
    model.connectRunner(now, runner.id);
    return runner;
  };
  const run = (now: number, jobs: readonly PlannedJob[] = [plannedJob({ labels: ["linux"] })]): Run =>
    model.startRun(now, {
      repositoryId: repository.id,
      workflowName: "CI",
      workflowPath: ".github/workflows/ci.yml",
      jobs,
    });
  const job = (of: Run, position = 0): Job => {
    const found = of.current[position];
    if (found === undefined) throw new Error(`The run has no job at ${position} yet.`);
    return found;
  };
  /** Runs the job on a new runner from its registration to the end. */
  const complete = (now: number, which: Job, conclusion: "success" | "failure" = "success"): void => {
    if (which.runnerId === undefined) online(now, which.planned.labels);
    const { runnerId } = which;
    if (runnerId === undefined) throw new Error("No runner took the job.");
    model.pickUpJob(now, runnerId, which.id);
    model.finishJob(now, runnerId, which.id, conclusion);
  };
  return { model, repository, installation, register, online, run, job, complete };
}

function kinds(effects: readonly Effect[]): readonly string[] {
  return effects.map((effect) => effect.kind);
}

/** What was delivered: `action name`, in the order of sending. */
function told(model: GithubModel, now: number): readonly string[] {
  model.advance(now);
  return model.takeEffects().flatMap((effect) => {
    if (effect.kind !== "deliver") return [];
    const { event } = model.findDelivery(effect.deliveryId);
    return event.name === "workflow_job" ? [`${event.action} ${event.job.planned.name}`] : [event.action];
  });
}

describe("assignment", () => {
  test("any idle online runner that has all labels gets the job, whatever else it has", () => {
    const { model, register, online, run, job } = world();
    register(start, ["linux", "x64"]);
    const wrong = online(start, ["linux"]);
    const right = online(start, ["Linux", "X64", "gpu"]);
    const made = job(run(start, [plannedJob({ labels: ["x64", "LINUX"] })]));
    expect([made.runnerId, wrong.jobId]).toEqual([right.id, undefined]);
    expect(kinds(model.takeEffects())).toContain("job-assigned");
  });

  test("a runner that comes online takes the oldest job it can run, not the one it was made for", () => {
    const { online, run, job } = world();
    const older = job(run(start, [plannedJob({ labels: ["linux"] })]));
    const newer = job(run(start + second, [plannedJob({ labels: ["linux", "gpu"] })]));
    const runner = online(start + 2 * second, ["linux", "gpu"]);
    expect([older.runnerId, newer.runnerId]).toEqual([runner.id, undefined]);
  });

  test("reaches only repositories of the scope, and public ones only where the group allows it", () => {
    const { model, online, run, job } = world();
    model.addRepository(start, { owner: "octo-org", name: "open", private: false });
    model.addRepository(start, { owner: "octo-org", name: "other" });
    const elsewhere: Scope = { kind: "repository", owner: "octo-org", name: "other" };
    online(start, ["linux"], elsewhere);
    expect(job(run(start)).runnerId).toBeUndefined();
    const published = model.startRun(start, {
      repositoryId: model.findRepository("octo-org", "open").id,
      workflowName: "CI",
      workflowPath: "ci.yml",
      jobs: [plannedJob({ labels: ["linux"] })],
    });
    online(start, ["linux", "spare"]);
    expect(job(published).runnerId).toBeUndefined();
  });

  test("a job for a group runs there only, with or without labels", () => {
    const { model, online, run, job } = world();
    const group = model.addRunnerGroup({ owner: "octo-org", name: "Large" });
    online(start, ["linux"]);
    const made = job(run(start, [plannedJob({ labels: [], runnerGroup: "large" })]));
    expect(made.runnerId).toBeUndefined();
    const runner = model.registerRunner(start, organization, {
      name: "big",
      runnerGroupId: group.id,
      labels: ["linux"],
    });
    model.connectRunner(start, runner.id);
    expect(made.runnerId).toBe(runner.id);
  });

  test("a job that is not picked up in 60 seconds goes to another runner", () => {
    const { model, online, run, job } = world();
    const silent = online(start);
    model.disconnectRunner(start, silent.id);
    const made = job(run(start + second));
    expect(made.runnerId).toBe(silent.id);
    const lively = online(start + 30 * second);
    model.advance(start + 60 * second);
    expect(made.runnerId).toBe(silent.id);
    model.advance(start + 61 * second);
    expect([made.runnerId, silent.online]).toEqual([lively.id, false]);
    expect(() => model.pickUpJob(start + 62 * second, silent.id, made.id)).toThrow(GithubRefusal);
  });

  test("a job that stays queued for 24 hours is cancelled", () => {
    const { model, run, job } = world();
    const made = job(run(start));
    model.advance(start + 24 * hour - 1);
    expect(made.status).toBe("queued");
    model.advance(start + 24 * hour);
    expect([made.status, made.conclusion]).toEqual(["completed", "cancelled"]);
  });
});

describe("runners", () => {
  test("run one job and are gone; their name is free again", () => {
    const { model, register, online, run, job } = world();
    const runner = online(start);
    const made = job(run(start));
    model.pickUpJob(start, runner.id, made.id);
    const second = () =>
      model.registerRunner(start, organization, { name: runner.name, runnerGroupId: 1, labels: ["a"] });
    expect(second).toThrow(expect.objectContaining({ status: 409 }));
    expect(() => model.deleteRunner(start, organization, runner.id)).toThrow(
      expect.objectContaining({ status: 422 }),
    );
    model.finishJob(start + minute, runner.id, made.id, "success");
    expect(model.listRunners(start + minute, organization)).toEqual([]);
    expect(() => model.connectRunner(start + minute, runner.id)).toThrow(
      expect.objectContaining({ status: 404 }),
    );
    expect(second().name).toBe(runner.name);
    expect(register(start).id).not.toBe(runner.id);
  });

  test("an assigned job already protects its runner from deletion", () => {
    const { model, online, run } = world();
    const runner = online(start);
    run(start);
    expect(() => model.deleteRunner(start, organization, runner.id)).toThrow(/running a job/);
  });

  test("without a job they are removed after some minutes, however often they poll", () => {
    const { model, online } = world();
    const runner = online(start);
    for (let at = start; at < start + 2 * minute; at += 20 * second) {
      model.disconnectRunner(at, runner.id);
      model.connectRunner(at + second, runner.id);
    }
    expect(model.state.runners.has(runner.id)).toBe(true);
    model.advance(start + 6 * minute);
    expect(model.state.runners.has(runner.id)).toBe(false);
    expect(model.takeEffects()).toContainEqual({
      kind: "runner-removed",
      runnerId: runner.id,
      because: "idle",
    });
  });

  test("that never connect are removed after a day", () => {
    const { model, register } = world();
    const runner = register(start);
    model.advance(start + 24 * hour);
    expect(model.state.runners.has(runner.id)).toBe(false);
  });

  test("one that dies is believed online for a while; its running job fails after ten minutes", () => {
    const { model, online, run, job } = world();
    const idle = online(start, ["spare"]);
    const busy = online(start);
    const made = job(run(start));
    model.pickUpJob(start, busy.id, made.id);
    model.disconnectRunner(start + minute, busy.id);
    model.disconnectRunner(start + minute, idle.id);
    model.advance(start + minute + 49 * second);
    expect(idle.online).toBe(true);
    model.advance(start + 10 * minute);
    expect([idle.online, made.status]).toEqual([false, "in_progress"]);
    model.advance(start + 11 * minute);
    expect([made.conclusion, model.state.runners.has(busy.id)]).toEqual(["failure", false]);
  });

  test("a connection that comes back in time saves the job", () => {
    const { model, online, run, job } = world();
    const runner = online(start);
    const made = job(run(start));
    model.pickUpJob(start, runner.id, made.id);
    model.disconnectRunner(start, runner.id);
    model.connectRunner(start + 9 * minute, runner.id);
    model.advance(start + hour);
    expect(made.status).toBe("in_progress");
  });

  test("a group that is full, unknown or of a closed repository refuses each in its own way", () => {
    const { model, register, repository } = world({
      limits: { runnersPerGroup: 1, registrationsPerFiveMinutes: 2 },
    });
    register(start);
    expect(() => register(start)).toThrow(expect.objectContaining({ status: 422 }));
    const unknown = { name: "x", runnerGroupId: 99, labels: ["a"] };
    expect(() => model.registerRunner(start, organization, unknown)).toThrow(
      expect.objectContaining({ status: 404 }),
    );
    repository.repositoryRunnersEnabled = false;
    const scope: Scope = { kind: "repository", owner: "octo-org", name: "demo" };
    const request = { name: "y", runnerGroupId: 1, labels: ["a"] };
    expect(() => model.registerRunner(start, scope, request)).toThrow(/Repository level self-hosted runners/);
  });

  test("too many registrations within five minutes have to wait", () => {
    const { register } = world({ limits: { registrationsPerFiveMinutes: 2 } });
    register(start);
    register(start + minute);
    const refusal = expect.objectContaining({ status: 429, headers: { "retry-after": "180" } });
    expect(() => register(start + 2 * minute)).toThrow(refusal);
    expect(register(start + 5 * minute + 1).name).toBe("runner-4");
  });
});

describe("runs", () => {
  const pipeline = [
    plannedJob({ key: "build", labels: ["linux"] }),
    plannedJob({ key: "test", labels: ["linux"], needs: ["build"] }),
    plannedJob({ key: "report", labels: ["linux"], needs: ["test"], condition: "always" }),
  ];

  test("a job exists when its needs are met; the failure of one skips those that need it", () => {
    const { model, run, job, complete } = world();
    const made = run(start, pipeline);
    expect(made.current.map((entry) => entry?.status)).toEqual(["queued", undefined, undefined]);
    complete(start + minute, job(made), "failure");
    expect(made.current.map((entry) => entry?.conclusion ?? entry?.status)).toEqual([
      "failure",
      "skipped",
      "queued",
    ]);
    complete(start + 2 * minute, job(made, 2));
    expect([made.status, made.conclusion]).toEqual(["completed", "failure"]);
    expect(told(model, start + hour)).toEqual([
      "queued build",
      "in_progress build",
      "completed build",
      "completed test",
      "queued report",
      "in_progress report",
      "completed report",
    ]);
  });

  test("a job queued inside a run that is in progress does not make the run queued", () => {
    const { run, job, complete } = world();
    const made = run(start, pipeline);
    complete(start + minute, job(made));
    expect([job(made, 1).status, made.status]).toEqual(["queued", "in_progress"]);
  });

  test("a failed job of a matrix cancels the others; max-parallel holds jobs back", () => {
    const { model, online, run, job, complete } = world();
    const parts = ["a", "b", "c"].map((name) =>
      plannedJob({ key: "test", name, labels: ["linux"], maxParallel: 2, matrix: { name } }),
    );
    const made = run(start, parts);
    expect(made.current.map((entry) => entry?.status)).toEqual(["queued", "queued", undefined]);
    const runner = online(start);
    model.pickUpJob(start, runner.id, job(made, 0).id);
    complete(start + minute, job(made, 1), "failure");
    expect(made.current.map((entry) => entry?.conclusion)).toEqual([undefined, "failure", "cancelled"]);
    expect(model.takeEffects()).toContainEqual({
      kind: "job-cancelled",
      runnerId: runner.id,
      jobId: job(made, 0).id,
    });
    model.finishJob(start + 2 * minute, runner.id, job(made, 0).id, "cancelled");
    expect(made.conclusion).toBe("failure");
  });

  test("an environment that needs approval keeps its job waiting, and no runner gets it", () => {
    const { model, repository, online, run, job } = world();
    repository.protectedEnvironments.add("production");
    const made = run(start, [plannedJob({ labels: ["linux"], environment: "production" })]);
    online(start);
    model.advance(start + 25 * hour);
    expect([job(made).status, made.status]).toEqual(["waiting", "waiting"]);
    const runner = online(start + 25 * hour);
    model.approveJob(start + 25 * hour, job(made).id);
    expect(job(made).runnerId).toBe(runner.id);
    expect(told(model, start + 25 * hour)).toEqual(["queued build", "waiting build", "queued build"]);
  });

  test("running failed jobs again makes new jobs for them and their dependents only", () => {
    const { model, run, job, complete } = world();
    const jobs = [plannedJob({ key: "lint", labels: ["linux"] }), ...pipeline];
    const made = run(start, jobs);
    expect(() => model.rerunFailedJobs(start, made.id)).toThrow(expect.objectContaining({ status: 403 }));
    const before = [job(made, 0), job(made, 1)];
    complete(start, job(made, 0));
    complete(start, job(made, 1), "failure");
    complete(start, job(made, 3));
    model.rerunFailedJobs(start + minute, made.id);
    expect([made.attempt, made.status, job(made, 0)]).toEqual([2, "queued", before[0]]);
    expect(job(made, 1).id).toBeGreaterThan(before[1]?.id ?? 0);
    for (const position of [1, 2, 3]) complete(start + minute, job(made, position));
    expect(made.conclusion).toBe("success");
    expect(model.jobsOf(made, "latest").map((entry) => entry.attempt)).toEqual([1, 2, 2, 2]);
    expect(model.jobsOf(made, "all")).toHaveLength(7);
  });

  test("running one job again runs its dependents, too, and is refused a month later", () => {
    const { model, run, job, complete } = world();
    const made = run(start, pipeline);
    for (const position of [0, 1, 2]) complete(start, job(made, position));
    const [build] = made.current;
    model.rerunJob(start, job(made, 1).id);
    expect(made.current.map((entry) => entry?.attempt)).toEqual([1, 2, undefined]);
    expect(made.current[0]).toBe(build);
    for (const position of [1, 2]) complete(start, job(made, position));
    expect(() => model.rerunRun(start + 31 * 24 * hour, made.id)).toThrow(/over a month ago/);
  });

  test("cancelling ends queued jobs at once and running ones when their runner is done, or by force", () => {
    const { model, online, run, job } = world();
    const runner = online(start);
    const made = run(start, [plannedJob({ labels: ["linux"] }), plannedJob({ key: "two", labels: ["mac"] })]);
    model.pickUpJob(start, runner.id, job(made).id);
    model.cancelRun(start + second, made.id);
    expect([job(made, 0).status, job(made, 1).conclusion]).toEqual(["in_progress", "cancelled"]);
    model.advance(start + second + 5 * minute);
    expect([job(made).conclusion, made.conclusion]).toEqual(["cancelled", "cancelled"]);
    expect(() => model.cancelRun(start + hour, made.id)).toThrow(expect.objectContaining({ status: 409 }));
    model.rerunRun(start + hour, made.id);
    const next = online(start + hour);
    model.pickUpJob(start + hour, next.id, job(made).id);
    model.forceCancelRun(start + hour, made.id);
    expect([made.status, model.state.runners.has(next.id)]).toEqual(["completed", false]);
  });

  test("a job ends at its time limit", () => {
    const { model, online, run, job } = world();
    const runner = online(start);
    const made = run(start, [plannedJob({ labels: ["linux"], timeoutMinutes: 3 })]);
    model.pickUpJob(start, runner.id, job(made).id);
    model.advance(start + 3 * minute);
    expect(kinds(model.takeEffects())).toContain("job-cancelled");
    model.finishJob(start + 3 * minute, runner.id, job(made).id, "failure");
    expect(job(made).conclusion).toBe("cancelled");
  });
});

describe("deliveries and faults", () => {
  test("a snapshot is delivered: what happened later does not change what is told about earlier", () => {
    const { model, run, job, complete } = world({ limits: { deliveryLatencySeconds: 5 } });
    complete(start, job(run(start)));
    model.advance(start + 5 * second);
    const statuses = model.takeEffects().flatMap((effect) => {
      if (effect.kind !== "deliver") return [];
      const { event } = model.findDelivery(effect.deliveryId);
      return event.name === "workflow_job" ? [event.job.status] : [];
    });
    expect(statuses).toEqual(["queued", "in_progress", "completed"]);
  });

  test("a redelivery re-uses the GUID and is refused after three days", () => {
    const { model, run } = world();
    run(start);
    model.advance(start);
    const [first] = model.takeEffects();
    if (first?.kind !== "deliver") throw new Error("Nothing was delivered.");
    model.recordDelivery(first.deliveryId, {
      statusCode: 500,
      status: "Invalid HTTP Response: 500",
      durationSeconds: 1,
    });
    const failed = model.listDeliveries(start + minute, { status: "failure", perPage: 10 }).deliveries;
    expect(failed.map((delivery) => delivery.id)).toEqual([first.deliveryId]);
    const again = model.redeliver(start + minute, first.deliveryId);
    expect([again.guid, again.isRedelivery]).toEqual([failed[0]?.guid, true]);
    expect(model.takeEffects()).toEqual([{ kind: "deliver", deliveryId: again.id }]);
    expect(() => model.redeliver(start + 73 * hour, first.deliveryId)).toThrow(
      expect.objectContaining({ status: 404 }),
    );
  });

  test("lost, failed, repeated and reordered deliveries", () => {
    const deliver = (faults: object): { readonly told: readonly string[]; readonly log: number } => {
      const { model, run, job, complete } = world({ faults: { ...noFaults, ...faults } });
      complete(start, job(run(start)));
      model.advance(start + minute);
      const log = model.listDeliveries(start + minute, { status: "failure", perPage: 100 }).deliveries.length;
      return { told: told(model, start + minute), log };
    };
    expect(deliver({ deliveryLostFraction: 1 })).toEqual({ told: [], log: 0 });
    expect(deliver({ deliveryFailedFraction: 1 })).toEqual({ told: [], log: 3 });
    expect(deliver({ deliveryDuplicatedFraction: 1 }).told).toHaveLength(6);
    const reordered = deliver({ deliveryReorderedFraction: 0.5 }).told;
    expect([...reordered].sort()).toEqual(["completed build", "in_progress build", "queued build"]);
    expect(reordered).not.toEqual(["queued build", "in_progress build", "completed build"]);
  });

  test("nothing is told about repositories outside the installation, or while it is suspended", () => {
    const { model, repository, installation, run } = world();
    model.suspendInstallation(start, installation.id, true);
    run(start);
    model.suspendInstallation(start, installation.id, false);
    model.removeInstallationRepository(start, installation.id, repository.id);
    run(start);
    model.advance(start + minute);
    expect(told(model, start + minute)).toEqual(["suspend", "unsuspend", "removed"]);
  });

  test("a stolen runner runs a job whose queued event nobody received", () => {
    const { model, online, run, job } = world({ faults: { ...noFaults, runnerStolenFraction: 1 } });
    const runner = online(start, ["linux", "x64"]);
    const announced = job(run(start));
    expect([runner.jobId === undefined, announced.runnerId]).toEqual([false, undefined]);
    model.pickUpJob(start, runner.id, runner.jobId ?? 0);
    model.advance(start);
    expect(told(model, start + minute)).toEqual(["queued build", "in_progress unannounced"]);
  });

  test("a job that waits is taken by a runner of somebody else, and runs to its end there", () => {
    const { model, run, job } = world({ faults: { ...noFaults, jobTakenElsewhereFraction: 1 } });
    const taken = job(run(start));
    model.advance(start + 5 * minute);
    expect(taken.runnerName).toBe(`somebody-elses-${taken.id}`);
    expect(told(model, start + hour)).toEqual(["queued build", "in_progress build", "completed build"]);
    expect([taken.conclusion, model.state.runners.size]).toEqual(["success", 0]);
  });

  test("a job that has a runner is taken by nobody else", () => {
    const { model, online, run, job } = world({ faults: { ...noFaults, jobTakenElsewhereFraction: 1 } });
    const runner = online(start);
    const assigned = job(run(start));
    model.pickUpJob(start, runner.id, assigned.id);
    model.advance(start + 5 * minute);
    expect(assigned.runnerName).toBe(runner.name);
  });

  test("it is said of a runner that is given no job, to those who simulate", () => {
    const { model, online, run, job } = world({ faults: { ...noFaults, runnerForgottenFraction: 1 } });
    const runner = online(start);
    expect(job(run(start)).runnerId).toBeUndefined();
    expect(model.takeEffects()).toContainEqual({ kind: "runner-forgotten", runnerId: runner.id });
  });

  test("a busy runner may be listed as idle, and is still protected", () => {
    const { model, online, run } = world({ faults: { ...noFaults, runnerFalselyIdleFraction: 1 } });
    const runner = online(start);
    run(start);
    expect(model.looksBusy(runner)).toBe(false);
    expect(() => model.deleteRunner(start, organization, runner.id)).toThrow(GithubRefusal);
  });
});

describe("rate limits", () => {
  const request = { caller: "installation 1", resource: "core", method: "GET", endpoint: "/x" } as const;

  test("refill after an hour, count for each caller, and give back what a 304 took", () => {
    const { model } = world({ limits: { requestsPerHour: 2 } });
    expect(model.admitRequest(start, request)["x-ratelimit-remaining"]).toBe("1");
    expect(model.refundRequest(start, request)["x-ratelimit-remaining"]).toBe("2");
    model.exhaustRateLimit(start, request.caller, "core");
    expect(() => model.admitRequest(start + 59 * minute, request)).toThrow(/rate limit exceeded/);
    expect(model.admitRequest(start, { ...request, caller: "installation 2" })["x-ratelimit-used"]).toBe("1");
    expect(model.admitRequest(start + hour, request)["x-ratelimit-used"]).toBe("1");
  });

  test("a write costs five points of 900 a minute for its endpoint", () => {
    const { model } = world();
    const write = { ...request, method: "POST" };
    for (let count = 0; count < 180; count++) model.admitRequest(start, write);
    expect(() => model.admitRequest(start + second, write)).toThrow(
      expect.objectContaining({ headers: expect.objectContaining({ "retry-after": "59" }) }),
    );
    model.admitRequest(start + second, { ...write, endpoint: "/y" });
    model.admitRequest(start + minute, write);
  });
});

test("the same seed and the same calls give the same effects; another seed gives others", () => {
  const trace = (seed: number): string => {
    const { model, online, run, job } = world({
      random: createSeededRandom(seed),
      faults: faultPresets.heavy,
    });
    const seen: unknown[] = [];
    for (let step = 0; step < 60; step++) {
      const now = start + step * 7 * second;
      const made = run(now, [plannedJob({ labels: [["linux", "x64", "arm64"][step % 3] ?? "linux"] })]);
      const runner = online(now + second, ["linux", "x64", "arm64"]);
      if (runner.jobId !== undefined) model.pickUpJob(now + second, runner.id, runner.jobId);
      if (step % 4 === 0) model.cancelRun(now + 2 * second, made.id);
      else if (job(made).status === "in_progress" && job(made).runnerId !== undefined) {
        model.finishJob(now + 3 * second, job(made).runnerId ?? 0, job(made).id, "success");
      }
      seen.push(model.takeEffects(), model.nextDueAt(), model.drawRequestFault());
    }
    return JSON.stringify([seen, [...model.state.deliveries.values()].map((delivery) => delivery.guid)]);
  };
  expect(trace(7)).toBe(trace(7));
  expect(trace(7)).not.toBe(trace(8));
});
