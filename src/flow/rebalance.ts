import { scopeName } from "../core/demand.ts";
import { MayflyError } from "../core/errors.ts";
import { imageKey } from "../core/image.ts";
import { jobAfter, jobEndMissed, jobGivenUp, jobHeldBack } from "../core/lifecycle.ts";
import type { Instant, Job, JobEvent, JobId, Ledger, Machine, Policy, Scope } from "../core/model.ts";
import {
  believedQueued,
  deliveriesToRedeliver,
  jobChecked,
  jobsToCheck,
  machinesToCheck,
  missingJobs,
} from "../core/rebalance.ts";
import { fleetIdOf, resolveSpec, routeJob } from "../core/route.ts";
import { needsLook } from "../core/scaleup.ts";
import type { RepositoryAddress, Runner } from "../ports/github.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet } from "./commit-fleet.ts";
import { sayGivenUp } from "./give-up.ts";
import { inTurn } from "./in-turn.ts";
import { applyJobEvent, applyMachineEvent } from "./lifecycle.ts";
import { poke } from "./pokes.ts";
import { decideLoss, jobsToDecide } from "./rerun.ts";
import { recordDemand } from "./webhook.ts";

type Ports = Pick<AllPorts, "github" | "store" | "work" | "log" | "clock">;

/** The ports of one round, which may have only so much time. */
interface Round extends Ports {
  readonly until: Instant | undefined;
  /** What there was no time for. */
  skipped: number;
}

const deliveryLookbackSeconds = 60 * 60;
/** GitHub's log is long where many jobs run, and each hundred of it is a request: most rounds read so much of it. */
const recentDeliverySeconds = 10 * 60;

const deliverySettleSeconds = 20;
const redeliveriesPerRound = 50;
/** So many jobs, at most, is GitHub asked about in one round, one by one. */
export const jobChecksPerRound = 100;
/** Each repository costs a few requests of the hourly budget. */
const firstSweepLimit = 200;
const repositoryMemorySeconds = 24 * 60 * 60;
/** A runner that was registered a moment ago may not be listed yet. */
const runnerSettleSeconds = 60;
/** A look at an image that is due for so long was forgotten. */
const imageSettleSeconds = 30;

/** A runner that is not online so long after its registration was never started, or has lost its connection. */
const runnerOnlineSeconds = 180;

/** What a round has to know of the one before it, in the same process. */
export interface PreviousRound {
  /** When GitHub's log was read whole and nothing in it was to be sent again; undefined when something was. */
  readonly logClearAt: Instant | undefined;
}

/**
 * Stage **rebalance**: demand that nobody told us about, and events that were lost. Its sources are independent of
 * one another: one that fails is reported and tried again in the next round, and the others go on. `previous`: what the
 * round before has returned; `none` when nothing was asked since the process started, so that a ledger which knows no
 * repository asks where the App is installed. `until`: after it GitHub is asked nothing more, and the round ends soon;
 * the next one begins somewhere else.
 */
