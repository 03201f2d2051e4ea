import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { RunSummary } from "../src/targets/sim/run-seeds.ts";
import { type Measure, number } from "./measure.ts";

const execute = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
const tracedJobs = 5_000;

/** Seeds as `mayfly simulate` draws them, and one replay of a day. */
export const simulator: Measure = {
  name: "simulator",
  title: "Simulator: seeds with all checks on one core, and a replay of 5,000 jobs",
  async run(progress) {
    const runs: (readonly [string, RunSummary])[] = [];
    for (const [name, parameters] of seedRuns) {
      progress(name);
      runs.push([name, await simulate(parameters)]);
    }
    progress(`what-if of ${tracedJobs} jobs`);
    const replaySeconds = await secondsOfReplay();
    const rows = runs.map(([name, run]) => [
      name,
      number(run.cpuSeconds / run.seeds),
      number((run.cpuSeconds * 1e6) / run.steps),
      number(run.machineHours / run.seeds),
      number(run.machineHoursPerCpuSecond),
      number(run.peakMemoryMib),
    ]);
    const columns = [
      "seeds",
      "CPU s per seed",
      "µs per step",
      "machine-hours per seed",
      "machine-hours per CPU s",
      "MiB",
    ];
    return {
      tables: [{ columns, rows }],
      notes: [
        `What-if of ${number(tracedJobs)} jobs: ${number(replaySeconds)} s, with the start of the command.`,
      ],
      values: { runs: Object.fromEntries(runs), replaySeconds },
    };
  },
};

const seedRuns: readonly (readonly [string, readonly string[]])[] = [
  ["100 of 6 hours", ["--seeds", "100", "--hours", "6"]],
  ["50 of 24 hours", ["--seeds", "50"]],
  ["50 of 24 hours, 200 jobs each", ["--seeds", "50", "--jobs", "200"]],
];

async function simulate(parameters: readonly string[]): Promise<RunSummary> {
  const all = ["src/cli/main.ts", "simulate", ...parameters, "--workers", "1", "--json"];
  const { stdout } = await execute(process.execPath, all, { cwd: root });
  return JSON.parse(stdout) as RunSummary;
}

async function secondsOfReplay(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-bench-"));
  try {
    const examples = join(root, "examples/what-if");
    const generated = await execute(process.execPath, [join(examples, "generate.js"), String(tracedJobs)], {
      maxBuffer: 64 * 1024 * 1024,
    });
    const trace = join(folder, "day.jsonl");
    await writeFile(trace, generated.stdout);
    const begun = performance.now();
    const main = join(root, "src/cli/main.ts");
    const parameters = ["simulate", "--trace", trace, "--config", join(examples, "spot.yaml"), "--json"];
    await execute(process.execPath, [main, ...parameters]);
    return (performance.now() - begun) / 1_000;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
