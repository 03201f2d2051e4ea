import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { job, jobEvent, machine, start } from "../../test/builders.ts";
import {
  eventOfReport,
  isBeforeJobState,
  isBeforeMachineState,
  jobAfter,
  jobEndMissed,
  jobGivenUp,
  jobHeldBack,
  type MachineEvent,
  machineAfter,
  newJob,
} from "./lifecycle.ts";
import type {
  Binding,
  EndReason,
  Job,
  JobAction,
  JobEvent,
  JobState,
  Machine,
  MachineReport,
  MachineState,
} from "./model.ts";

const at = start + 60_000;
const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const binding: Binding = {
  jobId: 1001,
  repository: "acme/app",
  scope,
  labels: ["self-hosted", "linux", "x64"],
};

/** The tables in the comment of lifecycle.ts, as rows of trimmed cells; the first row is the head. */
function tablesOfComment(): readonly (readonly (readonly string[])[])[] {
  const source = readFileSync(new URL("./lifecycle.ts", import.meta.url), "utf8");
  const tables: string[][][] = [];
  let open = false;
  for (const line of source.split("\n")) {
    const row = /^ \* \|(.*)\|$/.exec(line)?.[1];
    if (row === undefined) {
      open = false;
      continue;
    }
    if (!open) tables.push([]);
    open = true;
    const cells = row.split("|").map((cell) => cell.trim());
    if (!cells.every((cell) => /^-+$/.test(cell))) tables.at(-1)?.push(cells);
  }
  return tables;
}

/** Every cell of a table with its row, its column, what it says and its footnote. */
function cellsOf(table: readonly (readonly string[])[]): readonly {
  readonly row: string;
  readonly column: string;
  readonly says: string;
  readonly footnote: string;
}[] {
  const [head = [], ...rows] = table;
  return rows.flatMap(([row = "", ...cells]) =>
    cells.map((cell, index) => ({
      row,
      column: head[index + 1] ?? "",
      says: /^(–|[a-z]+)/.exec(cell)?.[1] ?? cell,
      footnote: /[¹²³⁴]/.exec(cell)?.[0] ?? "",
    })),
  );
}

const [jobTable = [], machineTable = []] = tablesOfComment();

it("finds both tables, whole", () => {
  expect(tablesOfComment()).toHaveLength(2);
  expect(jobTable.map((row) => row[0])).toEqual(["", "(unknown)", "waiting", "queued", "running", "done"]);
  expect(machineTable.map((row) => row[0])).toEqual([
    "",
    "requested",
    "launched",
    "registered",
    "busy",
    "retiring",
    "ended",
  ]);
  for (const table of [jobTable, machineTable]) {
    for (const row of table) expect(row).toHaveLength(table[0]?.length ?? 0);
  }
});

describe("the table of jobs", () => {
  it.each(cellsOf(jobTable))("$row, $column: $says", ({ row, column, says }) => {
    if (column === "given up") {
      if (row === "(unknown)") return;
      const before = job({ state: row as JobState });
      const after = jobGivenUp(before, { kind: "given-up", because: "deadline-passed", detail: "" }, at);
      if (says === "–") expect(after).toBe(before);
      else expect(after.state).toBe(says);
      return;
    }
    if (column === "held back") {
      if (row === "(unknown)") return;
      const before = job({ state: row as JobState });
      const after = jobHeldBack(before, before.times.received + 1);
      if (says === "–") expect(after).toBe(before);
      else expect(after.state).toBe(says);
      return;
    }
    const event = jobEvent({
      action: column as JobAction,
      ...(column === "in_progress" && { runnerName: "r" }),
    });
    if (row === "(unknown)") {
      expect(newJob(event, "fleet-a").state).toBe(says);
      return;
    }
    const before = job({ state: row as JobState });
    const after = jobAfter(before, event);
    if (says === "–") expect(after).toBe(before);
    else expect(after.state).toBe(says);
  });
});

