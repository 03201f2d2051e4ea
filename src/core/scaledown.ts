import { awaitingMachines, giveInstances, newInstances } from "./launch.ts";
import { type MachineEvent, mayBeRegistered } from "./lifecycle.ts";
import type { Instant, Ledger, Machine, MachineId, Policy } from "./model.ts";

/**
 * What exists, compared with what the ledger says, and what has passed its time. Every decision is an event for
 * the state table in `lifecycle.ts`, with the machine that it is about.
 */
export interface Decision {
  readonly machine: Machine;
  readonly event: MachineEvent;
}

/** What the provider lists, as far as the comparison needs it. */
export interface Listed {
  readonly providerId: string;
  /** Absent where only its launch is marked. */
  readonly machineId?: MachineId;
  readonly launchToken?: string;
  /** It is gone, and this is what the provider says of its end. */
  readonly ended?: { readonly detail: string; readonly takenBack: boolean };
}

/** What one provider lists, by each of the names under which it is looked for. */
export interface Listing {
  readonly byProviderId: ReadonlyMap<string, Listed>;
  readonly byMachineId: ReadonlyMap<MachineId, Listed>;
  /** Those that bear no machine id. */
  readonly byLaunch: ReadonlyMap<string, readonly Listed[]>;
  /** Those that are gone, by provider id. They are in none of the others. */
  readonly ended: ReadonlyMap<string, NonNullable<Listed["ended"]>>;
}

export function listingOf(entries: readonly Listed[]): Listing {
  const byProviderId = new Map<string, Listed>();
  const byMachineId = new Map<MachineId, Listed>();
  const byLaunch = new Map<string, Listed[]>();
  const ended = new Map<string, NonNullable<Listed["ended"]>>();
  for (const entry of entries) {
    if (entry.ended !== undefined) {
      ended.set(entry.providerId, entry.ended);
      continue;
    }
    byProviderId.set(entry.providerId, entry);
    if (entry.machineId !== undefined) byMachineId.set(entry.machineId, entry);
    else if (entry.launchToken !== undefined) {
      const launch = byLaunch.get(entry.launchToken);
      if (launch === undefined) byLaunch.set(entry.launchToken, [entry]);
      else launch.push(entry);
    }
  }
  return { byProviderId, byMachineId, byLaunch, ended };
}

/** The agent ends a job at its limit; the control plane does so this much later, should the agent be unable to. */
const jobTimeoutMarginSeconds = 60;

/** Machines of this fleet that have passed one of their limits. */
export function overdue(ledger: Ledger, policy: Policy, now: Instant): readonly Decision[] {
  const limits = ledger.record?.spec ?? longestLimits(policy);
  const decisions: Decision[] = [];
  for (const machine of ledger.machines) {
    const event = overdueEvent(machine, limits, policy, now);
    if (event !== undefined) decisions.push({ machine, event });
  }
  return decisions;
}

interface TimeLimits {
  readonly jobTimeoutSeconds: number;
  readonly bootTimeoutSeconds: number;
  readonly idleTimeoutSeconds: number;
}

/** For the orphans of a fleet of which nothing else is known: no preset lets a machine live longer. */
function longestLimits({ presets }: Policy): TimeLimits {
  return {
    jobTimeoutSeconds: Math.max(0, ...presets.map((preset) => preset.jobTimeoutSeconds)),
    bootTimeoutSeconds: Math.max(0, ...presets.map((preset) => preset.bootTimeoutSeconds)),
    idleTimeoutSeconds: Math.max(0, ...presets.map((preset) => preset.idleTimeoutSeconds)),
  };
}

