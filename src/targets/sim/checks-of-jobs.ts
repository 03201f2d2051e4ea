import { canServe } from "../../core/demand.ts";
import {
  type FleetId,
  fullName,
  type Job,
  type Machine,
  type Market,
  type Purchase,
} from "../../core/model.ts";
import { wasLost } from "../../core/rerun.ts";
import { admit, routeJob } from "../../core/route.ts";
import type { Facts, Found, WorldView } from "./checks.ts";
import { waitsForItsImage } from "./checks-of-images.ts";
import { isFull, spentTodayUsd, usefulUntil } from "./checks-of-machines.ts";

// --------------------------------------------------------------------------------------- at the end

/** Within so long a job whose delivery is lost is found by a round of rebalance. */
const unheardMilliseconds = 120_000;

export function everyJobEnds(world: WorldView): Found {
  for (const job of world.openJobs.values()) {
    return `job ${job.id} is ${job.state} although nothing goes wrong any more`;
  }
  for (const job of world.jobs.values()) {
    const found = givenUpForAReason(world, job);
    if (found !== undefined) return found;
  }
  for (const job of world.model.state.jobs.values()) {
    if (job.status === "completed" || world.jobs.has(job.id)) continue;
    // Somebody ran it again in the moment in which all was over: nobody can know it yet.
    if (job.createdAt + unheardMilliseconds > world.now) continue;
    if (isServed(world, job.repositoryId, job.planned.labels) && isHeardOf(world, job.repositoryId))
      return `job ${job.id} is ${job.status} at GitHub and nobody knows it`;
  }
  return undefined;
}

/** A job that could have had a machine for an hour is not given up for want of one, nor while machines are refused. */
function givenUpForAReason(world: WorldView, job: Job): Found {
  if (world.healedAt === undefined || job.outcome?.kind !== "given-up") return undefined;
  const { limits, presets } = world.policy;
  const tight = limits.machines < 100 || limits.perRepository < 100 || limits.dailyBudgetUsd !== undefined;
  if (tight || presets.some((preset) => preset.max < 100)) return undefined;
  const { because } = job.outcome;
  if (because !== "deadline-passed") return undefined;
  const { completed = 0, received } = job.times;
  const waited = completed - Math.max(received, world.healedAt);
  const place = couldBeLaunched(world, job);
  if (waited < 3_600_000 || place === undefined) return undefined;
  const refusedAt = world.cloud.refusedAt(place.compute, place.purchase);
  if (refusedAt + hopelessMinutes * 60_000 > completed) return undefined;
  return `job ${job.id} was given up (${because}) although machines could be had for ${Math.round(waited / 60_000)} minutes`;
}

