import {
  ec2SpotPriceUsd,
  type FleetUsage,
  githubHostedPriceUsd,
  hostedMinutes,
  machineCostUsd,
  machineSeconds,
  runSeconds,
  type Size,
  sizeOf,
  spentTodayUsd,
  startOfDay,
} from "./cost.ts";
import { type Demand, demandOf, isPresumedRunning } from "./demand.ts";
import type { ImageStatus } from "./image-status.ts";
import {
  type BlockReason,
  type EndReason,
  type FleetSpec,
  fullName,
  type GiveUpReason,
  type Instant,
  type Job,
  type JobOutcome,
  type JobState,
  type Ledger,
  type Machine,
  type MachineState,
  type Policy,
  type Preset,
  type RefusalReason,
} from "./model.ts";
import { mostAtOnce } from "./most-at-once.ts";

/**
 * The documents that people and programs read: the page, the CLI and `--json`. Fields are only ever added.
 * Instants are ISO 8601 in UTC, durations seconds, money US dollars.
 */
export interface StatusDocument {
  readonly version: string;
  readonly at: string;
  readonly state: "ready" | "degraded";
  /** One sentence each, only when something needs an operator. */
  readonly problems: readonly string[];
  readonly jobs: {
    readonly waiting: number;
    readonly queued: number;
    readonly running: number;
    /** Ended within the last hour. */
    readonly completedLastHour: number;
    readonly failedLastHour: number;
    readonly givenUpLastHour: number;
    readonly refusedLastHour: number;
  };
  readonly machines: Readonly<Record<Exclude<MachineState, "ended">, number>> & {
    readonly alive: number;
    readonly launchedLastHour: number;
    readonly endedLastHour: number;
    readonly launchFailuresLastHour: number;
  };
  /** Of jobs that started within the last hour. */
  readonly waits: WaitSummary;
  readonly cost: CostSummary;
  readonly presets: readonly PresetStatus[];
  readonly fleets: readonly FleetStatus[];
  /** Those that are made of others for presets that want that. */
  readonly images: readonly ImageStatus[];
  readonly activeJobs: readonly JobStatus[];
  readonly recentJobs: readonly JobStatus[];
  readonly activeMachines: readonly MachineStatus[];
  /** Jobs started and machines alive per minute, oldest first, for the last hour. */
  readonly lastHour: readonly MinuteStatus[];
  readonly github: readonly {
    readonly installationId: number;
    readonly remaining: number;
    readonly limit: number;
    readonly resetAt: string;
  }[];
}

export interface WaitSummary {
  readonly jobs: number;
  /** From GitHub's creation of the job to its start. Null when there is nothing to measure. */
  readonly p50Seconds: number | null;
  readonly p95Seconds: number | null;
  readonly p99Seconds: number | null;
  /** GitHub's part: from the creation of the job to the delivery that told us. */
  readonly githubP50Seconds: number | null;
  readonly githubP95Seconds: number | null;
}

export interface CostSummary {
  /** Since midnight UTC. */
  readonly todayUsd: number;
  /** What the same jobs would have cost on GitHub-hosted runners, each rounded up to a whole minute. */
  readonly githubHostedTodayUsd: number;
  /** What the same machine time would have cost on EC2 spot, for comparison on a box whose machines are free. */
  readonly ec2SpotTodayUsd: number;
  readonly dailyBudgetUsd: number | null;
}

export interface PresetStatus {
  readonly name: string;
  readonly compute: string;
  readonly labels: readonly string[];
  readonly machines: number;
  readonly max: number;
  readonly status: "ready" | "blocked";
}

export interface FleetStatus {
  readonly fleet: string;
  readonly preset: string;
  readonly queued: number;
  readonly running: number;
  readonly machines: number;
  readonly blocked: {
    readonly because: BlockReason;
    /** The word of other systems for it: `IMAGE_CREATING` where an image is being built. Else null. */
    readonly alias: "IMAGE_CREATING" | null;
    readonly detail: string;
    readonly since: string;
    readonly nextAttemptAt: string | null;
  } | null;
}

