import { createSeededRandom } from "../../adapters/random/seeded.ts";
import type { Policy, Preset } from "../../core/model.ts";
import { between, chance, magnitude, oneOf, wholeBetween } from "./draw.ts";
import type { Pool, Scenario } from "./scenario.ts";

/** The compute whose machines are tasks, started ten at a time from images that are made when they are first needed. */
export const taskCompute = "fargate";

/** A world in which some presets are of `taskCompute`. */
export interface Tasks {
  /** From the start of a task to its first claim: its image is pulled first. */
  readonly boot: { readonly medianSeconds: number; readonly spread: number };
  /** So many tasks are started at once in each market, and so many more each second. */
  readonly launchBurst: number;
  readonly launchesPerSecond: number;
  readonly buildMedianSeconds: number;
  /** Images that jobs may name beside their preset's. */
  readonly bases: readonly string[];
  /** Those of which nothing can be made, whoever tries. */
  readonly brokenBases: readonly string[];
  /** Of the jobs for such presets: so many name an image, and so many a class. */
  readonly imagesFraction: number;
  readonly classesFraction: number;
}

const usualImage = "ubuntu:24.04";
const brokenBase = "acme/no-shell:1";

/** Drawn apart from everything else, so that seeds without tasks are what they were before there were any. */
export function withTasks(scenario: Scenario): Scenario {
  const random = createSeededRandom(`${scenario.seed} tasks`);
  if (!chance(random, 0.3)) return scenario;
  const which = oneOf<"all" | "first" | "last">(random, ["all", "first", "last"]);
  const { policy, pools } = scenario;
  const last = policy.presets.length - 1;
  const presets = policy.presets.map((preset, index) => {
    const isOfTasks = which === "all" || index === (which === "first" ? 0 : last);
    return isOfTasks ? presetOfTasks(preset) : preset;
  });
  const isBroken = chance(random, 0.3);
  const scarce = chance(random, 0.2);
  const capacity = (): number => (scarce ? wholeBetween(random, 2, 20) : 1_000);
  const tasks: Tasks = {
    boot: { medianSeconds: between(random, 25, 60), spread: between(random, 0.05, 0.3) },
    launchBurst: oneOf(random, [100, 100, 20]),
    launchesPerSecond: oneOf(random, [20, 20, 1]),
    buildMedianSeconds: magnitude(random, 40, 900),
    bases: ["ubuntu:22.04", "debian:12", "alpine:3.20"].slice(0, wholeBetween(random, 0, 3)),
    brokenBases: isBroken ? [brokenBase] : [],
    imagesFraction: random.fraction(),
    classesFraction: chance(random, 0.5) ? random.fraction() : 0,
  };
  return {
    ...scenario,
    // What AWS starts by the dozen bears the token of its launch.
    marks: "launch",
    tasks,
    policy: withImages({ ...policy, presets }),
    pools: [...pools, ...poolsOfTasks(capacity)],
  };
}

/** The same preset, with tasks in the place of its instances. */
export function presetOfTasks(preset: Preset): Preset {
  return {
    ...preset,
    compute: taskCompute,
    image: usualImage,
    imageKind: "container",
    buildsImages: true,
  };
}

/** Jobs may name images and classes. */
function withImages(policy: Policy): Policy {
  const classes = { small: { cpu: 0.5, memoryGib: 1 }, medium: { cpu: 1, memoryGib: 2 } };
  return { ...policy, classes, imagesAllowed: ["*"] };
}

/** One for each market: in which zone a task is started is not for us to say. */
export function poolsOfTasks(capacity: () => number): readonly Pool[] {
  return [
    {
      name: "tasks/spot",
      compute: taskCompute,
      purchase: "spot",
      capacity: capacity(),
      pricePerHourUsd: 0.018,
    },
    {
      name: "tasks/on-demand",
      compute: taskCompute,
      purchase: "on-demand",
      capacity: Math.max(10, capacity()),
      pricePerHourUsd: 0.058,
    },
  ];
}
