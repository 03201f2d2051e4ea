import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fleetRecord, job, jobEvent, machine, start } from "../../test/builders.ts";
import { jobAttributed, jobNoted } from "./attribution.ts";
import { demandOf, isPresumedRunning } from "./demand.ts";
import { jobAfter, type MachineEvent, machineAfter } from "./lifecycle.ts";
import type { Binding, Job, Ledger, Machine } from "./model.ts";

const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
const labels = ["self-hosted", "linux", "x64"];

/** A machine whose runner listens, registered for this job. */
function listening(id: string, jobId: number, overrides: Partial<Binding> = {}): Machine {
  return machine({
    id,
    state: "registered",
    binding: { jobId, repository: "acme/app", scope, labels, ...overrides },
    registration: { runnerId: 1, scope },
    times: { claimed: start, registered: start, online: start },
  });
}

/** A fleet with so many queued jobs, 1, 2…, each claimed by a machine that listens: m-1, m-2… */
function claimed(count: number): Ledger {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  return ledgerOf(
    numbers.map((id) => job({ id, labels, machineId: `m-${id}` })),
    numbers.map((id) => listening(`m-${id}`, id)),
  );
}

function ledgerOf(jobs: readonly Job[], machines: readonly Machine[]): Ledger {
  return { fleet: "fleet-a", version: 1, record: fleetRecord(), jobs, machines };
}

/** The ledger after an event of this machine. */
function said(ledger: Ledger, id: string, event: MachineEvent, at: number): Ledger {
  const before = ledger.machines.find((entry) => entry.id === id)!;
  const after = machineAfter(before, event, at);
  if (after === before) return ledger;
  const noted = jobNoted(ledger, after, event, at);
  return changed(ledger, noted === undefined ? [] : [noted], [after]);
}

/** The ledger after GitHub said that this job, perhaps of another fleet, runs or ran on this machine. */
function heard(
  ledger: Ledger,
  action: "in_progress" | "completed",
  id: string,
  jobId: number,
  at: number,
): Ledger {
  const event = jobEvent({ action, id: jobId, runnerName: id, receivedAt: at });
  const runner = ledger.machines.find((entry) => entry.id === id)!;
  const jobs = ledger.jobs.filter((entry) => entry.id === jobId).map((entry) => jobAfter(entry, event));
  const other = jobAttributed(ledger, runner, event);
  const kind = action === "in_progress" ? "job-started" : "job-finished";
  const after = machineAfter(runner, { kind, jobId }, at);
  return changed(ledger, [...jobs, ...(other === undefined ? [] : [other])], [after]);
}

function changed(ledger: Ledger, jobs: readonly Job[], machines: readonly Machine[]): Ledger {
  const put = <T extends { readonly id: unknown }>(
    list: readonly T[],
    entries: readonly T[],
  ): readonly T[] => {
    for (const entry of entries) expect(list.map((old) => old.id)).toContain(entry.id);
    expect(new Set(entries.map((entry) => entry.id)).size).toBe(entries.length);
    return list.map((old) => entries.find((entry) => entry.id === old.id) ?? old);
  };
  return { ...ledger, jobs: put(ledger.jobs, jobs), machines: put(ledger.machines, machines) };
}

const presumedOn = (ledger: Ledger) =>
  Object.fromEntries(ledger.jobs.filter(isPresumedRunning).map((some) => [some.id, some.presumedOn]));
const starts: MachineEvent = { kind: "job-started" };
const exits: MachineEvent = { kind: "exited", exitCode: 0, ranJob: true };

