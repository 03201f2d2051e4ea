import { describe, expect, it } from "vitest";
import { fleetRecord, fleetSpec, job, jobEvent, machine, policy, start } from "../../test/builders.ts";
import type { Job, Machine } from "./model.ts";
import {
  decideRerun,
  isSettled,
  keptIfLost,
  nextLook,
  onDemandForReruns,
  rememberRerun,
  standsFor,
  timesRerun,
  wasLost,
} from "./rerun.ts";

const minute = 60_000;

function ended(overrides: Partial<Job> = {}, conclusion = "failure"): Job {
  return job({
    state: "done",
    outcome: { kind: "completed", conclusion },
    times: { started: start, completed: start + 10 * minute },
    machineId: "m-1",
    ...overrides,
  });
}

const spot = (overrides: Partial<Machine> = {}): Machine =>
  machine({ id: "m-1", state: "ended", purchase: "spot", ...overrides });

describe("whether a job was lost with its machine", () => {
  const noticed = { interruptedAt: start + 9 * minute };
  it.each<[string, boolean, Job, Machine]>([
    ["failed after a notice, and the machine said no more", true, ended(), spot(noticed)],
    ["was stopped by the agent", true, ended(), spot({ ...noticed, exitCode: 143 })],
    ["failed by itself after a notice", false, ended(), spot({ ...noticed, exitCode: 0 })],
    ["ended well after a notice", false, ended({}, "success"), spot(noticed)],
    ["was cancelled after a notice", false, ended({}, "cancelled"), spot(noticed)],
    ["failed at the instant of the notice", true, ended(), spot({ interruptedAt: start + 10 * minute })],
    ["had failed before the notice", false, ended(), spot({ interruptedAt: start + 11 * minute })],
    [
      "was stopped, and the notice was heard of late",
      true,
      ended(),
      spot({ interruptedAt: start + 11 * minute, exitCode: 143 }),
    ],
    ["had a spot machine that vanished", true, ended(), spot({ reason: "lost" })],
    ["had another machine that vanished", false, ended(), spot({ reason: "lost", purchase: "on-demand" })],
    ["failed on a machine that ended well", false, ended(), spot({ reason: "completed" })],
    ["still runs", false, job({ state: "running" }), spot(noticed)],
  ])("one that %s: %s", (_, lost, of, its) => {
    expect(wasLost(of, its)).toBe(lost);
  });

  it("keeps a job that failed on a spot machine in the ledger until that is known", () => {
    const kept = keptIfLost(ended(), spot({ state: "busy" }), start);
    expect(kept.loss).toEqual({ kind: "undecided", since: start, lookAt: start });
    expect(isSettled(kept)).toBe(false);
    const noticed = spot({ purchase: "on-demand", interruptedAt: start });
    expect(keptIfLost(ended(), noticed, start).loss).toBeDefined();
    for (const [of, its] of [
      [ended({}, "success"), spot()],
      [ended(), spot({ exitCode: 0 })],
      [ended(), spot({ purchase: "on-demand" })],
      [ended(), undefined],
      [ended({ loss: { kind: "left", at: start, detail: "" } }), spot()],
    ] as const) {
      expect(keptIfLost(of, its, start)).toBe(of);
      expect(isSettled(of)).toBe(true);
    }
    expect(isSettled(job({ state: "running" }))).toBe(false);
  });
});

