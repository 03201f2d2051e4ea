import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { job, jobEvent, start } from "../../test/builders.ts";
import {
  parseJobTrace,
  type TracedJob,
  tracedEvent,
  tracedJob,
  traceLimits,
  traceRecord,
} from "./job-trace.ts";

const good =
  '{"queued_at":"2026-01-05T08:00:12Z","duration":184.2,"labels":["self-hosted"],"repository":"acme/app"}';

const names = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
const tracedJobs: fc.Arbitrary<TracedJob> = fc.record({
  queuedAt: fc.integer({ min: start, max: start + 30 * 86_400_000 }),
  durationSeconds: fc
    .double({ min: 0, max: traceLimits.durationSeconds, noNaN: true })
    .map((value) => value + 0),
  labels: fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 5 }),
  repository: fc.tuple(fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/), names).map((parts) => parts.join("/")),
});

describe("a trace", () => {
  test("is read as it was written, in the order of the queue, whatever stands between the lines", () => {
    fc.assert(
      fc.property(
        fc.array(tracedJobs, { minLength: 1, maxLength: 20 }),
        fc.constantFrom("\n", "\r\n", "\n\n"),
        (jobs, end) => {
          const { jobs: read, problems } = parseJobTrace(
            jobs.map((each) => JSON.stringify(traceRecord(each))).join(end) + end,
          );
          expect(problems).toEqual([]);
          const ordered = jobs.toSorted((one, other) => one.queuedAt - other.queuedAt);
          expect(read).toEqual(ordered);
        },
      ),
    );
  });

  test("that is broken anywhere gives no jobs, and names the line", () => {
    const damage = (line: string, at: number, piece: string): string =>
      line.slice(0, at % line.length) + piece + line.slice((at % line.length) + 1);
    fc.assert(
      fc.property(fc.nat(), fc.string(), fc.integer({ min: 1, max: 5 }), (at, piece, place) => {
        const lines = [good, good, good, good, good];
        lines[place - 1] = damage(good, at, piece);
        const { jobs, problems } = parseJobTrace(lines.join("\n"));
        if (problems.length === 0) expect(jobs.length).toBeGreaterThanOrEqual(4);
        else expect(jobs).toEqual([]);
        for (const problem of problems) expect(problem.sentence).toMatch(/^[\w{].*\. [A-Z].*\.$/);
        // Another year is no broken line, only a trace that is too long.
        const broken = problems.filter(({ sentence }) => !sentence.includes("days after"));
        if (!piece.includes("\n")) expect(broken.every(({ line }) => line === place)).toBe(true);
      }),
    );
  });

  test.each([
    ["nonsense", "not a JSON object"],
    ["[1]", "not a JSON object"],
    [good.replace("queued_at", "queuedAt"), "queued_at must be an instant"],
    [good.replace("12Z", "12"), "queued_at must be an instant with its time zone"],
    [good.replace("2026-01", "2026-13"), "queued_at must be"],
    [good.replace("184.2", "-1"), "duration must be"],
    [good.replace("184.2", "432001"), "duration must be a number of seconds. Write one from 0 to 432000."],
    [good.replace("184.2", '"184"'), "duration must be"],
    ["null", "not a JSON object"],
    ["5", "not a JSON object"],
    ['"queued_at"', "not a JSON object"],
    [good.replace('"2026-01-05T08:00:12Z"', '["2026-01-05T08:00:12Z"]'), "queued_at must be"],
    [good.replace("2026", "x2026"), "queued_at must be"],
    [good.replace("12Z", "12Z "), "queued_at must be"],
    [good.replace('"2026', '"+012026'), "queued_at must be"],
    [good.replace('"self-hosted"', "1"), "labels must be a list"],
    [good.replace('"self-hosted"', "null"), "labels must be a list"],
    [good.replace('"self-hosted"', '["self-hosted"]'), "labels must be a list"],
    [good.replace("self-hosted", "x".repeat(257)), "labels must be a list"],
    [good.replace('["self-hosted"]', JSON.stringify(Array(101).fill("x"))), "labels must be a list"],
    [good.replace('"acme/app"', '["acme/app"]'), "repository must be the full name"],
    [good.replace("acme/app", " acme/app"), "repository must be the full name"],
    [good.replace("acme/app", "acme/app "), "repository must be the full name"],
    [good.replace('["self-hosted"]', '"self-hosted"'), "labels must be a list"],
    [good.replace("self-hosted", ""), "labels must be a list"],
    [good.replace("acme/app", "acme"), "repository must be the full name"],
    [good.replace("acme/app", "acme/.."), "repository must be the full name"],
  ])("does not take %s", (line, said) => {
    const { problems } = parseJobTrace(`${good}\n${line}\n`);
    expect(problems).toEqual([{ line: 2, sentence: expect.stringContaining(said) }]);
  });

  test("may say more than is needed", () => {
    expect(parseJobTrace(good.replace("{", '{"workflow":"CI",')).jobs).toHaveLength(1);
    expect(parseJobTrace(`${good}\r\n \r\n${good}`).jobs).toHaveLength(2);
  });

  test.each([
    "2026-01-05T08:00Z",
    "2026-01-05T08:00:00.000Z",
    "2026-01-05T10:00:00+02:00",
    "2026-01-05T10:00:00+0200",
    "2026-01-05T03:30:00-04:30",
  ])("may say when in any form with a time zone: %s", (text) => {
    const { jobs } = parseJobTrace(good.replace("2026-01-05T08:00:12Z", text));
    expect(jobs.map(({ queuedAt }) => queuedAt)).toEqual([Date.UTC(2026, 0, 5, 8)]);
  });

  test.each([
    ["no duration", good.replace("184.2", "0")],
    [
      "a hundred labels of 256 characters",
      good.replace('["self-hosted"]', JSON.stringify(Array(100).fill("x".repeat(256)))),
    ],
    ["a repository that begins with a dot", good.replace("acme/app", "acme/.github")],
  ])("may have %s", (_what, line) => {
    expect(parseJobTrace(line).problems).toEqual([]);
  });

  test("has at least one job, and no more jobs and days than can be replayed", () => {
    expect(parseJobTrace("\n\n").problems).toEqual([
      { line: 1, sentence: expect.stringContaining("no job") },
    ]);
    const later = good.replace("2026-01-05", "2026-02-06");
    expect(parseJobTrace(`${later}\n${good}`).problems).toEqual([
      { line: 1, sentence: expect.stringContaining("32 days after the job of line 2") },
    ]);
    const monthLater = good.replace("2026-01-05", "2026-02-05");
    expect(parseJobTrace(`${monthLater}\n${good}`).problems).toEqual([]);
    const most = `${good}\n`.repeat(traceLimits.jobs);
    expect(parseJobTrace(most).problems).toEqual([]);
    expect(parseJobTrace(`${most}${good}`)).toEqual({
      jobs: [],
      problems: [{ line: 100_001, sentence: expect.stringContaining("more than 100000 jobs") }],
    });
  });

  test("lists some problems, not all of a file that is no trace", () => {
    expect(parseJobTrace("x\n".repeat(5_000)).problems).toHaveLength(10);
  });
});

describe("what becomes a line of a trace", () => {
  const times = {
    created: start,
    queued: start + 60_000,
    started: start + 90_000,
    completed: start + 100_500,
  };

  test("a job of the ledger that ran, from when GitHub let it go", () => {
    expect(tracedJob(job({ state: "done", times }))).toEqual({
      queuedAt: start + 60_000,
      durationSeconds: 10.5,
      labels: ["self-hosted", "linux", "x64"],
      repository: "acme/app",
    });
    const { started: _, ...waited } = times;
    expect(tracedJob(job({ state: "done", times: waited }))).toBeUndefined();
    const { completed: __, ...runs } = times;
    expect(tracedJob(job({ state: "running", times: runs }))).toBeUndefined();
    const outcome = { kind: "given-up", because: "end-unknown", detail: "" } as const;
    expect(tracedJob(job({ state: "done", outcome, times }))).toBeUndefined();
  });

  test("a job that GitHub tells of, if a runner had it", () => {
    const event = jobEvent({
      action: "completed",
      createdAt: start,
      startedAt: start + 5_000,
      completedAt: start + 65_000,
      conclusion: "success",
    });
    expect(tracedEvent({ ...event, runnerName: "r" })).toMatchObject({
      queuedAt: start,
      durationSeconds: 60,
    });
    expect(tracedEvent(event)).toBeUndefined();
    const { startedAt: _, ...neverStarted } = { ...event, runnerName: "r" };
    expect(tracedEvent(neverStarted)).toBeUndefined();
    const { completedAt: __, ...runs } = { ...event, runnerName: "r" };
    expect(tracedEvent(runs)).toBeUndefined();
  });
});