describe("a machine that says that it runs a job, and not which", () => {
  it("is presumed to run the job that it claimed, from then on", () => {
    const ledger = said(claimed(2), "m-2", starts, start + 5);
    expect(ledger.jobs[1]).toMatchObject({ id: 2, presumedAt: start + 5, presumedOn: "m-2" });
    expect(presumedOn(ledger)).toEqual({ 2: "m-2" });
  });

  it("is presumed to run the job that is left over when its own is taken", () => {
    const ledger = heard(claimed(2), "in_progress", "m-2", 1, start + 1);
    expect(presumedOn(said(ledger, "m-1", starts, start + 2))).toEqual({ 2: "m-1" });
    expect(presumedOn(said(ledger, "m-1", exits, start + 2))).toEqual({ 2: "m-1" });
  });

  it("is not presumed to run a job that its runner cannot get", () => {
    const gpu = [...labels, "gpu"];
    const before = ledgerOf(
      [job({ id: 1, labels }), job({ id: 2, labels: gpu, machineId: "m-2" })],
      [listening("m-1", 1), listening("m-2", 2, { labels: gpu })],
    );
    const ledger = heard(before, "in_progress", "m-2", 1, start + 1);
    expect(presumedOn(said(ledger, "m-1", starts, start + 2))).toEqual({});
  });

  it("is not presumed to run a job that had no machine anyway", () => {
    const late = job({ id: 4, labels, times: { created: start } });
    const ledger = ledgerOf([late, job({ id: 3, labels })], [listening("m-1", 1)]);
    expect(presumedOn(said(ledger, "m-1", starts, start + 1))).toEqual({ 3: "m-1" });
  });

  it("is presumed to run the one that lost its machine, not one that it could have run before", () => {
    const small = job({ id: 4, labels: labels.slice(1), times: { created: start - 9_000 } });
    const ledger = ledgerOf([small, job({ id: 3, labels })], [listening("m-1", 1)]);
    expect(presumedOn(said(ledger, "m-1", starts, start + 1))).toEqual({ 3: "m-1" });
    const crossed = heard(claimed(3), "in_progress", "m-3", 2, start + 1);
    expect(presumedOn(said(crossed, "m-2", starts, start + 2))).toEqual({ 3: "m-2" });
  });

  it("that claimed none is presumed to run none", () => {
    const { binding: _, ...unbound } = listening("m-1", 1);
    const ledger = ledgerOf([job({ id: 1, labels })], [unbound]);
    for (const event of [starts, exits, { kind: "listening" } as const]) {
      expect(jobNoted(ledger, unbound, event, start + 1)).toBeUndefined();
    }
  });

  it("says nothing when it ran none, or when GitHub has named its job", () => {
    const idle: MachineEvent = { kind: "exited", exitCode: 0, ranJob: false };
    expect(presumedOn(said(claimed(1), "m-1", idle, start + 1))).toEqual({});
    expect(presumedOn(said(claimed(1), "m-1", { kind: "contacted" }, start + 1))).toEqual({});
    const named = heard(claimed(3), "in_progress", "m-1", 3, start + 1);
    expect(presumedOn(said(named, "m-1", exits, start + 2))).toEqual({});
  });

  it("says nothing new at its end: GitHub may have been asked since it began, and the job that it claimed still waits", () => {
    const ledger = said(claimed(1), "m-1", starts, start + 1);
    const asked = changed(ledger, [{ ...ledger.jobs[0]!, checkedAt: start + 2 }], []);
    expect(presumedOn(said(asked, "m-1", exits, start + 3))).toEqual({});
  });

  it("is told apart from one that says so in the same instant", () => {
    const both = said(said(claimed(2), "m-1", starts, start), "m-2", starts, start);
    expect(presumedOn(both)).toEqual({ 1: "m-1", 2: "m-2" });
    expect(presumedOn(heard(both, "in_progress", "m-2", 2, start + 1))).toEqual({ 1: "m-1" });
  });
});

describe("a machine that says which job it runs", () => {
  const named = (jobId: number): MachineEvent => ({ kind: "job-started", jobId });

  it("frees the one that it was presumed to run", () => {
    const ledger = said(claimed(2), "m-1", starts, start + 1);
    const free = said(ledger, "m-1", named(2), start + 2);
    expect(free.jobs[0]).toEqual(claimed(2).jobs[0]);
    expect(presumedOn(said(ledger, "m-1", named(1), start + 2))).toEqual({ 1: "m-1" });
    expect(presumedOn(said(ledger, "m-2", named(2), start + 2))).toEqual({ 1: "m-1" });
  });

  it("frees it too when it says so at the end", () => {
    const ledger = said(claimed(2), "m-1", starts, start + 1);
    const free = said(ledger, "m-1", { kind: "job-finished", jobId: 9 }, start + 2);
    expect(free.jobs[0]).toEqual(claimed(2).jobs[0]);
  });

  it("frees none that runs by now", () => {
    const running = { ...job({ id: 1, state: "running" }), presumedAt: start, presumedOn: "m-1" };
    expect(jobNoted(ledgerOf([running], []), listening("m-1", 1), named(2), start + 1)).toBeUndefined();
  });
});

