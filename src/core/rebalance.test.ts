import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, policy, repository, start } from "../../test/builders.ts";
import type { Job, Machine } from "./model.ts";
import {
  believedQueued,
  type DeliveryAttempt,
  deliveriesToRedeliver,
  jobChecked,
  jobsToCheck,
  machinesToCheck,
  missingJobs,
} from "./rebalance.ts";

const now = start + 3_600_000;

function attempt(overrides: Partial<DeliveryAttempt> = {}): DeliveryAttempt {
  return { id: 1, guid: "g", deliveredAt: start, succeeded: false, event: "workflow_job", ...overrides };
}

describe("deliveries that are sent again", () => {
  const due = (attempts: readonly DeliveryAttempt[]) =>
    deliveriesToRedeliver(attempts, now, 20).map((delivery) => delivery.id);

  it("are those that never succeeded, the newest attempt of each, oldest first", () => {
    expect(
      due([
        attempt({ id: 5, guid: "b", deliveredAt: start + 9_000 }),
        attempt({ id: 4, guid: "a", deliveredAt: start + 5_000 }),
        attempt({ id: 3, guid: "c", succeeded: true }),
        attempt({ id: 2, guid: "c" }),
        attempt({ id: 1, guid: "a" }),
      ]),
    ).toEqual([4, 5]);
  });

  it("are left alone when they are new, not about jobs, or were tried four times", () => {
    expect(due([attempt({ deliveredAt: now - 19_999 })])).toEqual([]);
    expect(due([attempt({ deliveredAt: now - 20_000 })])).toEqual([1]);
    expect(due([attempt({ event: "push" })])).toEqual([]);
    expect(due([1, 2, 3, 4].map((id) => attempt({ id })))).toEqual([]);
    expect(due([attempt({ id: 2 }), attempt({ id: 1 })])).toEqual([2]);
    expect(due([1, 2, 3].map((id) => attempt({ id, deliveredAt: start + id })))).toEqual([3]);
  });
});

describe("jobs that GitHub is asked about", () => {
  const none: ReadonlySet<number> = new Set();
  const checked = (
    jobs: readonly Job[],
    machines: readonly Machine[] = [],
    at = start + 60_000,
    listed = none,
  ) => {
    const ledger = { fleet: "fleet-a", version: 1, record: fleetRecord(), jobs, machines };
    return jobsToCheck([ledger], policy(), at, listed).map((some) => some.id);
  };
  const running = job({ id: 1, state: "running", times: { started: start } });

  it("are first those whose machine says that it runs one, once", () => {
    const presumed = { ...job({ id: 2 }), presumedAt: start + 50_000 };
    expect(checked([job({ id: 3 }), presumed])).toEqual([2]);
    expect(checked([job({ id: 3 }), presumed], [], start + 300_000)).toEqual([2, 3]);
    expect(checked([{ ...presumed, checkedAt: start + 55_000 }])).toEqual([]);
    expect(checked([presumed], [], start + 59_999)).toEqual([]);
    const earlier = { ...job({ id: 4 }), presumedAt: start, checkedAt: start - 1 };
    const unasked = { ...job({ id: 5 }), presumedAt: start };
    expect(checked([earlier, unasked])).toEqual([5, 4]);
  });

  it("are those that run on no machine that we know, after half a minute", () => {
    expect(checked([running], [], start + 29_999)).toEqual([]);
    expect(checked([running], [], start + 30_000)).toEqual([1]);
    expect(checked([running], [machine({ state: "busy", jobId: 1 })])).toEqual([]);
    expect(
      checked([running], [machine({ state: "retiring", jobId: 1, times: { finished: start } })]),
    ).toEqual([1]);
    expect(checked([{ ...running, checkedAt: start + 40_000 }])).toEqual([]);
  });

  it("are all of which nothing was heard for long, the longest unheard first", () => {
    const jobs = [
      { ...job({ id: 3 }), checkedAt: start + 2_000 },
      { ...job({ id: 4, state: "waiting" }), checkedAt: start + 1_000 },
      job({ id: 5 }),
    ];
    expect(checked(jobs, [], start + 299_999)).toEqual([]);
    expect(checked(jobs, [], start + 400_000)).toEqual([5, 4, 3]);
  });

  it("are taken from all fleets in one line", () => {
    const ledgerOf = (fleet: string, jobs: readonly Job[]) => {
      return { fleet, version: 1, record: fleetRecord(), jobs, machines: [] };
    };
    const first = ledgerOf("fleet-a", [{ ...job({ id: 4 }), checkedAt: start + 5_000 }, job({ id: 2 })]);
    const second = ledgerOf("fleet-b", [{ ...job({ id: 3 }), checkedAt: start + 2_000 }, running]);
    const asked = jobsToCheck([first, second], policy(), start + 400_000, none).map((some) => some.id);
    expect(asked).toEqual([running.id, 2, 3, 4]);
  });

  it("are none that have ended and are kept only until it is known whether they were lost", () => {
    const loss = { kind: "undecided", since: start, lookAt: start } as const;
    expect(checked([{ ...job({ id: 1, state: "done" }), loss }], [], start + 400_000)).toEqual([]);
  });

  it("are not those that GitHub has just listed as open, unless they should have ended long since", () => {
    const presumed = { ...job({ id: 4 }), presumedAt: start + 50_000 };
    const jobs = [running, job({ id: 2 }), job({ id: 3 }), presumed];
    expect(checked(jobs, [], start + 400_000, new Set([1, 3, 4]))).toEqual([4, 2]);
    const machines = [machine({ jobId: 1 })];
    expect(checked(jobs, machines, start + 400_000, new Set([1, 3, 4]))).toEqual([4, 2]);
    const longest = 5 * 24 * 3_600_000 + 3_600_000;
    expect(checked([running], machines, start + longest - 1, new Set([1]))).toEqual([]);
    expect(checked([running], machines, start + longest, new Set([1]))).toEqual([1]);
  });
});

