import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/sqlite/database.ts";
import { applicationId, migrations } from "../../src/adapters/sqlite/schema.ts";
import { createMemoryStore } from "../../src/adapters/store/memory.ts";
import { createSqliteStore } from "../../src/adapters/store/sqlite.ts";
import { job, machine, start } from "../builders.ts";
import { describeStore } from "./store.ts";

describeStore("memory", async () => ({ store: createMemoryStore(), close: async () => {} }));

describeStore("sqlite", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-store-"));
  const path = join(folder, "mayfly.db");
  let database = openDatabase(path);
  return {
    store: createSqliteStore(database),
    async reopen() {
      await database.close();
      database = openDatabase(path);
      return createSqliteStore(database);
    },
    async close() {
      await database.close();
      await rm(folder, { recursive: true });
    },
  };
});

test("a database of the first version gets sums of the history that it has", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-store-"));
  const path = join(folder, "mayfly.db");
  const connection = new DatabaseSync(path);
  connection.exec(`${migrations[0]}; PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1`);
  const done = job({ state: "done", times: { started: start, completed: start + 90_000 } });
  const times = { launched: start, ended: start + 3_600_000 };
  const ended = machine({ state: "ended", pricePerHourUsd: 0.25, times });
  connection
    .prepare("INSERT INTO jobs (id, fleet, ended_at, document) VALUES (?, ?, ?, ?)")
    .run(done.id, done.fleet, start + 90_000, JSON.stringify(done));
  connection
    .prepare("INSERT INTO machines (id, fleet, compute, ended_at, document) VALUES (?, ?, ?, ?, ?)")
    .run(ended.id, ended.fleet, ended.compute, times.ended, JSON.stringify(ended));
  connection.close();

  const database = openDatabase(path);
  const store = createSqliteStore(database);
  expect(await store.history(start, 10)).toEqual({ jobs: [done], machines: [ended] });
  expect(await store.usage(start)).toEqual([
    { fleet: "fleet-a", hostedMinutes: 2, machineSeconds: 3_600, costUsd: 0.25 },
  ]);
  await database.close();
  await rm(folder, { recursive: true });
});
