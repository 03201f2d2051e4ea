import { describe, expect, it, test } from "vitest";
import { fleetRecord, job, machine, policy, preset, start } from "../../test/builders.ts";
import type { Binding, FleetRecord, Job, Ledger, Machine } from "./model.ts";
import { machineStatus } from "./status.ts";
import { whyDocument } from "./why.ts";

const now = start + 600_000;
const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const binding: Binding = { jobId: 1001, repository: "acme/app", scope, labels: job().labels };
const ran = job({
  state: "done",
  outcome: { kind: "completed", conclusion: "success" },
  times: { created: start, started: start + 40_000, completed: start + 300_000 },
});

const ledger: Ledger = { fleet: "linux-x64", version: 1, record: fleetRecord(), jobs: [], machines: [] };

test("steps stand in the order in which they happened, though GitHub tells only whole seconds", () => {
  const done = job({
    fleet: "linux-x64",
    state: "done",
    machineId: "m-1",
    runnerName: "m-1",
    outcome: { kind: "completed", conclusion: "success" },
    times: {
      created: start,
      received: start + 300,
      queued: start + 305,
      planned: start + 310,
      launched: start + 320,
      running: start + 1_500,
      claimed: start + 1_900,
      online: start + 2_000,
      started: start + 1_000,
      completed: start + 3_000,
    },
  });
  const { steps } = whyDocument(done, ledger, [], policy(), start + 10_000);
  expect(steps.map((step) => step.what)).toEqual([
    "GitHub created the job",
    "Mayfly heard of it",
    "GitHub let it go, after an approval",
    "it was counted as demand of fleet linux-x64",
    "a machine was asked for, or was there already",
    "machine m-1 was running",
    "machine m-1 claimed the job",
    "its runner listened for jobs",
    "the job started on m-1",
    "the job ended: success",
  ]);
  expect(steps.every((step) => step.afterSeconds >= 0)).toBe(true);
});

test("a machine that claimed the job and was lost is one of its steps, at its time", () => {
  const lost = machine({
    id: "m-1",
    state: "ended",
    reason: "lost",
    detail: "The provider no longer lists it.",
    times: { requested: start, retiring: start + 60_000, ended: start + 61_000 },
  });
  const queued = job({
    state: "queued",
    machineId: "m-1",
    times: { created: start, received: start, planned: start, launched: start, claimed: start + 5_000 },
  });
  const { steps } = whyDocument(queued, ledger, [lost], policy(), start + 90_000);
  expect(steps.at(-1)).toMatchObject({
    what: "machine m-1 retired: lost. The provider no longer lists it.",
    afterSeconds: 55,
  });
});