function overdueEvent(
  machine: Machine,
  limits: TimeLimits,
  policy: Policy,
  now: Instant,
): MachineEvent | undefined {
  const { times } = machine;
  const passed = (since: Instant | undefined, seconds: number): boolean =>
    (since ?? Number.POSITIVE_INFINITY) + seconds * 1000 <= now;
  switch (machine.state) {
    case "requested":
      if (!passed(times.requested, policy.timing.launchLimitSeconds)) return undefined;
      return { kind: "refused", detail: "The launch was never answered and nothing of it exists." };
    case "launched":
      if (!passed(machine.contactedAt ?? times.launched ?? times.requested, limits.bootTimeoutSeconds))
        return undefined;
      return { kind: "retire", because: "boot-timeout", detail: "It did not ask for a job in time." };
    case "registered":
      // While it claims again, its runner does not listen yet: it waits for GitHub to answer us.
      if (!passed(Math.max(times.registered ?? 0, machine.contactedAt ?? 0), limits.idleTimeoutSeconds))
        return undefined;
      return { kind: "retire", because: "idle", detail: "GitHub gave its runner no job in time." };
    case "busy":
    case "retiring": {
      if (machine.forced === true || times.finished !== undefined) return undefined;
      // A retiring machine whose fence was refused, or never answered, may run a job; when it started is unknown,
      // but a runner that is given no job in time ends.
      const jobTimeoutSeconds = machine.registration?.jobTimeoutSeconds ?? limits.jobTimeoutSeconds;
      const longest = jobTimeoutSeconds + jobTimeoutMarginSeconds;
      const late = passed(times.started, longest);
      const lateAtLast = passed(times.retiring, limits.idleTimeoutSeconds + longest);
      if (times.started === undefined ? !lateAtLast : !late) return undefined;
      const detail = `Its job ran longer than the ${jobTimeoutSeconds} s that its preset allows.`;
      return { kind: "retire", because: "job-timeout", detail, forced: true };
    }
    case "ended":
      return undefined;
  }
}

/**
 * The ledger's machines of one compute adapter against the provider's listing. A machine is believed gone when it
 * was missing in two listings that are at least `listingDelaySeconds` apart, because listings lag behind. Provider ids
 * of machines that have `ended` are given to no other, though they may be listed for a while.
 */
export function compare(
  machines: readonly Machine[],
  listing: Listing,
  ended: ReadonlySet<string>,
  policy: Policy,
  now: Instant,
): readonly Decision[] {
  const delayMilliseconds = policy.timing.listingDelaySeconds * 1000;
  const adopted = adoptions(machines, listing, ended);
  const decisions: Decision[] = [];
  for (const machine of machines) {
    const found = find(machine, listing) ?? adopted.get(machine.id);
    if (found !== undefined) {
      if (machine.providerId === undefined) {
        decisions.push({ machine, event: { kind: "launched", providerId: found.providerId } });
      } else if (machine.missingSince !== undefined) decisions.push({ machine, event: { kind: "seen" } });
      continue;
    }
    const end = listing.ended.get(machine.providerId ?? "");
    if (end !== undefined) {
      if (end.takenBack) decisions.push({ machine, event: { kind: "interrupted", detail: end.detail } });
      decisions.push({ machine, event: { kind: "gone", detail: end.detail } });
      continue;
    }
    // A launch that was not answered is dealt with by its own limit: it may still come to exist.
    if (machine.state === "requested") continue;
    if ((machine.times.launched ?? machine.times.requested) + delayMilliseconds > now) continue;
    if (machine.missingSince === undefined) decisions.push({ machine, event: { kind: "missing" } });
    else if (machine.missingSince + delayMilliseconds <= now) {
      decisions.push({ machine, event: { kind: "gone", detail: "The provider no longer lists it." } });
    }
  }
  return decisions;
}

function find(machine: Machine, listing: Listing): Listed | undefined {
  const byProvider =
    machine.providerId === undefined ? undefined : listing.byProviderId.get(machine.providerId);
  return byProvider ?? listing.byMachineId.get(machine.id);
}

/** Listed instances of launches of which some machines still have none, that no machine of this ledger has. */
export function adoptable(machines: readonly Machine[], listing: Listing): readonly Listed[] {
  return awaitedLaunches(machines, listing).flatMap(([, instances]) => newInstances(machines, instances));
}

