import { createSeededRandom } from "../../adapters/random/seeded.ts";
import type { LaunchFailureKind } from "../../core/model.ts";
import { type Faults as GithubFaults, noFaults } from "../../emulator/model-faults.ts";
import type { Random } from "../../ports/random.ts";
import { between, chance, magnitude, oneOf } from "./draw.ts";

/**
 * How strong a kind of fault can be. Most kinds are off in one seed, and the others are as strong as they like:
 * - `fraction`: of the calls, deliveries, machines or jobs that it can strike; spread over magnitudes;
 * - `upTo`: anything between nothing and `most`;
 * - `perDay`: how often it happens in the whole seed, drawn for its hours;
 * - `size`: how large it is when another fault brings it about; it is always drawn.
 */
type Strength =
  | { readonly kind: "fraction" | "upTo" | "perDay"; readonly most: number }
  | { readonly kind: "size"; readonly low: number; readonly high: number };

const fraction = (most: number): Strength => ({ kind: "fraction", most });
const upTo = (most: number): Strength => ({ kind: "upTo", most });
const perDay = (most: number): Strength => ({ kind: "perDay", most });
const size = (low: number, high: number): Strength => ({ kind: "size", low, high });

/** Every kind of fault of the world around GitHub, once. */
const strengths = {
  // People.
  suspensions: perDay(6),
  repositoryRemovals: perDay(4),
  runnerDeletionsPerDay: perDay(60),
  operatorActions: perDay(40),
  cancelFraction: fraction(0.3),
  rerunFraction: fraction(0.3),
  forgedDeliveries: perDay(10),
  /** The configuration is changed, and for a while some go by the old one and some by the new one. */
  deployments: perDay(12),
  deploymentSeconds: size(1, 1_800),
  // GitHub as a whole: its API does not answer, its deliveries do not come, somebody else has used the App's requests.
  githubOutages: perDay(8),
  deliveryOutages: perDay(8),
  outageSeconds: size(60, 3_600),
  requestExhaustions: perDay(4),
  // The process.
  crashFraction: fraction(0.003),
  restartSeconds: size(1, 600),
  /** Of the pieces of work that functions do: killed at the time limit, wherever they are. */
  functionKilledFraction: fraction(0.05),
  clockSkewSeconds: upTo(3),
  slowCallFraction: fraction(0.01),
  slowCallSeconds: size(1, 90),
  // The store and the queues.
  storeConflictFraction: fraction(0.3),
  storeThrottleFraction: fraction(0.05),
  /** Of the calls that only read, but for the two that every stage begins with. */
  storeReadThrottleFraction: fraction(0.05),
  storeAnswerLostFraction: fraction(0.05),
  queueThrottleFraction: fraction(0.05),
  queueAnswerLostFraction: fraction(0.05),
  queueRepeatFraction: fraction(0.3),
  queueDelayFraction: fraction(0.5),
  queueDelaySeconds: size(1, 300),
  // The network between machines and us.
  requestLostFraction: fraction(0.2),
  answerLostFraction: fraction(0.2),
  claimRepeatFraction: fraction(0.5),
  reportLostFraction: fraction(0.5),
  // The cloud.
  cloudErrorFraction: fraction(0.2),
  launchAnswerLostFraction: fraction(0.3),
  launchLateFraction: fraction(0.3),
  launchLateSeconds: size(10, 900),
  /** One machine of a launch is refused because there were too many calls, in an answer that is none of an error. */
  launchThrottledFraction: fraction(0.2),
  /** One machine of a launch is refused, and the others are not. */
  partialFleetFraction: fraction(0.3),
  outagesPerDay: perDay(12),
  listingLagSeconds: upTo(28),
  interruptionsPerHour: fraction(0.5),
  /** Of the machines that the cloud wants back: so many are only said to be at risk, and half of them are taken later. */
  riskFraction: upTo(1),
  noticeLostFraction: upTo(1),
  goneLostFraction: upTo(1),
  cloudEventDelaySeconds: upTo(120),
  /** Of the machines that are tasks: their provider stops them before anything runs. */
  taskStoppedFraction: fraction(0.2),
  // The builder of images.
  buildThrottledFraction: fraction(0.5),
  buildAnswerLostFraction: fraction(0.5),
  buildFailedFraction: fraction(0.5),
  /** The end of the build is never told. */
  buildSilentFraction: fraction(0.2),
  /** Of images that are to take the place of others: their machines are of no use. */
  imageBrokenFraction: fraction(1),
  /** Every image is to be made anew, as the runner or the release is. */
  recipeChanges: perDay(8),
  /** Machines with our mark that no ledger knows. */
  strayMachines: perDay(12),
  // Machines.
  bootHangFraction: fraction(0.1),
  bootSlowFraction: fraction(0.1),
  agentDeathFraction: fraction(0.1),
  powerOffFailsFraction: fraction(0.2),
  /** The listener does not notice that GitHub has removed its runner. */
  listenerHangsFraction: upTo(1),
} as const satisfies Readonly<Record<string, Strength>>;