export interface JobStatus {
  readonly id: number;
  readonly name: string;
  readonly workflow: string;
  readonly repository: string;
  readonly url: string;
  readonly labels: readonly string[];
  readonly fleet: string;
  readonly state: JobState;
  /** How it ended: a conclusion of GitHub (`success`, `failure`…), `given-up` or `refused`. Null while it lives. */
  readonly outcome: string | null;
  readonly because: GiveUpReason | RefusalReason | null;
  /** Why it was given up or refused, as a sentence. */
  readonly detail: string | null;
  /** Why it does not run yet, as a sentence. Null when it runs or has ended. */
  readonly waitsFor: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly completedAt: string | null;
  readonly waitSeconds: number;
  readonly runSeconds: number | null;
  readonly machine: string | null;
  readonly costUsd: number | null;
}

export interface MachineStatus {
  readonly id: string;
  readonly preset: string;
  readonly fleet: string;
  readonly compute: string;
  readonly state: MachineState;
  readonly purchase: string;
  readonly pool: string | null;
  readonly providerId: string | null;
  readonly jobId: number | null;
  readonly ageSeconds: number;
  readonly requestedAt: string;
  readonly endedAt: string | null;
  readonly reason: EndReason | null;
  readonly detail: string | null;
  readonly costUsd: number;
}

export interface MinuteStatus {
  readonly at: string;
  readonly started: number;
  readonly machines: number;
}

/** What happened to one job, step by step, and what comes next. */
export interface WhyDocument {
  readonly job: JobStatus;
  readonly summary: string;
  readonly steps: readonly WhyStep[];
  readonly next: {
    readonly what: string;
    readonly at: string | null;
  } | null;
  readonly machines: readonly MachineStatus[];
  /** The image that its machine starts from, where that is made of another; else null. */
  readonly image: ImageStatus | null;
  /** What jobs cannot do on the machines of its preset, a sentence; null where there is nothing to say. */
  readonly limitation: string | null;
}

export interface WhyStep {
  readonly at: string;
  readonly what: string;
  /** Seconds since the step before. */
  readonly afterSeconds: number;
}

// ------------------------------------------------------------------------------------------- building

/** What a status document is made from: what is alive, the whole last hour and something before it, and sums. */
export interface StatusInput {
  readonly version: string;
  readonly now: Instant;
  readonly policy: Policy;
  readonly ledgers: readonly Ledger[];
  /** Newest first. */
  readonly history: { readonly jobs: readonly Job[]; readonly machines: readonly Machine[] };
  /** Of what has ended since midnight UTC. */
  readonly usage: readonly FleetUsage[];
  readonly budgets: readonly {
    readonly installationId: number;
    readonly limit: number;
    readonly remaining: number;
    readonly resetAt: Instant;
  }[];
  readonly problems: readonly string[];
  readonly images?: readonly ImageStatus[];
  /** The lists hold at most so many entries; the counts are always of all. */
  readonly listLimit: number;
}

const hourMilliseconds = 60 * 60 * 1000;

