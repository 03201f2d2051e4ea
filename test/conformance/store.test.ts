import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../src/adapters/sqlite/database.ts";
import { createMemoryStore } from "../../src/adapters/store/memory.ts";
import { createSqliteStore } from "../../src/adapters/store/sqlite.ts";
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