describe("a runner that listens", () => {
  it("begins GitHub's part of the wait of the job that its machine claimed, once", () => {
    const at = (ledger: Ledger, machineId: string, when: number) =>
      jobNoted(ledger, listening(machineId, 2), { kind: "listening" }, when);
    expect(at(claimed(2), "m-2", start + 9)).toEqual({
      ...claimed(2).jobs[1],
      times: { ...claimed(2).jobs[1]!.times, online: start + 9 },
    });
    expect(at(claimed(1), "m-2", start + 9)).toBeUndefined();
    expect(at(ledgerOf([job({ id: 2, times: { online: start } })], []), "m-2", start + 9)).toBeUndefined();
    expect(jobNoted(claimed(2), listening("m-2", 2), { kind: "seen" }, start + 9)).toBeUndefined();
  });
});

describe("GitHub's word on one job", () => {
  it("of a runner that is not ours says nothing of another", () => {
    const ledger = said(claimed(2), "m-1", starts, start + 1);
    expect(jobAttributed(ledger, undefined, jobEvent({ action: "in_progress", id: 2 }))).toBeUndefined();
  });

  it("frees the job that was presumed on the runner's account", () => {
    const ledger = said(claimed(2), "m-1", starts, start + 1);
    const free = heard(ledger, "in_progress", "m-1", 2, start + 2);
    expect(free.jobs[0]).toEqual(claimed(2).jobs[0]);
    const jobs = ledger.jobs.map((some) => ({ ...some, checkedAt: start + 2 }));
    const asked = heard({ ...ledger, jobs }, "in_progress", "m-1", 2, start + 3);
    expect(asked.jobs[0]?.presumedAt).toBeUndefined();
  });

  it("hands it on to the machine that runs a job without a name, since when it does", () => {
    // GitHub gives 2 to m-1 and 1 to m-2, and says so before either machine does, and of 2 first.
    const told = heard(said(claimed(2), "m-1", starts, start + 1), "in_progress", "m-1", 2, start + 2);
    expect(presumedOn(said(told, "m-2", starts, start + 3))).toEqual({ 1: "m-2" });
    // The other way round: both say that they run one, and 2 is presumed of the machine that runs 1.
    const both = said(said(claimed(2), "m-1", starts, start + 1), "m-2", starts, start + 2);
    const handed = heard(both, "in_progress", "m-1", 2, start + 3);
    expect(handed.jobs[0]).toMatchObject({ presumedAt: start + 2, presumedOn: "m-2" });
    const ended = heard(said(both, "m-2", exits, start + 3), "in_progress", "m-1", 2, start + 4);
    expect(presumedOn(ended)).toEqual({ 1: "m-2" });
  });

  it("hands it on to no machine that has a job, by its name or by presumption", () => {
    const all = [1, 2, 3].reduce((last, id) => said(last, `m-${id}`, starts, start + id), claimed(3));
    expect(presumedOn(heard(all, "in_progress", "m-1", 3, start + 9))).toEqual({ 1: "m-3", 2: "m-2" });
    const named = heard(claimed(3), "in_progress", "m-3", 3, start);
    const told = heard(said(named, "m-1", starts, start + 1), "in_progress", "m-1", 2, start + 2);
    expect(presumedOn(told)).toEqual({});
  });

  it("hands it on to a machine whose presumed job GitHub has since called queued", () => {
    const both = said(said(claimed(2), "m-1", starts, start + 1), "m-2", starts, start + 2);
    const asked = { ...both, jobs: both.jobs.map((some) => ({ ...some, checkedAt: start + 3 })) };
    const third = job({ id: 3, labels });
    const more = {
      ...asked,
      jobs: [...asked.jobs, third],
      machines: [...asked.machines, listening("m-3", 3)],
    };
    const told = heard(said(more, "m-3", starts, start + 4), "in_progress", "m-3", 9, start + 5);
    expect(told.jobs[2]).toMatchObject({ id: 3, presumedAt: start + 1, presumedOn: "m-1" });
  });

  it("hands on nothing that runs by now, and not the job that it is about", () => {
    const told = heard(said(claimed(2), "m-1", starts, start + 1), "in_progress", "m-2", 1, start + 2);
    const second = jobEvent({ action: "in_progress", id: 2, runnerName: "m-1" });
    expect(jobAttributed(told, told.machines[0], second)).toBeUndefined();
    const one = job({ id: 1, labels });
    const nameless = { ...listening("m-2", 9), times: { requested: start, started: start } };
    const ledger = ledgerOf([one], [listening("m-1", 1), nameless]);
    const event = jobEvent({ action: "in_progress", id: 1, runnerName: "m-1" });
    expect(jobAttributed(ledger, ledger.machines[0], event)).toBeUndefined();
  });

  it("hands it on to a machine whose runner can get it, and to no other", () => {
    const gpu = job({ id: 1, labels: [...labels, "gpu"] });
    const plain = [2, 3].map((id) => job({ id, labels }));
    const offers = { labels: gpu.labels };
    const run = (machines: readonly Machine[]) => {
      const ledger = ledgerOf([gpu, ...plain], [listening("m-1", 1, offers), ...machines]);
      const all = ledger.machines.reduce(
        (last, { id }, index) => said(last, id, starts, start + index),
        ledger,
      );
      // GitHub was asked about the others in the meantime.
      const jobs = all.jobs.map((some) => (some.id === 1 ? some : { ...some, checkedAt: start + 8 }));
      return presumedOn(heard({ ...all, jobs }, "in_progress", "m-1", 2, start + 9));
    };
    expect(run([listening("m-2", 2)])).toEqual({});
    expect(run([listening("m-2", 2), listening("m-3", 3, offers)])).toEqual({ 1: "m-3" });
  });

  it("hands it on to no machine that ran its job before that one was there, as far as clocks agree", () => {
    const one = job({ id: 1, labels, times: { created: start } });
    const begun = (secondsBefore: number): Machine => ({
      ...listening("m-2", 9),
      times: { requested: start - 600_000, started: start - secondsBefore * 1_000 },
    });
    const run = (machine: Machine) => {
      const ledger = said(ledgerOf([one], [listening("m-1", 1), machine]), "m-1", starts, start + 1);
      return presumedOn(heard(ledger, "in_progress", "m-1", 2, start + 2));
    };
    expect(run(begun(61))).toEqual({});
    expect(run(begun(60))).toEqual({ 1: "m-2" });
  });
});

