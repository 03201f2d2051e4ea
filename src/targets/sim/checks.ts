import { isBeforeJobState, isBeforeMachineState } from "../../core/lifecycle.ts";
import {
  type Change,
  fullName,
  type Job,
  type Machine,
  type MachineId,
  type Policy,
} from "../../core/model.ts";
import { wasLost } from "../../core/rerun.ts";
import { admit, routeJob } from "../../core/route.ts";
import type { GithubModel } from "../../emulator/model.ts";
import type { Agent } from "./agent.ts";
import type { CloudMachine, SimCloud } from "./cloud.ts";
import type { Scenario } from "./scenario.ts";

/**
 * What must always hold, as a table: each entry is one sentence of ARCHITECTURE.md with its bound, and the functions
 * that look for its violation where it can happen. They compare the ledger with the truth, which only a simulation
 * knows: what really runs on a machine, and what really exists.
 */
export interface Check {
  readonly name: CheckName;
  readonly says: string;
  readonly bound: string;
  readonly looks: { readonly [Moment in keyof Facts]?: (world: WorldView, fact: Facts[Moment]) => Found };
}

export type CheckName = "S1" | "S2" | "S3" | "S4" | "S5" | "S6" | "S7" | "L1" | "L2" | "L3" | "T1" | "T2";

/** A sentence that says what is wrong. */
type Found = string | undefined;

/** The moments at which something can be found, and what is known at each. */
export interface Facts {
  /** The flow asks the cloud to destroy a machine. */
  readonly terminating: CloudMachine;
  /** An entry was written, in the place of `before`. */
  readonly committed: { readonly change: Change; readonly before: Job | Machine | undefined };
  /** A sweep that could list has ended. */
  readonly swept: { readonly startedAt: number };
  readonly claimAnswered: AnsweredClaim;
  /** A machine is gone. `taken`: the cloud took it back. */
  readonly gone: { readonly machine: CloudMachine; readonly taken: boolean };
  /** A log line, a status document or an entry. */
  readonly printed: { readonly where: string; readonly text: string };
  /** The seed is over. */
  readonly ended: undefined;
}

/** Lets every check look at this moment. The first that finds something says so. */
export function lookAt<Moment extends keyof Facts>(
  world: WorldView,
  moment: Moment,
  fact: Facts[Moment],
): { readonly check: CheckName; readonly found: string } | undefined {
  for (const { name, looks } of checks) {
    const found = looks[moment]?.(world, fact);
    if (found !== undefined) return { check: name, found };
  }
  return undefined;
}

export interface AnsweredClaim {
  readonly machineId: MachineId;
  /** The claim was repeated by somebody, after the machine had made it. */
  readonly repeated: boolean;
  readonly action: string;
  /** The ledger's machine when the request arrived. */
  readonly before: Machine | undefined;
  readonly runnerId: number | undefined;
}

/** What the checks may look at. */
export interface WorldView {
  readonly now: number;
  readonly scenario: Scenario;
  readonly policy: Policy;
  readonly model: GithubModel;
  readonly cloud: SimCloud;
  readonly agents: ReadonlyMap<MachineId, Agent>;
  readonly jobs: ReadonlyMap<number, Job>;
  readonly machines: ReadonlyMap<MachineId, Machine>;
  readonly secrets: Secrets;
  readonly memory: CheckMemory;
  /** Since when nothing goes wrong any more. */
  readonly healedAt: number | undefined;
  /** How often something happened that can cost a machine more than there are jobs. */
  readonly costlyEvents: ReadonlyMap<string, number>;
  /** Whether everything has ended; false when the time ran out before. */
  readonly isQuiet: boolean;
}

export interface Secrets {
  contains(text: string): string | undefined;
}

