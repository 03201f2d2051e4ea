import { presetCounter, repositoryCounter, totalCounter } from "./counters.ts";
import { type Demand, demandOf } from "./demand.ts";
import {
  type Blocked,
  type BlockReason,
  fullName,
  type GiveUpReason,
  type Instant,
  type Job,
  type Ledger,
  type Machine,
  type Policy,
  type Preset,
  type Purchase,
} from "./model.ts";
import { marketRefusal, poolsToAvoid } from "./retry.ts";

/**
 * What to do so that a fleet has the machines that it needs. A decision is data with its reason; it is carried
 * out by `flow/scaleup.ts`, which records the intents first.
 */
export interface Plan {
  readonly commands: readonly Command[];
  /** Queued jobs that this plan counted for the first time. */
  readonly planned: readonly Job[];
  /** Why some demand is not served by these commands; absent when all of it is. */
  readonly blocked: Blocked | undefined;
  /** Time alone will change the answer at this instant. */
  readonly recheckAt: Instant | undefined;
}

export type Command =
  | {
      readonly kind: "launch";
      readonly count: number;
      readonly purchase: Purchase;
      readonly avoidPools: readonly string[];
      readonly because: "demand" | "warm-target";
      /** Jobs on whose account machines are asked for: the first in line. */
      readonly jobs: readonly Job[];
    }
  | { readonly kind: "relaunch"; readonly machine: Machine; readonly because: "launch-unanswered" }
  | {
      readonly kind: "retire";
      readonly machine: Machine;
      readonly because: "surplus";
      readonly detail: string;
    }
  | { readonly kind: "give-up"; readonly job: Job; readonly because: GiveUpReason; readonly detail: string };

/** What must be known beside the ledger. */
export interface PlanContext {
  /** Sums of all counters, over all fleets. They may be a little old: the commit checks the limits again. */
  readonly counters: Readonly<Record<string, number>>;
  readonly spentTodayUsd: number;
}

export function plan(ledger: Ledger, policy: Policy, context: PlanContext, now: Instant): Plan {
  const preset = policy.presets.find((entry) => entry.name === ledger.record?.spec.preset);
  const demand = demandOf(ledger);
  // Also jobs that a machine has claimed: it may never get to be registered for them.
  const expired = ledger.jobs.filter((job) => job.state === "queued" && deadlineOf(job, policy) <= now);
  const expiredIds = new Set(expired.map((job) => job.id));
  const due =
    expired.length === 0 ? demand.unserved : demand.unserved.filter((job) => !expiredIds.has(job.id));
  const admitted = admitByRepository(due, policy, context);
  const supply = supplyOf(demand, ledger, preset);
  const wanted = admitted.jobs.length + supply.warmTarget - supply.machines;
  const offer = wanted > 0 ? boundedOffer(ledger, preset, policy, context, wanted, now) : undefined;
  const count = Math.max(0, Math.min(wanted, offer?.count ?? 0));
  const unmet = Math.max(0, admitted.jobs.length - supply.machines - count);
  const blocked = blockedOf(ledger, admitted.blocked, unmet > 0 ? offer?.blocked : undefined, now);

  const commands: Command[] = [
    ...expired.map((job) => giveUp(job, ledger.record?.blocked ?? blocked)),
    ...unanswered(ledger, policy, now),
    ...retireSurplus(demand, policy, now),
    ...(count > 0 && offer !== undefined
      ? [launch(count, offer.purchase, ledger, admitted.jobs, supply, now)]
      : []),
  ];
  return {
    commands,
    planned: due.filter((job) => job.times.planned === undefined),
    blocked,
    recheckAt: earliest(nextChanges(ledger, policy, demand, blocked, now)),
  };
}

export function deadlineOf(job: Job, policy: Policy): Instant {
  return (job.times.queued ?? job.times.created) + policy.timing.jobDeadlineSeconds * 1000;
}

// ------------------------------------------------------------------------------------ demand and supply

