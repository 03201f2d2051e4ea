import { presetCounter, repositoryCounter, totalCounter } from "./counters.ts";
import { type Demand, demandOf, isPresumedRunning, warmTargetOf } from "./demand.ts";
import type { ImageMissing } from "./image.ts";
import { isBeforeMachineState } from "./lifecycle.ts";
import {
  type Blocked,
  type BlockReason,
  type Change,
  type FleetRecord,
  fullName,
  type GiveUpReason,
  type Instant,
  type Job,
  type Ledger,
  type Machine,
  type Market,
  type Policy,
  type Purchase,
} from "./model.ts";
import { onDemandForReruns } from "./rerun.ts";
import { marketRefusal, poolsToAvoid } from "./retry.ts";
import { resolveSpec } from "./route.ts";

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
  /** The image that machines are to start from is not there. */
  readonly image?: ImageMissing;
}

export function plan(ledger: Ledger, policy: Policy, context: PlanContext, now: Instant): Plan {
  const demand = demandOf(ledger);
  const { expired, nextDeadline } = deadlinesOf(ledger, policy, now);
  const inTime = expired.size === 0 ? demand.unserved : demand.unserved.filter((job) => !expired.has(job));
  const isHopeless = context.image?.isFinal === true;
  const due = isHopeless ? [] : inTime;
  const admitted = admitByRepository(due, policy, context);
  const supply = demand.unclaimed.length;
  const wanted = admitted.jobs.length + warmTargetOf(ledger, policy) - supply;
  const offer = boundedOffer(ledger, policy, context, wanted, now);
  const unmet = admitted.jobs.length - supply - offer.count;
  const blocked = blockedOf(ledger, unmet > 0 ? offer.blocked : admitted.blocked, now);

  const commands: Command[] = [
    ...[...expired].map((job) => giveUp(job, ledger.record?.blocked ?? blocked)),
    ...(isHopeless ? inTime.map((job) => withoutImage(job, context.image?.detail ?? "")) : []),
    ...unanswered(ledger, policy, now),
    ...retireSurplus(demand, policy, now),
    ...launches(offer, admitted.jobs, demand, ledger, now),
  ];
  return {
    commands,
    planned: due.filter((job) => job.times.planned === undefined),
    blocked,
    recheckAt: nextChange(ledger, policy, demand, blocked, nextDeadline, now),
  };
}

/**
 * Whether a look at the fleet may do something after this change that no look before it has arranged: `before` was
 * looked at, or another look at it is due when time changes its plan. Caps and budget are left out of account.
 */
export function deservesLook(before: Ledger, after: Ledger, policy: Policy, now: Instant): boolean {
  const context = { counters: {}, spentTodayUsd: 0 };
  const next = plan(after, policy, context, now);
  if (next.planned.length > 0 || next.commands.some(({ kind }) => kind !== "launch")) return true;
  const earlier = plan(before, policy, context, now);
  // As many were to be launched before: that has been done, or something is in the way that this change did not touch.
  if (launchesOf(next) > launchesOf(earlier)) return true;
  if (next.recheckAt === undefined) return false;
  return earlier.recheckAt === undefined || next.recheckAt < earlier.recheckAt;
}

/**
 * Whether any of these changes of a ledger is of something that plans read. They do not read jobs that are not queued or
 * are presumed to run, machines that have got a job, and when a runner came online. A job that is presumed to run keeps
 * its deadline; a look was arranged for that when it was not.
 */
export function changesPlan({ record, jobs, machines }: Ledger, changes: readonly Change[]): boolean {
  return changes.some((change) => {
    if (change.put === "fleet") return change.record !== record;
    if (change.put === "job") return isNews(jobs, change.job, isDemand);
    return isNews(machines, change.machine, isSupply);
  });
}

function isDemand(job: Job): boolean {
  return job.state === "queued" && !isPresumedRunning(job);
}

function isSupply({ state }: Machine): boolean {
  return isBeforeMachineState(state, "busy");
}

function isNews<Entry extends Job | Machine>(
  known: readonly Entry[],
  entry: Entry,
  counts: (entry: Entry) => boolean,
): boolean {
  const before = known.find(({ id }) => id === entry.id);
  const counted = before !== undefined && counts(before);
  if (!counted || !counts(entry)) return counted || counts(entry);
  return !(isSameBut("times", before, entry) && isSameBut<object>("online", before.times, entry.times));
}

