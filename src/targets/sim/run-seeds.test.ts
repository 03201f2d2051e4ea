import { expect, it } from "vitest";
import { type RunOptions, type RunSummary, runSeeds } from "./run-seeds.ts";

const seeds = ["a", "b", "c", "d", "e"];

/** What does not depend on the machine that counts. */
function counted(summary: RunSummary) {
  const { violations, simulatedHours, machineHours, jobs, launches, crashes, steps, ok } = summary;
  return {
    seeds: summary.seeds,
    violations,
    simulatedHours,
    machineHours,
    jobs,
    launches,
    crashes,
    steps,
    ok,
  };
}

const run = (options: Partial<RunOptions>) => runSeeds({ seeds, hours: 1, ...options });

it("counts the same whatever the number of workers", { timeout: 60_000 }, async () => {
  const [alone, one, three] = [await run({}), await run({ workers: 1 }), await run({ workers: 3 })];
  expect(counted(alone)).toMatchObject({ seeds: 5, ok: true });
  expect(alone.steps).toBeGreaterThan(1_000);
  expect(counted(one)).toEqual(counted(alone));
  expect(counted(three)).toEqual(counted(alone));
});

it("gives the sums until then when it is stopped", { timeout: 60_000 }, async () => {
  for (const workers of [undefined, 2]) {
    const stopping = new AbortController();
    const summary = await run({
      ...(workers !== undefined && { workers }),
      signal: stopping.signal,
      onSeed: () => stopping.abort(),
    });
    expect(summary.seeds).toBeGreaterThan(0);
    expect(summary.seeds).toBeLessThan(seeds.length);
  }
});

it("has as many jobs as it is told to, and places for them", { timeout: 60_000 }, async () => {
  const { jobs, launches, ok } = await run({ seeds: ["a"], jobs: 300 });
  expect(jobs).toBeGreaterThan(250);
  expect(launches).toBeGreaterThan(200);
  expect(ok).toBe(true);
});