export function statusDocument(input: StatusInput): StatusDocument {
  const { now, ledgers, history } = input;
  const jobs = ledgers.flatMap((ledger) => ledger.jobs);
  const machines = ledgers.flatMap((ledger) => ledger.machines);
  const specs = new Map(ledgers.map((ledger) => [ledger.fleet, ledger.record?.spec]));
  const lastHourJobs = history.jobs.filter((job) => (job.times.completed ?? 0) > now - hourMilliseconds);
  const endedAs = (kind: JobOutcome["kind"]) => count(lastHourJobs, (job) => job.outcome?.kind === kind);
  const fleets = ledgers.map((ledger) => fleetStatus(ledger));
  const problems = [...input.problems, ...fleets.flatMap(problemOf)];
  const waits = new Map(ledgers.map((ledger) => [ledger.fleet, waitContext(ledger, now)]));
  const cut = <T>(list: readonly T[]): readonly T[] => list.slice(0, input.listLimit);
  const active = [...jobs].sort((left, right) => left.times.created - right.times.created);
  return {
    version: input.version,
    at: iso(now),
    state: problems.length === 0 ? "ready" : "degraded",
    problems,
    jobs: {
      waiting: count(jobs, (job) => job.state === "waiting"),
      queued: count(jobs, (job) => job.state === "queued"),
      running: count(jobs, (job) => job.state === "running"),
      completedLastHour: endedAs("completed"),
      failedLastHour: count(
        lastHourJobs,
        (job) => job.outcome?.kind === "completed" && job.outcome.conclusion === "failure",
      ),
      givenUpLastHour: endedAs("given-up"),
      refusedLastHour: endedAs("refused"),
    },
    machines: machineCounts(machines, history.machines, now),
    waits: waitSummary([...jobs, ...lastHourJobs], now - hourMilliseconds),
    cost: costSummary(input, specs, jobs, machines),
    presets: input.policy.presets.map((preset) => presetStatus(preset, machines, fleets)),
    fleets,
    images: input.images ?? [],
    activeJobs: cut(active.map((job) => jobStatus(job, waits.get(job.fleet), now))),
    recentJobs: cut(history.jobs.map((job) => jobStatus(job, undefined, now))),
    activeMachines: cut(machines.map((machine) => machineStatus(machine, now))),
    lastHour: minutes(jobs, lastHourJobs, [...machines, ...history.machines], now),
    github: input.budgets.map((budget) => ({
      installationId: budget.installationId,
      remaining: budget.remaining,
      limit: budget.limit,
      resetAt: iso(budget.resetAt),
    })),
  };
}

/** The value below which the given part of the sorted values lies (nearest rank); null for none. */
export function percentile(sorted: readonly number[], part: number): number | null {
  return sorted[Math.max(1, Math.ceil(part * sorted.length)) - 1] ?? null;
}

/** Waits of the jobs that started at or after `since`, from GitHub's creation, or an approval, to the start. */
export function waitSummary(jobs: readonly Job[], since: Instant): WaitSummary {
  const started = jobs.filter((job) => (job.times.started ?? Number.NEGATIVE_INFINITY) >= since);
  const waits = started.map((job) => secondsBetween(waitBegan(job), job.times.started)).sort(ascending);
  const github = started.map((job) => secondsBetween(job.times.created, job.times.received)).sort(ascending);
  return {
    jobs: started.length,
    p50Seconds: percentile(waits, 0.5),
    p95Seconds: percentile(waits, 0.95),
    p99Seconds: percentile(waits, 0.99),
    githubP50Seconds: percentile(github, 0.5),
    githubP95Seconds: percentile(github, 0.95),
  };
}

export function machineStatus(machine: Machine, now: Instant): MachineStatus {
  const { times } = machine;
  return {
    id: machine.id,
    preset: machine.preset,
    fleet: machine.fleet,
    compute: machine.compute,
    state: machine.state,
    purchase: machine.purchase,
    pool: machine.pool ?? null,
    providerId: machine.providerId ?? null,
    jobId: machine.jobId ?? machine.binding?.jobId ?? null,
    ageSeconds: secondsBetween(times.requested, times.ended ?? now),
    requestedAt: iso(times.requested),
    endedAt: isoOrNull(times.ended),
    reason: machine.reason ?? null,
    detail: machine.detail ?? null,
    costUsd: machineCostUsd(machine, 0, now),
  };
}

/** What a job's fleet is doing about it; absent for a job that has ended. */
export interface WaitContext {
  readonly ledger: Ledger;
  readonly demand: Demand;
  readonly places: ReadonlyMap<number, number>;
  readonly now: Instant;
}

export function waitContext(ledger: Ledger, now: Instant): WaitContext {
  const demand = demandOf(ledger);
  return { ledger, demand, places: new Map(demand.unserved.map((job, index) => [job.id, index])), now };
}

export function jobStatus(job: Job, context: WaitContext | undefined, now: Instant): JobStatus {
  const { times } = job;
  return {
    id: job.id,
    name: job.name,
    workflow: job.workflowName,
    repository: fullName(job.repository),
    url: job.url,
    labels: job.labels,
    fleet: job.fleet,
    state: job.state,
    ...endOf(job.outcome),
    waitsFor: context === undefined ? null : waitsFor(job, context),
    createdAt: iso(times.created),
    startedAt: isoOrNull(times.started),
    completedAt: isoOrNull(times.completed),
    waitSeconds: secondsBetween(waitBegan(job), times.started ?? times.completed ?? now),
    runSeconds: times.started === undefined ? null : secondsBetween(times.started, times.completed ?? now),
    machine: job.machineId ?? null,
    costUsd: null,
  };
}