/** Who says what of a machine, in this order. Any of it may be lost. */
const words = { machine: [starts, exits], github: ["in_progress", "completed"] } as const;

it("as many jobs as machines need no other machine, whatever GitHub gives to whom, and whoever says so first", () => {
  const stories = fc.integer({ min: 1, max: 5 }).chain((count) => {
    const ids = Array.from({ length: count }, (_, index) => index + 1);
    const sources = (["machine", "github"] as const).flatMap((by) => ids.map((id) => ({ by, id })));
    return fc.record({
      jobsOfMachines: fc.shuffledSubarray(ids, { minLength: count }),
      said: fc.shuffledSubarray([...sources, ...sources]),
      /** How many things are said in the same instant. */
      atOnce: fc.integer({ min: 1, max: 3 }),
    });
  });
  fc.assert(
    fc.property(stories, (story) => {
      let ledger = claimed(story.jobsOfMachines.length);
      story.said.forEach(({ by, id }, index) => {
        const at = start + Math.floor(index / story.atOnce);
        const before = story.said.slice(0, index).some((entry) => entry.by === by && entry.id === id);
        const word = words[by][before ? 1 : 0];
        ledger =
          typeof word === "string"
            ? heard(ledger, word, `m-${id}`, story.jobsOfMachines[id - 1]!, at)
            : said(ledger, `m-${id}`, word, at);
        expect(demandOf(ledger).unserved).toEqual([]);
      });
    }),
    { numRuns: 300 },
  );
});