describe("why", () => {
  const why = (some: Job, machines: readonly Machine[] = [], record = fleetRecord()) =>
    whyDocument(
      some,
      { ...ledger, jobs: some.state === "done" ? [] : [some], record },
      machines,
      policy(),
      now,
    );

  it("tells what happened in the order in which it happened", () => {
    const done = {
      ...ran,
      machineId: "m",
      runnerName: "m",
      times: {
        ...ran.times,
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
    expect(text.slice(-2)).toEqual([
      "machine m was told that it will be taken back",
      "machine m retired: interrupted. Taken back.",
    ]);
  });

  it("tells that a machine retired unless it did so because it had run the job", () => {
    const retired = (facts: Partial<Machine>) => {
      const some = machine({ id: "m", detail: "d", ...facts, times: { retiring: start + 6_000 } });
      return why({ ...ran, machineId: "m" }, [some]).steps.map((step) => step.what);
    };
    expect(retired({ reason: "completed", jobId: 1001 }).join()).not.toMatch(/retired/);
    // Among the others, at its time: before the job started.
    expect(retired({ reason: "completed", jobId: 7 })[2]).toBe("machine m retired: completed. d");
    expect(retired({ reason: "job-timeout", jobId: 1001 })[2]).toBe("machine m retired: job-timeout. d");
  });

  it("tells how it ended otherwise, and that it started on a runner that nobody named", () => {
    const last = (some: Job) => why(some).steps.at(-1)?.what;
    const times = { completed: now };
    const because = { because: "no-preset", detail: "No preset." } as const;
    const gone = { because: "operator", detail: "By hand." } as const;
    expect(last(job({ outcome: { kind: "refused", ...because }, times }))).toBe(
      "the job was refused: No preset.",
    );
    expect(last(job({ outcome: { kind: "given-up", ...gone }, times }))).toBe(
      "the job was given up: By hand.",
    );
    expect(last(job({ times }))).toBe("the job ended");
    expect(last(job({ times: { started: now } }))).toBe("the job started on a machine");
    expect(last(job({ runnerName: "r", times: { started: now } }))).toBe("the job started on r");
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
    [
      "running elsewhere than where it was claimed",
      job({ state: "running", machineId: "m", runnerName: "elsewhere" }),
      /^The job runs on elsewhere\.$/,
    ],
    ["waiting", job({ state: "waiting" }), /^The job has been waiting for 601 s\. GitHub holds it back/],
    ["queued", job(), /has been queued for 601 s\. It was just received/],
  ])("sums up a job that is %s", (_what, some, sentence) => {
    expect(why(some).summary).toMatch(sentence);
  });

  const full = { because: "no-capacity", detail: "Full.", since: start } as const;
  const removed = { because: "preset-removed", detail: "No preset.", since: start } as const;
  const again = now + 60_000;
  const deadline = start - 1_000 + 86_400_000;
  it.each<[string, Job, FleetRecord | undefined, RegExp, number | null]>([
    ["GitHub's word", job({ state: "waiting" }), fleetRecord(), /^It is queued as soon/, null],
    ["its end", job({ state: "running" }), fleetRecord({ blocked: full }), /^It ends by itself/, null],
    [
      "another try",
      job(),
      fleetRecord({ blocked: { ...full, nextAttemptAt: again } }),
      /^A machine is asked for again/,
      again,
    ],
    [
      "its image",
      job(),
      fleetRecord({ blocked: { ...full, because: "image-building", nextAttemptAt: again } }),
      /^The build is asked about/,
      again,
    ],
    ["a place", job(), fleetRecord({ blocked: full }), /as soon as a place is free/, null],
    [
      "a place, when the try is due",
      job(),
      fleetRecord({ blocked: { ...full, nextAttemptAt: now } }),
      /a place is free/,
      null,
    ],
    ["its preset", job(), fleetRecord({ blocked: removed }), /as soon as the config has the preset/, null],
    ["its deadline", job(), fleetRecord(), /^If it cannot be served until then/, deadline],
    ["its deadline in a fleet without a record", job(), undefined, /^If it cannot be served/, deadline],
  ])("says that next comes %s, and when", (_what, some, record, sentence, at) => {
    const { next } = whyDocument(some, { ...ledger, jobs: [some], record }, [], policy(), now);
    expect(next?.what).toMatch(sentence);
    expect(next?.at).toBe(at === null ? null : new Date(at).toISOString());
  });

  it("knows what a job cost only when a machine ran it", () => {
    expect(why(job()).job.costUsd).toBeNull();
    const free = machine({ jobId: 1001, state: "busy", times: { launched: start } });
    expect(why(job({ state: "running" }), [free]).job.costUsd).toBe(0);
    const paid = { ...free, id: "paid", pricePerHourUsd: 6 };
    const other = { ...paid, id: "other", jobId: 7, pricePerHourUsd: 100 };
    const running = why(job({ state: "running" }), [other, paid]);
    expect(running.job.costUsd).toBeCloseTo(1);
    expect(running.machines).toEqual([other, paid].map((some) => machineStatus(some, now)));
  });
});

test("a job that was lost with its machine says what took its place, and that one says for whom it stands", () => {
  const lost = job({
    id: 1,
    state: "done",
    machineId: "m-1",
    outcome: { kind: "completed", conclusion: "failure" },
    times: { created: start, received: start, started: start + 1_000, completed: start + 60_000 },
  });
  const why = (of: typeof lost) => whyDocument(of, ledger, [], policy(), start + 70_000);
  const open = why({ ...lost, loss: { kind: "undecided", since: start, lookAt: start + 90_000 } });
  expect(open.next).toEqual({
    what: "If its machine was lost under it, it is run again when its run has ended.",
    at: new Date(start + 90_000).toISOString(),
  });
  expect(open.job.waitsFor).toMatch(/^It failed\. If its machine was lost under it, it is run again/);
  expect(open.summary).toBe("The job ran and ended: failure.");
  expect(open.steps.at(-1)?.what).toBe("the job ended: failure");
  const detail = "Machine m-1 was lost under it; it is run again, as attempt 2.";
  const replaced = why({ ...lost, loss: { kind: "replaced", at: start + 65_000, attempt: 2, detail } });
  expect(replaced.summary).toBe(`The job was lost with its machine. ${detail}`);
  expect(replaced.steps.at(-1)).toMatchObject({ what: detail, afterSeconds: 5 });
  expect(replaced.next).toBeNull();
  const again = why(job({ id: 11, runAttempt: 2, rerunOf: 1 }));
  expect(again.steps[0]?.what).toBe(
    "GitHub created the job, in place of job 1, which was lost with its machine",
  );
});

test("a job that needs containers is told that its machines have none, once GitHub says so", () => {
  const limitation = "They have no Docker.";
  const rules = policy({ presets: [{ ...preset(), limitation }] });
  const why = (of: Job) => whyDocument(of, { ...ledger, record: fleetRecord() }, [], rules, now);
  const failure = { kind: "completed", conclusion: "failure" } as const;
  const failed: Job = { ...ran, outcome: failure, usesContainers: true };
  expect(why(failed)).toMatchObject({
    summary: "The job ran and ended: failure. It has `container:` or `services:`. They have no Docker.",
    limitation,
  });
  const { usesContainers: _, ...other } = failed;
  expect(why(other)).toMatchObject({ summary: "The job ran and ended: failure.", limitation });
  expect(why({ ...ran, usesContainers: true }).summary).toBe("The job ran and ended: success.");
  expect(whyDocument(failed, ledger, [], policy(), now)).toMatchObject({
    ...{ summary: "The job ran and ended: failure.", limitation: null },
  });
});