/** The caps per repository count machines that are bound to its jobs; what is above them waits. */
function admitByRepository(
  jobs: readonly Job[],
  policy: Policy,
  context: PlanContext,
): { readonly jobs: readonly Job[]; readonly blocked: Blocking | undefined } {
  const free = new Map<string, number>();
  const max = policy.limits.perRepository;
  const admitted: Job[] = [];
  let blocked: Blocking | undefined;
  for (const job of jobs) {
    const repository = fullName(job.repository);
    const places = free.get(repository) ?? max - (context.counters[repositoryCounter(repository)] ?? 0);
    free.set(repository, places - 1);
    if (places > 0) admitted.push(job);
    else blocked ??= { because: "repository-limit", detail: `${repository} has all of its ${max} machines.` };
  }
  return { jobs: admitted, blocked };
}

interface Supply {
  readonly machines: number;
  readonly warmTarget: number;
}

/** Warm machines are kept, unclaimed, beside the demand, for a fleet without options only. */
function supplyOf(demand: Demand, ledger: Ledger, preset: Preset | undefined): Supply {
  const plain = ledger.record !== undefined && Object.keys(ledger.record.options).length === 0;
  const warmTarget = plain && preset !== undefined ? preset.warm : 0;
  return { machines: demand.unclaimed.length, warmTarget };
}

// ---------------------------------------------------------------------------------------------- bounds

interface Blocking {
  readonly because: BlockReason;
  readonly detail: string;
  readonly nextAttemptAt?: Instant;
}

interface Offer {
  readonly count: number;
  readonly purchase: Purchase;
  /** What keeps the rest from being launched. */
  readonly blocked: Blocking | undefined;
}

function boundedOffer(
  ledger: Ledger,
  preset: Preset | undefined,
  policy: Policy,
  context: PlanContext,
  wanted: number,
  now: Instant,
): Offer {
  const none = (blocked: Blocking): Offer => ({ count: 0, purchase: "on-demand", blocked });
  if (preset === undefined || ledger.record === undefined) {
    const name = ledger.record?.spec.preset ?? ledger.fleet;
    return none({ because: "preset-removed", detail: `The preset ${name} is no longer in the config.` });
  }
  const budget = policy.limits.dailyBudgetUsd;
  if (budget !== undefined && context.spentTodayUsd >= budget) {
    const detail = `Today's cost has reached the budget of ${budget} USD.`;
    return none({ because: "budget", detail, nextAttemptAt: startOfNextDay(now) });
  }
  const market = openMarket(ledger, now);
  if ("because" in market) return none(market);

  const places: readonly (Blocking & { free: number })[] = [
    {
      because: "preset-limit",
      detail: `The preset ${preset.name} has all of its ${preset.max} machines.`,
      free: preset.max - (context.counters[presetCounter(preset.name)] ?? 0),
    },
    {
      because: "total-limit",
      detail: `All ${policy.limits.machines} machines of limits.machines are in use.`,
      free: policy.limits.machines - (context.counters[totalCounter] ?? 0),
    },
  ];
  const tightest = places.reduce((left, right) => (right.free < left.free ? right : left));
  const count = Math.max(0, Math.min(wanted, tightest.free));
  const blocked = count < wanted ? { because: tightest.because, detail: tightest.detail } : undefined;
  return { count, purchase: market.purchase, blocked };
}

/**
 * Spot first where it is allowed; on-demand when spot has nothing to give; else the wait, with its reason. A provider
 * that is throttled or unreachable, or a setting that is wrong, says nothing of spot and buys nothing dearer.
 */
function openMarket(ledger: Ledger, now: Instant): { readonly purchase: Purchase } | Blocking {
  const refusals = ledger.record?.refusals ?? [];
  const market = ledger.record?.spec.market ?? "spot-preferred";
  const spot = marketRefusal(refusals, "spot", now);
  const onDemand = marketRefusal(refusals, "on-demand", now);
  if (market !== "on-demand-only" && spot === undefined) return { purchase: "spot" };
  const spotIsFull = spot === undefined || spot.kind === "capacity" || spot.kind === "quota";
  const onDemandHelps = market === "on-demand-only" || (market === "spot-preferred" && spotIsFull);
  if (onDemandHelps && onDemand === undefined) return { purchase: "on-demand" };
  const refusal = onDemandHelps ? (onDemand ?? spot) : spot;
  const both = market === "spot-preferred" && onDemandHelps;
  const until = both ? Math.min(spot?.until ?? now, onDemand?.until ?? now) : refusal?.until;
  return {
    because: blockReasonOf(refusal?.kind, market === "spot-only"),
    detail: `${refusal?.code ?? "The provider"}: ${refusal?.message ?? "no machine can be launched"}`,
    ...(until !== undefined && { nextAttemptAt: until }),
  };
}