it("a job that was heard of as queued since GitHub was asked is not held back", () => {
  const young = job();
  expect(jobHeldBack(young, young.times.received)).toBe(young);
  const approved = job({ times: { queued: start + 60_000 } });
  expect(jobHeldBack(approved, start + 50_000)).toBe(approved);
  expect(jobHeldBack(approved, start + 70_000).state).toBe("waiting");
});

describe("what is noted of a job", () => {
  it("that is new is all that GitHub said, and when", () => {
    const { action: _, createdAt, receivedAt, ...said } = jobEvent({ name: "test", runAttempt: 3 });
    expect(newJob(jobEvent({ name: "test", runAttempt: 3 }), "fleet-b")).toStrictEqual({
      ...said,
      fleet: "fleet-b",
      state: "queued",
      times: { created: createdAt, received: receivedAt },
    });
  });

  it("that is refused is its end, at once", () => {
    const outcome = { kind: "refused", because: "no-preset", detail: "No preset." } as const;
    const times = { created: start - 1_000, received: start, completed: start };
    expect(newJob(jobEvent(), "refused", outcome)).toStrictEqual({
      ...job({ fleet: "refused", state: "done", outcome }),
      times,
    });
  });

  it("that is given up is when, beside all that was known", () => {
    const outcome = { kind: "given-up", because: "operator", detail: "Ended." } as const;
    const before = job({ times: { planned: start } });
    expect(jobGivenUp(before, outcome, at)).toStrictEqual({
      ...before,
      state: "done",
      outcome,
      times: { ...before.times, completed: at },
    });
  });

  it("that ran for longer than GitHub lets any job run is its end, without GitHub's word", () => {
    const latest = start + (5 * 24 + 1) * 3_600_000;
    const running = job({ state: "running", times: { started: start } });
    expect(jobEndMissed(running, latest - 1)).toBe(running);
    expect(jobEndMissed(running, latest)).toStrictEqual({
      ...running,
      state: "done",
      outcome: { kind: "given-up", because: "end-unknown", detail: expect.stringContaining("5 days") },
      times: { ...running.times, completed: latest },
    });
    const queued = job({ state: "queued", times: { received: start } });
    expect(jobEndMissed(queued, latest)).toBe(queued);
    expect(jobEndMissed(job({ state: "running" }), latest).state).toBe("done");
    const startedLate = job({ state: "running", times: { received: start, started: start + 1 } });
    expect(jobEndMissed(startedLate, latest)).toBe(startedLate);
  });

  const later = { startedAt: at + 1, completedAt: at + 2, receivedAt: at + 3 };
  const success = { kind: "completed", conclusion: "success" } as const;
  const unknown = { kind: "completed", conclusion: "unknown" } as const;
  it.each<[string, Job, Partial<JobEvent>, Partial<Omit<Job, "times">>, Job["times"] | object]>([
    ["let go", job({ state: "waiting" }), { action: "queued", receivedAt: at }, {}, { queued: at }],
    [
      "started",
      job(),
      { action: "in_progress", runnerName: "r", ...later },
      { runnerName: "r" },
      { started: at + 1 },
    ],
    [
      "started, GitHub not saying when",
      job(),
      { action: "in_progress", runnerName: "r" },
      { runnerName: "r" },
      { started: start },
    ],
    ["started, GitHub not saying where", job(), { action: "in_progress", ...later }, {}, {}],
    [
      "completed, without a start heard of",
      job(),
      { action: "completed", runnerName: "r", conclusion: "success", ...later },
      { outcome: success, runnerName: "r" },
      { started: at + 1, completed: at + 2 },
    ],
    [
      "completed after a start",
      job({ state: "running", runnerName: "r", times: { started: at } }),
      { action: "completed", runnerName: "r", conclusion: "success", ...later },
      { outcome: success },
      { completed: at + 2 },
    ],
    [
      "completed, GitHub saying neither when nor how nor where",
      job(),
      { action: "completed", startedAt: at },
      { outcome: unknown },
      { completed: start },
    ],
  ])("that was %s", (_what, before, event, facts, times) => {
    const after = jobAfter(before, jobEvent(event));
    const { state } = after;
    expect(after).toStrictEqual({ ...before, ...facts, state, times: { ...before.times, ...times } });
  });
});