export async function rebalance(
  ports: Ports,
  policy: Policy,
  options: { readonly previous?: PreviousRound | "none"; readonly until?: Instant } = {},
): Promise<PreviousRound> {
  const { previous, until } = options;
  const round: Round = { ...ports, until, skipped: 0 };
  const listed = new Set<JobId>();
  let ledgers: readonly Ledger[] | undefined;
  let logClearAt: Instant | undefined;
  await attempt(round, "Failed deliveries could not be sent again.", async () => {
    logClearAt = await redeliver(round, previous === "none" ? undefined : previous?.logClearAt);
  });
  await attempt(round, "Open jobs could not be listed.", async () => {
    // Read before the lists: what is queued here and not there has moved on, whatever else happens meanwhile.
    const before = await loadActive(ports);
    const learnt = await sweepRepositories(round, policy, before, previous === "none", listed);
    if (!learnt) ledgers = before;
  });
  const active = ledgers ?? (await loadActive(ports));
  await attempt(round, "Warm machines could not be prepared.", () =>
    prepareWarmFleets(round, policy, active),
  );
  await attempt(round, "Jobs could not be checked at GitHub.", () =>
    checkJobs(round, policy, active, listed),
  );
  await attempt(round, "Lost jobs could not be looked at.", () => decideLosses(round, policy, active));
  await attempt(round, "Runners could not be compared with GitHub.", () => compareRunners(round, active));
  await attempt(round, "Machines without a job could not be checked at GitHub.", () =>
    checkBusyMachines(round, policy, active),
  );
  if (round.skipped > 0) {
    ports.log.warn("A round of rebalance had no time for everything.", {
      stage: "rebalance",
      skipped: round.skipped,
    });
  }
  await attempt(round, "Images could not be listed.", () => pokeImages(round, policy));
  await pokeWhatWaits(ports, policy, active);
  await ports.store.purge(ports.clock.now() - policy.timing.historySeconds * 1000);
  return { logClearAt };
}

/** Pokes may be lost. Where a look would change nothing, none is asked for. */
async function pokeWhatWaits(ports: Ports, policy: Policy, ledgers: readonly Ledger[]): Promise<void> {
  if (ledgers.length === 0) return;
  const counters = await ports.store.counters();
  const now = ports.clock.now();
  for (const ledger of ledgers) {
    // What was spent is not read for this: where the budget is used up, looks are asked for in vain.
    const context = { counters, spentTodayUsd: 0 };
    if (needsLook(ledger, policy, context, now)) await poke(ports, "scaleup", ledger.fleet);
    const retires = ledger.machines.some((machine) => machine.state === "retiring");
    if (retires) await poke(ports, "scaledown", ledger.fleet);
  }
}

/** Builds at which nobody looks any more: an operator ordered them, and the poke was lost. */
async function pokeImages(ports: Ports, policy: Policy): Promise<void> {
  if (!policy.presets.some(({ buildsImages }) => buildsImages === true)) return;
  const due = ports.clock.now() - imageSettleSeconds * 1000;
  for (const { build, base, architecture } of await ports.store.images()) {
    if (build !== undefined && build.lookAt <= due) {
      await poke(ports, "scaleup", imageKey(base, architecture));
    }
  }
}

/** One that cannot be read is reported, and keeps no other from its round. */
async function loadActive(ports: Ports): Promise<readonly Ledger[]> {
  const ledgers: Ledger[] = [];
  for (const fleet of await ports.store.activeFleets()) {
    try {
      ledgers.push(await ports.store.load(fleet));
    } catch (error) {
      ports.log.error("A fleet's ledger could not be read.", { stage: "rebalance", fleet, error });
    }
  }
  return ledgers;
}

async function attempt(round: Round, sentence: string, work: () => Promise<void>): Promise<void> {
  if (round.until !== undefined && round.clock.now() >= round.until) {
    round.skipped += 1;
    return;
  }
  try {
    await work();
  } catch (error) {
    round.log.warn(sentence, { stage: "rebalance", error });
  }
}

/** Returns when the log was last read whole without anything to send again; undefined when there was something now. */
async function redeliver(ports: Round, clearAt: Instant | undefined): Promise<Instant | undefined> {
  const now = ports.clock.now();
  const recently = now - recentDeliverySeconds * 1000;
  if (clearAt !== undefined && clearAt > recently) {
    const recent = await ports.github.listDeliveries(recently);
    if (recent.every(({ succeeded }) => succeeded)) return clearAt;
  }
  const attempts = await ports.github.listDeliveries(now - deliveryLookbackSeconds * 1000);
  const due = deliveriesToRedeliver(attempts, now, deliverySettleSeconds).slice(0, redeliveriesPerRound);
  for (const delivery of due) {
    await attempt(ports, "A delivery could not be sent again.", () => ports.github.redeliver(delivery.id));
  }
  if (due.length === 0) return now;
  ports.log.info("Failed deliveries were asked for again.", { stage: "rebalance", deliveries: due.length });
  return undefined;
}

