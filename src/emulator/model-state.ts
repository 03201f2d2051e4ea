import type { Random } from "../ports/random.ts";
import type { Faults } from "./model-faults.ts";
import type { Limits } from "./model-limits.ts";
import type { PlannedJob } from "./planned-job.ts";
import { Schedule } from "./schedule.ts";

/**
 * Everything that the model knows. The files `model-*.ts` are its parts: functions that take the state, the
 * instant and a request, and change the state. All instants are milliseconds since the Unix epoch.
 */
export interface ModelState {
  readonly limits: Limits;
  faults: Faults;
  readonly random: Random;
  app: App;
  readonly schedule: Schedule<Transition>;
  effects: Effect[];
  readonly identifiers: Identifiers;
  readonly accounts: Map<string, Account>;
  readonly repositories: Map<number, Repository>;
  readonly repositoryIds: Map<string, number>;
  readonly installations: Map<number, Installation>;
  readonly tokens: Map<string, InstallationToken>;
  readonly runnerGroups: Map<number, RunnerGroup>;
  readonly runners: Map<number, Runner>;
  readonly runnerIdsByName: Map<string, number>;
  readonly idleLines: Map<string, IdleLine>;
  readonly queueLines: Map<string, QueueLine>;
  readonly runs: Map<number, Run>;
  /** Those that are not completed. */
  readonly openRuns: Map<number, Run>;
  readonly jobs: Map<number, Job>;
  readonly checkRuns: Map<number, CheckRun>;
  readonly deliveries: Map<number, Delivery>;
  readonly heldDeliveryIds: Map<number, number>;
  readonly buckets: Map<string, RateBucket>;
  readonly recentRegistrations: Map<string, number[]>;
}

/** What somebody outside has to do now: send a delivery, tell a runner something. */
export type Effect =
  | { readonly kind: "deliver"; readonly deliveryId: number }
  | { readonly kind: "job-assigned"; readonly runnerId: number; readonly jobId: number }
  | { readonly kind: "job-cancelled"; readonly runnerId: number; readonly jobId: number }
  /** A fault of GitHub that nobody is told of: the runner is online and is given no job. */
  | { readonly kind: "runner-forgotten"; readonly runnerId: number }
  | { readonly kind: "runner-removed"; readonly runnerId: number; readonly because: RunnerRemoval };

export type RunnerRemoval = "job-done" | "deleted" | "idle" | "never-connected" | "lost";

/** What time alone will do. Each is checked again when it is due, because the world may have moved on. */
export type Transition =
  | { readonly kind: "pick-up-expired"; readonly jobId: number; readonly runnerId: number }
  | { readonly kind: "queue-limit-reached"; readonly jobId: number }
  | { readonly kind: "stranger-comes"; readonly jobId: number }
  | { readonly kind: "stranger-done"; readonly jobId: number; readonly runnerId: number }
  | { readonly kind: "job-timeout-reached"; readonly jobId: number }
  | { readonly kind: "cancel-timeout-reached"; readonly jobId: number }
  | { readonly kind: "job-lock-expired"; readonly runnerId: number; readonly connection: number }
  | { readonly kind: "disconnect-noticed"; readonly runnerId: number; readonly connection: number }
  | { readonly kind: "idle-removal-due"; readonly runnerId: number; readonly idleSince: number }
  | { readonly kind: "never-connected"; readonly runnerId: number }
  | { readonly kind: "delivery-due"; readonly deliveryId: number }
  | { readonly kind: "held-delivery-due"; readonly jobId: number; readonly deliveryId: number };

export interface App {
  readonly id: number;
  readonly slug: string;
  readonly name: string;
  readonly ownerLogin: string;
  readonly hookId: number;
  readonly createdAt: number;
  readonly permissions: Readonly<Record<string, string>>;
  readonly events: readonly string[];
}

export interface Account {
  readonly id: number;
  readonly login: string;
  readonly kind: "Organization" | "User";
}

export interface Repository {
  readonly id: number;
  readonly owner: string;
  readonly name: string;
  readonly private: boolean;
  readonly createdAt: number;
  readonly defaultBranch: string;
  /** Jobs of these environments wait for an approval. */
  readonly protectedEnvironments: Set<string>;
  actionsEnabled: boolean;
  repositoryRunnersEnabled: boolean;
  runCount: number;
}

