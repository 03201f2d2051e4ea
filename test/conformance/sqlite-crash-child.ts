import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSqliteQueue } from "../../src/adapters/queue/sqlite.ts";
import { openDatabase } from "../../src/adapters/sqlite/database.ts";
import { createSqliteStore } from "../../src/adapters/store/sqlite.ts";
import { fleetRecord, job } from "../builders.ts";

// Adds jobs and sends their messages without end, and prints each id once both are promised to be durable.

const [, , path = "", firstId = "0"] = process.argv;
const database = openDatabase(path);
const store = createSqliteStore(database);
const queue = await createSqliteQueue<{ id: number }>(database, "jobs", createSystemClock());
let nextId = Number(firstId);

async function addForever(): Promise<never> {
  for (;;) {
    const id = nextId;
    nextId += 1;
    await store.addJob(fleetRecord(), job({ id }));
    await queue.send({ id });
    process.stdout.write(`${id}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, addForever));