function endOf(outcome: Job["outcome"]): Pick<JobStatus, "outcome" | "because" | "detail"> {
  if (outcome === undefined) return { outcome: null, because: null, detail: null };
  if (outcome.kind === "completed") return { outcome: outcome.conclusion, because: null, detail: null };
  return { outcome: outcome.kind, because: outcome.because, detail: outcome.detail };
}

/** One sentence: what has to happen before this job runs. Null once it runs. */
function waitsFor(job: Job, context: WaitContext): string | null {
  if (job.state === "waiting") return "GitHub holds it back: an approval or an environment rule is pending.";
  if (job.loss?.kind === "undecided") {
    return "It failed. If its machine was lost under it, it is run again when its run has ended.";
  }
  if (job.state !== "queued") return null;
  const { ledger, demand, places } = context;
  const machine = ledger.machines.find(
    (entry) => entry.id === job.machineId && entry.binding?.jobId === job.id,
  );
  const place = places.get(job.id);
  if (isPresumedRunning(job)) return "A machine says that it runs or ran it; GitHub is asked.";
  if (place === undefined)
    return sentenceOfMachine(machine, "A runner is ready; GitHub has not assigned it yet.");
  const unclaimed = demand.unclaimed.length;
  if (place < unclaimed) {
    const launched = demand.unclaimed.some((entry) => entry.state === "launched");
    return launched
      ? "A machine is starting for it."
      : "A machine was asked for; the provider has not answered yet.";
  }
  const blocked = ledger.record?.blocked;
  if (blocked !== undefined) return blocked.detail;
  return "It was just received; a machine is about to be asked for.";
}

function sentenceOfMachine(machine: Machine | undefined, otherwise: string): string {
  if (machine === undefined) return otherwise;
  if (machine.registration === undefined) return `Machine ${machine.id} claimed it and is being registered.`;
  if (machine.times.online === undefined) return `The runner on machine ${machine.id} is starting.`;
  if (machine.times.started !== undefined) return `Machine ${machine.id} runs a job; GitHub is asked which.`;
  return `The runner on machine ${machine.id} listens; GitHub has not assigned the job yet.`;
}

// ---------------------------------------------------------------------------------------------- parts

function machineCounts(
  machines: readonly Machine[],
  ended: readonly Machine[],
  now: Instant,
): StatusDocument["machines"] {
  const since = now - hourMilliseconds;
  const endedLastHour = ended.filter((machine) => (machine.times.ended ?? 0) > since);
  const failed = (machine: Machine): boolean => machine.reason === "launch-failed";
  return {
    requested: count(machines, (machine) => machine.state === "requested"),
    launched: count(machines, (machine) => machine.state === "launched"),
    registered: count(machines, (machine) => machine.state === "registered"),
    busy: count(machines, (machine) => machine.state === "busy"),
    retiring: count(machines, (machine) => machine.state === "retiring"),
    alive: machines.length,
    launchedLastHour: count(
      [...machines, ...endedLastHour],
      (machine) => (machine.times.launched ?? 0) > since,
    ),
    endedLastHour: count(endedLastHour, (machine) => !failed(machine)),
    launchFailuresLastHour: count(endedLastHour, failed),
  };
}

