import { createHmac } from "node:crypto";
import { MayflyError } from "../../src/core/errors.ts";
import type { Instant, JobAction, JobEvent, JobId, Repository, Scope } from "../../src/core/model.ts";
import { Secret } from "../../src/core/secret.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type {
  Delivery,
  Github,
  GivenUpReport,
  MintRequest,
  MintResult,
  RepositoryAddress,
  RerunResult,
} from "../../src/ports/github.ts";
import { repository as defaultRepository } from "../builders.ts";

/** A job as GitHub knows it. */
export interface GithubJob {
  readonly id: JobId;
  readonly labels: readonly string[];
  readonly repository: Repository;
  readonly runId: number;
  readonly runAttempt: number;
  readonly name: string;
  readonly createdAt: Instant;
  readonly runSeconds: number;
  status: "waiting" | "queued" | "in_progress" | "completed";
  conclusion: string | undefined;
  startedAt: Instant | undefined;
  completedAt: Instant | undefined;
  runnerName: string | undefined;
}

/** A runner as GitHub knows it. */
export interface GithubRunner {
  readonly id: number;
  readonly name: string;
  readonly scope: Scope;
  readonly labels: readonly string[];
  readonly jitConfig: string;
  online: boolean;
  job: GithubJob | undefined;
}

/** One attempt at telling us something: the bytes and headers that would arrive. */
export interface Sending {
  readonly guid: string;
  readonly event: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

export type GithubMethod = Exclude<keyof Github, "budgets">;

/**
 * GitHub, as small as the stories need it: jobs, runners, signed deliveries with a log of their attempts, and
 * assignment by labels and scope. Nothing happens but by a call; every port call can be made to fail.
 */
export interface FakeGithub {
  readonly port: Github;
  readonly jobs: Map<JobId, GithubJob>;
  readonly runners: Map<number, GithubRunner>;
  readonly givenUp: GivenUpReport[];
  /** Whether the list of repositories says that none is missing. */
  complete: boolean;
  /** Why nothing may be run again, if so. */
  rerunRefusal: string | undefined;
  /** Runs that somebody cancelled. */
  readonly cancelledRuns: Set<number>;
  /** What is on its way to us, oldest first. Stories take out, double and reorder. */
  readonly outbox: Sending[];
  readonly calls: { readonly method: GithubMethod; readonly argument: unknown }[];
  queueJob(options?: Partial<Omit<GithubJob, "id" | "createdAt">> & { readonly id?: number }): GithubJob;
  approve(job: GithubJob): void;
  cancel(job: GithubJob): void;
  /** Forgets the job, as when its run is deleted. */
  forget(job: GithubJob): void;
  /** The runner with this JIT config begins to listen. Undefined: GitHub no longer knows it. */
  connect(jitConfig: string): GithubRunner | undefined;
  /** Gives queued jobs to idle runners that may take them. */
  assign(): void;
  finish(runner: GithubRunner, conclusion: string): void;
  remove(runner: GithubRunner): void;
  /** What a delivery of ours was answered with; undefined when nobody answered. */
  noteAnswer(sending: Sending, status: number | undefined): void;
  /** The next calls of this method do this first; `undefined` lets one through. */
  failNext(method: GithubMethod, failures: readonly (MayflyError | MintResult | undefined)[]): void;
  /** Every call fails until this is called with undefined. */
  failAll(failure: MayflyError | undefined): void;
}

export function createFakeGithub(clock: Clock, webhookSecret: string): FakeGithub {
  return new Model(clock, webhookSecret);
}

class Model implements FakeGithub {
  readonly jobs = new Map<JobId, GithubJob>();
  readonly runners = new Map<number, GithubRunner>();
  readonly givenUp: GivenUpReport[] = [];
  complete = true;
  rerunRefusal: string | undefined;
  readonly cancelledRuns = new Set<number>();
  readonly outbox: Sending[] = [];
  readonly calls: { readonly method: GithubMethod; readonly argument: unknown }[] = [];
  readonly port: Github;
  readonly #clock: Clock;
  readonly #secret: string;
  readonly #attempts: (Delivery & { readonly sending: Sending })[] = [];
  readonly #failures = new Map<GithubMethod, (MayflyError | MintResult | undefined)[]>();
  #failure: MayflyError | undefined;
  #lastId = 1000;

  constructor(clock: Clock, secret: string) {
    this.#clock = clock;
    this.#secret = secret;
    this.port = this.#makePort();
  }

  queueJob(options: Partial<Omit<GithubJob, "id" | "createdAt">> & { readonly id?: number } = {}): GithubJob {
    const id = ++this.#lastId;
    const job: GithubJob = {
      id,
      labels: ["self-hosted", "linux", "x64"],
      repository: defaultRepository(),
      runId: id,
      runAttempt: 1,
      name: "build",
      createdAt: this.#clock.now(),
      runSeconds: 30,
      status: "queued",
      conclusion: undefined,
      startedAt: undefined,
      completedAt: undefined,
      runnerName: undefined,
      ...options,
    };
    this.jobs.set(job.id, job);
    this.#send(job, job.status === "waiting" ? "waiting" : "queued");
    return job;
  }

