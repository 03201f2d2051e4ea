import type {
  Binding,
  EndReason,
  Instant,
  Job,
  JobEvent,
  JobOutcome,
  JobState,
  Machine,
  MachineReport,
  MachineState,
  Purchase,
  Registration,
} from "./model.ts";

/**
 * The two state tables. Nothing else in Mayfly changes the state of a job or of a machine.
 *
 * **Jobs.** Rows are states, columns what GitHub says. By deliveries, states only move to the right of
 * `waiting < queued < running < done`; that is why duplicate, late and reordered ones are harmless.
 *
 * |           | waiting | queued | in_progress | completed | given up | held back |
 * |-----------|---------|--------|-------------|-----------|----------|-----------|
 * | (unknown) | waiting | queued | running     | done      | –        | –         |
 * | waiting   | –       | queued | running     | done      | done     | –         |
 * | queued    | –       | –      | running     | done      | done     | waiting ² |
 * | running   | –       | –      | –           | done      | – ¹      | –         |
 * | done      | –       | –      | –           | –         | –        | –         |
 *
 * ¹ `done` when GitHub has not told of its end an hour after the longest time that it lets a job run.
 * ² GitHub announces a job of a protected environment as queued, then as waiting, and as queued again when it is
 * approved. Which of these a late delivery is cannot be told, so the step back is taken on GitHub's answer only.
 *
 * **Machines.** `requested < launched < registered < busy < retiring < ended`; `–` leaves the state as it is,
 * though a fact may be noted.
 *
 * |            | launched | refused | bound | minted     | job-started | job-finished | exited   | interrupted | retire   | gone      |
 * |------------|----------|---------|-------|------------|-------------|--------------|----------|-------------|----------|-----------|
 * | requested  | launched | ended   | –     | registered | busy        | retiring     | retiring | retiring    | retiring | ended ¹   |
 * | launched   | –        | –       | –     | registered | busy        | retiring     | retiring | retiring    | retiring | ended ¹   |
 * | registered | –        | –       | –     | –          | busy        | retiring     | retiring | retiring    | retiring | retiring ²|
 * | busy       | –        | –       | –     | –          | –           | retiring     | retiring | – (noted)   | retiring³| ended     |
 * | retiring   | –        | –       | –     | –          | – (noted)   | – (noted)    | – (noted)| –           | –        | ended ⁴   |
 * | ended      | –        | –       | –     | –          | –           | –            | –        | –           | –        | –         |
 *
 * ¹ `retiring` when it is bound: a registration may exist that the mint's answer did not tell us about.
 * ² its registration is still there and is removed first. ³ only for `job-timeout`, `operator` and `lost`.
 * ⁴ when the fence has answered, there is nothing to fence, or GitHub does not answer for ten minutes.
 */
export type MachineEvent =
  | {
      readonly kind: "launched";
      readonly providerId: string;
      readonly pool?: string;
      readonly purchase?: Purchase;
      readonly pricePerHourUsd?: number;
    }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "contacted" }
  | { readonly kind: "bound"; readonly binding: Binding }
  | { readonly kind: "minted"; readonly registration: Registration }
  | { readonly kind: "listening" }
  | { readonly kind: "job-started"; readonly jobId?: number }
  | { readonly kind: "job-finished"; readonly jobId: number }
  | { readonly kind: "exited"; readonly exitCode: number; readonly ranJob: boolean }
  | { readonly kind: "interrupted"; readonly detail: string }
  | { readonly kind: "retire"; readonly because: EndReason; readonly detail: string; readonly forced?: true }
  | { readonly kind: "fence"; readonly answer: "passed" | "refused" }
  | { readonly kind: "missing" }
  | { readonly kind: "seen" }
  | { readonly kind: "gone"; readonly detail: string };

const jobRank: Readonly<Record<JobState, number>> = { waiting: 0, queued: 1, running: 2, done: 3 };
const machineRank: Readonly<Record<MachineState, number>> = {
  requested: 0,
  launched: 1,
  registered: 2,
  busy: 3,
  retiring: 4,
  ended: 5,
};