function costSummary(
  input: StatusInput,
  specs: ReadonlyMap<string, FleetSpec | undefined>,
  jobs: readonly Job[],
  machines: readonly Machine[],
): CostSummary {
  const { now, usage, policy } = input;
  const midnight = startOfDay(now);
  const sizeOfFleet = (fleet: string): Size => {
    const preset = fleet.split("/")[0];
    return sizeOf(specs.get(fleet) ?? policy.presets.find((entry) => entry.name === preset));
  };
  let hosted = 0;
  let spot = 0;
  for (const { fleet, hostedMinutes: minutes, machineSeconds: seconds } of usage) {
    hosted += githubHostedPriceUsd(sizeOfFleet(fleet), minutes);
    spot += ec2SpotPriceUsd(sizeOfFleet(fleet), seconds);
  }
  for (const job of jobs) {
    if (job.times.started === undefined) continue;
    hosted += githubHostedPriceUsd(sizeOfFleet(job.fleet), hostedMinutes(runSeconds(job, now)));
  }
  for (const machine of machines) {
    spot += ec2SpotPriceUsd(sizeOfFleet(machine.fleet), machineSeconds(machine, midnight, now));
  }
  return {
    todayUsd: spentTodayUsd(machines, usage, now),
    githubHostedTodayUsd: hosted,
    ec2SpotTodayUsd: spot,
    dailyBudgetUsd: policy.limits.dailyBudgetUsd ?? null,
  };
}

function presetStatus(
  preset: Preset,
  machines: readonly Machine[],
  fleets: readonly FleetStatus[],
): PresetStatus {
  const blocked = fleets.some((fleet) => fleet.preset === preset.name && fleet.blocked !== null);
  return {
    name: preset.name,
    compute: preset.compute,
    labels: preset.labels,
    machines: count(machines, (machine) => machine.preset === preset.name),
    max: preset.max,
    status: blocked ? "blocked" : "ready",
  };
}

function fleetStatus(ledger: Ledger): FleetStatus {
  const blocked = ledger.record?.blocked;
  return {
    fleet: ledger.fleet,
    preset: ledger.record?.spec.preset ?? ledger.fleet,
    queued: count(ledger.jobs, (job) => job.state === "queued"),
    running: count(ledger.jobs, (job) => job.state === "running"),
    machines: ledger.machines.length,
    blocked:
      blocked === undefined
        ? null
        : {
            because: blocked.because,
            alias: blocked.because === "image-building" ? "IMAGE_CREATING" : null,
            detail: blocked.detail,
            since: iso(blocked.since),
            nextAttemptAt: isoOrNull(blocked.nextAttemptAt),
          },
  };
}

/** What only an operator can change. A cap that is reached is normal; a launch that is refused is not. */
function problemOf(fleet: FleetStatus): readonly string[] {
  const { blocked } = fleet;
  const isForOperators =
    blocked?.because === "launch-refused" ||
    blocked?.because === "preset-removed" ||
    blocked?.because === "image-failed";
  if (!isForOperators) return [];
  return [`${fleet.queued} jobs of fleet ${fleet.fleet} wait: ${blocked.detail}`];
}

/** Sixty minutes, oldest first: jobs started, and the most machines that were alive at once. */
function minutes(
  active: readonly Job[],
  finished: readonly Job[],
  machines: readonly Machine[],
  now: Instant,
): readonly MinuteStatus[] {
  const first = Math.floor(now / minuteMilliseconds) - 59;
  const started = new Array<number>(60).fill(0);
  for (const job of [...active, ...finished]) {
    const index = Math.floor((job.times.started ?? 0) / minuteMilliseconds) - first;
    if (index in started) started[index] = (started[index] ?? 0) + 1;
  }
  const lives = machines.map(({ times }) => ({ from: times.requested, until: times.ended }));
  const alive = mostAtOnce(lives, { from: first * minuteMilliseconds, step: minuteMilliseconds, count: 60 });
  return started.map((jobs, index) => ({
    at: iso((first + index) * minuteMilliseconds),
    started: jobs,
    machines: alive[index] ?? 0,
  }));
}

const minuteMilliseconds = 60_000;

/** An approval that somebody had to give is nobody's wait for a machine. */
export function waitBegan(job: Job): Instant {
  return job.times.queued ?? job.times.created;
}

export function secondsBetween(from: Instant, until: Instant | undefined): number {
  return Math.max(0, (until ?? from) - from) / 1000;
}

function count<T>(list: readonly T[], matches: (entry: T) => boolean): number {
  let sum = 0;
  for (const entry of list) if (matches(entry)) sum += 1;
  return sum;
}

function ascending(left: number, right: number): number {
  return left - right;
}

export function iso(instant: Instant): string {
  return new Date(instant).toISOString();
}

export function isoOrNull(instant: Instant | undefined): string | null {
  return instant === undefined ? null : iso(instant);
}
