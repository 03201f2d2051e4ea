import fastCheck from "fast-check";
import { expect, test } from "vitest";
import { createSeededRandom } from "../adapters/random/seeded.ts";
import { GithubModel } from "./model.ts";
import { faultPresets } from "./model-faults.ts";
import type { Job, ModelState } from "./model-state.ts";
import { plannedJob } from "./planned-job.ts";
import { GithubRefusal } from "./refusal.ts";

/**
 * Any order of calls, with all faults, by callers that are wrong most of the time: after every call the model
 * still agrees with itself, and what was completed stays as it was.
 */
test("no order of calls makes the model disagree with itself", () => {
  const call = fastCheck.record({
    what: fastCheck.constantFrom(0, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11, 12, 13),
    which: fastCheck.nat(),
    afterSeconds: fastCheck.constantFrom(0, 0, 0, 1, 1, 5, 20, 61, 400, 4000, 90_000),
  });
  const reached = new Set<string>();
  fastCheck.assert(
    fastCheck.property(
      fastCheck.array(call, { minLength: 50, maxLength: 150, size: "max" }),
      fastCheck.nat(),
      (calls, seed) => {
        const { model, act } = walker(seed);
        const completed = new Map<number, string>();
        let now = Date.UTC(2026, 0, 1);
        for (const { what, which, afterSeconds } of calls) {
          now += afterSeconds * 1000;
          try {
            act(what, which, now);
          } catch (error) {
            if (!(error instanceof GithubRefusal)) throw error;
          }
          model.takeEffects();
          expect(contradictions(model.state, completed)).toEqual([]);
          for (const job of model.state.jobs.values()) {
            reached.add(`${job.status} ${job.conclusion ?? ""}`.trim());
          }
        }
      },
    ),
    { numRuns: 100 },
  );
  // Without these the walk would only prove that refused calls change nothing.
  expect([...reached].sort()).toEqual([
    "completed cancelled",
    "completed failure",
    "completed skipped",
    "completed success",
    "in_progress",
    "queued",
    "waiting",
  ]);
});

function walker(seed: number) {
  const model = new GithubModel({ random: createSeededRandom(seed), faults: faultPresets.heavy });
  const at = Date.UTC(2026, 0, 1);
  const repositories = ["one", "two"].map((name) => model.addRepository(at, { owner: "octo-org", name }));
  repositories[0]?.protectedEnvironments.add("production");
  model.addInstallation(at, { account: "octo-org" });
  let names = 0;
  const one = (values: Iterable<number>, which: number): number => {
    const list = [...values];
    return list[which % Math.max(1, list.length)] ?? 0;
  };
  const act = (what: number, which: number, now: number): void => {
    const { state } = model;
    const runnerId = one(state.runners.keys(), which);
    const jobId = one(state.jobs.keys(), which);
    const runId = one(state.runs.keys(), which);
    const withJob = [...state.runners.values()].filter((runner) => runner.jobId !== undefined);
    const busyId = one(
      withJob.map((runner) => runner.id),
      which,
    );
    const assigned = state.runners.get(busyId)?.jobId ?? jobId;
    const scope = { kind: "organization", owner: "octo-org" } as const;
    const calls: readonly (() => unknown)[] = [
      () => model.startRun(now, runOf(repositories[which % 2]?.id ?? 0, which)),
      () =>
        model.registerRunner(now, scope, { name: `r${names++}`, runnerGroupId: 1, labels: ["linux", "gpu"] }),
      () => model.connectRunner(now, runnerId),
      () => model.connectRunner(now, one([...state.runners.keys()].reverse(), which)),
      () => model.pickUpJob(now, busyId, assigned),
      () => model.pickUpJob(now, runnerId, jobId),
      () => model.finishJob(now, busyId, assigned, which % 2 === 0 ? "success" : "failure"),
      () => model.disconnectRunner(now, runnerId),
      () => model.deleteRunner(now, scope, runnerId),
      () => model.cancelRun(now, runId),
      () => model.rerunFailedJobs(now, runId),
      () => model.rerunJob(now, jobId),
      () => (which % 2 === 0 ? model.approveJob(now, jobId) : model.rejectJob(now, jobId)),
      () => model.forceCancelRun(now, runId),
    ];
    calls[what]?.();
  };
  return { model, act };
}

function runOf(repositoryId: number, which: number) {
  const labels = which % 3 === 0 ? ["gpu"] : ["linux"];
  const jobs = [
    plannedJob({ key: "build", labels, matrix: { part: 1 } }),
    plannedJob({ key: "build", labels, matrix: { part: 2 }, environment: "production" }),
    plannedJob({ key: "test", labels, needs: ["build"], maxParallel: 1 }),
    plannedJob({ key: "test", labels, needs: ["build"], maxParallel: 1 }),
    plannedJob({ key: "report", labels, needs: ["test"], condition: "always" }),
  ];
  return { repositoryId, workflowName: "CI", workflowPath: "ci.yml", jobs };
}

/** Every sentence is something that must never be true. */
function contradictions(state: ModelState, completed: Map<number, string>): readonly string[] {
  const found: string[] = [];
  const claim = (isTrue: boolean, sentence: string): void => {
    if (!isTrue) found.push(sentence);
  };
  for (const runner of state.runners.values()) {
    const job = runner.jobId === undefined ? undefined : state.jobs.get(runner.jobId);
    if (runner.jobId === undefined) continue;
    claim(job?.runnerId === runner.id, `runner ${runner.id} has a job that is not its own`);
    claim(
      job?.status === "queued" || job?.status === "in_progress",
      `runner ${runner.id} has a finished job`,
    );
  }
  for (const line of state.idleLines.values()) {
    for (const runner of line.runners.values()) {
      claim(runner.jobId === undefined && runner.online, `runner ${runner.id} is offered but not available`);
      claim(state.runners.has(runner.id), `runner ${runner.id} is offered but gone`);
    }
  }
  const waiting = new Set([...state.queueLines.values()].flatMap((line) => [...line.jobs.keys()]));
  for (const job of state.jobs.values()) {
    const hasRunner = job.runnerId !== undefined && state.runners.get(job.runnerId)?.jobId === job.id;
    claim(waiting.has(job.id) === (job.status === "queued" && !hasRunner), `job ${job.id} waits wrongly`);
    claim(job.status !== "in_progress" || hasRunner, `job ${job.id} runs nowhere`);
    if (job.status !== "completed") continue;
    const text = JSON.stringify(job);
    claim((completed.get(job.id) ?? text) === text, `job ${job.id} changed after its end`);
    completed.set(job.id, text);
  }
  for (const run of state.runs.values()) {
    const done = run.current.every((job) => job?.status === "completed");
    claim(done === (run.status === "completed"), `run ${run.id} is ${run.status}`);
    claim(
      run.current.every((job) => isRegular(job)),
      `run ${run.id} has a job without its conclusion`,
    );
  }
  return found;
}

function isRegular(job: Job | undefined): boolean {
  return job === undefined || (job.status === "completed") === (job.conclusion !== undefined);
}
