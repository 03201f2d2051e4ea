import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSqliteQueue } from "../../src/adapters/queue/sqlite.ts";
import { openDatabase } from "../../src/adapters/sqlite/database.ts";
import { createSqliteStore } from "../../src/adapters/store/sqlite.ts";

const child = fileURLToPath(new URL("./sqlite-crash-child.ts", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-crash-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

it("loses nothing that was promised when the process is killed, and opens at once", async () => {
  const path = join(folder, "mayfly.db");
  const promised: number[] = [];
  const rounds = 5;
  for (let round = 0; round < rounds; round += 1) {
    // Some tens of milliseconds into the writing, each time another moment.
    promised.push(...(await addJobsUntilKilled(path, round * 1_000_000, 10 + Math.random() * 150)));
    const database = openDatabase(path);
    const store = createSqliteStore(database);
    const queue = await createSqliteQueue(database, "jobs", createSystemClock());
    const lost = [];
    for (const id of promised) if ((await store.findJob(id)) === undefined) lost.push(id);
    expect(lost).toEqual([]);
    expect((await store.load("fleet-a")).jobs.length).toBeGreaterThanOrEqual(promised.length);
    expect((await queue.depth()).waiting).toBeGreaterThanOrEqual(promised.length);
    await database.close();
  }
  expect(promised.length).toBeGreaterThan(rounds);
});

/** The ids that the child printed before it was killed, `milliseconds` after the first one. */
async function addJobsUntilKilled(path: string, firstId: number, milliseconds: number): Promise<number[]> {
  const writer = spawn(process.execPath, [child, path, String(firstId)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(writer, "close");
  let printed = "";
  writer.stdout.setEncoding("utf8");
  writer.stdout.on("data", (text: string) => {
    if (printed === "") setTimeout(() => writer.kill("SIGKILL"), milliseconds);
    printed += text;
  });
  const [, signal] = await ended;
  expect(signal).toBe("SIGKILL");
  // The last line may be cut.
  return printed.split("\n").slice(0, -1).map(Number);
}