/** What the checks remember between two looks. */
export interface CheckMemory {
  /** Good sweeps in a row after which a machine was still unknown, or needless. */
  readonly unknownSweeps: Map<string, number>;
  readonly needless: Map<string, { since: number; sweeps: number }>;
  readonly counters: Map<string, number>;
  readonly handedOut: Map<MachineId, number>;
  spentUsd: number;
}

export function createCheckMemory(): CheckMemory {
  return {
    unknownSweeps: new Map(),
    needless: new Map(),
    counters: new Map(),
    handedOut: new Map(),
    spentUsd: 0,
  };
}

/** Sweeps that may pass until what exists is known. */
const unknownSweepsLimit = 2;
const needlessSweepsLimit = 4;
/** While things go wrong, the way to the end of a machine takes this much longer. */
const needlessFaultySweepsLimit = 20;
const needlessFaultyMilliseconds = 45 * 60_000;

export const checks: readonly Check[] = [
  {
    name: "S1",
    says: "no machine whose job is running is terminated",
    bound: "but for its time limit, an operator's force, or the cloud taking it",
    looks: { terminating: noRunningJobIsTerminated },
  },
  {
    name: "S2",
    says: "nothing that exists is unknown, and no machine outlives its need",
    bound: `${unknownSweepsLimit} sweeps after the listing delay; ${needlessSweepsLimit} sweeps after its need, ${needlessFaultySweepsLimit} sweeps and 45 minutes while things go wrong`,
    looks: { swept: everythingIsKnownAndNeeded },
  },
  {
    name: "S3",
    says: "at most one live registration per machine; no claim is answered after its runner was online",
    bound: "always",
    looks: { claimAnswered: oneRegistrationPerMachine },
  },
  {
    name: "S4",
    says: "machines launched = jobs; with faults, each further machine is explained by one",
    bound: "at the end of the seed",
    looks: { ended: noMachineTooMany },
  },
  { name: "S5", says: "no state moves backwards", bound: "every write", looks: { committed: onlyForwards } },
  {
    name: "S6",
    says: "the caps per preset, repository and in total hold, and the budget at the launch",
    bound: "every write of a machine",
    looks: { committed: capsHold },
  },
  {
    name: "S7",
    says: "no secret in a log line, a status document or an entry",
    bound: "every line, document and entry",
    looks: { printed: noSecret },
  },
  {
    name: "L1",
    says: "when faults stop, every accepted job runs or is visibly given up",
    bound: "its deadline; it is not given up while a machine could have been had",
    looks: { ended: everyJobEnds },
  },
  {
    name: "L2",
    says: "without jobs and without warm target there are no machines",
    bound: "the bound of S2 after the last job",
    looks: { ended: nothingIsLeft },
  },
  {
    name: "L3",
    says: "a job that was lost with its machine is run again when its run has ended, or it is said why not",
    bound: "at the end of the seed, for machines of which something told that they were taken",
    looks: { ended: lostJobsAreDecided },
  },
  {
    name: "T1",
    says: "what the ledger says of a job's end is what GitHub says",
    bound: "at the end of the seed",
    looks: { ended: conclusionsAgree },
  },
  {
    name: "T2",
    says: "of a notice that a machine will be taken, once it was acknowledged, the ledger knows",
    bound: "60 s from the notice to the ledger",
    looks: { gone: noticesAreHeard },
  },
];

// ---------------------------------------------------------------------------------------------- safety

function noRunningJobIsTerminated(world: WorldView, { machineId }: CloudMachine): Found {
  const agent = world.agents.get(machineId);
  if (agent?.runsAJob !== true) return undefined;
  const machine = world.machines.get(machineId);
  const ranSeconds = (world.now - (agent.jobStartedAt ?? world.now)) / 1_000;
  const skewSeconds = 2 * world.scenario.faults.clockSkewSeconds;
  if (machine?.forced === true && machine.reason === "operator") return undefined;
  if (machine?.forced === true && ranSeconds + skewSeconds >= agent.machine.jobTimeoutSeconds)
    return undefined;
  return `machine ${machineId} is terminated while job ${agent.jobId} has run on it for ${Math.round(ranSeconds)} s`;
}

