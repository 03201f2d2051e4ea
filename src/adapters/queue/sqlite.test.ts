import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createManualClock } from "../clock/manual.ts";
import { openDatabase } from "../sqlite/database.ts";
import { createSqliteQueue } from "./sqlite.ts";

it("lets receivers go when the database closes, and rejects later ones", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-queue-"));
  const database = openDatabase(join(folder, "mayfly.db"));
  const clock = createManualClock();
  const queue = await createSqliteQueue<string>(database, "notes", clock);
  const options = { limit: 1, visibilitySeconds: 30, waitSeconds: 20 };
  const waiting = queue.receive(options);
  await database.close();
  expect(await waiting).toEqual([]);
  expect(clock.sleepers).toBe(0);
  const refusal = { kind: "retry", code: "STORE_CLOSED" };
  await expect(queue.receive(options)).rejects.toMatchObject(refusal);
  await expect(queue.send("late")).rejects.toMatchObject(refusal);
  await rm(folder, { recursive: true });
});
