import { createSeededRandom } from "../../adapters/random/seeded.ts";
import type { Market, Policy, Preset, Purchase } from "../../core/model.ts";
import type { Random } from "../../ports/random.ts";
import { between, chance, magnitude, oneOf, wholeBetween } from "./draw.ts";
import { drawFaults, type Faults } from "./faults.ts";
import { type Tasks, withTasks } from "./tasks.ts";

/** All that a seed decides before the simulation begins. */
export interface Scenario {
  readonly seed: string;
  readonly hours: number;
  readonly policy: Policy;
  readonly processes: number;
  /**
   * - `box`: one process, whose pokes die with it; it asks GitHub what it has missed before it launches anything.
   * - `functions`: every piece of work is done by a function with a memory of its own, which may be killed.
   * Absent: processes that share all queues and forget nothing.
   */
  readonly runsAs?: "box" | "functions";
  /** Every process has its own timers, so that rounds overlap; otherwise only the first has them. */
  readonly timersEverywhere: boolean;
  readonly rebalanceSeconds: number;
  readonly scaledownSeconds: number;
  readonly changesPerCommit: number;
  /**
   * For those who want to know what comes out, not what can go wrong: store and queues are part of the process, as on a
   * box, and answer at once; nobody looks for secrets in what is printed, or at what GitHub and machines prove; machines
   * report only what nobody else tells, and end at once.
   */
  readonly lean?: true;
  /** What the cloud's machines bear: their own id, or only the token of their launch. Absent: their own id. */
  readonly marks?: "machine" | "launch";
  readonly pools: readonly Pool[];
  readonly boot: { readonly medianSeconds: number; readonly spread: number };
  /** Present where there are presets whose machines are tasks. */
  readonly tasks?: Tasks;
  readonly arrivals: Arrivals;
  readonly faults: Faults;
}

export interface Pool {
  /** Type and zone, for example `c7i.large/a`. */
  readonly name: string;
  /** Whose machines it gives. Absent: `cloud`. */
  readonly compute?: string;
  readonly purchase: Purchase;
  readonly capacity: number;
  /** Absent: the prices of the world say what its machines cost. */
  readonly pricePerHourUsd?: number;
}

export interface Arrivals {
  readonly pattern: "steady" | "bursts" | "release-day" | "night";
  readonly jobs: number;
  readonly repositories: number;
  readonly medianSeconds: number;
  readonly spread: number;
  /** Jobs ask for options, so that there are more fleets. */
  readonly optionsFraction: number;
  /** Jobs ask for fewer labels than others, so that GitHub gives them machines made for others. */
  readonly fewerLabelsFraction: number;
  /** Jobs that nobody here can serve. */
  readonly strangeFraction: number;
}

/** A world drawn from a seed: the same seed and hours give the same scenario. */
export function drawScenario(seed: string, hours: number): Scenario {
  const random = createSeededRandom(`${seed} scenario`);
  const arrivals = drawArrivals(random, hours);
  const policy = drawPolicy(random, arrivals);
  const runsAs = oneOf<Scenario["runsAs"]>(createSeededRandom(`${seed} runs as`), [
    "box",
    "functions",
    undefined,
  ]);
  const processes = oneOf(random, [1, 1, 2, 3]);
  return withTasks({
    seed,
    hours,
    policy,
    processes: runsAs === "box" ? 1 : processes,
    ...(runsAs !== undefined && { runsAs }),
    timersEverywhere: chance(random, 0.15),
    rebalanceSeconds: oneOf(random, [60, 60, 60, 120]),
    scaledownSeconds: oneOf(random, [60, 60, 60, 120]),
    changesPerCommit: oneOf(random, [1_000, 1_000, 100, 25]),
    marks: oneOf(createSeededRandom(`${seed} marks`), ["machine", "launch"]),
    pools: drawPools(random),
    boot: { medianSeconds: between(random, 20, 45), spread: between(random, 0.05, 0.3) },
    arrivals,
    faults: drawFaults(seed, hours),
  });
}

