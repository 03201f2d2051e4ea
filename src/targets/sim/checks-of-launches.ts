import type { FleetId, Instant } from "../../core/model.ts";
import type { Job } from "../../emulator/model-state.ts";
import { strangerPrefix } from "../../emulator/model-strangers.ts";
import type { Found, WorldView } from "./checks.ts";
import { isCovered } from "./checks-of-jobs.ts";

/**
 * Something that can cost a machine more than there are jobs: the machines of this fleet that were asked for in this
 * time were asked for with a wrong idea of the demand. It explains one of them.
 */
interface Explanation {
  readonly what: string;
  /** Any fleet, when the ledger never knew the job. */
  readonly fleet: FleetId | undefined;
  readonly from: Instant;
  readonly until: Instant;
}

/** News that takes no longer is not late. */
const lateMilliseconds = 5_000;

export function noMachineTooMany(world: WorldView): Found {
  const idle = world.everyAgent.filter((agent) => !agent.ranJob && agent.misfortunes.size === 0);
  if (idle.length === 0) return undefined;
  const requests = requestsOf(world);
  const explained = new Map<string, number>();
  let count = 0;
  for (const explanation of explanationsOf(world)) {
    if (!wasAskedForIn(requests, explanation)) continue;
    count += 1;
    explained.set(explanation.what, (explained.get(explanation.what) ?? 0) + 1);
  }
  if (idle.length <= count) return undefined;
  const list = [...explained].map(([what, times]) => `${what}: ${times}`).join(", ") || "nothing";
  const names = idle.slice(0, 5).map((agent) => agent.machineId);
  return `${idle.length} of ${world.everyAgent.length} machines ran no job and did not break (${names.join(", ")}), explained by: ${list}`;
}

/** When machines were asked for, in order, by fleet. Not what the entries say: that is by the clock of a process. */
function requestsOf({ machines, toldAt }: WorldView): ReadonlyMap<FleetId, readonly Instant[]> {
  const byFleet = Map.groupBy(machines.values(), (machine) => machine.fleet);
  const requests = new Map<FleetId, readonly Instant[]>();
  for (const [fleet, group] of byFleet) {
    const instants = group.map((machine) => toldAt.get(`${machine.id} requested`) ?? 0);
    requests.set(
      fleet,
      instants.sort((one, other) => one - other),
    );
  }
  return requests;
}

function wasAskedForIn(
  requests: ReadonlyMap<FleetId, readonly Instant[]>,
  { fleet, from, until }: Explanation,
): boolean {
  const groups = fleet === undefined ? [...requests.values()] : [requests.get(fleet) ?? []];
  return groups.some((instants) => (firstAtOrAfter(instants, from) ?? Number.POSITIVE_INFINITY) <= until);
}

function firstAtOrAfter(sorted: readonly Instant[], from: Instant): Instant | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < from) low = middle + 1;
    else high = middle;
  }
  return sorted[low];
}

function explanationsOf(world: WorldView): readonly Explanation[] {
  const explanations: Explanation[] = [];
  const what = "machines that are kept warm";
  for (const { policy, from, until } of world.everyPolicy) {
    for (const preset of policy.presets) {
      const end = Math.min(until, world.healedAt ?? world.now);
      const one: Explanation = { what, fleet: preset.name, from, until: end };
      explanations.push(...Array.from({ length: preset.warm }, () => one));
    }
  }
  for (const job of world.model.state.jobs.values()) explanations.push(...explanationsOfJob(world, job));
  return explanations;
}

/** What happened to a job that can have cost a machine. */
function explanationsOfJob(world: WorldView, job: Job): readonly Explanation[] {
  const entry = world.jobs.get(job.id);
  const told = (...states: readonly string[]): Instant =>
    Math.min(...states.map((state) => world.toldAt.get(`${job.id} ${state}`) ?? Number.POSITIVE_INFINITY));
  const toldOfIt = told("waiting", "queued", "running", "done");
  const toldOfStart = told("running", "done");
  const toldOfEnd = told("done");
  const found: Explanation[] = [];
  const add = (what: string, from: Instant, until: Instant): void => {
    if (until > from) found.push({ what, fleet: entry?.fleet, from, until });
  };
  const { createdAt, startedAt, completedAt } = job;
  if (startedAt === undefined) add("jobs that ended in the queue", createdAt, toldOfEnd);
  if (entry?.outcome?.kind === "given-up") add("jobs that were given up", createdAt, toldOfEnd);
  if (world.jobsOnLargerRunners.has(job.id)) add("jobs on machines made for more", createdAt, toldOfEnd);
  if (job.runnerName?.startsWith(strangerPrefix) === true)
    add("jobs that somebody else's runner took", createdAt, toldOfStart);
  const movedOnAt = startedAt ?? completedAt ?? Number.POSITIVE_INFINITY;
  if (entry !== undefined && toldOfIt + lateMilliseconds > movedOnAt && toldOfStart > toldOfIt)
    add("jobs told of when they ran already", toldOfIt, toldOfStart);
  if (startedAt !== undefined && toldOfStart > startedAt + lateMilliseconds)
    add("starts told of late", startedAt, toldOfStart);
  const retiringAt = world.toldAt.get(`${job.runnerName} retiring`);
  if (retiringAt !== undefined && startedAt !== undefined && retiringAt <= startedAt)
    add("jobs that began on a machine that was about to be ended", retiringAt, toldOfStart);
  const noticeAt = world.agents.get(job.runnerName ?? "")?.machine.noticeAt;
  if (noticeAt !== undefined && startedAt !== undefined && noticeAt >= startedAt)
    add("jobs that had just begun on a machine that is to be taken back", noticeAt, toldOfStart);
  if (!isCovered(world, job.repositoryId))
    add("jobs of a repository that was taken out", createdAt, world.now);
  return found;
}
