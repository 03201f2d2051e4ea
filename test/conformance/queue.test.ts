import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createManualClock } from "../../src/adapters/clock/manual.ts";
import { createMemoryQueue } from "../../src/adapters/queue/memory.ts";
import { createSqliteQueue } from "../../src/adapters/queue/sqlite.ts";
import { openDatabase } from "../../src/adapters/sqlite/database.ts";
import { describeQueue } from "./queue.ts";

describeQueue("memory", async (options) => {
  const clock = createManualClock();
  return {
    queue: createMemoryQueue("notes", clock, options),
    other: createMemoryQueue("other notes", clock, options),
    clock,
    close: async () => {},
  };
});

describeQueue("sqlite", async (options) => {
  const clock = createManualClock();
  const folder = await mkdtemp(join(tmpdir(), "mayfly-queue-"));
  const path = join(folder, "mayfly.db");
  let database = openDatabase(path);
  return {
    queue: await createSqliteQueue(database, "notes", clock, options),
    other: await createSqliteQueue(database, "other notes", clock, options),
    clock,
    async reopen() {
      await database.close();
      database = openDatabase(path);
      return createSqliteQueue(database, "notes", clock, options);
    },
    async close() {
      await database.close();
      await rm(folder, { recursive: true });
    },
  };
});