export interface Installation {
  readonly id: number;
  readonly accountLogin: string;
  readonly createdAt: number;
  readonly permissions: Readonly<Record<string, "read" | "write">>;
  readonly events: readonly string[];
  /** `all` repositories of the account, or these. */
  repositories: "all" | Set<number>;
  suspendedAt: number | undefined;
}

export interface InstallationToken {
  readonly text: string;
  readonly installationId: number;
  readonly expiresAt: number;
  readonly permissions: Readonly<Record<string, "read" | "write">>;
  /** The token is narrowed to these repositories. */
  readonly repositoryIds: ReadonlySet<number> | undefined;
}

export type Scope =
  | { readonly kind: "organization"; readonly owner: string }
  | { readonly kind: "repository"; readonly owner: string; readonly name: string };

export interface RunnerGroup {
  readonly id: number;
  readonly owner: string;
  readonly name: string;
  readonly isDefault: boolean;
  readonly visibility: "all" | "private" | "selected";
  readonly selectedRepositoryIds: ReadonlySet<number>;
  readonly allowsPublicRepositories: boolean;
  runnerCount: number;
}

export interface Runner {
  readonly id: number;
  readonly name: string;
  readonly scope: Scope;
  readonly groupId: number;
  readonly labels: readonly string[];
  readonly workFolder: string;
  readonly registeredAt: number;
  /** What the runner proves itself with; part of its JIT configuration. */
  readonly credential: string;
  online: boolean;
  /** Whether a connection exists at this moment; `online` lags behind it. */
  connected: boolean;
  /** Counts connects and disconnects, so that a timer of an earlier one knows that it is stale. */
  connection: number;
  /** Since when it is online without a job; undefined while it is not. */
  idleSince: number | undefined;
  version: string | undefined;
  operatingSystem: string;
  jobId: number | undefined;
}

export interface Run {
  readonly id: number;
  readonly repositoryId: number;
  readonly workflowId: number;
  readonly workflowName: string;
  readonly workflowPath: string;
  readonly number: number;
  readonly event: string;
  readonly headBranch: string;
  readonly headSha: string;
  readonly title: string;
  readonly actorLogin: string;
  readonly planned: readonly PlannedJob[];
  /** The current attempt's job of each planned job, by position; undefined while it waits for others. */
  readonly current: (Job | undefined)[];
  readonly jobIds: number[];
  readonly createdAt: number;
  /** A job nobody was told about: it exists to take a runner away. */
  readonly foreign: boolean;
  attempt: number;
  attemptStartedAt: number;
  updatedAt: number;
  status: "queued" | "in_progress" | "waiting" | "completed";
  conclusion: Conclusion | undefined;
  cancelRequested: boolean;
  /** Matrices in which a job failed, so that no further job of theirs starts. */
  readonly failedMatrixKeys: Set<string>;
}

export type Conclusion = "success" | "failure" | "cancelled" | "skipped" | "timed_out";

export interface Job {
  readonly id: number;
  readonly runId: number;
  readonly repositoryId: number;
  readonly attempt: number;
  readonly planned: PlannedJob;
  readonly createdAt: number;
  status: "waiting" | "queued" | "in_progress" | "completed";
  conclusion: Conclusion | undefined;
  queuedAt: number | undefined;
  startedAt: number | undefined;
  completedAt: number | undefined;
  /** The runner that has the job or was offered it. */
  runnerId: number | undefined;
  runnerName: string | undefined;
  runnerGroupId: number | undefined;
  runnerGroupName: string | undefined;
  cancelRequested: boolean;
  steps: readonly JobStep[];
  /** What the job hands to those that need it. */
  outputs: Readonly<Record<string, string>>;
}

export interface JobStep {
  readonly number: number;
  readonly name: string;
  readonly status: "queued" | "in_progress" | "completed";
  readonly conclusion: "success" | "failure" | "cancelled" | "skipped" | undefined;
  readonly startedAt: number | undefined;
  readonly completedAt: number | undefined;
}