/** A machine in this state, with all that such a machine has. */
function machineIn(state: MachineState): Machine {
  const registered = { binding, registration: { runnerId: 5, scope }, providerId: "p" };
  const facts: Record<MachineState, Partial<Machine>> = {
    requested: {},
    launched: { providerId: "p" },
    registered,
    busy: { ...registered, jobId: 1001, times: { requested: start, online: start, started: start } },
    retiring: { ...registered, reason: "idle", times: { requested: start, retiring: start } },
    ended: { ...registered, reason: "idle", times: { requested: start, ended: start } },
  };
  return machine({ state, ...facts[state] });
}

const events: Readonly<Record<string, MachineEvent>> = {
  launched: { kind: "launched", providerId: "p" },
  refused: { kind: "refused", detail: "no" },
  bound: { kind: "bound", binding },
  minted: { kind: "minted", registration: { runnerId: 6, scope } },
  "job-started": { kind: "job-started", jobId: 1001 },
  "job-finished": { kind: "job-finished", jobId: 1001 },
  exited: { kind: "exited", exitCode: 0, ranJob: true },
  interrupted: { kind: "interrupted", detail: "taken back" },
  retire: { kind: "retire", because: "idle", detail: "idle" },
  gone: { kind: "gone", detail: "gone" },
};

describe("the table of machines", () => {
  it.each(cellsOf(machineTable))("$row, $column: $says $footnote", ({ row, column, says, footnote }) => {
    const before = machineIn(row as MachineState);
    const event = events[column];
    if (event === undefined) throw new Error(`The column ${column} has no event in this test.`);
    // The fence of this one has not answered, so footnote 4 keeps it; it is looked at below.
    const settled: Machine = footnote === "⁴" ? { ...before, fence: "passed" } : before;
    const cause = footnote === "³" ? ({ ...event, because: "job-timeout" } as MachineEvent) : event;
    const after = machineAfter(settled, cause, at);
    expect(after.state).toBe(says === "–" ? row : says);
    if (row === "ended") expect(after).toBe(before);
  });

  it("¹ keeps a machine that is bound, to remove a registration that may exist", () => {
    for (const state of ["requested", "launched"] as const) {
      expect(machineAfter({ ...machineIn(state), binding }, events.gone!, at).state).toBe("retiring");
    }
  });

  it("² keeps the fact that it is missing", () => {
    expect(machineAfter(machineIn("registered"), events.gone!, at)).toMatchObject({
      state: "retiring",
      reason: "lost",
      missingSince: at,
    });
  });

  it.each<EndReason>(["job-timeout", "operator", "lost"])("³ a busy machine retires for %s", (because) => {
    expect(machineAfter(machineIn("busy"), { kind: "retire", because, detail: "" }, at).state).toBe(
      "retiring",
    );
  });

  it.each<EndReason>(["idle", "surplus", "cancelled", "boot-timeout", "interrupted", "orphan"])(
    "³ a busy machine does not retire for %s",
    (because) => {
      const busy = machineIn("busy");
      expect(machineAfter(busy, { kind: "retire", because, detail: "" }, at)).toBe(busy);
    },
  );

  it("⁴ a retiring machine ends when the fence has answered, when there is none, or after ten minutes", () => {
    const gone = (before: Machine, when: number) => machineAfter(before, events.gone!, when).state;
    const unfenced = machineIn("retiring");
    expect(gone(unfenced, at)).toBe("retiring");
    expect(gone({ ...unfenced, fence: "passed" }, at)).toBe("ended");
    expect(gone({ ...unfenced, fence: "refused" }, at)).toBe("ended");
    expect(gone(machine({ state: "retiring", reason: "idle" }), at)).toBe("ended");
    const missing = machineAfter(unfenced, events.gone!, at);
    expect(gone(missing, at + 599_999)).toBe("retiring");
    expect(gone(missing, at + 600_000)).toBe("ended");
  });

  it("notes the interruption of a busy machine and of a retiring one", () => {
    for (const state of ["busy", "retiring"] as const) {
      expect(machineAfter(machineIn(state), events.interrupted!, at).interruptedAt).toBe(at);
    }
  });

  it("keeps why a machine retires when it is interrupted afterwards", () => {
    const retiring = { ...machineIn("retiring"), detail: "No job came." };
    expect(machineAfter(retiring, events.interrupted!, at)).toMatchObject({
      reason: "idle",
      detail: "No job came.",
    });
  });
});

