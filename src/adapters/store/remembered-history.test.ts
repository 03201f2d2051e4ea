import { expect, it } from "vitest";
import { fleetRecord, job, machine } from "../../../test/builders.ts";
import type { Job, Machine } from "../../core/model.ts";
import type { Store } from "../../ports/store.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryStore } from "./memory.ts";
import { rememberHistory } from "./remembered-history.ts";

const all = Number.MAX_SAFE_INTEGER;
const hour = 3_600_000;

async function place() {
  const clock = createManualClock();
  const memory = createMemoryStore();
  const read: number[] = [];
  const counting: Store = {
    ...memory,
    async history(...asked) {
      const found = await memory.history(...asked);
      read.push(found.jobs.length + found.machines.length);
      return found;
    },
  };
  const end = async (id: number, at = clock.now()): Promise<void> => {
    const { version } = await memory.load("fleet-a");
    const ended: Job = job({
      ...{ id, state: "done", outcome: { kind: "completed", conclusion: "success" } },
      times: { completed: at },
    });
    const gone: Machine = machine({ id: `m-${id}`, state: "ended", times: { ended: at } });
    await memory.commit("fleet-a", version, [
      { put: "fleet", record: fleetRecord() },
      { put: "job", job: ended },
      { put: "machine", machine: gone },
    ]);
  };
  return { clock, memory, read, end, store: rememberHistory(counting, clock) };
}

it("reads again only what has ended since, and answers what the store would", async () => {
  const { clock, memory, read, end, store } = await place();
  for (let id = 1; id <= 50; id += 1) {
    await end(id);
    await clock.advance(60_000);
    const since = clock.now() - hour / 2;
    expect(await store.history(since, all)).toEqual(await memory.history(since, all));
  }
  const whole = read.filter((count) => count > 6);
  // Every five minutes all of the half hour; in between what is two minutes old.
  expect(read).toHaveLength(50);
  expect(whole.length).toBeLessThanOrEqual(10);
});

it("shows at last what was put in its place long after its end", async () => {
  const { clock, end, store } = await place();
  await store.history(clock.now() - hour, all);
  await clock.advance(200_000);
  await end(1, clock.now() - 270_000);
  expect((await store.history(clock.now() - hour, all)).jobs).toEqual([]);
  await clock.advance(100_001);
  expect((await store.history(clock.now() - hour, all)).jobs).toHaveLength(1);
});

it("reads as ever what is asked for with a limit or with an end", async () => {
  const { clock, read, end, store } = await place();
  for (const id of [1, 2, 3]) await end(id);
  expect((await store.history(0, 2)).jobs).toHaveLength(2);
  expect((await store.history(0, all, clock.now())).jobs).toEqual([]);
  expect((await store.history(0, all, clock.now() + 1)).jobs).toHaveLength(3);
  expect(read).toEqual([4, 0, 6]);
});
