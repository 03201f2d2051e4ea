import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Preset } from "../src/core/model.ts";
import { percentile } from "../src/core/status.ts";
import { quiet } from "../src/targets/sim/faults.ts";
import { drawScenario, type Pool, type Scenario } from "../src/targets/sim/scenario.ts";
import { simulateSeed } from "../src/targets/sim/simulate.ts";
import { poolsOfTasks, presetOfTasks, type Tasks } from "../src/targets/sim/tasks.ts";
import { type Failure, failures } from "./failures.ts";

/**
 * Writes the table of docs/operating/failures.md: each failure by itself, in the same world otherwise, and how long what
 * it strikes takes. Takes some minutes.
 */
const seeds = 6;
const hours = 4;
const jobsPerSeed = 120;

async function main(): Promise<void> {
  const rows: string[] = [];
  for (const failure of failures) {
    const row = await measure(failure);
    process.stdout.write(`${row}\n`);
    rows.push(row);
  }
  const file = new URL("../docs/operating/failures.md", import.meta.url);
  const page = await readFile(file, "utf8");
  const [before = "", after = ""] = page.split(/<!-- failures -->[\s\S]*<!-- \/failures -->/);
  const head = [
    "| what goes wrong | what you see | what Mayfly does | what was measured | p50 | p99 |",
    "|---|---|---|---|--:|--:|",
  ];
  const table = [...head, ...rows].join("\n");
  await writeFile(file, `${before}<!-- failures -->\n${table}\n<!-- /failures -->${after}`);
}

async function measure(failure: Failure): Promise<string> {
  const values: number[] = [];
  for (let number = 1; number <= seeds; number++) {
    const scenario = scenarioOf(`failures ${number}`, failure);
    const { violation } = await simulateSeed({
      seed: scenario.seed,
      hours,
      scenario,
      onEnd: (world) => values.push(...failure.measure.read(world)),
    });
    if (violation !== undefined) throw new Error(`${failure.what}, ${scenario.seed}: ${violation.message}`);
  }
  const sorted = values.filter((value) => value >= 0).sort((one, other) => one - other);
  const { what, seen, done } = failure;
  const [half, nearlyAll] = [percentile(sorted, 0.5), percentile(sorted, 0.99)].map(durationText);
  return `| ${what} | ${seen} | ${done} | ${failure.measure.name} | ${half} | ${nearlyAll} |`;
}

/** An ordinary day: one preset, spot where there is some, no caps; nothing goes wrong but this. */
function scenarioOf(seed: string, { faults, github, scenario }: Failure): Scenario {
  const drawn = drawScenario(seed, hours);
  const { runsAs: _, tasks: _tasks, ...rest } = drawn;
  const [first] = drawn.policy.presets;
  if (first === undefined) throw new Error("A scenario has a preset.");
  const { image: _image, imageKind: _kind, buildsImages: _builds, ...others } = first;
  const ofInstances: Preset = { ...others, compute: "cloud" };
  const preset = scenario?.ofTasks === true ? presetOfTasks(ofInstances) : ofInstances;
  const ordinary = { market: "spot-preferred", max: 400, warm: 0, bootTimeoutSeconds: 300 } as const;
  const limits = { idleTimeoutSeconds: 600, jobTimeoutSeconds: 6 * 3_600 };
  return {
    ...rest,
    processes: 1,
    timersEverywhere: false,
    rebalanceSeconds: 60,
    scaledownSeconds: 60,
    changesPerCommit: 100,
    marks: scenario?.marks ?? "launch",
    boot: { medianSeconds: 30, spread: 0.2 },
    arrivals: { ...arrivals, jobs: jobsPerSeed },
    policy: {
      ...drawn.policy,
      presets: [{ ...preset, ...ordinary, ...limits }],
      registration: "organization",
      limits: { machines: 400, perRepository: 400 },
      timing: { ...drawn.policy.timing, idleGraceSeconds: 60, jobDeadlineSeconds: 23 * 3_600 },
    },
    faults: { ...quiet, ...faults, github: { ...quiet.github, ...github } },
    pools: [...spotAndOnDemand(scenario?.spotCapacity ?? 1_000), ...poolsOfTasks(() => 1_000)],
    ...(scenario?.ofTasks === true && { tasks }),
    ...(scenario?.runsAs !== undefined && { runsAs: scenario.runsAs }),
  };
}

const tasks: Tasks = {
  boot: { medianSeconds: 40, spread: 0.2 },
  launchBurst: 100,
  launchesPerSecond: 20,
  buildMedianSeconds: 240,
  bases: [],
  brokenBases: [],
  imagesFraction: 0,
  classesFraction: 0,
};

const arrivals = {
  pattern: "steady",
  repositories: 3,
  medianSeconds: 300,
  spread: 0.8,
  optionsFraction: 0,
  fewerLabelsFraction: 0,
  strangeFraction: 0,
} as const;

function spotAndOnDemand(spotCapacity: number): readonly Pool[] {
  return ["a", "b"].flatMap((zone): readonly Pool[] => [
    { name: `c7.large/${zone}`, purchase: "spot", capacity: spotCapacity, pricePerHourUsd: 0.034 },
    { name: `c7.large/${zone}`, purchase: "on-demand", capacity: 1_000, pricePerHourUsd: 0.089 },
  ]);
}

function durationText(milliseconds: number | null | undefined): string {
  if (milliseconds === null || milliseconds === undefined) return "–";
  const seconds = milliseconds / 1_000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
