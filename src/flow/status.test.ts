import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, policy, start } from "../../test/builders.ts";
import { createManualClock } from "../adapters/clock/manual.ts";
import { createMemoryLog } from "../adapters/log/memory.ts";
import { createMemoryStore } from "../adapters/store/memory.ts";
import type { Store } from "../ports/store.ts";
import { readStatus, readTrace } from "./status.ts";

const hour = 3_600_000;

/** A job of five minutes, and its machine, that ended so many hours after midnight. */
async function addEnded(store: Store, id: number, hours: number): Promise<void> {
  const completed = start + hours * hour;
  const times = { started: completed - 300_000, completed };
  const outcome = { kind: "completed", conclusion: "success" } as const;
  await store.addJob(fleetRecord(), job({ id, state: "done", outcome, times }));
  const ended = { launched: completed - hour / 2, ended: completed };
  const { version } = await store.load("fleet-a");
  await store.commit("fleet-a", version, [
    { put: "machine", machine: machine({ id: `m-${id}`, state: "ended", pricePerHourUsd: 2, times: ended }) },
  ]);
}

describe("the status of a long day", () => {
  it("adds up all of it, and reads no more than is shown", async () => {
    const store = createMemoryStore();
    const clock = createManualClock(start + 23 * hour);
    for (let id = 1; id <= 22; id++) await addEnded(store, id, id);
    await addEnded(store, 23, 22.5);
    let entriesRead = 0;
    const counting: Store = {
      ...store,
      async history(since, limit, before) {
        const found = await store.history(since, limit, before);
        entriesRead += found.jobs.length + found.machines.length;
        return found;
      },
    };
    const github = { budgets: () => [] };
    const options = { version: "1", problems: [], listLimit: 5 };
    const status = await readStatus(
      { store: counting, clock, github, log: createMemoryLog() },
      policy(),
      options,
    );
    expect(status.cost.todayUsd).toBeCloseTo(23);
    expect(status.cost.githubHostedTodayUsd).toBeCloseTo(23 * 5 * 0.006);
    expect(status.jobs.completedLastHour).toBe(1);
    expect(status.recentJobs.map(({ id }) => id)).toEqual([23, 22, 21, 20, 19]);
    expect(entriesRead).toBeLessThanOrEqual(2 * (2 + 5));
  });
});

it("a trace has the jobs that ran, the first to end first, and the number of the others", async () => {
  const store = createMemoryStore();
  for (const [id, hours] of [4, 2, 3].entries()) await addEnded(store, id, hours);
  await store.addJob(fleetRecord(), job({ id: 9, state: "done", times: { completed: start + 2.5 * hour } }));
  const { jobs, neverRan } = await readTrace({ store }, start + 2 * hour, start + 4 * hour);
  expect(neverRan).toBe(1);
  expect(jobs.map((each) => each.durationSeconds)).toEqual([300, 300]);
});