function adoptions(
  machines: readonly Machine[],
  listing: Listing,
  ended: ReadonlySet<string>,
): ReadonlyMap<MachineId, Listed> {
  const adopted = new Map<MachineId, Listed>();
  for (const [token, instances] of awaitedLaunches(machines, listing)) {
    const free = instances.filter((instance) => !ended.has(instance.providerId));
    for (const { machine, instance } of giveInstances(machines, token, free))
      adopted.set(machine.id, instance);
  }
  return adopted;
}

function awaitedLaunches(
  machines: readonly Machine[],
  { byLaunch }: Listing,
): readonly (readonly [token: string, instances: readonly Listed[]])[] {
  if (byLaunch.size === 0) return [];
  const tokens = new Set(machines.map((machine) => machine.launchToken));
  return [...tokens].flatMap((token) => {
    const instances = byLaunch.get(token);
    return instances === undefined || awaitingMachines(machines, token).length === 0
      ? []
      : [[token, instances]];
  });
}

/**
 * What a retiring machine needs next.
 * - `fence`: its runner may exist; ask GitHub to remove it, again and again while GitHub says that it runs a job.
 * - `wait`: its job is done and it is ending by itself, which leaves its runner the time to say goodbye.
 * - `terminate`: no job can be running, or the operator or a time limit decided so.
 */
export type NextStep =
  | { readonly kind: "fence" }
  | { readonly kind: "wait"; readonly until: Instant }
  | { readonly kind: "terminate" };

/** A machine whose job is done has so long to end by itself. */
const goodbyeSeconds = 10;

export function nextStep(machine: Machine, now: Instant): NextStep {
  // A forced machine is fenced when it is gone: only its registration is left then.
  if (machine.forced !== true || machine.missingSince !== undefined) {
    if (mayBeRegistered(machine)) return { kind: "fence" };
    const until = (machine.times.finished ?? 0) + goodbyeSeconds * 1000;
    const ending = machine.reason === "completed" && machine.exitCode === undefined && until > now;
    if (ending && machine.missingSince === undefined) return { kind: "wait", until };
  }
  return { kind: "terminate" };
}

const soonestAgainSeconds = 2;
const latestAgainSeconds = 15;

/**
 * After how many seconds to look whether a machine that is being destroyed is gone. The look is a call that providers
 * count, and an instance may take minutes: it comes soon, and then after as long as it has taken so far.
 */
export function terminateAgainSeconds({ times }: Machine, now: Instant): number {
  const seconds = Math.ceil((now - (times.retiring ?? now)) / 1000);
  return Math.min(Math.max(seconds, soonestAgainSeconds), latestAgainSeconds);
}

/**
 * A machine that exists at the provider and is in no ledger: it enters the ledger to be retired like any other. One
 * that bears no id and is of a launch that this ledger knows was never given to a machine, so it has never been
 * registered. Of a launch that is not known nothing is certain: it may run a job under a name that was lost.
 */
export function orphanRecord(
  listed: Listed & { readonly fleet: string; readonly preset: string; readonly launchedAt: Instant },
  compute: string,
  launchIsKnown: boolean,
  now: Instant,
): Machine {
  const id = listed.machineId ?? listed.providerId.toLowerCase().replace(/[^a-z0-9-]+/g, "-");
  const nameless = listed.machineId === undefined;
  return {
    id,
    fleet: listed.fleet,
    preset: listed.preset,
    compute,
    state: "retiring",
    purchase: "on-demand",
    launchToken: listed.launchToken ?? id,
    launchAttempts: 0,
    providerId: listed.providerId,
    reason: "orphan",
    detail: orphanDetail(nameless, launchIsKnown),
    ...(nameless && launchIsKnown && { fence: "passed" }),
    ...(nameless && !launchIsKnown && { nameless: true }),
    times: { requested: listed.launchedAt, launched: listed.launchedAt, retiring: now },
  };
}

function orphanDetail(nameless: boolean, launchIsKnown: boolean): string {
  if (!nameless) return "It exists at the provider and the ledger does not know it.";
  return launchIsKnown
    ? "Its launch was given up before it came to exist."
    : "It exists at the provider, and the ledger knows neither it nor its launch. Its own time limits end it.";
}