export function lostJobsAreDecided(world: WorldView): Found {
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

/** The conclusion is GitHub's word, or that nobody may ask GitHub any more. */
export function conclusionsAgree(world: WorldView): Found {
  for (const job of world.jobs.values()) {
    const truth = world.model.state.jobs.get(job.id);
    if (truth === undefined || job.outcome === undefined || !isCovered(world, truth.repositoryId)) continue;
    const { outcome } = job;
    const says = `GitHub says ${truth.conclusion ?? truth.status}`;
    if (outcome.kind === "completed" && outcome.conclusion !== truth.conclusion)
      return `job ${job.id} ended as ${outcome.conclusion}, and ${says}`;
    if (outcome.kind === "given-up" && outcome.because === "no-longer-at-github")
      return `job ${job.id} was given up as not known to GitHub, and ${says}`;
  }
  return undefined;
}

export function onlyJobsOfGithub({ model }: WorldView, { change }: Facts["committed"]): Found {
  if (change.put !== "job" || model.state.jobs.has(change.job.id)) return undefined;
  return `job ${change.job.id} is in the ledger, and GitHub has no such job`;
}

// ------------------------------------------------------------------------------------ while it waits

/** The longest wait between two tries of a launch is 15 minutes, and it takes some more to notice what has gone. */
export const hopelessMinutes = 20;

export function nobodyWaitsInVain(world: WorldView): Found {
  const { unattendedMilliseconds } = world;
  const { hopeless } = world.memory;
  const coming = comingMachines(world);
  const launchable = launchableNow(world);
  for (const job of world.openJobs.values()) {
    const isAlone = isWithoutRunner(world, job) && !hasHope(coming, job) && isOurs(world, job);
    const place = isAlone ? launchable(job) : undefined;
    if (place === undefined) {
      hopeless.delete(job.id);
      continue;
    }
    const before = hopeless.get(job.id) ?? { since: world.now, unattendedMilliseconds };
    // While nobody was there, GitHub could not be asked; and whoever was refused is right to wait.
    const attendedSince = before.since + unattendedMilliseconds - before.unattendedMilliseconds;
    const since = Math.max(attendedSince, world.cloud.refusedAt(place.compute, place.purchase));
    hopeless.set(job.id, { since, unattendedMilliseconds });
    if (since + hopelessMinutes * 60_000 > world.now) continue;
    return `job ${job.id} (${job.state}) has waited for ${hopelessMinutes} minutes, and nothing exists that could run it`;
  }
  return undefined;
}

function isWithoutRunner(world: WorldView, job: Job): boolean {
  const truth = world.model.state.jobs.get(job.id);
  return truth?.status === "queued" && truth.runnerId === undefined;
}

function isOurs(world: WorldView, job: Job): boolean {
  const truth = world.model.state.jobs.get(job.id);
  return truth !== undefined && isServed(world, truth.repositoryId, job.labels);
}

/** A launch that is not answered is waited for so long after its own limit. */
const answerMilliseconds = 120_000;

/** Machines that may come to run a job, by fleet, as far as those outside of them can know. */
function comingMachines(world: WorldView): ReadonlyMap<FleetId, readonly Machine[]> {
  const { launchLimitSeconds } = world.policy.timing;
  const coming = [...world.openMachines.values()].filter((machine) => {
    if (machine.state === "requested") {
      return machine.times.requested + launchLimitSeconds * 1_000 + answerMilliseconds > world.now;
    }
    if (machine.state !== "launched" && machine.state !== "registered") return false;
    const agent = world.agents.get(machine.id);
    const isFree = agent !== undefined && !["running", "exited", "off"].includes(agent.state);
    return isFree && usefulUntil(world, agent) > world.now;
  });
  return Map.groupBy(coming, (machine) => machine.fleet);
}

function hasHope(coming: ReadonlyMap<FleetId, readonly Machine[]>, job: Job): boolean {
  const machines = coming.get(job.fleet) ?? [];
  return machines.some((machine) => machine.binding === undefined || canServe(machine, job));
}

/** `couldBeLaunched` at this instant, asked once for all jobs of a fleet and a repository. */
function launchableNow(world: WorldView): (job: Job) => Place | undefined {
  const known = new Map<string, Place | undefined>();
  return (job) => {
    const key = `${job.fleet} ${fullName(job.repository)} ${job.labels.join()}`;
    if (!known.has(key)) known.set(key, couldBeLaunched(world, job));
    return known.get(key);
  };
}

interface Place {
  readonly compute: string;
  readonly purchase: Purchase;
}

/** As what a machine could be had for the job now, within the caps and the budget; undefined when it could not. */
function couldBeLaunched(world: WorldView, job: Job): Place | undefined {
  const route = routeJob(job.labels, world.policy);
  if (route.kind !== "routed" || world.hinderedUntil >= world.now) return undefined;
  const { preset, market, compute } = route.record.spec;
  if (isFull(world, preset, fullName(job.repository))) return undefined;
  const budget = world.policy.limits.dailyBudgetUsd;
  if (budget !== undefined && spentTodayUsd(world) >= budget) return undefined;
  if (waitsForItsImage(world, route.record.spec)) return undefined;
  const purchase = purchaseWithRoom(world, compute, market);
  return purchase === undefined ? undefined : { compute, purchase };
}

function purchaseWithRoom({ cloud, now }: WorldView, compute: string, market: Market): Purchase | undefined {
  const spot = market === "on-demand-only" ? "capacity" : cloud.refusal(compute, "spot", now);
  if (spot === undefined) return "spot";
  // Nothing dearer is bought where spot is not full, but cannot be asked.
  const mayBuyOnDemand = market !== "spot-only" && (spot === "capacity" || spot === "quota");
  return mayBuyOnDemand && cloud.refusal(compute, "on-demand", now) === undefined ? "on-demand" : undefined;
}

// -------------------------------------------------------------------------------------------- served

/** A job of a repository that is ours, and that asks for what we have. */
function isServed(world: WorldView, repositoryId: number, labels: readonly string[]): boolean {
  const repository = world.model.state.repositories.get(repositoryId);
  if (repository === undefined || routeJob(labels, world.policy).kind !== "routed") return false;
  return admit(repository, world.policy) === undefined && isCovered(world, repositoryId);
}

export function isCovered(world: WorldView, repositoryId: number): boolean {
  for (const { repositories } of world.model.state.installations.values())
    if (repositories === "all" || repositories.has(repositoryId)) return true;
  return false;
}

function isHeardOf(world: WorldView, repositoryId: number): boolean {
  const repository = world.model.state.repositories.get(repositoryId);
  const name = repository === undefined ? undefined : fullName(repository);
  return [...world.jobs.values()].some((job) => fullName(job.repository) === name);
}
