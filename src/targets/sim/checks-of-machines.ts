import { isBeforeJobState, isBeforeMachineState } from "../../core/lifecycle.ts";
import type { Job, LifecycleEvent, Machine, Policy } from "../../core/model.ts";
import { coversRepository } from "../../emulator/model-deliveries.ts";
import { repositoryKey } from "../../emulator/model-state.ts";
import { jobChecksPerRound } from "../../flow/rebalance.ts";
import type { Agent } from "./agent.ts";
import type { Facts, Found, WorldView } from "./checks.ts";
import type { CloudMachine } from "./cloud.ts";

export function noRunningJobIsTerminated(world: WorldView, { machineId }: CloudMachine): Found {
  const agent = world.agents.get(machineId);
  if (agent?.runsAJob !== true) return undefined;
  const machine = world.machines.get(machineId);
  const ranSeconds = (world.now - (agent.jobStartedAt ?? world.now)) / 1_000;
  const skewSeconds = 2 * world.scenario.faults.clockSkewSeconds;
  if (machine?.forced === true && machine.reason === "operator") return undefined;
  if (machine?.forced === true && ranSeconds + skewSeconds >= agent.jobTimeoutSeconds) return undefined;
  return `machine ${machineId} is terminated while job ${agent.jobId} has run on it for ${Math.round(ranSeconds)} s`;
}

// ------------------------------------------------------------------------------- known, and of some use

/** Sweeps in which the store refused nothing that may pass until what exists is known. */
export const unknownSweeps = 2;
/** Sweeps that may pass until a machine that is of no use any more has gone. */
export const needlessSweeps = { calm: 4, troubled: 6 };
export const needlessMinutes = 10;

export function everythingIsKnown(world: WorldView, fact: Facts["swept"]): Found {
  for (const machine of listedMachines(world, fact)) {
    const found = isKnown(world, machine, fact);
    if (found !== undefined) return found;
  }
  return undefined;
}