it("a job that was asked about a short while ago is left out, but not in the first round of a process", () => {
  const asked = job({ id: 1, checkedAt: now - 1_000 });
  const running = job({ id: 2, state: "running" });
  const ledger = {
    fleet: "fleet-a",
    version: 1,
    record: fleetRecord(),
    jobs: [asked, running],
    machines: [],
  };
  expect(believedQueued(ledger, policy(), now, false)).toEqual([]);
  expect(believedQueued(ledger, policy(), now, true)).toEqual([asked]);
  const due = [job({ id: 3 }), job({ id: 4, checkedAt: now - 300_000 })];
  expect(believedQueued({ ...ledger, jobs: [...due, asked] }, policy(), now, false)).toEqual(due);
});

it("a job is missing when GitHub's list of its repository lacks it", () => {
  const [first, second] = [job({ id: 1 }), job({ id: 2 })];
  const other = job({ id: 3, repository: repository({ name: "other" }) });
  const believed = [first, second, other];
  expect(missingJobs(believed, { owner: "Acme", name: "App" }, [{ id: 2 }])).toEqual([first]);
  expect(missingJobs(believed, { owner: "acme", name: "other" }, [])).toEqual([other]);
});

it("a job that was asked about is as it was, but for when", () => {
  expect(jobChecked(job(), now)).toStrictEqual({ ...job(), checkedAt: now });
});

it("a job that a machine began to run while others were asked about is presumed to run for ten seconds more", () => {
  const presumed = job({ presumedAt: now - 9_999, presumedOn: "m", checkedAt: start });
  expect(jobChecked(presumed, now)).toBe(presumed);
  expect(jobChecked(presumed, now + 1)).toStrictEqual({ ...presumed, checkedAt: now + 1 });
});

it("a machine is looked for at GitHub when it runs for long, and no job that the ledger knows to be running", () => {
  const busy = (id: string, facts: Partial<Machine> = {}) =>
    machine({ id, state: "busy", ...facts, times: { started: start } });
  const jobs = [job({ id: 1, state: "running" }), job({ id: 2 })];
  const machines = [
    busy("with its job", { jobId: 1 }),
    busy("with a job that does not run", { jobId: 2 }),
    busy("with a job of nobody", { jobId: 3 }),
    busy("without a name for its job"),
    { ...busy("retiring"), state: "retiring" as const },
    machine({ id: "without a start", state: "busy" }),
  ];
  const due = (at: number) =>
    machinesToCheck(
      { fleet: "fleet-a", version: 1, record: fleetRecord(), jobs, machines },
      policy(),
      start + at,
    ).map(({ id }) => id);
  expect(due(299_999)).toEqual([]);
  expect(due(300_000)).toEqual([
    "with a job that does not run",
    "with a job of nobody",
    "without a name for its job",
  ]);
});