function everythingIsKnownAndNeeded(world: WorldView, { startedAt }: Facts["swept"]): Found {
  const listed = startedAt - world.policy.timing.listingDelaySeconds * 1_000;
  for (const machine of world.cloud.machines.values()) {
    if (machine.ending || machine.launchedAt > listed) continue;
    const found = isKnown(world, machine) ?? isNeeded(world, machine, startedAt);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isKnown(world: WorldView, machine: CloudMachine): Found {
  const { unknownSweeps } = world.memory;
  const entry = world.machines.get(machine.machineId);
  if (entry !== undefined && entry.state !== "ended") {
    unknownSweeps.delete(machine.providerId);
    return undefined;
  }
  const sweeps = (unknownSweeps.get(machine.providerId) ?? 0) + 1;
  unknownSweeps.set(machine.providerId, sweeps);
  if (sweeps <= unknownSweepsLimit) return undefined;
  const how = entry === undefined ? "unknown to every ledger" : "ended for its ledger";
  return `machine ${machine.machineId} (${machine.providerId}) exists and is ${how}, after ${sweeps} sweeps`;
}

function isNeeded(world: WorldView, machine: CloudMachine, startedAt: number): Found {
  const { needless } = world.memory;
  const agent = world.agents.get(machine.machineId);
  const until = agent === undefined ? machine.launchedAt : neededUntil(world, agent, machine);
  if (until > startedAt) {
    needless.delete(machine.providerId);
    return undefined;
  }
  const entry = needless.get(machine.providerId) ?? { since: startedAt, sweeps: 0 };
  entry.sweeps += 1;
  needless.set(machine.providerId, entry);
  const calm = world.healedAt !== undefined && entry.since > world.healedAt;
  const limit = calm ? needlessSweepsLimit : needlessFaultySweepsLimit;
  const patience = calm ? 0 : needlessFaultyMilliseconds;
  if (entry.sweeps <= limit || entry.since + patience > world.now) return undefined;
  const state = world.machines.get(machine.machineId)?.state ?? "unknown";
  return `machine ${machine.machineId} (${state}; its agent is ${agent?.state}) has had no use for ${entry.sweeps} sweeps`;
}

/** Until when a machine in this state may be of use, as far as those outside of it can know. */
function neededUntil(world: WorldView, agent: Agent, machine: CloudMachine): number {
  const { timing } = world.policy;
  const known = world.machines.get(agent.machineId);
  const bootMilliseconds = machine.bootTimeoutSeconds * 1_000;
  const idleMilliseconds = machine.spec.idleTimeoutSeconds * 1_000;
  const jobMilliseconds = (machine.jobTimeoutSeconds + 60) * 1_000;
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
      const asked = agent.since + lockMilliseconds + 2 * timing.jobCheckSeconds * 1_000 + 120_000;
      return world.healedAt === undefined ? asked + idleMilliseconds + jobMilliseconds : asked;
    }
  }
}

