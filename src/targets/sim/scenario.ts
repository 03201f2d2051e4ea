import { createSeededRandom } from "../../adapters/random/seeded.ts";
import type { LaunchFailureKind, Market, Policy, Preset, Purchase } from "../../core/model.ts";
import { type Faults as GithubFaults, noFaults } from "../../emulator/model-faults.ts";
import type { Random } from "../../ports/random.ts";
import { between, chance, magnitude, oneOf, wholeBetween } from "./draw.ts";

/** All that a seed decides before the simulation begins. */
export interface Scenario {
  readonly seed: string;
  readonly hours: number;
  readonly policy: Policy;
  readonly processes: number;
  /** Every process has its own timers, so that rounds overlap; otherwise only the first has them. */
  readonly timersEverywhere: boolean;
  readonly rebalanceSeconds: number;
  readonly scaledownSeconds: number;
  readonly changesPerCommit: number;
  /**
   * For those who want to know what comes out, not what can go wrong: store and queues are part of the process, as on a
   * box, and answer at once; deliveries are short; nobody looks for secrets in what is printed.
   */
  readonly lean?: true;
  readonly pools: readonly Pool[];
  readonly boot: { readonly medianSeconds: number; readonly spread: number };
  readonly arrivals: Arrivals;
  readonly faults: Faults;
}