describe("what an event notes of a machine", () => {
  const noted = (state: MachineState, facts: Partial<Machine> = {}): Machine => {
    const before = machineIn(state);
    return { ...before, ...facts, times: { ...before.times, ...facts.times } };
  };
  const registration = { runnerId: 6, scope };
  const launched = { providerId: "q", pool: "a", purchase: "spot", pricePerHourUsd: 2 } as const;
  const retiring = { state: "retiring", times: { requested: start, retiring: at } } as const;
  const ended = { requested: start, ended: at };
  const lost = { state: "retiring", detail: "gone", missingSince: at } as const;
  const forced: MachineEvent = { kind: "retire", because: "operator", detail: "end it", forced: true };

  it.each<[string, Machine, MachineEvent, Partial<Machine>]>([
    [
      "where and what it is",
      noted("requested"),
      { kind: "launched", ...launched },
      { ...launched, state: "launched", times: { requested: start, launched: at } },
    ],
    [
      "no more than the provider said",
      noted("requested"),
      { kind: "launched", providerId: "q" },
      { state: "launched", providerId: "q", times: { requested: start, launched: at } },
    ],
    [
      "a provider id that comes late",
      machine({ state: "registered", binding, times: { launched: start } }),
      { kind: "launched", providerId: "q" },
      { providerId: "q" },
    ],
    ["the first answer of the provider", noted("launched"), { kind: "launched", ...launched }, {}],
    [
      "why it was refused",
      noted("requested"),
      { kind: "refused", detail: "no" },
      { state: "ended", reason: "launch-failed", detail: "no", times: ended },
    ],
    ["that it asked", noted("launched"), { kind: "contacted" }, { contactedAt: at }],
    [
      "its claim",
      noted("launched"),
      { kind: "bound", binding },
      { binding, contactedAt: at, times: { requested: start, claimed: at } },
    ],
    [
      "its first claim's time",
      noted("launched", { times: { requested: start, claimed: start } }),
      { kind: "bound", binding },
      { binding, contactedAt: at },
    ],
    ["no claim of a busy one", noted("busy"), { kind: "bound", binding: { ...binding, jobId: 3 } }, {}],
    [
      "its registration",
      noted("launched"),
      { kind: "minted", registration },
      { state: "registered", registration, times: { requested: start, registered: at } },
    ],
    [
      "a later registration",
      noted("busy"),
      { kind: "minted", registration },
      { registration, times: { ...machineIn("busy").times, registered: at } },
    ],
    [
      "that its runner listens",
      noted("registered"),
      { kind: "listening" },
      { times: { requested: start, online: at } },
    ],
    [
      "that once",
      noted("registered", { times: { requested: start, online: start } }),
      { kind: "listening" },
      {},
    ],
    [
      "that it runs a job",
      noted("registered"),
      { kind: "job-started" },
      { state: "busy", times: { requested: start, online: at, started: at } },
    ],
    [
      "which one, later",
      machine({ state: "busy", times: { online: start, started: start } }),
      { kind: "job-started", jobId: 3 },
      { jobId: 3 },
    ],
    ["no other start", noted("busy"), { kind: "job-started" }, {}],
    [
      "that its job ended",
      noted("busy"),
      { kind: "job-finished", jobId: 1001 },
      {
        ...retiring,
        reason: "completed",
        detail: "its job completed",
        times: { ...machineIn("busy").times, finished: at, retiring: at },
      },
    ],
    [
      "a job of which only the end was heard",
      noted("registered"),
      { kind: "job-finished", jobId: 3 },
      {
        ...retiring,
        jobId: 3,
        reason: "completed",
        detail: "its job completed",
        times: { requested: start, started: at, finished: at, retiring: at },
      },
    ],
    [
      "of which job it has said that it is done",
      machine({ state: "retiring", reason: "completed", exitCode: 0, times: { finished: start } }),
      { kind: "job-finished", jobId: 3 },
      { jobId: 3 },
    ],
    [
      "no other job, once one is known",
      machine({ state: "retiring", reason: "completed", jobId: 3, times: { finished: start } }),
      { kind: "job-finished", jobId: 4 },
      {},
    ],
    [
      "that it is told to go",
      noted("registered"),
      { kind: "interrupted", detail: "soon" },
      { ...retiring, interruptedAt: at, reason: "interrupted", detail: "soon" },
    ],
    [
      "that a busy one is told to go",
      noted("busy"),
      { kind: "interrupted", detail: "soon" },
      { interruptedAt: at, detail: "soon" },
    ],
    [
      "why it retires",
      noted("registered"),
      { kind: "retire", because: "idle", detail: "idle" },
      { ...retiring, reason: "idle", detail: "idle" },
    ],
    [
      "that the operator means it",
      noted("busy"),
      forced,
      {
        ...retiring,
        forced: true,
        reason: "operator",
        detail: "end it",
        times: { ...machineIn("busy").times, retiring: at },
      },
    ],
    ["that the operator means it by now", noted("retiring"), forced, { forced: true }],
    ["what the fence said", noted("retiring"), { kind: "fence", answer: "refused" }, { fence: "refused" }],
    [
      "what it says by now",
      noted("retiring", { fence: "refused" }),
      { kind: "fence", answer: "passed" },
      { fence: "passed" },
    ],
    ["since when it is missing", noted("launched"), { kind: "missing" }, { missingSince: at }],
    ["not that it is missing still", noted("launched", { missingSince: start }), { kind: "missing" }, {}],
    [
      "that it is gone",
      noted("launched"),
      { kind: "gone", detail: "gone" },
      { state: "ended", reason: "lost", detail: "gone", times: ended },
    ],
    [
      "that what was asked for is gone",
      noted("requested"),
      { kind: "gone", detail: "gone" },
      { state: "ended", reason: "launch-failed", detail: "gone", times: ended },
    ],
    [
      "that it was lost",
      noted("registered"),
      { kind: "gone", detail: "gone" },
      { ...retiring, ...lost, reason: "lost" },
    ],
    [
      "since when it was missing before",
      noted("registered", { missingSince: start }),
      { kind: "gone", detail: "gone" },
      { ...retiring, ...lost, reason: "lost", missingSince: start },
    ],
    [
      "that it was taken back",
      noted("busy", { interruptedAt: start, detail: "soon" }),
      { kind: "gone", detail: "gone" },
      { state: "ended", reason: "interrupted", times: { ...machineIn("busy").times, ended: at } },
    ],
    [
      "that a retiring one is gone",
      noted("retiring"),
      { kind: "gone", detail: "gone" },
      { missingSince: at },
    ],
    [
      "why it retired, to the end",
      noted("retiring", { fence: "passed", detail: "idle" }),
      { kind: "gone", detail: "gone" },
      { state: "ended", times: { ...machineIn("retiring").times, ended: at } },
    ],
  ])("%s", (_what, before, event, facts) => {
    const { times = before.times } = facts;
    expect(machineAfter(before, event, at)).toStrictEqual({ ...before, ...facts, times });
  });

  it("gives the same object when it notes nothing", () => {
    const missing = noted("retiring", { missingSince: start });
    for (const event of [{ kind: "seen" }, { kind: "listening" }, forced] as const) {
      const once = machineAfter(missing, event, at);
      expect(machineAfter(once, event, at + 1)).toBe(once);
    }
    expect(machineAfter(missing, { kind: "gone", detail: "" }, at)).toBe(missing);
    const busy = noted("busy");
    expect(machineAfter(busy, { kind: "job-started" }, at)).toBe(busy);
  });

  it("forgets since when it is missing once it is seen", () => {
    expect(machineAfter(noted("busy", { missingSince: start }), { kind: "seen" }, at)).toStrictEqual(
      noted("busy"),
    );
  });
});