export function isBeforeJobState(left: JobState, right: JobState): boolean {
  return jobRank[left] < jobRank[right];
}

export function isBeforeMachineState(left: MachineState, right: MachineState): boolean {
  return machineRank[left] < machineRank[right];
}

// ------------------------------------------------------------------------------------------------ jobs

/** A job that we hear of for the first time. `outcome` is given for one that is refused at once. */
export function newJob(event: JobEvent, fleet: string, outcome?: JobOutcome): Job {
  const first: Job = {
    id: event.id,
    fleet,
    state: event.action === "waiting" ? "waiting" : "queued",
    repository: event.repository,
    installationId: event.installationId,
    runId: event.runId,
    runAttempt: event.runAttempt,
    name: event.name,
    workflowName: event.workflowName,
    labels: event.labels,
    url: event.url,
    times: { created: event.createdAt, received: event.receivedAt },
  };
  if (outcome !== undefined) {
    return { ...first, state: "done", outcome, times: { ...first.times, completed: event.receivedAt } };
  }
  return jobAfter(first, event);
}

/** The job after an event of GitHub. The same object when the event changes nothing. */
export function jobAfter(job: Job, event: JobEvent): Job {
  if (job.state === "done") return job;
  if (event.action === "completed") {
    return {
      ...job,
      state: "done",
      outcome: { kind: "completed", conclusion: event.conclusion ?? "unknown" },
      ...(event.runnerName !== undefined && { runnerName: event.runnerName }),
      ...(event.usesContainers === true && { usesContainers: true }),
      times: {
        ...job.times,
        ...startOf(job, event),
        completed: event.completedAt ?? event.receivedAt,
      },
    };
  }
  if (event.action === "in_progress" && isBeforeJobState(job.state, "running")) {
    return {
      ...job,
      state: "running",
      ...(event.runnerName !== undefined && { runnerName: event.runnerName }),
      ...(event.usesContainers === true && { usesContainers: true }),
      times: { ...job.times, ...startOf(job, event) },
    };
  }
  if (event.action === "queued" && job.state === "waiting") {
    return { ...job, state: "queued", times: { ...job.times, queued: event.receivedAt } };
  }
  return job;
}

/**
 * A queued job of which GitHub said, when it was asked at this instant, that it waits for an approval. The same object
 * when we heard since that it is queued.
 */
export function jobHeldBack(job: Job, askedAt: Instant): Job {
  if (job.state !== "queued" || (job.times.queued ?? job.times.received) >= askedAt) return job;
  const { presumedAt: _, presumedOn: __, ...held } = job;
  return { ...held, state: "waiting" };
}

/** A job that is given up. It is given up only while no machine runs it; a running job stays as it is. */
export function jobGivenUp(job: Job, outcome: JobOutcome, now: Instant): Job {
  if (!isBeforeJobState(job.state, "running")) return job;
  return { ...job, state: "done", outcome, times: { ...job.times, completed: now } };
}

/** GitHub ends a job on a runner of one's own after 5 days, and tells of it within this hour, or when it is asked. */
const longestJobMilliseconds = 5 * 24 * 3_600_000;
const endToldMilliseconds = 3_600_000;

/** A running job that has ended by now, and of whose end GitHub never told, is closed. The same object before that. */
export function jobEndMissed(job: Job, now: Instant): Job {
  const started = job.times.started ?? job.times.received;
  if (job.state !== "running" || started + longestJobMilliseconds + endToldMilliseconds > now) return job;
  const detail =
    "GitHub never told how it ended. It has ended, because GitHub lets no job run for longer than 5 days.";
  const outcome = { kind: "given-up", because: "end-unknown", detail } as const;
  return { ...job, state: "done", outcome, times: { ...job.times, completed: now } };
}

/** A completed job that ran has a start; one that was cancelled in the queue has none. */
function startOf(job: Job, event: JobEvent): { started?: Instant } {
  if (job.times.started !== undefined) return {};
  if (event.runnerName === undefined) return {};
  return { started: event.startedAt ?? event.receivedAt };
}

// -------------------------------------------------------------------------------------------- machines