  approve(job: GithubJob): void {
    job.status = "queued";
    this.#send(job, "queued");
  }

  cancel(job: GithubJob): void {
    this.#complete(job, "cancelled");
  }

  forget(job: GithubJob): void {
    this.jobs.delete(job.id);
  }

  connect(jitConfig: string): GithubRunner | undefined {
    const runner = [...this.runners.values()].find((entry) => entry.jitConfig === jitConfig);
    if (runner !== undefined) runner.online = true;
    return runner;
  }

  assign(): void {
    for (const job of this.jobs.values()) {
      if (job.status !== "queued") continue;
      const runner = [...this.runners.values()].find(
        (entry) => entry.online && entry.job === undefined && mayTake(entry, job),
      );
      if (runner === undefined) continue;
      runner.job = job;
      job.status = "in_progress";
      job.startedAt = this.#clock.now();
      job.runnerName = runner.name;
      this.#send(job, "in_progress");
    }
  }

  finish(runner: GithubRunner, conclusion: string): void {
    this.runners.delete(runner.id);
    if (runner.job !== undefined) this.#complete(runner.job, conclusion);
  }

  remove(runner: GithubRunner): void {
    this.runners.delete(runner.id);
  }

  noteAnswer(sending: Sending, status: number | undefined): void {
    this.#attempts.push({
      id: this.#attempts.length + 1,
      guid: sending.guid,
      deliveredAt: this.#clock.now(),
      succeeded: status !== undefined && status < 300,
      event: sending.event,
      sending,
    });
  }

  failNext(method: GithubMethod, failures: readonly (MayflyError | MintResult | undefined)[]): void {
    this.#failures.set(method, [...(this.#failures.get(method) ?? []), ...failures]);
  }

  failAll(failure: MayflyError | undefined): void {
    this.#failure = failure;
  }

  #complete(job: GithubJob, conclusion: string): void {
    if (job.status === "completed") return;
    job.status = "completed";
    job.conclusion = conclusion;
    job.completedAt = this.#clock.now();
    this.#send(job, "completed");
  }

  #send(job: GithubJob, action: JobAction): void {
    const body = new TextEncoder().encode(JSON.stringify(payload(job, action)));
    const guid = `guid-${job.id}-${action}`;
    this.outbox.push({
      guid,
      event: "workflow_job",
      body,
      headers: {
        "content-type": "application/json",
        "x-github-event": "workflow_job",
        "x-github-delivery": guid,
        "x-hub-signature-256": `sha256=${createHmac("sha256", this.#secret).update(body).digest("hex")}`,
      },
    });
  }

  #enter(method: GithubMethod, argument: unknown): MintResult | undefined {
    this.calls.push({ method, argument });
    if (this.#failure !== undefined) throw this.#failure;
    const failure = this.#failures.get(method)?.shift();
    if (failure instanceof MayflyError) throw failure;
    return failure;
  }

  #makePort(): Github {
    return {
      mintRunner: async (request) => this.#enter("mintRunner", request) ?? this.#mint(request),
      findRunner: async (scope, name) => {
        this.#enter("findRunner", name);
        const found = this.#inScope(scope).find((runner) => runner.name === name);
        return found && asRunner(found);
      },
      deleteRunner: async (_scope, runnerId) => {
        this.#enter("deleteRunner", runnerId);
        const runner = this.runners.get(runnerId);
        if (runner === undefined) return "absent";
        if (runner.job !== undefined) return "running-a-job";
        this.runners.delete(runnerId);
        return "deleted";
      },
      listRunners: async (scope) => {
        this.#enter("listRunners", scope);
        return this.#inScope(scope).map(asRunner);
      },
      getJob: async (address, id) => {
        this.#enter("getJob", id);
        const job = this.jobs.get(id);
        return job && this.#eventOf(job, address);
      },
      listOpenJobs: async (address) => {
        this.#enter("listOpenJobs", address);
        return [...this.jobs.values()]
          .filter((job) => job.status !== "completed")
          .filter((job) => job.repository.owner === address.owner && job.repository.name === address.name)
          .map((job) => this.#eventOf(job, address));
      },
      getRun: async (_address, runId) => {
        this.#enter("getRun", runId);
        const jobs = this.#newestJobs(runId);
        if (jobs.length === 0) return undefined;
        const ended = jobs.every((job) => job.status === "completed");
        const failed = jobs.some((job) => job.conclusion !== "success");
        const conclusion = this.cancelledRuns.has(runId) ? "cancelled" : failed ? "failure" : "success";
        const attempt = Math.max(...jobs.map((job) => job.runAttempt));
        return { attempt, ended, ...(ended && { conclusion }) };
      },
      listRunJobs: async (address, runId) => {
        this.#enter("listRunJobs", runId);
        return this.#newestJobs(runId).map((job) => this.#eventOf(job, address));
      },
      rerun: async (_address, runId, which) => {
        this.#enter("rerun", which);
        return this.#rerun(runId, which);
      },
      listRepositories: async () => {
        this.#enter("listRepositories", undefined);
        const repositories = [...this.jobs.values()].map((job) => ({ ...job.repository, installationId: 7 }));
        return { repositories, complete: this.complete };
      },
      listDeliveries: async (since) => {
        this.#enter("listDeliveries", since);
        return this.#attempts.filter((attempt) => attempt.deliveredAt >= since).reverse();
      },
      redeliver: async (deliveryId) => {
        this.#enter("redeliver", deliveryId);
        const attempt = this.#attempts.find((entry) => entry.id === deliveryId);
        if (attempt !== undefined) this.outbox.push(attempt.sending);
      },
      reportGivenUp: async (report) => {
        this.#enter("reportGivenUp", report);
        this.givenUp.push(report);
        return "reported";
      },
      budgets: () => [],
    };
  }

  #newestJobs(runId: number): readonly GithubJob[] {
    const newest = new Map<string, GithubJob>();
    for (const job of this.jobs.values()) if (job.runId === runId) newest.set(job.name, job);
    return [...newest.values()];
  }

  #rerun(runId: number, which: "failed-jobs" | JobId): RerunResult {
    if (this.rerunRefusal !== undefined) return { kind: "refused", message: this.rerunRefusal };
    const jobs = this.#newestJobs(runId);
    if (jobs.some((job) => job.status !== "completed")) return { kind: "still-running" };
    const again = jobs.filter((job) =>
      which === "failed-jobs" ? job.conclusion !== "success" : job.id === which,
    );
    const runAttempt = Math.max(...jobs.map((job) => job.runAttempt)) + 1;
    for (const { labels, repository, name, runSeconds } of again) {
      this.queueJob({ labels, repository, name, runSeconds, runId, runAttempt });
    }
    return { kind: "started" };
  }

  #mint(request: MintRequest): MintResult {
    if (this.#inScope(request.scope).some((runner) => runner.name === request.name)) {
      return { kind: "name-taken" };
    }
    const id = ++this.#lastId;
    const jitConfig = `jit-config-${id}-of-${request.name}`;
    const { name, scope, labels } = request;
    this.runners.set(id, { id, name, scope, labels, jitConfig, online: false, job: undefined });
    return { kind: "minted", runnerId: id, jitConfig: new Secret(jitConfig) };
  }

  #inScope(scope: Scope): readonly GithubRunner[] {
    return [...this.runners.values()].filter((runner) => sameScope(runner.scope, scope));
  }

  #eventOf(job: GithubJob, address: RepositoryAddress): JobEvent {
    return {
      action: job.status,
      id: job.id,
      repository: job.repository,
      installationId: address.installationId,
      runId: job.runId,
      runAttempt: job.runAttempt,
      name: job.name,
      workflowName: "CI",
      labels: job.labels,
      url: "",
      createdAt: job.createdAt,
      ...(job.startedAt !== undefined && { startedAt: job.startedAt }),
      ...(job.completedAt !== undefined && { completedAt: job.completedAt }),
      ...(job.conclusion !== undefined && { conclusion: job.conclusion }),
      ...(job.runnerName !== undefined && { runnerName: job.runnerName }),
      receivedAt: this.#clock.now(),
    };
  }
}