const githubStrengths = {
  deliveryLostFraction: fraction(0.2),
  deliveryFailedFraction: fraction(0.3),
  deliveryDuplicatedFraction: fraction(0.3),
  deliveryDelayedFraction: fraction(0.5),
  deliveryDelayMaximumSeconds: size(1, 600),
  deliveryReorderedFraction: fraction(0.3),
  restErrorFraction: fraction(0.1),
  restAnswerLostFraction: fraction(0.1),
  secondaryLimitFraction: fraction(0.02),
  secondaryLimitRetrySeconds: size(1, 120),
  runnerStolenFraction: fraction(0.1),
  jobTakenElsewhereFraction: fraction(0.2),
  runnerForgottenFraction: fraction(0.1),
  runnerFalselyIdleFraction: fraction(0.5),
} as const satisfies Readonly<Record<keyof GithubFaults, Strength>>;

/** What goes wrong and how often. Everything is off at 0. */
export type Faults = Readonly<Record<keyof typeof strengths, number>> & {
  readonly github: GithubFaults;
  readonly outageKinds: readonly [LaunchFailureKind, ...LaunchFailureKind[]];
};

/** Nothing goes wrong. */
export const quiet: Faults = { ...allOff(strengths), github: noFaults, outageKinds: ["capacity"] };

/**
 * What goes wrong in a seed. Every kind has a stream of random numbers of its own, so that a new kind changes nothing
 * of the others.
 */
export function drawFaults(seed: string, hours: number): Faults {
  const random = createSeededRandom(`${seed} faults`);
  if (chance(random, 0.1)) return quiet;
  const likely = oneOf(random, [0.1, 0.25, 0.5]);
  const kinds = ["capacity", "quota", "throttle", "transient", "configuration"] as const;
  const drawAll = <Name extends string>(table: Readonly<Record<Name, Strength>>) =>
    Object.fromEntries(
      Object.entries<Strength>(table).map(([name, strength]) => {
        return [name, drawStrength(createSeededRandom(`${seed} fault ${name}`), strength, likely, hours)];
      }),
    ) as Record<Name, number>;
  return {
    ...drawAll(strengths),
    github: drawAll(githubStrengths),
    outageKinds: [oneOf(random, kinds), oneOf(random, kinds)],
  };
}

function drawStrength(random: Random, strength: Strength, likely: number, hours: number): number {
  if (strength.kind === "size") return magnitude(random, strength.low, strength.high);
  if (!chance(random, likely)) return 0;
  const { kind, most } = strength;
  if (kind === "fraction") return magnitude(random, most / 100, most);
  if (kind === "upTo") return between(random, 0, most);
  return Math.floor(between(random, 0, (most * hours) / 24) + random.fraction());
}

function allOff<Name extends string>(table: Readonly<Record<Name, Strength>>): Record<Name, number> {
  return Object.fromEntries(Object.keys(table).map((name) => [name, 0])) as Record<Name, number>;
}