/**
 * `listed` gets the jobs of which GitHub has said in this round that they have not ended. True when something was learnt,
 * so that the ledgers are not what they were.
 */
async function sweepRepositories(
  ports: Round,
  policy: Policy,
  ledgers: readonly Ledger[],
  isFirst: boolean,
  listed: Set<JobId>,
): Promise<boolean> {
  const now = ports.clock.now();
  const recent = await ports.store.recentRepositories(now - repositoryMemorySeconds * 1000);
  const repositories = recent.length === 0 && isFirst ? await repositoriesOfInstallations(ports) : recent;
  const believed = ledgers.flatMap((ledger) => believedQueued(ledger, policy, now, isFirst));
  const known = new Map(ledgers.flatMap((ledger) => ledger.jobs.map((job) => [job.id, job])));
  let learnt = false;
  for (const repository of inTurn(repositories, now, ports.until)) {
    await attempt(ports, "A repository's open jobs could not be listed.", async () => {
      const events = await ports.github.listOpenJobs(repository);
      for (const { id } of events) listed.add(id);
      const missing = missingJobs(believed, repository, events);
      if (missing.length > 0) learnt = true;
      await askForMissing(ports, policy, missing);
      for (const event of events) {
        if (await noteListed(ports, policy, event, known.get(event.id))) learnt = true;
      }
    });
  }
  return learnt;
}

/**
 * Whether it was news. Most is known, or none of ours, and is listed again every minute: nothing is read for it. One that
 * runs and is not in a ledger has its machine, of ours or of others.
 */
async function noteListed(
  ports: Ports,
  policy: Policy,
  event: JobEvent,
  loaded: Job | undefined,
): Promise<boolean> {
  if (loaded === undefined && (event.action === "in_progress" || isIgnored(event, policy))) return false;
  const known = loaded ?? (await ports.store.findJob(event.id));
  if (known !== undefined) {
    const isNews = jobAfter(known, event) !== known;
    if (isNews) await applyJobEvent(ports, policy, event);
    return isNews || holdBack(ports, known, event, event.receivedAt);
  }
  const became = await recordDemand(ports, policy, event);
  if (became === "Accepted.") {
    ports.log.warn("A job was found that no delivery told of.", { stage: "rebalance", job: event.id });
  }
  return true;
}

function isIgnored({ labels }: JobEvent, policy: Policy): boolean {
  return routeJob(labels, policy).kind === "ignored";
}

/** For a ledger that knows nothing yet, or nothing any more: jobs may wait since before it was there. */
async function repositoriesOfInstallations(ports: Ports): Promise<readonly RepositoryAddress[]> {
  const { repositories } = await ports.github.listRepositories();
  if (repositories.length > firstSweepLimit) {
    ports.log.warn("Not every repository is looked at for queued jobs at the start.", {
      stage: "rebalance",
      repositories: repositories.length,
      lookedAt: firstSweepLimit,
    });
  }
  return repositories.slice(0, firstSweepLimit);
}

/** Their events are late or lost, as those that GitHub sent while nobody listened: launch nothing for them. */
async function askForMissing(ports: Round, policy: Policy, missing: readonly Job[]): Promise<void> {
  for (const job of missing.slice(0, jobChecksPerRound)) {
    await attempt(ports, "A job could not be checked at GitHub.", async () => {
      const repository = { ...job.repository, installationId: job.installationId };
      const askedAt = ports.clock.now();
      const event = await ports.github.getJob(repository, job.id);
      // One that GitHub does not know may be too young for it: the regular check decides, later.
      if (event === undefined) return;
      await noteAnswer(ports, policy, job, event, askedAt);
      await commitChecked(ports, job);
    });
  }
}