function blockReasonOf(kind: string | undefined, spotOnly: boolean): BlockReason {
  if (kind !== "capacity" && kind !== "quota") return "launch-refused";
  return spotOnly ? "no-spot-capacity" : "no-capacity";
}

/** The reason that hits most; what it says of `since` is kept while the reason stays the same. */
function blockedOf(
  ledger: Ledger,
  byRepository: Blocking | undefined,
  byOffer: Blocking | undefined,
  now: Instant,
): Blocked | undefined {
  const blocking = byOffer ?? byRepository;
  if (blocking === undefined) return undefined;
  const before = ledger.record?.blocked;
  return { ...blocking, since: before?.because === blocking.because ? before.since : now };
}

// -------------------------------------------------------------------------------------------- commands

function launch(
  count: number,
  purchase: Purchase,
  ledger: Ledger,
  admitted: readonly Job[],
  supply: Supply,
  now: Instant,
): Command {
  const jobs = admitted.slice(supply.machines, supply.machines + count);
  const avoidPools = poolsToAvoid(ledger.record?.refusals ?? [], purchase, now);
  return {
    kind: "launch",
    count,
    purchase,
    avoidPools,
    because: jobs.length > 0 ? "demand" : "warm-target",
    jobs,
  };
}

function giveUp(job: Job, blocked: Blocked | undefined): Command {
  const detail = blocked?.detail ?? "No machine became free for it.";
  const because = blocked?.because === "preset-removed" ? "preset-removed" : "deadline-passed";
  return {
    kind: "give-up",
    job,
    because,
    detail: `The job could not be served until its deadline. ${detail}`,
  };
}

/** A launch whose answer never came is asked for again; its token makes that harmless. */
function unanswered(ledger: Ledger, policy: Policy, now: Instant): readonly Command[] {
  return ledger.machines
    .filter((machine) => machine.state === "requested" && relaunchAt(machine, policy) <= now)
    .filter((machine) => machine.times.requested + policy.timing.launchLimitSeconds * 1000 > now)
    .map((machine) => ({ kind: "relaunch", machine, because: "launch-unanswered" }));
}

function relaunchAt(machine: Machine, policy: Policy): Instant {
  return machine.times.requested + machine.launchAttempts * policy.timing.launchRetrySeconds * 1000;
}

/** Last in, first out, after a grace in which the next job may come. Unclaimed machines are left to claim. */
function retireSurplus(demand: Demand, policy: Policy, now: Instant): readonly Command[] {
  const graceMilliseconds = policy.timing.idleGraceSeconds * 1000;
  return demand.surplus
    .filter((machine) => machine.state === "registered" && idleSince(machine) + graceMilliseconds <= now)
    .map((machine) => ({
      kind: "retire",
      machine,
      because: "surplus",
      detail: "No queued job needs it any more.",
    }));
}

function idleSince(machine: Machine): Instant {
  return machine.times.registered ?? machine.times.claimed ?? machine.times.requested;
}

// -------------------------------------------------------------------------------------------- recheck

function nextChanges(
  ledger: Ledger,
  policy: Policy,
  demand: Demand,
  blocked: Blocked | undefined,
  now: Instant,
): readonly Instant[] {
  const graceMilliseconds = policy.timing.idleGraceSeconds * 1000;
  return [
    ...(blocked?.nextAttemptAt !== undefined ? [blocked.nextAttemptAt] : []),
    ...ledger.jobs.filter((job) => job.state === "queued").map((job) => deadlineOf(job, policy)),
    ...ledger.machines
      .filter((machine) => machine.state === "requested")
      .map((machine) => relaunchAt(machine, policy)),
    ...demand.surplus
      .filter((machine) => machine.state === "registered")
      .map((machine) => idleSince(machine) + graceMilliseconds),
  ].filter((instant) => instant > now);
}

function earliest(instants: readonly Instant[]): Instant | undefined {
  let first: Instant | undefined;
  for (const instant of instants) if (first === undefined || instant < first) first = instant;
  return first;
}

function startOfNextDay(now: Instant): Instant {
  const day = 24 * 60 * 60 * 1000;
  return (Math.floor(now / day) + 1) * day;
}
