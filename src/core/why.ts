import { machineCostUsd } from "./cost.ts";
import type { ImageStatus } from "./image-status.ts";
import type { FleetRecord, Instant, Job, Ledger, Machine, Policy } from "./model.ts";
import { deadlineOf } from "./scaleup.ts";
import {
  iso,
  isoOrNull,
  jobStatus,
  machineStatus,
  type WhyDocument,
  type WhyStep,
  waitContext,
} from "./status.ts";

/**
 * What happened to one job, step by step, what it waits for, and what comes next by itself.
 * `machines`: those that claimed it or ran it, ended ones too.
 */
export function whyDocument(
  job: Job,
  ledger: Ledger,
  machines: readonly Machine[],
  policy: Policy,
  now: Instant,
  image: ImageStatus | null = null,
): WhyDocument {
  const status = jobStatus(job, waitContext(ledger, now), now);
  const ran = machines.find((machine) => machine.jobId === job.id);
  const preset = policy.presets.find(({ name }) => name === ledger.record?.spec.preset);
  const limitation = preset?.limitation ?? null;
  const missed =
    limitation !== null && job.usesContainers === true && isFailedOrRunning(job)
      ? ` It has \`container:\` or \`services:\`. ${limitation}`
      : "";
  const costUsd = ran === undefined ? null : machineCostUsd(ran, 0, now);
  return {
    job: { ...status, costUsd },
    summary: `${summaryOf(job, status.waitsFor, now)}${missed}`,
    steps: stepsOf(job, machines),
    next: nextOf(job, ledger.record, policy, now),
    machines: machines.map((machine) => machineStatus(machine, now)),
    image,
    limitation,
  };
}

function isFailedOrRunning({ state, outcome }: Job): boolean {
  return state === "running" || (outcome?.kind === "completed" && outcome.conclusion === "failure");
}

function summaryOf(job: Job, waits: string | null, now: Instant): string {
  const { outcome, times } = job;
  if (outcome?.kind === "refused") return `The job was refused. ${outcome.detail}`;
  if (outcome?.kind === "given-up") return `The job was given up (${outcome.because}). ${outcome.detail}`;
  if (outcome?.kind === "completed") {
    if (times.started === undefined) return `The job ended before it ran: ${outcome.conclusion}.`;
    if (job.loss !== undefined && job.loss.kind !== "undecided") {
      return `The job was lost with its machine. ${job.loss.detail}`;
    }
    return `The job ran and ended: ${outcome.conclusion}.`;
  }
  if (waits === null)
    return `The job runs on ${job.runnerName ?? job.machineId ?? "a runner that is not ours"}.`;
  const seconds = Math.round((now - times.created) / 1000);
  return `The job has been ${job.state} for ${seconds} s. ${waits}`;
}

function stepsOf(job: Job, machines: readonly Machine[]): readonly WhyStep[] {
  const { times, outcome } = job;
  const machine = job.machineId ?? "a machine";
  const ofJob = inOrder([
    [times.created, `GitHub created the job${inPlaceOf(job)}`],
    [times.received, "Mayfly heard of it"],
    [times.queued, "GitHub let it go, after an approval"],
    [times.planned, `it was counted as demand of fleet ${job.fleet}`],
    [times.launched, "a machine was asked for, or was there already"],
    [times.running, `machine ${machine} was running`],
    [times.claimed, `machine ${machine} claimed the job`],
    [times.online, "its runner listened for jobs"],
    [times.started, `the job started on ${job.runnerName ?? machine}`],
    [times.completed, endOf(outcome)],
    ...lossOf(job),
  ]);
  const known = [...ofJob, ...machines.flatMap((entry) => momentsOf(entry, job))].sort(
    ([left], [right]) => left - right,
  );
  return known.map(([at, what], index) => ({
    at: iso(at),
    what,
    afterSeconds: (at - (known[index - 1]?.[0] ?? at)) / 1000,
  }));
}

type Moment = readonly [Instant, string];

/**
 * What is known of these moments, none before the one it follows: GitHub's times are whole seconds, ours are
 * finer, and a job seems to start before its machine claimed it.
 */
function inOrder(moments: readonly (readonly [Instant | undefined, string])[]): readonly Moment[] {
  const ordered: Moment[] = [];
  for (const [at, what] of moments) {
    if (at !== undefined) ordered.push([Math.max(at, ordered.at(-1)?.[0] ?? at), what]);
  }
  return ordered;
}

/** What happened to a machine that had claimed the job, when it did not run it or was taken away. */
function momentsOf(machine: Machine, job: Job): readonly Moment[] {
  const moments: Moment[] = [];
  const { retiring } = machine.times;
  if (machine.interruptedAt !== undefined) {
    moments.push([machine.interruptedAt, `machine ${machine.id} was told that it will be taken back`]);
  }
  const ranIt = machine.reason === "completed" && machine.jobId === job.id;
  if (retiring !== undefined && !ranIt) {
    moments.push([retiring, `machine ${machine.id} retired: ${machine.reason}. ${machine.detail}`]);
  }
  return moments;
}

function endOf(outcome: Job["outcome"]): string {
  if (outcome === undefined) return "the job ended";
  if (outcome.kind === "completed") return `the job ended: ${outcome.conclusion}`;
  return `the job was ${outcome.kind === "refused" ? "refused" : "given up"}: ${outcome.detail}`;
}

function inPlaceOf({ rerunOf }: Job): string {
  return rerunOf === undefined ? "" : `, in place of job ${rerunOf}, which was lost with its machine`;
}

function lossOf({ loss }: Job): readonly Moment[] {
  return loss === undefined || loss.kind === "undecided" ? [] : [[loss.at, loss.detail]];
}

function nextOf(
  job: Job,
  record: FleetRecord | undefined,
  policy: Policy,
  now: Instant,
): WhyDocument["next"] {
  if (job.loss?.kind === "undecided") {
    const what = "If its machine was lost under it, it is run again when its run has ended.";
    return { what, at: isoOrNull(Math.max(job.loss.lookAt, now)) };
  }
  if (job.state === "done") return null;
  if (job.state === "waiting") return { what: "It is queued as soon as GitHub lets it go.", at: null };
  if (job.state === "running")
    return { what: "It ends by itself, at its preset's time limit at the latest.", at: null };
  const blocked = record?.blocked;
  if (blocked?.nextAttemptAt !== undefined && blocked.nextAttemptAt > now) {
    const what =
      blocked.because === "image-building" ? "The build is asked about." : "A machine is asked for again.";
    return { what, at: isoOrNull(blocked.nextAttemptAt) };
  }
  if (blocked?.because === "preset-removed") {
    return { what: "A machine is asked for as soon as the config has the preset again.", at: null };
  }
  if (blocked !== undefined) return { what: "A machine is asked for as soon as a place is free.", at: null };
  return {
    what: "If it cannot be served until then, it is given up, visibly.",
    at: iso(deadlineOf(job, policy)),
  };
}