export function noMachineIsNeedless(world: WorldView, fact: Facts["swept"]): Found {
  for (const machine of listedMachines(world, fact)) {
    const found = isNeeded(world, machine, fact.startedAt);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Machines that the listing of the sweep must have held, and that nobody destroys yet. */
function listedMachines(world: WorldView, { startedAt, computes }: Facts["swept"]): readonly CloudMachine[] {
  const listed = startedAt - world.policy.timing.listingDelaySeconds * 1_000;
  return [...world.cloud.machines.values()].filter(
    (machine) => !machine.ending && machine.launchedAt <= listed && computes.has(machine.compute),
  );
}

function isKnown(world: WorldView, machine: CloudMachine, { refused }: Facts["swept"]): Found {
  const { unknownSweeps: memory } = world.memory;
  const entry = world.machines.get(machine.machineId);
  if (entry !== undefined && entry.state !== "ended") {
    memory.delete(machine.providerId);
    return undefined;
  }
  const sweeps = (memory.get(machine.providerId) ?? 0) + (refused ? 0 : 1);
  memory.set(machine.providerId, sweeps);
  if (sweeps <= unknownSweeps) return undefined;
  const how = entry === undefined ? "unknown to every ledger" : "ended for its ledger";
  return `machine ${machine.machineId} (${machine.providerId}) exists and is ${how}, after ${sweeps} sweeps`;
}

function isNeeded(world: WorldView, machine: CloudMachine, startedAt: number): Found {
  const { needless } = world.memory;
  const agent = world.agents.get(machine.machineId);
  const known = world.machines.get(machine.machineId);
  const own = agent === undefined ? machine.launchedAt : usefulUntil(world, agent);
  const left = known !== undefined && nobodyCanAskAbout(world, known);
  const until = left ? Math.max(own, ownTimeLimit(world, machine, known)) : own;
  if (Math.max(until, world.hinderedUntil) > startedAt) {
    needless.delete(machine.providerId);
    return undefined;
  }
  const unansweredAt = world.unansweredAt.get(known?.jobId ?? known?.binding?.jobId ?? 0) ?? 0;
  const before = needless.get(machine.providerId);
  const goesOn = before !== undefined && before.since >= unansweredAt;
  const entry = goesOn ? before : { since: startedAt, sweeps: 0 };
  entry.sweeps += 1;
  needless.set(machine.providerId, entry);
  const calm = world.healedAt !== undefined && entry.since > world.healedAt;
  const limit = calm ? needlessSweeps.calm : needlessSweeps.troubled;
  const patience = calm ? 0 : needlessMinutes * 60_000;
  if (entry.sweeps <= limit || entry.since + patience > world.now) return undefined;
  return `machine ${machine.machineId} (${known?.state ?? "unknown"}; its agent is ${agent?.state}) has had no use for ${entry.sweeps} sweeps`;
}

/**
 * Whether a job may run on this machine of which GitHub tells us nothing: under a name that was lost, or in a repository
 * that was taken out of the App, where its runner is registered. Once its end is known or forced, nobody has to be asked.
 */
function nobodyCanAskAbout(world: WorldView, machine: Machine): boolean {
  if (machine.nameless === true) return true;
  const { binding, registration, exitCode, times, forced } = machine;
  if (exitCode !== undefined || times.finished !== undefined || forced === true) return false;
  const scope = registration?.scope ?? binding?.scope;
  if (scope?.kind !== "repository") return false;
  const { state } = world.model;
  const repositoryId = state.repositoryIds.get(repositoryKey(scope.owner, scope.name)) ?? 0;
  return !coversRepository(state, scope.installationId, repositoryId);
}

/** When its job has passed its time limit, or, where none is known to have begun, the last one that may have. */
function ownTimeLimit(world: WorldView, machine: CloudMachine, known: Machine): number {
  const { started, retiring } = known.times;
  const jobSeconds =
    (known.registration?.jobTimeoutSeconds ?? longest(world, machine, "jobTimeoutSeconds")) + 60;
  if (started !== undefined) return started + jobSeconds * 1_000;
  if (retiring === undefined) return 0;
  return retiring + (longest(world, machine, "idleTimeoutSeconds") + jobSeconds) * 1_000;
}

/** Until when a machine in this state may be of use, as far as those outside of it can know. */
export function usefulUntil(world: WorldView, agent: Agent): number {
  const { timing } = world.policy;
  const { machine } = agent;
  const known = world.machines.get(agent.machineId);
  const bootMilliseconds = longest(world, machine, "bootTimeoutSeconds") * 1_000;
  const idleMilliseconds = longest(world, machine, "idleTimeoutSeconds") * 1_000;
  const jobMilliseconds = (agent.jobTimeoutSeconds + 60) * 1_000;
  const heardAt = Math.max(known?.contactedAt ?? 0, known?.times.launched ?? 0, agent.toldToWaitAt ?? 0);
  switch (agent.state) {
    case "booting":
    case "claiming":
      return Math.max(machine.launchedAt, heardAt + 20_000) + bootMilliseconds;
    case "starting":
      return agent.since + 60_000;
    case "listening":
      return agent.removedAt === undefined ? agent.since + idleMilliseconds : agent.removedAt + 300_000;
    case "running":
      return agent.since + jobMilliseconds;
    case "exited":
      return agent.since + 180_000;
    default: {
      // It froze. What ran on it fails when GitHub misses it, and is asked about, unless the time limit comes first.
      if (!agent.ranJob)
        return Math.max(agent.since, heardAt + bootMilliseconds, agent.since + idleMilliseconds);
      const lockMilliseconds = world.model.state.limits.jobLockSeconds * 1_000;
      // Where more jobs run than GitHub is asked about in a round, each has to wait for its turn.
      const turnSeconds =
        Math.floor(world.openJobs.size / jobChecksPerRound) * world.scenario.rebalanceSeconds;
      const askedSeconds = 2 * (timing.jobCheckSeconds + turnSeconds);
      return agent.since + lockMilliseconds + askedSeconds * 1_000 + 120_000;
    }
  }
}

/**
 * By any configuration: the newest says what is allowed, and the machine may have been told by an older one. Nobody
 * knows which preset a machine without a name was made for, so that any may be meant.
 */
function longest(
  { everyPolicy, machines }: WorldView,
  { machineId, spec }: CloudMachine,
  limit: "bootTimeoutSeconds" | "idleTimeoutSeconds" | "jobTimeoutSeconds",
): number {
  const isNameless = machines.get(machineId)?.nameless === true;
  const presets = everyPolicy.flatMap(({ policy }) => policy.presets);
  const limits = presets.filter(({ name }) => isNameless || name === spec.preset);
  return Math.max(spec[limit], ...limits.map((preset) => preset[limit]));
}

export function nothingIsLeft(world: WorldView): Found {
  for (const machine of world.cloud.machines.values()) {
    return `machine ${machine.machineId} still exists (${world.machines.get(machine.machineId)?.state ?? "unknown"})`;
  }
  for (const machine of world.openMachines.values()) {
    return `machine ${machine.id} is ${machine.state}, not ended`;
  }
  return undefined;
}

// ---------------------------------------------------------------------------- registrations and notices

export function oneMachinePerInstance(world: WorldView, { change, before }: Facts["committed"]): Found {
  if (change.put !== "machine" || change.machine.providerId === undefined) return undefined;
  const { id, providerId } = change.machine;
  if ((before as Machine | undefined)?.providerId === providerId) return undefined;
  const { givenTo } = world.memory;
  const earlier = givenTo.get(providerId);
  givenTo.set(providerId, id);
  if (earlier === undefined || earlier === id) return undefined;
  return `${providerId} was given to machine ${earlier}, and then to machine ${id}`;
}

export function oneRegistrationPerMachine(world: WorldView, claim: Facts["claimAnswered"]): Found {
  if (claim.action !== "run" || claim.runnerId === undefined) return undefined;
  const { handedOut } = world.memory;
  const earlier = handedOut.get(claim.machineId);
  handedOut.set(claim.machineId, claim.runnerId);
  if (claim.before?.times.online !== undefined) {
    return `machine ${claim.machineId} was answered with a registration after its runner had been online`;
  }
  const agent = world.agents.get(claim.machineId);
  if (agent?.runsAJob === true) {
    return `machine ${claim.machineId} was answered with a registration while it runs job ${agent.jobId}`;
  }
  if (earlier === undefined || earlier === claim.runnerId || !world.model.state.runners.has(earlier))
    return undefined;
  return `machine ${claim.machineId} has two live registrations: runners ${earlier} and ${claim.runnerId}`;
}

export const noticesAreHeard = {
  dealtWith(world: WorldView, event: LifecycleEvent): Found {
    const entry = isNotice(event) ? machineOf(world, event) : undefined;
    if (entry === undefined) return undefined;
    world.memory.noticesDealtWith.add(entry.id);
    const isNoted = entry.interruptedAt !== undefined || entry.state === "ended";
    return isNoted ? undefined : `the notice of machine ${entry.id} was dealt with and left no trace`;
  },
  ended(world: WorldView): Found {
    for (const { machineId, toldOfNoticeAt } of world.everyAgent) {
      if (toldOfNoticeAt === undefined || !world.machines.has(machineId)) continue;
      if (!world.memory.noticesDealtWith.has(machineId))
        return `the notice of machine ${machineId} was accepted and then lost`;
    }
    return undefined;
  },
};

function isNotice(event: LifecycleEvent): boolean {
  if (event.kind === "machine") return event.report.step === "interrupted";
  return event.kind === "cloud" && event.what === "interruption-notice";
}

function machineOf({ machines, machineOfProvider }: WorldView, event: LifecycleEvent): Machine | undefined {
  if (event.kind === "machine") return machines.get(event.machineId);
  if (event.kind !== "cloud") return undefined;
  const machineId = machineOfProvider.get(event.providerId);
  return machineId === undefined ? undefined : machines.get(machineId);
}

// ----------------------------------------------------------------------------------------- every write

export function onlyForwards(_world: WorldView, { change, before }: Facts["committed"]): Found {
  if (before === undefined) return undefined;
  if (change.put === "machine" && isBeforeMachineState(change.machine.state, (before as Machine).state)) {
    return `machine ${change.machine.id} goes from ${before.state} back to ${change.machine.state}`;
  }
  if (change.put === "machine") {
    const { online, started } = (before as Machine).times;
    const { times } = change.machine;
    if (online !== undefined && times.online === undefined)
      return `machine ${change.machine.id} was online, and its entry does not say so any more`;
    if (started !== undefined && times.started === undefined)
      return `machine ${change.machine.id} had started a job, and its entry does not say so any more`;
  }
  if (change.put === "job" && isBeforeJobState(change.job.state, (before as Job).state)) {
    return `job ${change.job.id} goes from ${before.state} back to ${change.job.state}`;
  }
  return undefined;
}

export function capsHold(world: WorldView, { change, before }: Facts["committed"]): Found {
  if (change.put !== "machine") return undefined;
  const { counters } = world.memory;
  const left = before === undefined ? [] : placesOf(before as Machine);
  const taken = placesOf(change.machine);
  for (const place of left) if (!taken.includes(place)) counters.set(place, (counters.get(place) ?? 0) - 1);
  for (const place of taken) {
    if (left.includes(place)) continue;
    const value = (counters.get(place) ?? 0) + 1;
    counters.set(place, value);
    const limit = Math.max(...world.policiesInForce.map((policy) => limitOf(policy, place)));
    // An orphan is entered to be ended: it existed before anybody could count it.
    if (value > limit && change.machine.reason !== "orphan")
      return `${place} has ${value} machines of ${limit}`;
  }
  return undefined;
}

/** Whether a cap keeps this fleet from one more machine for a job of this repository, as far as the ledger knows. */
export function isFull(world: WorldView, preset: string, repository: string): boolean {
  const { counters } = world.memory;
  const isFullAt = (place: string): boolean => (counters.get(place) ?? 0) >= limitOf(world.policy, place);
  return (
    isFullAt("the installation") ||
    isFullAt(`the preset ${preset}`) ||
    isFullAt(`the repository ${repository}`)
  );
}

function placesOf(machine: Machine): readonly string[] {
  if (machine.state === "ended") return [];
  const places = ["the installation", `the preset ${machine.preset}`];
  if (machine.binding !== undefined) places.push(`the repository ${machine.binding.repository}`);
  return places;
}

function limitOf(policy: Policy, place: string): number {
  if (place === "the installation") return policy.limits.machines;
  if (place.startsWith("the repository")) return policy.limits.perRepository;
  return (
    policy.presets.find((preset) => place === `the preset ${preset.name}`)?.max ?? Number.POSITIVE_INFINITY
  );
}

export function budgetHolds(world: WorldView, { change, before }: Facts["committed"]): Found {
  const budget = world.policy.limits.dailyBudgetUsd;
  if (budget === undefined || change.put !== "machine" || before !== undefined) return undefined;
  if (change.machine.state !== "requested") return undefined;
  const spent = spentTodayUsd(world);
  if (spent <= budget * 1.05 + 0.01 || isAroundMidnight(world)) return undefined;
  return `a machine is requested after ${spent.toFixed(2)} of ${budget.toFixed(2)} USD were spent today`;
}

/** The plan was made a moment before it was written, and another process's clock may be in another day. */
function isAroundMidnight({ now, scenario }: WorldView): boolean {
  const sinceMidnight = now % dayMilliseconds;
  return (
    sinceMidnight < 120_000 || sinceMidnight + scenario.faults.clockSkewSeconds * 1_000 >= dayMilliseconds
  );
}

export function spentTodayUsd(world: WorldView): number {
  const midnight = Math.floor(world.now / dayMilliseconds) * dayMilliseconds;
  let spent = 0;
  for (const { times, pricePerHourUsd = 0 } of world.machines.values()) {
    if (times.launched === undefined) continue;
    const end = Math.min(times.ended ?? world.now, world.now);
    spent += (Math.max(0, end - Math.max(times.launched, midnight)) / 3_600_000) * pricePerHourUsd;
  }
  return spent;
}

const dayMilliseconds = 86_400_000;