function oneRegistrationPerMachine(world: WorldView, claim: AnsweredClaim): Found {
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

function noMachineTooMany(world: WorldView): Found {
  let withJob = 0;
  let unlucky = 0;
  for (const agent of world.agents.values()) {
    if (agent.ranJob) withJob += 1;
    else if (agent.misfortunes.size > 0) unlucky += 1;
  }
  let explained = 0;
  for (const count of world.costlyEvents.values()) explained += count;
  const { launchCount } = world.cloud;
  if (launchCount <= withJob + unlucky + explained) return undefined;
  const list = [...world.costlyEvents].map(([what, count]) => `${what}: ${count}`).join(", ") || "nothing";
  return `${launchCount} machines were launched; ${withJob} ran a job, ${unlucky} broke, explained by: ${list}`;
}

function onlyForwards(_world: WorldView, { change, before }: Facts["committed"]): Found {
  if (before === undefined) return undefined;
  if (change.put === "machine" && isBeforeMachineState(change.machine.state, (before as Machine).state)) {
    return `machine ${change.machine.id} goes from ${before.state} back to ${change.machine.state}`;
  }
  if (change.put === "job" && isBeforeJobState(change.job.state, (before as Job).state)) {
    return `job ${change.job.id} goes from ${before.state} back to ${change.job.state}`;
  }
  return undefined;
}

function capsHold(world: WorldView, { change, before }: Facts["committed"]): Found {
  if (change.put !== "machine") return undefined;
  const { counters } = world.memory;
  const left = before === undefined ? [] : placesOf(before as Machine);
  const taken = placesOf(change.machine);
  for (const place of left) if (!taken.includes(place)) counters.set(place, (counters.get(place) ?? 0) - 1);
  for (const place of taken) {
    if (left.includes(place)) continue;
    const value = (counters.get(place) ?? 0) + 1;
    counters.set(place, value);
    const limit = limitOf(world.policy, place);
    // An orphan is entered to be ended: it existed before anybody could count it.
    if (value > limit && change.machine.reason !== "orphan")
      return `${place} has ${value} machines of ${limit}`;
  }
  return before === undefined ? budgetHolds(world, change.machine) : undefined;
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

function budgetHolds(world: WorldView, machine: Machine): Found {
  const budget = world.policy.limits.dailyBudgetUsd;
  if (budget === undefined || machine.state !== "requested") return undefined;
  const midnight = Math.floor(world.now / 86_400_000) * 86_400_000;
  let spent = 0;
  for (const { times, pricePerHourUsd = 0 } of world.machines.values()) {
    if (times.launched === undefined) continue;
    const end = Math.min(times.ended ?? world.now, world.now);
    spent += (Math.max(0, end - Math.max(times.launched, midnight)) / 3_600_000) * pricePerHourUsd;
  }
  // The plan was made a moment before it was written, and another process's clock may be in another day.
  if (spent <= budget * 1.05 + 0.01 || world.now - midnight < 120_000) return undefined;
  return `a machine is requested after ${spent.toFixed(2)} of ${budget.toFixed(2)} USD were spent today`;
}

function noSecret(world: WorldView, { where, text }: Facts["printed"]): Found {
  const kind = world.secrets.contains(text);
  return kind === undefined ? undefined : `${where} holds ${kind}`;
}

function noticesAreHeard(world: WorldView, { machine }: Facts["gone"]): Found {
  if (machine.noticeAt === undefined) return undefined;
  const entry = world.machines.get(machine.machineId);
  const told = world.agents.get(machine.machineId)?.toldOfNoticeAt;
  const { faults } = world.scenario;
  const slow = [
    faults.crashFraction,
    faults.slowCallFraction,
    faults.queueDelayFraction,
    faults.storeThrottleFraction,
    faults.storeAnswerLostFraction,
  ].some((fraction) => fraction > 0);
  if (entry === undefined || told === undefined || slow || told + 60_000 > world.now) return undefined;
  if (entry.interruptedAt !== undefined) return undefined;
  return `machine ${machine.machineId} was to be taken back, and its report of the notice left no trace`;
}

// -------------------------------------------------------------------------------------------- liveness

function everyJobEnds(world: WorldView): Found {
  for (const job of world.jobs.values()) {
    const late = world.now > job.times.created + world.policy.timing.jobDeadlineSeconds * 1_000;
    if (job.state !== "done" && (world.isQuiet || late)) {
      return `job ${job.id} is ${job.state} although nothing goes wrong any more`;
    }
    const found = givenUpForAReason(world, job);
    if (found !== undefined) return found;
  }
  if (!world.isQuiet) return "the world did not come to rest";
  for (const job of world.model.state.jobs.values()) {
    if (
      job.status === "completed" ||
      world.jobs.has(job.id) ||
      !isServed(world, job.repositoryId, job.planned.labels)
    ) {
      continue;
    }
    return `job ${job.id} is ${job.status} at GitHub and nobody knows it`;
  }
  return undefined;
}

/** A job that could have had a machine for an hour is not given up for want of one. */
function givenUpForAReason(world: WorldView, job: Job): Found {
  if (world.healedAt === undefined || job.outcome?.kind !== "given-up") return undefined;
  const { limits, presets } = world.policy;
  const tight = limits.machines < 100 || limits.perRepository < 100 || limits.dailyBudgetUsd !== undefined;
  if (tight || presets.some((preset) => preset.max < 100)) return undefined;
  const { because } = job.outcome;
  if (because !== "deadline-passed" && because !== "no-capacity") return undefined;
  const waited = (job.times.completed ?? 0) - Math.max(job.times.received, world.healedAt);
  if (waited < 3_600_000) return undefined;
  const labels = job.labels;
  const route = routeJob(labels, world.policy);
  const market = route.kind === "routed" ? route.record.spec.market : "spot-only";
  const isOpen =
    (market !== "on-demand-only" && world.cloud.hasRoom("spot", world.now)) ||
    (market !== "spot-only" && world.cloud.hasRoom("on-demand", world.now));
  if (!isOpen) return undefined;
  return `job ${job.id} was given up (${because}) although machines could be had for ${Math.round(waited / 60_000)} minutes`;
}

/** A job that we should know of: of a repository that we have heard of, and that is still ours. */
function isServed(world: WorldView, repositoryId: number, labels: readonly string[]): boolean {
  const repository = world.model.state.repositories.get(repositoryId);
  if (repository === undefined || routeJob(labels, world.policy).kind !== "routed") return false;
  if (admit(repository, world.policy) !== undefined) return false;
  const name = fullName(repository);
  const known = [...world.jobs.values()].some((job) => fullName(job.repository) === name);
  const covered = [...world.model.state.installations.values()].some(
    ({ repositories }) => repositories === "all" || repositories.has(repositoryId),
  );
  return known && covered;
}

function nothingIsLeft(world: WorldView): Found {
  for (const machine of world.cloud.machines.values()) {
    return `machine ${machine.machineId} still exists (${world.machines.get(machine.machineId)?.state ?? "unknown"})`;
  }
  for (const machine of world.machines.values()) {
    if (machine.state !== "ended") return `machine ${machine.id} is ${machine.state}, not ended`;
  }
  return undefined;
}

function lostJobsAreDecided(world: WorldView): Found {
  for (const { machineId, lostJobId } of world.agents.values()) {
    const job = lostJobId === undefined ? undefined : world.jobs.get(lostJobId);
    const machine = world.machines.get(machineId);
    if (job === undefined || machine === undefined || !wasLost(job, machine)) continue;
    if (job.loss === undefined || job.loss.kind === "undecided") {
      return `job ${job.id} was lost with machine ${machineId}, and nothing was decided about it`;
    }
    const attempt = world.model.state.runs.get(job.runId)?.attempt ?? 0;
    if (job.loss.kind === "replaced" && attempt < job.loss.attempt) {
      return `job ${job.id} is said to be run again as attempt ${job.loss.attempt}, and GitHub has ${attempt}`;
    }
  }
  return undefined;
}

function conclusionsAgree(world: WorldView): Found {
  for (const job of world.jobs.values()) {
    if (job.outcome?.kind !== "completed") continue;
    const truth = world.model.state.jobs.get(job.id);
    if (truth === undefined || truth.conclusion === job.outcome.conclusion) continue;
    // Its repository was taken from us: nobody may ask any more.
    if (job.outcome.conclusion === "unknown") continue;
    return `job ${job.id} ended as ${job.outcome.conclusion}, and GitHub says ${truth.conclusion ?? truth.status}`;
  }
  return undefined;
}