async function noteAnswer(
  ports: Ports,
  policy: Policy,
  job: Job,
  event: JobEvent,
  askedAt: Instant,
): Promise<void> {
  await applyJobEvent(ports, policy, event);
  await holdBack(ports, job, event, askedAt);
}

/** Whether a job that was announced as queued waits for an approval after all: then its machine has nothing to do. */
async function holdBack(ports: Ports, job: Job, event: JobEvent, askedAt: Instant): Promise<boolean> {
  if (event.action !== "waiting" || jobHeldBack(job, askedAt) === job) return false;
  const isHeld = await commitFleet(ports.store, job.fleet, (ledger) => {
    const before = ledger.jobs.find((entry) => entry.id === job.id);
    const held = before === undefined ? undefined : jobHeldBack(before, askedAt);
    if (held === undefined || held === before) return { changes: [], result: false };
    return { changes: [{ put: "job", job: held }], result: true };
  });
  if (isHeld) await poke(ports, "scaledown", job.fleet);
  return isHeld;
}

/** GitHub was asked. A job that it still says nothing of, or nothing new, may have to end without its word. */
async function commitChecked(ports: Ports, job: Job, isUnknown = false): Promise<void> {
  const after = await commitFleet<Job | undefined>(ports.store, job.fleet, (ledger) => {
    const before = ledger.jobs.find((entry) => entry.id === job.id);
    if (before === undefined) return { changes: [], result: undefined };
    const now = ports.clock.now();
    const next = isUnknown ? vanished(before, now) : jobEndMissed(before, now);
    const checked = jobChecked(next, now);
    return { changes: [{ put: "job", job: checked }], result: checked };
  });
  if (after?.state !== "done") return;
  await sayGivenUp(ports, after);
  await poke(ports, "scaleup", job.fleet);
}

/** A preset with a warm target has its fleet from the start, not from its first job on. */
async function prepareWarmFleets(ports: Ports, policy: Policy, active: readonly Ledger[]): Promise<void> {
  for (const preset of policy.presets) {
    const fleet = fleetIdOf(preset.name, {});
    if (preset.warm === 0 || active.some((ledger) => ledger.fleet === fleet)) continue;
    await commitFleet(ports.store, fleet, (ledger) => {
      const record = { id: fleet, options: {}, spec: resolveSpec(preset, {}, policy), refusals: [] };
      return { changes: ledger.record === undefined ? [{ put: "fleet", record }] : [], result: undefined };
    });
    await poke(ports, "scaleup", fleet);
  }
}

// ----------------------------------------------------------------------------------------- jobs

async function checkJobs(
  ports: Round,
  policy: Policy,
  ledgers: readonly Ledger[],
  listed: ReadonlySet<JobId>,
): Promise<void> {
  const due = jobsToCheck(ledgers, policy, ports.clock.now(), listed).slice(0, jobChecksPerRound);
  for (const job of due) {
    await attempt(ports, "A job could not be checked at GitHub.", () => askAbout(ports, policy, job));
  }
}

/** One that GitHub does not answer for goes to the end of the line, or a hundred of them would keep away all others. */
async function askAbout(ports: Ports, policy: Policy, job: Job): Promise<void> {
  try {
    await checkJob(ports, policy, job);
  } catch (error) {
    // Nobody was asked: the budget forbids it now.
    if (!(error instanceof MayflyError && error.kind === "wait")) await commitChecked(ports, job);
    throw error;
  }
}

async function checkJob(ports: Ports, policy: Policy, job: Job): Promise<void> {
  const repository = { ...job.repository, installationId: job.installationId };
  const askedAt = ports.clock.now();
  const event = await ports.github.getJob(repository, job.id);
  if (event !== undefined) await noteAnswer(ports, policy, job, event, askedAt);
  await commitChecked(ports, job, event === undefined);
}