export interface Pool {
  /** Type and zone, for example `c7i.large/a`. */
  readonly name: string;
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

/** What goes wrong and how often. Fractions are per call, delivery, machine or job; everything is off at 0. */
export interface Faults {
  readonly github: GithubFaults;
  readonly suspensions: number;
  readonly repositoryRemovals: number;
  readonly runnerDeletionsPerDay: number;
  readonly forgedDeliveries: number;
  /** Machines with our mark that no ledger knows. */
  readonly strayMachines: number;
  readonly crashFraction: number;
  readonly restartSeconds: number;
  readonly clockSkewSeconds: number;
  readonly slowCallFraction: number;
  readonly slowCallSeconds: number;
  readonly storeConflictFraction: number;
  readonly storeThrottleFraction: number;
  readonly storeAnswerLostFraction: number;
  readonly queueThrottleFraction: number;
  readonly queueAnswerLostFraction: number;
  readonly queueRepeatFraction: number;
  readonly queueDelayFraction: number;
  readonly queueDelaySeconds: number;
  readonly requestLostFraction: number;
  readonly answerLostFraction: number;
  readonly claimRepeatFraction: number;
  readonly cloudErrorFraction: number;
  readonly launchAnswerLostFraction: number;
  readonly launchLateFraction: number;
  readonly launchLateSeconds: number;
  readonly outagesPerDay: number;
  readonly outageKinds: readonly LaunchFailureKind[];
  readonly listingLagSeconds: number;
  readonly interruptionsPerHour: number;
  /** Of the machines that the cloud wants back: so many are only said to be at risk, and half of them are taken later. */
  readonly riskFraction: number;
  readonly noticeLostFraction: number;
  readonly goneLostFraction: number;
  readonly cloudEventDelaySeconds: number;
  readonly bootHangFraction: number;
  readonly bootSlowFraction: number;
  readonly agentDeathFraction: number;
  readonly powerOffFailsFraction: number;
  /** The listener does not notice that GitHub has removed its runner. */
  readonly listenerHangsFraction: number;
  readonly reportLostFraction: number;
  readonly cancelFraction: number;
  readonly rerunFraction: number;
  readonly operatorFraction: number;
}

export const quiet: Faults = {
  github: noFaults,
  suspensions: 0,
  repositoryRemovals: 0,
  runnerDeletionsPerDay: 0,
  forgedDeliveries: 0,
  strayMachines: 0,
  crashFraction: 0,
  restartSeconds: 0,
  clockSkewSeconds: 0,
  slowCallFraction: 0,
  slowCallSeconds: 0,
  storeConflictFraction: 0,
  storeThrottleFraction: 0,
  storeAnswerLostFraction: 0,
  queueThrottleFraction: 0,
  queueAnswerLostFraction: 0,
  queueRepeatFraction: 0,
  queueDelayFraction: 0,
  queueDelaySeconds: 0,
  requestLostFraction: 0,
  answerLostFraction: 0,
  claimRepeatFraction: 0,
  cloudErrorFraction: 0,
  launchAnswerLostFraction: 0,
  launchLateFraction: 0,
  launchLateSeconds: 0,
  outagesPerDay: 0,
  outageKinds: ["capacity"],
  listingLagSeconds: 0,
  interruptionsPerHour: 0,
  riskFraction: 0,
  noticeLostFraction: 0,
  goneLostFraction: 0,
  cloudEventDelaySeconds: 0,
  bootHangFraction: 0,
  bootSlowFraction: 0,
  agentDeathFraction: 0,
  powerOffFailsFraction: 0,
  listenerHangsFraction: 0,
  reportLostFraction: 0,
  cancelFraction: 0,
  rerunFraction: 0,
  operatorFraction: 0,
};

/** A world drawn from a seed: the same seed and hours give the same scenario. */
export function drawScenario(seed: string, hours: number): Scenario {
  const random = createSeededRandom(`${seed} scenario`);
  const arrivals = drawArrivals(random, hours);
  const policy = drawPolicy(random, arrivals);
  return {
    seed,
    hours,
    policy,
    processes: oneOf(random, [1, 1, 2, 3]),
    timersEverywhere: chance(random, 0.15),
    rebalanceSeconds: oneOf(random, [60, 60, 60, 120]),
    scaledownSeconds: oneOf(random, [60, 60, 60, 120]),
    changesPerCommit: oneOf(random, [1_000, 1_000, 100, 25]),
    pools: drawPools(random),
    boot: { medianSeconds: between(random, 20, 45), spread: between(random, 0.05, 0.3) },
    arrivals,
    faults: drawFaults(random, hours),
  };
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
    registration: oneOf(random, ["organization", "organization", "repository"]),
    limits: {
      machines: tight ? wholeBetween(random, 4, 30) : 400,
      perRepository: chance(random, 0.2) ? wholeBetween(random, 3, 20) : 400,
      ...(chance(random, 0.1) && { dailyBudgetUsd: between(random, 0.5, 5) * (arrivals.jobs / 100) }),
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

/** Swarm: most kinds of fault are off in one seed, and the others are as strong as they like. */
function drawFaults(random: Random, hours: number): Faults {
  if (chance(random, 0.1)) return quiet;
  const likely = oneOf(random, [0.1, 0.25, 0.5]);
  const fraction = (most: number): number =>
    chance(random, likely) ? magnitude(random, most / 100, most) : 0;
  const upTo = (most: number): number => (chance(random, likely) ? between(random, 0, most) : 0);
  const perDay = (most: number): number => Math.round((upTo(most) * hours) / 24);
  const kinds: readonly [LaunchFailureKind, ...LaunchFailureKind[]] = [
    "capacity",
    "quota",
    "throttle",
    "transient",
    "configuration",
  ];
  return {
    github: drawGithubFaults(random, fraction),
    suspensions: perDay(2),
    repositoryRemovals: perDay(1.5),
    runnerDeletionsPerDay: perDay(60),
    forgedDeliveries: perDay(10),
    crashFraction: fraction(0.003),
    restartSeconds: magnitude(random, 1, 600),
    clockSkewSeconds: upTo(3),
    slowCallFraction: fraction(0.01),
    slowCallSeconds: magnitude(random, 1, 90),
    storeConflictFraction: fraction(0.3),
    storeThrottleFraction: fraction(0.05),
    storeAnswerLostFraction: fraction(0.05),
    queueThrottleFraction: fraction(0.05),
    queueAnswerLostFraction: fraction(0.05),
    queueRepeatFraction: fraction(0.3),
    queueDelayFraction: fraction(0.5),
    queueDelaySeconds: magnitude(random, 1, 300),
    requestLostFraction: fraction(0.2),
    answerLostFraction: fraction(0.2),
    claimRepeatFraction: fraction(0.5),
    cloudErrorFraction: fraction(0.2),
    launchAnswerLostFraction: fraction(0.3),
    launchLateFraction: fraction(0.3),
    launchLateSeconds: magnitude(random, 10, 900),
    outagesPerDay: perDay(6),
    outageKinds: [oneOf(random, kinds), oneOf(random, kinds)],
    listingLagSeconds: upTo(28),
    interruptionsPerHour: fraction(0.5),
    noticeLostFraction: upTo(1),
    goneLostFraction: upTo(1),
    cloudEventDelaySeconds: upTo(120),
    bootHangFraction: fraction(0.1),
    bootSlowFraction: fraction(0.1),
    agentDeathFraction: fraction(0.1),
    powerOffFailsFraction: fraction(0.2),
    listenerHangsFraction: fraction(1),
    reportLostFraction: fraction(0.5),
    cancelFraction: fraction(0.3),
    rerunFraction: fraction(0.3),
    operatorFraction: fraction(0.1),
    strayMachines: perDay(12),
    // Last, so that the others are drawn as they were before it came.
    riskFraction: upTo(1),
  };
}

function drawGithubFaults(random: Random, fraction: (most: number) => number): GithubFaults {
  return {
    deliveryLostFraction: fraction(0.2),
    deliveryFailedFraction: fraction(0.3),
    deliveryDuplicatedFraction: fraction(0.3),
    deliveryDelayedFraction: fraction(0.5),
    deliveryDelayMaximumSeconds: magnitude(random, 1, 600),
    deliveryReorderedFraction: fraction(0.3),
    restErrorFraction: fraction(0.1),
    restAnswerLostFraction: fraction(0.1),
    secondaryLimitFraction: fraction(0.02),
    secondaryLimitRetrySeconds: magnitude(random, 1, 120),
    runnerStolenFraction: fraction(0.1),
    runnerFalselyIdleFraction: fraction(0.5),
  };
}