describe("what becomes of the lost jobs of a run that has ended", () => {
  const one = ended({ id: 1, name: "one" });
  const two = ended({ id: 2, name: "two" });
  const listed = (of: Job, overrides = {}) =>
    jobEvent({ action: "completed", id: of.id, name: of.name, conclusion: "failure", ...overrides });
  const decide = (
    lost: readonly Job[],
    { newest = [listed(one), listed(two)], conclusion = "failure", times = 0, rerunsPerJob = 2 } = {},
  ) =>
    decideRerun(
      { attempt: 1, conclusion },
      newest,
      lost.map((of) => ({ job: of, times })),
      policy({ rerunsPerJob }),
      start,
    );

  it("one is run again by itself, several together with all that failed", () => {
    expect(decide([one])).toEqual({ start: { which: 1, jobs: [one] }, settled: [] });
    expect(decide([one, two]).start).toEqual({ which: "failed-jobs", jobs: [one, two] });
  });

  it("those that GitHub cancelled because it failed go with it", () => {
    const newest = [listed(one), listed(two, { conclusion: "cancelled" })];
    expect(decide([one], { newest }).start?.which).toBe("failed-jobs");
  });

  it("those of a run that somebody cancelled are left, with that reason", () => {
    const { start: started, settled } = decide([one], { conclusion: "cancelled" });
    expect(started).toBeUndefined();
    expect(settled).toMatchObject([
      { job: one, loss: { kind: "left", detail: expect.stringMatching(/cancelled/) } },
    ]);
  });

  it("those that were run again often enough are left, with the number", () => {
    expect(decide([one], { times: 1 }).start?.jobs).toEqual([one]);
    expect(decide([one], { times: 2 }).settled[0]?.loss).toMatchObject({
      kind: "left",
      detail: expect.stringMatching(/2 times/),
    });
    expect(decide([one], { rerunsPerJob: 0 }).settled[0]?.loss).toMatchObject({
      detail: expect.stringMatching(/rerunsPerJob is 0/),
    });
  });

  it("one that was run again since, by whomever, is replaced by that attempt", () => {
    const newest = [listed({ ...one, id: 11 }, { action: "queued", runAttempt: 3 })];
    const { start: started, settled } = decide([one], { newest });
    expect(started).toBeUndefined();
    expect(settled).toMatchObject([
      { loss: { kind: "replaced", attempt: 3, detail: expect.stringMatching(/as attempt 3\.$/) } },
    ]);
  });

  it("one that a later attempt only shows again is run again by its new id", () => {
    const shown = listed({ ...one, id: 11 }, { runAttempt: 2, startedAt: start });
    expect(decide([one], { newest: [shown] }).start?.which).toBe(11);
    const short = listed({ ...one, id: 11 }, { runAttempt: 2, startedAt: start + 10 * minute });
    expect(decide([one], { newest: [short] }).start?.which).toBe(11);
    const ran = listed({ ...one, id: 11 }, { runAttempt: 2, startedAt: start + 20 * minute });
    expect(decide([one], { newest: [ran] }).settled).toMatchObject([{ loss: { kind: "replaced" } }]);
  });

  it("one is found in the list by its id, or by its name among other names, or not at all", () => {
    const namesake = listed({ ...one, id: 5 }, { action: "queued", runAttempt: 3 });
    expect(decide([one], { newest: [namesake, listed(one)] }).start?.which).toBe(1);
    const other = listed({ ...two, id: 12 }, { action: "queued", runAttempt: 2 });
    const its = listed({ ...one, id: 11 }, { action: "queued", runAttempt: 3 });
    expect(decide([one], { newest: [other, its] }).settled).toMatchObject([{ loss: { attempt: 3 } }]);
    expect(decide([one], { newest: [listed(two)] }).start?.which).toBe(1);
  });

  it("one that the list shows as running still, because it lags behind, was not run again", () => {
    const lags = listed(one, { action: "in_progress" });
    expect(decide([one], { newest: [lags] }).settled).toEqual([]);
  });
});

it("looks again after growing pauses of at most a quarter of an hour, and not for ever", () => {
  const after = (waited: number): number => ((nextLook(start, start + waited) ?? 0) - start - waited) / 1000;
  expect([0, minute, 4 * minute, 600 * minute].map(after)).toEqual([0, 60, 240, 900]);
  expect(nextLook(start, start + 72 * 60 * minute)).toBeDefined();
  expect(nextLook(start, start + 72 * 60 * minute + 1)).toBeUndefined();
});

describe("what a fleet remembers of them", () => {
  const lost = ended({ id: 1, name: "one" });
  const again = job({ id: 11, name: "one", runAttempt: 2 });

  it("is who stands for whom, and how often, once for each job that was lost", () => {
    const once = rememberRerun(fleetRecord(), lost, start);
    expect(rememberRerun(once, lost, start + minute)).toBe(once);
    expect(timesRerun(once, lost)).toBe(1);
    expect(standsFor(once, again)).toBe(1);
    expect(timesRerun(fleetRecord(), lost)).toBe(0);
    const twice = rememberRerun(once, ended(again), start + minute);
    expect(timesRerun(twice, lost)).toBe(2);
    expect(standsFor(twice, again)).toBeUndefined();
    expect(twice.reruns).toHaveLength(1);
    expect(standsFor(twice, { ...again, id: 21, runAttempt: 3 })).toBe(11);
  });

  it("says nothing of other jobs, other runs and first attempts", () => {
    const record = rememberRerun(fleetRecord(), lost, start);
    expect(standsFor(record, { ...again, name: "two" })).toBeUndefined();
    expect(standsFor(record, { ...again, runId: 9 })).toBeUndefined();
    expect(standsFor(record, { ...again, runAttempt: 1 })).toBeUndefined();
    expect(standsFor(undefined, again)).toBeUndefined();
  });

  it("is forgotten after a week, and is never too much", () => {
    let record = fleetRecord();
    for (let run = 1; run <= 250; run++) record = rememberRerun(record, { ...lost, runId: run }, start + run);
    expect(record.reruns).toHaveLength(200);
    expect(record.reruns?.at(-1)?.runId).toBe(250);
    const week = 7 * 24 * 60 * minute;
    const later = rememberRerun(record, { ...lost, runId: 999 }, start + 248 + week);
    expect(later.reruns?.map((entry) => entry.runId)).toEqual([249, 250, 999]);
  });

  it("buys them machines on demand, as many as have none on its way", () => {
    const record = rememberRerun(fleetRecord({ spec: fleetSpec({ market: "spot-preferred" }) }), lost, start);
    const waiting = [again, job({ id: 12, name: "two", runAttempt: 2 })];
    expect(onDemandForReruns(record, waiting, [], 2)).toBe(1);
    expect(onDemandForReruns(record, waiting, [spot({ purchase: "on-demand" })], 2)).toBe(0);
    expect(onDemandForReruns(record, waiting, [spot()], 2)).toBe(1);
    expect(onDemandForReruns(record, waiting, [], 0)).toBe(0);
    const onlySpot = { ...record, spec: fleetSpec({ market: "spot-only" }) };
    expect(onDemandForReruns(onlySpot, waiting, [], 2)).toBe(0);
    expect(onDemandForReruns(undefined, waiting, [], 2)).toBe(0);
  });
});