/** Whether all fields but this one are the same. */
function isSameBut<Fields extends object>(field: string, one: Fields, other: Fields): boolean {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]) as Set<keyof Fields>;
  return [...names].every((name) => name === field || one[name] === other[name]);
}

function launchesOf({ commands }: Plan): number {
  return commands.reduce((sum, command) => sum + (command.kind === "launch" ? command.count : 0), 0);
}

/**
 * Whether a look at the fleet would change anything now, as far as `context` tells. What time alone changes later is not
 * meant: `recheckAt` says when to look for that.
 */
export function needsLook(ledger: Ledger, policy: Policy, context: PlanContext, now: Instant): boolean {
  const { commands, planned, blocked } = plan(withSpecOfToday(ledger, policy), policy, context, now);
  return commands.length > 0 || planned.length > 0 || !isSameBlocked(ledger.record?.blocked, blocked);
}

/** New machines follow the config of today; the record keeps that of the last launch when the preset is gone. */
export function withSpecOfToday(ledger: Ledger, policy: Policy): Ledger {
  const { record } = ledger;
  const preset = policy.presets.find((entry) => entry.name === record?.spec.preset);
  if (record === undefined || preset === undefined) return ledger;
  return { ...ledger, record: { ...record, spec: resolveSpec(preset, record.options, policy) } };
}

export function isSameBlocked(one: Blocked | undefined, other: Blocked | undefined): boolean {
  return (
    one?.because === other?.because &&
    one?.detail === other?.detail &&
    one?.since === other?.since &&
    one?.nextAttemptAt === other?.nextAttemptAt
  );
}

export function deadlineOf(job: Job, policy: Policy): Instant {
  return (job.times.queued ?? job.times.created) + policy.timing.jobDeadlineSeconds * 1000;
}

// ------------------------------------------------------------------------------------ demand and supply

/** Queued jobs whose deadline has passed, also those that a machine has claimed: it may never get to be registered for them. */
function deadlinesOf(
  ledger: Ledger,
  policy: Policy,
  now: Instant,
): { readonly expired: ReadonlySet<Job>; readonly nextDeadline: Instant } {
  const expired = new Set<Job>();
  let nextDeadline = Number.POSITIVE_INFINITY;
  for (const job of ledger.jobs) {
    if (job.state !== "queued") continue;
    const deadline = deadlineOf(job, policy);
    if (deadline <= now) expired.add(job);
    else if (deadline < nextDeadline) nextDeadline = deadline;
  }
  return { expired, nextDeadline };
}

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
  let repository = "";
  let before: Job | undefined;
  for (const job of jobs) {
    // The jobs of one push stand next to each other.
    if (!isSameRepository(before, job)) repository = fullName(job.repository);
    before = job;
    const places = free.get(repository) ?? max - (context.counters[repositoryCounter(repository)] ?? 0);
    free.set(repository, places - 1);
    if (places > 0) admitted.push(job);
    else blocked ??= { because: "repository-limit", detail: `${repository} has all of its ${max} machines.` };
  }
  return { jobs: admitted, blocked };
}

function isSameRepository(one: Job | undefined, { repository }: Job): boolean {
  return one?.repository.owner === repository.owner && one.repository.name === repository.name;
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
  /** What keeps more from being launched. */
  readonly blocked: Blocking;
}

/** As many of the wanted machines as the bounds allow; none when less than none is wanted. */
function boundedOffer(
  ledger: Ledger,
  policy: Policy,
  context: PlanContext,
  wanted: number,
  now: Instant,
): Offer {
  const none = (blocked: Blocking): Offer => ({ count: 0, purchase: "on-demand", blocked });
  const { record } = ledger;
  const preset = policy.presets.find((entry) => entry.name === record?.spec.preset);
  if (record === undefined || preset === undefined) {
    const name = record?.spec.preset ?? ledger.fleet;
    return none({ because: "preset-removed", detail: `The preset ${name} is no longer in the config.` });
  }
  const budget = policy.limits.dailyBudgetUsd ?? Number.POSITIVE_INFINITY;
  if (context.spentTodayUsd >= budget) {
    const detail = `Today's cost has reached the budget of ${budget} USD.`;
    return none({ because: "budget", detail, nextAttemptAt: startOfNextDay(now) });
  }
  if (context.image !== undefined) {
    const { kind, detail, nextAttemptAt } = context.image;
    return none({ because: `image-${kind}`, detail, nextAttemptAt });
  }
  const purchase = openMarket(record, purchases[record.spec.market], now);
  if (typeof purchase !== "string") return none(purchase);

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
  const { free, ...blocked } = places.reduce((left, right) => (right.free < left.free ? right : left));
  return { count: Math.max(0, Math.min(wanted, free)), purchase, blocked };
}