describe("the end of a runner", () => {
  const exit = (before: Machine, exitCode: number, ranJob: boolean) =>
    machineAfter(before, { kind: "exited", exitCode, ranJob }, at);
  const unregistered = machineIn("launched");
  const registered = machineIn("registered");
  const busy = machineIn("busy");

  it.each<[string, Machine, number, boolean, EndReason]>([
    ["that ran a job", registered, 1, true, "completed"],
    ["that was heard to run one", busy, 1, false, "completed"],
    ["that was taken back", { ...busy, interruptedAt: start }, 0, true, "interrupted"],
    ["that failed", registered, 1, false, "lost"],
    ["that GitHub removed", registered, 0, false, "idle"],
    ["that was never registered", unregistered, 0, false, "surplus"],
  ])("%s", (_what, before, exitCode, ranJob, reason) => {
    const ran = ranJob || before.state === "busy";
    expect(exit(before, exitCode, ranJob)).toStrictEqual({
      ...before,
      state: "retiring",
      exitCode,
      reason,
      detail: `the runner ended with exit code ${exitCode}`,
      times: { ...before.times, ...(ran && { finished: at }), retiring: at },
    });
  });

  it("keeps when GitHub said that its job ended", () => {
    const finished = machineAfter(busy, events["job-finished"]!, start + 5);
    expect(exit(finished, 0, true)).toStrictEqual({ ...finished, exitCode: 0 });
  });

  it("is told by GitHub which job it had run, after it has said that it is done", () => {
    const { jobId: _, ...nameless } = busy;
    const exited = exit(nameless, 0, true);
    const told = machineAfter(exited, events["job-finished"]!, start + 9);
    expect(told).toStrictEqual({ ...exited, jobId: 1001 });
  });
});