/** The machine after an event, by the table above. The same object when the event changes nothing. */
export function machineAfter(machine: Machine, event: MachineEvent, at: Instant): Machine {
  if (machine.state === "ended") return machine;
  switch (event.kind) {
    case "launched":
      return afterLaunched(machine, event, at);
    case "refused":
      return machine.state === "requested" ? end(machine, "launch-failed", event.detail, at) : machine;
    case "contacted":
      return { ...machine, contactedAt: at };
    case "bound":
      return afterBound(machine, event.binding, at);
    case "minted":
      return afterMinted(machine, event.registration, at);
    case "listening":
      if (machine.times.online !== undefined) return machine;
      return { ...machine, times: { ...machine.times, online: at } };
    case "job-started":
      return afterJobStarted(machine, event.jobId, at);
    case "job-finished":
      return afterJobFinished(machine, event.jobId, at);
    case "exited":
      return afterExited(machine, event, at);
    case "interrupted":
      return afterInterrupted(machine, event.detail, at);
    case "retire":
      return afterRetire(machine, event, at);
    case "fence":
      return machine.fence === event.answer ? machine : { ...machine, fence: event.answer };
    case "missing":
      return machine.missingSince === undefined ? { ...machine, missingSince: at } : machine;
    case "seen":
      return afterSeen(machine);
    case "gone":
      return afterGone(machine, event.detail, at);
  }
}

/** What a machine says of itself, as an event of the table. */
export function eventOfReport(report: MachineReport): MachineEvent {
  switch (report.step) {
    case "listening":
      return { kind: "listening" };
    case "job-started":
      return { kind: "job-started" };
    case "interrupted":
      return { kind: "interrupted", detail: report.detail };
    case "at-risk":
      // It may never be taken: by this event of the table a job goes on, and none is begun.
      return { kind: "retire", because: "interrupted", detail: report.detail };
    case "exited":
      return { kind: "exited", exitCode: report.exitCode, ranJob: report.ranJob };
  }
}

/** Whether a registration of this machine may exist at GitHub: until the fence has passed, it may run a job. */
export function mayBeRegistered(machine: Machine): boolean {
  // Nothing is known of what an orphan did before it was found.
  const mayBe = machine.binding !== undefined || machine.reason === "orphan";
  return mayBe && machine.fence !== "passed" && machine.times.finished === undefined;
}

function afterLaunched(machine: Machine, event: MachineEvent & { kind: "launched" }, at: Instant): Machine {
  if (machine.providerId !== undefined) return machine;
  return {
    ...machine,
    state: machine.state === "requested" ? "launched" : machine.state,
    providerId: event.providerId,
    ...(event.pool !== undefined && { pool: event.pool }),
    ...(event.purchase !== undefined && { purchase: event.purchase }),
    ...(event.pricePerHourUsd !== undefined && { pricePerHourUsd: event.pricePerHourUsd }),
    times: { ...machine.times, launched: machine.times.launched ?? at },
  };
}

function afterBound(machine: Machine, binding: Binding, at: Instant): Machine {
  if (!isBeforeMachineState(machine.state, "busy")) return machine;
  return {
    ...machine,
    binding,
    contactedAt: at,
    times: { ...machine.times, claimed: machine.times.claimed ?? at },
  };
}

function afterMinted(machine: Machine, registration: Registration, at: Instant): Machine {
  const noted = { ...machine, registration, times: { ...machine.times, registered: at } };
  return isBeforeMachineState(machine.state, "registered") ? { ...noted, state: "registered" } : noted;
}

function afterJobStarted(machine: Machine, jobId: number | undefined, at: Instant): Machine {
  const known = jobId === undefined || machine.jobId === jobId;
  if (known && machine.times.started !== undefined) return machine;
  return {
    ...machine,
    state: isBeforeMachineState(machine.state, "busy") ? "busy" : machine.state,
    ...(jobId !== undefined && { jobId }),
    times: {
      ...machine.times,
      online: machine.times.online ?? at,
      started: machine.times.started ?? at,
    },
  };
}