/** What may be bought in a market, the cheaper first. */
const purchases: Readonly<Record<Market, readonly [Purchase, Purchase?]>> = {
  "spot-only": ["spot"],
  "spot-preferred": ["spot", "on-demand"],
  "on-demand-only": ["on-demand"],
};

/**
 * Spot first where it is allowed; on-demand when spot has nothing to give; else the wait, with its reason. A provider
 * that is throttled or unreachable, or a setting that is wrong, says nothing of spot and buys nothing dearer.
 */
function openMarket(
  record: FleetRecord,
  [purchase, dearer]: readonly [Purchase, Purchase?],
  now: Instant,
): Purchase | (Blocking & { readonly nextAttemptAt: Instant }) {
  const refusal = marketRefusal(record.refusals, purchase, now);
  if (refusal === undefined) return purchase;
  const isFull = refusal.kind === "capacity" || refusal.kind === "quota";
  if (isFull && dearer !== undefined) {
    const next = openMarket(record, [dearer], now);
    if (typeof next === "string") return next;
    return { ...next, nextAttemptAt: Math.min(refusal.until, next.nextAttemptAt) };
  }
  const spotOnly = record.spec.market === "spot-only";
  return {
    because: isFull ? (spotOnly ? "no-spot-capacity" : "no-capacity") : "launch-refused",
    detail: `${refusal.code}: ${refusal.message}`,
    nextAttemptAt: refusal.until,
  };
}

/** What it says of `since` is kept while the reason stays the same. */
function blockedOf(ledger: Ledger, blocking: Blocking | undefined, now: Instant): Blocked | undefined {
  if (blocking === undefined) return undefined;
  const before = ledger.record?.blocked;
  return { ...blocking, since: before?.because === blocking.because ? before.since : now };
}

// -------------------------------------------------------------------------------------------- commands

/** Machines for the first in line. For jobs that were lost before, some that nobody takes back, where that may be. */
function launches(
  { count, purchase }: Offer,
  admitted: readonly Job[],
  { unclaimed }: Demand,
  ledger: Ledger,
  now: Instant,
): readonly Command[] {
  const refusals = ledger.record?.refusals ?? [];
  const unmet = admitted.slice(unclaimed.length);
  const bothOpen = purchase === "spot" && marketRefusal(refusals, "on-demand", now) === undefined;
  const onDemand = bothOpen ? onDemandForReruns(ledger.record, admitted, unclaimed, count) : 0;
  const parts = [
    { purchase: "on-demand", count: onDemand, jobs: unmet.slice(0, onDemand) },
    { purchase, count: count - onDemand, jobs: unmet.slice(onDemand, count) },
  ] as const;
  return parts
    .filter((part) => part.count > 0)
    .map((part) => ({
      kind: "launch",
      ...part,
      avoidPools: poolsToAvoid(refusals, part.purchase, now),
      because: part.jobs.length > 0 ? "demand" : "warm-target",
    }));
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

function withoutImage(job: Job, detail: string): Command {
  return { kind: "give-up", job, because: "image-failed", detail };
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
  return machine.times.registered ?? machine.times.requested;
}

// -------------------------------------------------------------------------------------------- recheck

/** Whoever is held back by a cap is told when a place becomes free; this is for when nobody was. */
const heldBackSeconds = 30;

/** The first instant after `now` at which time alone changes the plan. */
function nextChange(
  ledger: Ledger,
  policy: Policy,
  demand: Demand,
  blocked: Blocked | undefined,
  nextDeadline: Instant,
  now: Instant,
): Instant | undefined {
  let first = nextDeadline;
  const note = (instant: Instant): void => {
    if (instant > now && instant < first) first = instant;
  };
  if (blocked !== undefined) note(blocked.nextAttemptAt ?? now + heldBackSeconds * 1000);
  for (const machine of ledger.machines) if (machine.state === "requested") note(relaunchAt(machine, policy));
  const graceMilliseconds = policy.timing.idleGraceSeconds * 1000;
  for (const machine of demand.surplus) {
    if (machine.state === "registered") note(idleSince(machine) + graceMilliseconds);
  }
  return first === Number.POSITIVE_INFINITY ? undefined : first;
}

function startOfNextDay(now: Instant): Instant {
  const day = 24 * 60 * 60 * 1000;
  return (Math.floor(now / day) + 1) * day;
}
