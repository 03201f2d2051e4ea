import { jobAfter } from "../core/lifecycle.ts";
import type { Job, JobEvent, JobId, Ledger, Loss, Machine, Policy } from "../core/model.ts";
import {
  decideRerun,
  keptIfLost,
  type LostJob,
  nextLook,
  rememberRerun,
  timesRerun,
  wasLost,
} from "../core/rerun.ts";
import type { RepositoryAddress, RunState } from "../ports/github.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet } from "./commit-fleet.ts";

type Ports = Pick<AllPorts, "github" | "store" | "log" | "clock">;

/** Jobs of these fleets that may have been lost with their machines, and are to be looked at now. */
export function jobsToDecide(ledgers: readonly Ledger[], now: number): readonly JobId[] {
  return ledgers
    .flatMap((ledger) => ledger.jobs)
    .filter(({ loss }) => loss?.kind === "undecided" && loss.lookAt <= now)
    .map((job) => job.id);
}

/**
 * One look at a job that may have been lost. Once its machine has ended and its run too, it is run again, together with
 * the other lost jobs of the run. The intent is written before GitHub is asked; a crash in between leaves a job that is
 * looked at again and finds itself replaced, or not.
 */
export async function decideLoss(ports: Ports, policy: Policy, id: JobId): Promise<void> {
  const job = await ports.store.findJob(id);
  // The look at another job of its run may have decided about it.
  if (job?.loss?.kind !== "undecided") return;
  const { since } = job.loss;
  const lookAt = nextLook(since, ports.clock.now());
  if (lookAt === undefined) return settle(ports, job, left(ports, "Its run did not end within three days."));
  const machine = await machineOf(ports, job);
  if (machine !== undefined && machine.state !== "ended") return;
  if (machine === undefined || !wasLost(job, machine)) return noteLoss(ports, job, undefined);
  const run = await ports.github.getRun(addressOf(job), job.runId);
  if (run === undefined) return settle(ports, job, left(ports, "GitHub does not know its run any more."));
  const decided = run.ended && (await decideRun(ports, policy, job, run));
  if (!decided) await noteLoss(ports, job, { kind: "undecided", since, lookAt });
}

/** False: not yet. GitHub says that the run goes on after all, or another job of it may have been lost as well. */
async function decideRun(ports: Ports, policy: Policy, job: Job, run: RunState): Promise<boolean> {
  const newest = await ports.github.listRunJobs(addressOf(job), job.runId);
  const lost = await lostJobs(ports, job, newest);
  if (lost === undefined) return false;
  const { start, settled } = decideRerun(run, newest, lost, policy, ports.clock.now());
  for (const { job: other, loss } of settled) await settle(ports, other, loss);
  if (start === undefined) return true;
  for (const other of start.jobs) await intend(ports, other);
  const result = await ports.github.rerun(addressOf(job), job.runId, start.which);
  if (result.kind === "still-running") return false;
  const attempt = run.attempt + 1;
  for (const other of start.jobs) {
    const detail = `Machine ${other.runnerName ?? other.machineId} was lost under it; it is run again, as attempt ${attempt}.`;
    const replaced = { kind: "replaced", at: ports.clock.now(), attempt, detail } as const;
    await settle(ports, other, result.kind === "started" ? replaced : left(ports, result.message));
  }
  return true;
}

/**
 * This one, and all others of its run that were lost and about which nothing is decided, whoever has told of them.
 * Undefined: of one of them it cannot be said yet.
 */
async function lostJobs(
  ports: Ports,
  first: Job,
  newest: readonly JobEvent[],
): Promise<readonly LostJob[] | undefined> {
  const found = [await withTimes(ports, first)];
  for (const event of newest) {
    if (event.id === first.id || event.conclusion !== "failure") continue;
    const known = await ports.store.findJob(event.id);
    const machine = known === undefined ? undefined : await machineOf(ports, known);
    if (known === undefined || machine === undefined) continue;
    const job = keptIfLost(jobAfter(known, event), machine, ports.clock.now());
    if (job.loss?.kind !== "undecided") continue;
    if (machine.state !== "ended") return undefined;
    if (wasLost(job, machine)) found.push(await withTimes(ports, job));
  }
  return found;
}

async function withTimes(ports: Ports, job: Job): Promise<LostJob> {
  const { record } = await ports.store.load(job.fleet);
  return { job, times: timesRerun(record, job) };
}

async function intend(ports: Ports, job: Job): Promise<void> {
  await commitFleet(ports.store, job.fleet, ({ record }) => {
    const after = record && rememberRerun(record, job, ports.clock.now());
    const changed = after !== undefined && after !== record;
    return { changes: changed ? [{ put: "fleet", record: after }] : [], result: undefined };
  });
}

async function settle(ports: Ports, job: Job, loss: Exclude<Loss, { kind: "undecided" }>): Promise<void> {
  await noteLoss(ports, job, loss);
  const { id, machineId, runId } = job;
  const fields = { stage: "rebalance", job: id, machine: machineId, run: runId, detail: loss.detail };
  if (loss.kind === "replaced") ports.log.info("A job that was lost with its machine is run again.", fields);
  else ports.log.warn("A job that was lost with its machine is not run again.", fields);
}

/** What was decided stays. Without a loss: it was none, and the job goes to the history. */
async function noteLoss(ports: Ports, { id, fleet }: Job, loss: Loss | undefined): Promise<void> {
  await commitFleet(ports.store, fleet, async (ledger) => {
    const before = ledger.jobs.find((job) => job.id === id) ?? (await ports.store.findJob(id));
    const isOpen = before !== undefined && (before.loss === undefined || before.loss.kind === "undecided");
    if (!isOpen) return { changes: [], result: undefined };
    const { loss: _, ...rest } = before;
    const job = loss === undefined ? rest : { ...rest, loss };
    return { changes: [{ put: "job", job }], result: undefined };
  });
}

function left(ports: Ports, detail: string) {
  return { kind: "left", at: ports.clock.now(), detail } as const;
}

/** The one that ran it, which may be of another fleet than the one that claimed it. */
async function machineOf(ports: Ports, job: Job): Promise<Machine | undefined> {
  const id = job.runnerName ?? job.machineId;
  return id === undefined ? undefined : ports.store.findMachine(id);
}

function addressOf(job: Job): RepositoryAddress {
  return { ...job.repository, installationId: job.installationId };
}