function afterJobFinished(machine: Machine, jobId: number, at: Instant): Machine {
  // It has said itself that it is done, and only GitHub knows of what.
  if (machine.times.finished !== undefined)
    return machine.jobId === undefined ? { ...machine, jobId } : machine;
  const finished = {
    ...machine,
    jobId,
    times: { ...machine.times, started: machine.times.started ?? at, finished: at },
  };
  return machine.state === "retiring" ? finished : retire(finished, "completed", "its job completed", at);
}

function afterExited(machine: Machine, event: MachineEvent & { kind: "exited" }, at: Instant): Machine {
  if (machine.exitCode !== undefined) return machine;
  const ran = event.ranJob || machine.times.started !== undefined;
  const noted: Machine = {
    ...machine,
    exitCode: event.exitCode,
    times: { ...machine.times, ...(ran && { finished: machine.times.finished ?? at }) },
  };
  if (machine.state === "retiring") return noted;
  return retire(noted, reasonOfExit(noted, ran), `the runner ended with exit code ${event.exitCode}`, at);
}

function reasonOfExit(machine: Machine, ran: boolean): EndReason {
  if (machine.interruptedAt !== undefined) return "interrupted";
  if (ran) return "completed";
  if (machine.exitCode !== 0) return "lost";
  // A listener that ends well without a job found its registration removed: normal at GitHub after some minutes.
  return machine.registration === undefined ? "surplus" : "idle";
}

function afterInterrupted(machine: Machine, detail: string, at: Instant): Machine {
  if (machine.interruptedAt !== undefined) return machine;
  const noted = { ...machine, interruptedAt: at, detail: machine.detail ?? detail };
  return isBeforeMachineState(machine.state, "busy") ? retire(noted, "interrupted", detail, at) : noted;
}

const reasonsThatStopAJob: readonly EndReason[] = ["job-timeout", "operator", "lost"];

function afterRetire(machine: Machine, event: MachineEvent & { kind: "retire" }, at: Instant): Machine {
  const noted: Machine =
    event.forced === true && machine.forced !== true ? { ...machine, forced: true } : machine;
  if (machine.state === "retiring") return noted;
  if (machine.state === "busy" && !reasonsThatStopAJob.includes(event.because)) return machine;
  return retire(noted, event.because, event.detail, at);
}

function afterSeen(machine: Machine): Machine {
  if (machine.missingSince === undefined) return machine;
  const { missingSince: _, ...seen } = machine;
  return seen;
}

/**
 * What is gone needs no fence: its registration is removed for tidiness, and GitHub removes it by itself in a day.
 * So it waits for GitHub only this long, or a suspended App would keep the places of its machines for ever.
 */
const fencePatienceMilliseconds = 10 * 60 * 1000;

function afterGone(machine: Machine, detail: string, at: Instant): Machine {
  const reason = reasonOfLoss(machine);
  const unfenced = mayBeRegistered(machine) && machine.fence === undefined && machine.state !== "busy";
  const fenceFirst = unfenced && at < (machine.missingSince ?? at) + fencePatienceMilliseconds;
  if (!fenceFirst) return end(machine, reason, machine.detail ?? detail, at);
  if (machine.state === "retiring" && machine.missingSince !== undefined) return machine;
  const missing = { ...machine, missingSince: machine.missingSince ?? at };
  return machine.state === "retiring" ? missing : retire(missing, reason, detail, at);
}

function reasonOfLoss(machine: Machine): EndReason {
  if (machine.reason !== undefined) return machine.reason;
  if (machine.interruptedAt !== undefined) return "interrupted";
  return machine.state === "requested" ? "launch-failed" : "lost";
}

function retire(machine: Machine, reason: EndReason, detail: string, at: Instant): Machine {
  return {
    ...machine,
    state: "retiring",
    reason,
    detail,
    times: { ...machine.times, retiring: at },
  };
}

function end(machine: Machine, reason: EndReason, detail: string, at: Instant): Machine {
  return {
    ...machine,
    state: "ended",
    reason,
    detail,
    times: { ...machine.times, ended: at },
  };
}