function mayTake(runner: GithubRunner, job: GithubJob): boolean {
  const { scope } = runner;
  if (scope.owner !== job.repository.owner) return false;
  if (scope.kind === "repository" && scope.name !== job.repository.name) return false;
  return job.labels.every((label) => runner.labels.includes(label));
}

function sameScope(left: Scope, right: Scope): boolean {
  if (left.kind === "organization") return right.kind === "organization" && left.owner === right.owner;
  return right.kind === "repository" && left.owner === right.owner && left.name === right.name;
}

function asRunner({ id, name, online, job }: GithubRunner): {
  id: number;
  name: string;
  online: boolean;
  busy: boolean;
} {
  return { id, name, online, busy: job !== undefined };
}

function payload(job: GithubJob, action: JobAction): unknown {
  const iso = (at: Instant | undefined): string | null =>
    at === undefined ? null : new Date(at).toISOString();
  return {
    action,
    workflow_job: {
      id: job.id,
      run_id: job.runId,
      run_attempt: job.runAttempt,
      name: job.name,
      workflow_name: "CI",
      status: job.status,
      conclusion: job.conclusion ?? null,
      labels: job.labels,
      html_url: `https://github.com/${job.repository.owner}/${job.repository.name}/actions/runs/${job.runId}/job/${job.id}`,
      created_at: iso(job.createdAt),
      started_at: iso(job.startedAt ?? job.createdAt),
      completed_at: iso(job.completedAt),
      runner_name: job.runnerName ?? null,
    },
    repository: {
      name: job.repository.name,
      owner: { login: job.repository.owner },
      private: job.repository.private,
    },
    installation: { id: 7 },
  };
}
