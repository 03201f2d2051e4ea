import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSystemClock } from "../src/adapters/clock/system.ts";
import { createSqliteQueue } from "../src/adapters/queue/sqlite.ts";
import { type Database, openDatabase } from "../src/adapters/sqlite/database.ts";
import { createSqliteStore } from "../src/adapters/store/sqlite.ts";
import type { Change, Poke } from "../src/core/model.ts";
import type { Store } from "../src/ports/store.ts";
import { fleetRecord, job, machine } from "../test/builders.ts";

export type Print = (line: string) => void;

/**
 * Measures the SQLite store and queue on the disk of the temporary folder: durable deliveries (`addJob`, then
 * `send`) a second, and `load` and `commit` of large fleets, on an empty database and on one with a long history.
 */
export async function benchStore(print: Print): Promise<void> {
  for (const callers of [1, 16, 64]) {
    await inFreshDatabase((database) => deliveries(database, callers, print));
  }
  for (const entries of [1_000, 10_000]) {
    await inFreshDatabase((database) => largeFleet(createSqliteStore(database), entries, print));
  }
  await inFreshDatabase((database) => longHistory(database, print));
}

async function deliveries(database: Database, callers: number, print: Print): Promise<void> {
  const store = createSqliteStore(database);
  const queue = await createSqliteQueue<Poke>(database, "pokes", createSystemClock());
  const count = callers === 1 ? 2_000 : 20_000;
  const tookMilliseconds: number[] = [];
  let nextId = 0;
  const deliver = async (): Promise<void> => {
    while (nextId < count) {
      const id = nextId;
      nextId += 1;
      const fleet = `fleet-${id % 20}`;
      const begun = performance.now();
      await store.addJob(fleetRecord({ id: fleet }), job({ id, fleet }));
      await queue.send({ stage: "scaleup", fleet });
      tookMilliseconds.push(performance.now() - begun);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: callers }, deliver));
  const seconds = (performance.now() - begun) / 1_000;
  tookMilliseconds.sort((left, right) => left - right);
  const p50 = tookMilliseconds[Math.floor(count * 0.5)] ?? 0;
  const p99 = tookMilliseconds[Math.floor(count * 0.99)] ?? 0;
  const perSecond = Math.round(count / seconds);
  print(`deliveries, ${callers} callers: ${perSecond}/s, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
}

async function largeFleet(store: Store, entries: number, print: Print): Promise<void> {
  for (let first = 0; first < entries; first += store.changesPerCommit) {
    const { version } = await store.load("fleet-a");
    const changes = Array.from(
      { length: Math.min(store.changesPerCommit, entries - first) },
      (_, index): Change => {
        const id = first + index;
        return id % 2 === 0
          ? { put: "job", job: job({ id }) }
          : { put: "machine", machine: machine({ id: `mayfly-${id}`, providerId: `i-${id}` }) };
      },
    );
    await store.commit("fleet-a", version, changes);
  }
  const again = await measure(1_000, () => store.load("fleet-a"));
  let version = (await store.load("fleet-a")).version;
  const round = await measure(500, async (turn) => {
    await store.load("fleet-a");
    await store.commit("fleet-a", version, [{ put: "job", job: job({ id: 0, runId: turn }) }]);
    version += 1;
  });
  const hundred = await measure(50, async (turn) => {
    await store.load("fleet-a");
    const changes = Array.from({ length: 100 }, (_, index): Change => {
      return { put: "job", job: job({ id: index * 2, runId: turn }) };
    });
    await store.commit("fleet-a", version, changes);
    version += 1;
  });
  print(
    `fleet of ${entries}: load again ${again} ms, load and commit 1 change ${round} ms, 100 changes ${hundred} ms`,
  );
}

async function longHistory(database: Database, print: Print): Promise<void> {
  const store = createSqliteStore(database);
  const ended = 100_000;
  for (let first = 0; first < ended; first += store.changesPerCommit) {
    const changes = Array.from({ length: store.changesPerCommit }, (_, index): Change => {
      const id = first + index;
      return { put: "job", job: job({ id, state: "done", times: { started: id, completed: id } }) };
    });
    await store.commit("fleet-a", first / store.changesPerCommit, changes);
  }
  await store.addJob(fleetRecord(), job({ id: ended }));
  const history = await measure(100, () => store.history(0, 100));
  const usage = await measure(100, () => store.usage(0));
  const repositories = await measure(100, () => store.recentRepositories(0));
  const counters = await measure(100, () => store.counters());
  const fleets = await measure(100, () => store.activeFleets());
  print(
    `history of ${ended} jobs: newest 100 ${history} ms, sums of all ${usage} ms, repositories ${repositories} ms, counters ${counters} ms, active fleets ${fleets} ms`,
  );
  await database.close();
  const reopen = await measure(1, async () => openDatabase(database.path).close());
  print(`history of ${ended} jobs: open, check and close the file ${reopen} ms`);
}

/** Mean milliseconds of one call. */
async function measure(times: number, call: (turn: number) => Promise<unknown>): Promise<string> {
  const begun = performance.now();
  for (let turn = 0; turn < times; turn += 1) await call(turn);
  return ((performance.now() - begun) / times).toFixed(3);
}

async function inFreshDatabase(run: (database: Database) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-bench-"));
  const database = openDatabase(join(folder, "mayfly.db"));
  try {
    await run(database);
  } finally {
    await database.close();
    await rm(folder, { recursive: true });
  }
}