function drawArrivals(random: Random, hours: number): Arrivals {
  const jobs = Math.max(1, Math.round((between(random, 60, 340) * hours) / 24));
  return {
    pattern: oneOf(random, ["steady", "bursts", "release-day", "night"]),
    jobs,
    repositories: wholeBetween(random, 1, 4),
    medianSeconds: magnitude(random, 10, 3_600),
    spread: between(random, 0.2, 1.2),
    optionsFraction: chance(random, 0.4) ? random.fraction() * 0.5 : 0,
    fewerLabelsFraction: chance(random, 0.2) ? random.fraction() * 0.5 : 0,
    strangeFraction: chance(random, 0.3) ? 0.1 : 0,
  };
}

function drawPolicy(random: Random, arrivals: Arrivals): Policy {
  const tight = chance(random, 0.3);
  const presets = [drawPreset(random, "linux-x64", tight)];
  if (chance(random, 0.4)) presets.push(drawPreset(random, "linux-arm64", tight));
  return {
    presets,
    labelMappings: [],
    classes: {},
    machineTypes: {},
    typesAllowed: ["*"],
    imagesAllowed: [],
    imagesDenied: [],
    registration: oneOf(random, ["organization", "organization", "repository"]),
    limits: {
      machines: tight ? wholeBetween(random, 4, 30) : 400,
      perRepository: chance(random, 0.2) ? wholeBetween(random, 3, 20) : 400,
      ...(chance(random, 0.1) && { dailyBudgetUsd: between(random, 0.2, 1.2) * likelyCostUsd(arrivals) }),
    },
    rerunsPerJob: 2,
    admission: { repositories: [], publicRepositories: "refuse" },
    timing: {
      jobDeadlineSeconds: oneOf(random, [6, 23, 23]) * 3_600,
      launchRetrySeconds: 15,
      launchLimitSeconds: 300,
      idleGraceSeconds: oneOf(random, [60, 60, 0]),
      capacityBackoffSeconds: 30,
      capacityBackoffLimitSeconds: 900,
      listingDelaySeconds: 30,
      jobCheckSeconds: 300,
      historySeconds: 7 * 86_400,
    },
  };
}

/** Of all machines, each of which boots for a while, at a price between spot and on-demand. */
function likelyCostUsd({ jobs, medianSeconds, spread }: Arrivals): number {
  const meanSeconds = medianSeconds * Math.exp(spread ** 2 / 2) + 60;
  return ((jobs * meanSeconds) / 3_600) * 0.06;
}

function drawPreset(random: Random, name: string, tight: boolean): Preset {
  const arm = name === "linux-arm64";
  return {
    name,
    operatingSystem: "linux",
    architecture: arm ? "arm64" : "x86_64",
    labels: ["linux", arm ? "arm64" : "x64", "fast"],
    compute: "cloud",
    market: oneOf<Market>(random, ["spot-preferred", "spot-preferred", "on-demand-only", "spot-only"]),
    instanceTypes: [],
    max: tight ? wholeBetween(random, 2, 20) : 400,
    warm: chance(random, 0.15) ? wholeBetween(random, 1, 3) : 0,
    runnerGroup: "default",
    jobTimeoutSeconds: oneOf(random, [3_600, 6 * 3_600]),
    bootTimeoutSeconds: oneOf(random, [300, 300, 600]),
    idleTimeoutSeconds: oneOf(random, [300, 600, 1_800, 4 * 3_600]),
    pricePerHourUsd: 0.1,
  };
}

function drawPools(random: Random): readonly Pool[] {
  const spotIsDry = chance(random, 0.1);
  const scarce = chance(random, 0.2);
  const pools: Pool[] = [];
  for (const type of ["c7.large", "m7.large"]) {
    for (const zone of ["a", "b"]) {
      const spot = scarce ? wholeBetween(random, 1, 10) : 1_000;
      const name = `${type}/${zone}`;
      pools.push({ name, purchase: "spot", capacity: spotIsDry ? 0 : spot, pricePerHourUsd: 0.034 });
      pools.push({ name, purchase: "on-demand", capacity: 1_000, pricePerHourUsd: 0.089 });
    }
  }
  return pools;
}
