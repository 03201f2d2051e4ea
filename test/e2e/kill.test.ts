import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Job, Machine } from "../../src/core/model.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { killMachines, machineProcesses } from "../support/machine-leftovers.ts";
import { dataDirectoryOf, type ServerProcess, startServer, until } from "../support/server-process.ts";

/*
 * The server is killed, or asked to stop, in the middle of real jobs on real processes. Machines survive that by
 * design: they ask again until a server answers.
 */

let world: DemoWorld;
let server: ServerProcess | undefined;

beforeEach(async () => {
  world = await createDemoWorld({ faults: "none" });
});
afterEach(async () => {
  await server?.kill();
  await killMachines(world.folder);
  await world.close();
});

test("100 jobs, and the server is killed with SIGKILL at five different moments: every job runs, nothing is left, and every launch is explained", async () => {
  const kills: number[] = [];
  const moments = [1, 15, 30, 55, 80];
  server = await startServer(world.configPath);
  await world.startRuns({ jobs: 100 });
  for (const [index, completed] of moments.entries()) {
    await until(
      () => completedJobs() >= completed,
      120,
      () => `${completedJobs()} jobs are completed`,
    );
    // Different phases of the work, not always just after a completion.
    await new Promise((resolve) => setTimeout(resolve, index * 137));
    await server.kill();
    kills.push(Date.now());
    server = await startServer(world.configPath);
  }
  await finish();

  const { jobs, machines } = readHistory();
  const ours = new Set(world.jobs().map((job) => job.id));
  expect(jobs.filter((job) => ours.has(job.id)).map((job) => job.outcome)).toEqual(
    Array.from({ length: 100 }, () => ({ kind: "completed", conclusion: "success" })),
  );
  // A machine that ran nothing died with a kill: it was being made then, and was gone when the server came back.
  const diedWithAKill = unusedOf(machines).filter(
    ({ times, reason, binding }) =>
      reason === "lost" &&
      binding === undefined &&
      kills.some((at) => times.requested <= at && (times.launched ?? 0) >= at),
  );
  const unexplained = unusedOf(machines).filter((machine) => !diedWithAKill.includes(machine));
  expect(unexplained, storyOf(kills, unexplained, { jobs, machines })).toEqual([]);
  expect(launchedOf(machines)).toHaveLength(100 + diedWithAKill.length);
}, 240_000);

test("30 jobs, and the server is stopped with SIGTERM and started again twice: exactly one launch for each job", async () => {
  server = await startServer(world.configPath);
  await world.startRuns({ jobs: 30 });
  const stops: number[] = [];
  for (const completed of [3, 15]) {
    await until(
      () => completedJobs() >= completed,
      120,
      () => `${completedJobs()} jobs are completed`,
    );
    stops.push(Date.now());
    await server.stop();
    server = await startServer(world.configPath);
  }
  await finish();

  const { jobs, machines } = readHistory();
  expect(jobs.map((job) => job.outcome?.kind)).toEqual(Array.from({ length: 30 }, () => "completed"));
  const unused = unusedOf(machines);
  expect(unused, storyOf(stops, unused, { jobs, machines })).toEqual([]);
  expect(launchedOf(machines)).toHaveLength(30);
}, 180_000);

function launchedOf(machines: readonly Machine[]): readonly Machine[] {
  return machines.filter((machine) => machine.times.launched !== undefined);
}

/** Launched, and GitHub says of no job that it ran there. */
function unusedOf(machines: readonly Machine[]): readonly Machine[] {
  const used = new Set(world.jobs().map((job) => job.runnerName));
  return launchedOf(machines).filter((machine) => !used.has(machine.id));
}

const nearMilliseconds = 700;

/** What happened around the machines that should not have been, in seconds since the first stop. */
function storyOf(
  stops: readonly number[],
  unexplained: readonly Machine[],
  { jobs, machines }: History,
): string {
  const since = (times: object) =>
    Object.entries(times)
      .map(([name, at]) => `${name} ${((at - (stops[0] ?? 0)) / 1000).toFixed(1)}`)
      .join(", ");
  const isNear = (times: object, at: number) =>
    Object.values(times).some((time) => Math.abs(time - at) < nearMilliseconds);
  const lines = unexplained.flatMap(({ id, times }) => [
    `around ${id}:`,
    ...machines
      .filter((machine) => isNear(machine.times, times.requested))
      .map(
        (machine) =>
          `  ${machine.id}: ${machine.reason}, claimed ${machine.binding?.jobId}, ran ${machine.jobId}: ${since(machine.times)}`,
      ),
    ...jobs
      .filter((job) => isNear(job.times, times.requested))
      .map(
        (job) =>
          `  job ${job.id} ran on ${job.runnerName}, presumed ${since({ at: job.presumedAt ?? 0 })}: ${since(job.times)}`,
      ),
  ]);
  return [`stops: ${since(stops)}`, ...lines].join("\n");
}

function completedJobs(): number {
  return world.jobs().filter((job) => job.status === "completed").length;
}

/** Until GitHub and the ledger agree that nothing is left; then looks itself, with the server stopped. */
async function finish(): Promise<void> {
  await until(
    () => world.ended(),
    150,
    () => `${completedJobs()} jobs are completed`,
  );
  let alive = "";
  await until(
    async () => {
      const status = await server?.get("/api/status");
      const { activeJobs, activeMachines } = status as Record<string, readonly { readonly id: unknown }[]>;
      alive = JSON.stringify({ activeJobs, activeMachines });
      return activeJobs?.length === 0 && activeMachines?.length === 0;
    },
    60,
    () => alive,
  );
  expect(await machineProcesses(world.folder)).toEqual([]);
  expect(await readdir(join(dataDirectoryOf(world.configPath), "machines"))).toEqual([]);
  expect(world.emulator.model.state.runners.size).toBe(0);
  await server?.stop();
}

interface History {
  readonly jobs: readonly Job[];
  readonly machines: readonly Machine[];
}

/** What the ledger says, read from its file; nobody else has it open. */
function readHistory(): History {
  const database = new DatabaseSync(join(dataDirectoryOf(world.configPath), "mayfly.db"), { readOnly: true });
  try {
    const read = (table: string) => database.prepare(`SELECT document, ended_at FROM ${table}`).all();
    const jobs = read("jobs");
    const machines = read("machines");
    expect([...jobs, ...machines].filter((row) => row.ended_at === null)).toEqual([]);
    const parse = <Entry>(rows: typeof jobs) => rows.map((row) => JSON.parse(String(row.document)) as Entry);
    return { jobs: parse<Job>(jobs), machines: parse<Machine>(machines) };
  } finally {
    database.close();
  }
}