it.each<MachineReport>([
  { step: "listening" },
  { step: "job-started" },
  { step: "interrupted", detail: "soon" },
  { step: "exited", exitCode: 3, ranJob: true },
])("the report $step is the event of that name, with what it tells", ({ step, ...facts }) => {
  expect(eventOfReport({ step, ...facts } as MachineReport)).toStrictEqual({ kind: step, ...facts });
});

it("a machine at risk of being taken begins no job, and ends none", () => {
  const event = eventOfReport({ step: "at-risk", detail: "soon" });
  expect(machineAfter(machineIn("registered"), event, at)).toMatchObject({
    state: "retiring",
    reason: "interrupted",
    detail: "soon",
  });
  const busy = machineIn("busy");
  expect(machineAfter(busy, event, at)).toBe(busy);
});

// ------------------------------------------------------------------------------------------ properties

const anyEvent = fc.oneof(
  ...Object.values(events).map((event) => fc.constant(event)),
  fc.constantFrom<MachineEvent>(
    { kind: "contacted" },
    { kind: "listening" },
    { kind: "job-started" },
    { kind: "exited", exitCode: 1, ranJob: false },
    { kind: "retire", because: "operator", detail: "", forced: true },
    { kind: "fence", answer: "passed" },
    { kind: "fence", answer: "refused" },
    { kind: "missing" },
    { kind: "seen" },
  ),
);

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) frozen(member);
    Object.freeze(value);
  }
  return value;
}