/** Idle, online runners that no job can tell apart. */
export interface IdleLine {
  readonly scope: Scope;
  readonly groupId: number;
  readonly labels: ReadonlySet<string>;
  readonly runners: Map<number, Runner>;
}

/** Queued jobs that no runner can tell apart, oldest first. */
export interface QueueLine {
  readonly repositoryId: number;
  readonly runnerGroup: string | undefined;
  readonly labels: readonly string[];
  readonly jobs: Map<number, Job>;
}

export interface CheckRun {
  readonly id: number;
  readonly repositoryId: number;
  readonly headSha: string;
  name: string;
  status: "queued" | "in_progress" | "completed";
  conclusion: string | undefined;
  externalId: string;
  detailsUrl: string | undefined;
  startedAt: number | undefined;
  completedAt: number | undefined;
  title: string | undefined;
  summary: string | undefined;
  text: string | undefined;
}

export type JobAction = "queued" | "waiting" | "in_progress" | "completed";

/** What a delivery tells. The payload is built from it only where somebody wants the JSON. */
export type HookEvent =
  | { readonly name: "workflow_job"; readonly action: JobAction; readonly job: Readonly<Job> }
  | { readonly name: "installation"; readonly action: "suspend" | "unsuspend" }
  | {
      readonly name: "installation_repositories";
      readonly action: "added" | "removed";
      readonly repositoryIds: readonly number[];
    };

export interface Delivery {
  readonly id: number;
  readonly guid: string;
  readonly event: HookEvent;
  readonly installationId: number;
  readonly repositoryId: number | undefined;
  readonly isRedelivery: boolean;
  /** Undefined until it was sent. */
  deliveredAt: number | undefined;
  statusCode: number;
  status: string;
  durationSeconds: number;
}

export interface RateBucket {
  used: number;
  readonly limit: number;
  readonly resetAt: number;
}

/** The next free number of each kind. Job and run ids do not fit in 32 bits, as on GitHub. */
interface Identifiers {
  account: number;
  repository: number;
  installation: number;
  runnerGroup: number;
  runner: number;
  workflow: number;
  run: number;
  job: number;
  checkRun: number;
  delivery: number;
}

export interface ModelStateOptions {
  readonly limits: Limits;
  readonly faults: Faults;
  readonly random: Random;
  readonly app: App;
}

/** A GitHub without accounts, repositories and runners. */
export function createModelState(options: ModelStateOptions): ModelState {
  return {
    limits: options.limits,
    faults: options.faults,
    random: options.random,
    app: options.app,
    schedule: new Schedule(),
    effects: [],
    identifiers: {
      account: 33_435_600,
      repository: 376_034_400,
      installation: 52_300_100,
      runnerGroup: 2,
      runner: 1,
      workflow: 10_200_300,
      run: 9_940_463_200,
      job: 27_832_853_500,
      checkRun: 48_100_200_300,
      delivery: 112_000_000_000,
    },
    accounts: new Map(),
    repositories: new Map(),
    repositoryIds: new Map(),
    installations: new Map(),
    tokens: new Map(),
    runnerGroups: new Map(),
    runners: new Map(),
    runnerIdsByName: new Map(),
    idleLines: new Map(),
    queueLines: new Map(),
    runs: new Map(),
    openRuns: new Map(),
    jobs: new Map(),
    checkRuns: new Map(),
    deliveries: new Map(),
    heldDeliveryIds: new Map(),
    buckets: new Map(),
    recentRegistrations: new Map(),
  };
}

/** Draws whether something of this probability happens. Draws nothing when it is impossible. */
export function happens(random: Random, fraction: number): boolean {
  return fraction > 0 && random.fraction() < fraction;
}

/** One of the values, each equally likely; undefined when there is none. */
export function pick<Value>(random: Random, values: readonly Value[]): Value | undefined {
  if (values.length <= 1) return values[0];
  return values[Math.floor(random.fraction() * values.length)];
}

/** `owner/name` in the form that lookups use: GitHub's names ignore case. */
export function repositoryKey(owner: string, name: string): string {
  return `${owner}/${name}`.toLowerCase();
}

/** A scope as a key for maps. */
export function scopeKey(scope: Scope): string {
  return scope.kind === "organization" ? scope.owner.toLowerCase() : repositoryKey(scope.owner, scope.name);
}
