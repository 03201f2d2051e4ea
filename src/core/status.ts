import type { BlockReason, EndReason, GiveUpReason, JobState, MachineState, RefusalReason } from "./model.ts";

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
}

export interface WhyStep {
  readonly at: string;
  readonly what: string;
  /** Seconds since the step before. */
  readonly afterSeconds: number;
}