describe("any sequence of events", () => {
  it("moves no machine backwards, changes none in place, and never the reason of its end", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (sequence) => {
        let before = frozen(machine());
        sequence.forEach((event, index) => {
          const after = frozen(machineAfter(before, event, start + index));
          expect(isBeforeMachineState(after.state, before.state)).toBe(false);
          if (before.reason !== undefined) expect(after.reason).toBe(before.reason);
          if (before.state === "ended") expect(after).toBe(before);
          before = after;
        });
      }),
    );
  });

  it("gives the same object when an event comes a second time", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 15 }), anyEvent, (sequence, event) => {
        const before = sequence.reduce((last, next) => machineAfter(last, next, at), machine());
        const once = machineAfter(before, event, at);
        const repeatable = event.kind !== "bound" && event.kind !== "minted" && event.kind !== "contacted";
        if (repeatable) expect(machineAfter(once, event, at)).toBe(once);
        else expect(machineAfter(once, event, at)).toEqual(once);
      }),
    );
  });

  it("gives every machine that is not ended its record of an end when it ends", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (sequence) => {
        const last = sequence.reduce((before, event) => machineAfter(before, event, at), machine());
        expect(last.reason === undefined).toBe(isBeforeMachineState(last.state, "retiring"));
        expect(last.times.ended === undefined).toBe(last.state !== "ended");
      }),
    );
  });
});

/** What GitHub tells of one job that ran, or was cancelled in the queue. */
function lifeOf(ran: boolean): readonly JobEvent[] {
  const run = { startedAt: start + 5_000, runnerName: "mayfly-1" };
  const completed = {
    action: "completed",
    completedAt: start + 9_000,
    conclusion: ran ? "success" : "cancelled",
  };
  return [
    jobEvent({ action: "waiting" }),
    jobEvent({ action: "queued" }),
    ...(ran ? [jobEvent({ action: "in_progress", ...run })] : []),
    jobEvent({ ...completed, ...(ran && run) } as Partial<JobEvent>),
  ];
}

function endOf(deliveries: readonly JobEvent[]): Job {
  const [first, ...rest] = deliveries;
  if (first === undefined) throw new Error("There is no delivery.");
  return rest.reduce(
    (before, event) => {
      const after = frozen(jobAfter(frozen(before), event));
      expect(isBeforeJobState(after.state, before.state)).toBe(false);
      if (before.state === "done") expect(after).toBe(before);
      expect(jobAfter(after, event)).toBe(after);
      return after;
    },
    newJob(first, "fleet-a"),
  );
}

describe("the deliveries of one job", () => {
  it.each([true, false])("end in the same job in any order and number (it ran: %s)", (ran) => {
    const life = lifeOf(ran);
    const { queued: _, ...expected } = endOf(life).times as Job["times"] & { queued?: number };
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...life, ...life, ...life], { minLength: 1 }).map((some) => [...some, ...life]),
        (deliveries) => {
          const { queued: __, ...times } = endOf(deliveries).times as Job["times"] & { queued?: number };
          expect(times).toEqual(expected);
          expect(endOf(deliveries)).toMatchObject({
            state: "done",
            outcome: { kind: "completed", conclusion: ran ? "success" : "cancelled" },
          });
        },
      ),
    );
  });

  it("give a cancelled job no start", () => {
    expect(endOf(lifeOf(false)).times.started).toBeUndefined();
  });

  it("do not bring back a job that was given up", () => {
    const outcome = { kind: "given-up", because: "deadline-passed", detail: "" } as const;
    const done = jobGivenUp(job(), outcome, at);
    for (const event of lifeOf(true)) expect(jobAfter(done, event)).toBe(done);
  });
});

it("what a job needs is kept once GitHub has told it", () => {
  const running = jobAfter(job(), jobEvent({ action: "in_progress", usesContainers: true }));
  expect(running.usesContainers).toBe(true);
  expect(jobAfter(running, jobEvent({ action: "completed" })).usesContainers).toBe(true);
  expect(jobAfter(job(), jobEvent({ action: "completed", usesContainers: true })).usesContainers).toBe(true);
});