/** GitHub does not know the job any more: its run or its repository was deleted. Its machine is left to the fence. */
function vanished(job: Job, now: number): Job {
  const detail = "GitHub does not know the job any more: its run or repository was deleted.";
  if (job.state !== "running") {
    return jobGivenUp(job, { kind: "given-up", because: "no-longer-at-github", detail }, now);
  }
  const outcome = { kind: "completed", conclusion: "unknown" } as const;
  return { ...job, state: "done", outcome, times: { ...job.times, completed: now } };
}

async function decideLosses(ports: Round, policy: Policy, ledgers: readonly Ledger[]): Promise<void> {
  for (const id of jobsToDecide(ledgers, ports.clock.now()).slice(0, jobChecksPerRound)) {
    await attempt(ports, "A lost job could not be looked at.", () => decideLoss(ports, policy, id));
  }
}

// -------------------------------------------------------------------------------------- runners

/** Machines whose runner GitHub has removed, does not see, or gave a job that no event told us of. */
async function compareRunners(ports: Round, ledgers: readonly Ledger[]): Promise<void> {
  const settled = ports.clock.now() - runnerSettleSeconds * 1000;
  const byScope = new Map<string, { readonly scope: Scope; readonly machines: Machine[] }>();
  for (const ledger of ledgers) {
    for (const machine of ledger.machines) {
      const scope = machine.registration?.scope;
      if (scope === undefined || machine.state !== "registered") continue;
      if ((machine.times.registered ?? 0) > settled) continue;
      const name = scopeName(scope).toLowerCase();
      const group = byScope.get(name) ?? { scope, machines: [] };
      group.machines.push(machine);
      byScope.set(name, group);
    }
  }
  for (const { scope, machines } of byScope.values()) {
    await attempt(ports, "The runners of a scope could not be compared with GitHub.", async () => {
      const runners = await ports.github.listRunners(scope);
      const byName = new Map(runners.map((runner) => [runner.name, runner]));
      for (const machine of machines) await compareRunner(ports, machine, byName.get(machine.id));
    });
  }
}

async function compareRunner(ports: Ports, machine: Machine, runner: Runner | undefined): Promise<void> {
  const now = ports.clock.now();
  if (runner === undefined) {
    const detail = "GitHub has removed its runner before it got a job.";
    await applyMachineEvent(ports, machine, { kind: "retire", because: "idle", detail }, now);
  } else if (runner.busy) {
    await applyMachineEvent(ports, machine, { kind: "job-started" }, now);
  } else if (!runner.online && (machine.times.registered ?? now) + runnerOnlineSeconds * 1000 <= now) {
    const detail = "Its runner is not online, minutes after it was registered.";
    await applyMachineEvent(ports, machine, { kind: "retire", because: "idle", detail }, now);
  }
}

/**
 * Machines that run a job which no event will end for us: it is none of ours, or nobody may ask about it any more. GitHub
 * removes the runner with its job, so a runner that has gone has no job.
 */
async function checkBusyMachines(ports: Round, policy: Policy, ledgers: readonly Ledger[]): Promise<void> {
  const now = ports.clock.now();
  const due = ledgers.flatMap((ledger) => machinesToCheck(ledger, policy, now));
  for (const machine of due.slice(0, jobChecksPerRound)) {
    await attempt(ports, "A machine's runner could not be looked for at GitHub.", () =>
      checkBusyMachine(ports, machine),
    );
  }
}

async function checkBusyMachine(ports: Ports, machine: Machine): Promise<void> {
  const scope = machine.registration?.scope;
  const job = machine.jobId === undefined ? undefined : await ports.store.findJob(machine.jobId);
  if (scope === undefined || job?.state === "running") return;
  if ((await ports.github.findRunner(scope, machine.id)) !== undefined) return;
  const detail = "GitHub has removed its runner, so its job has ended.";
  await applyMachineEvent(ports, machine, { kind: "retire", because: "lost", detail }, ports.clock.now());
}
