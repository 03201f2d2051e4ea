import type { JobEvent, Scope } from "../../core/model.ts";
import { Secret } from "../../core/secret.ts";
import { jobDocument } from "../../emulator/documents.ts";
import { encodeJitConfig } from "../../emulator/jit-config.ts";
import type { GithubModel } from "../../emulator/model.ts";
import { coversRepository } from "../../emulator/model-deliveries.ts";
import type { RatedRequest } from "../../emulator/model-rate-limits.ts";
import type { Job, Runner as ModelRunner, Repository, Run } from "../../emulator/model-state.ts";
import { GithubRefusal, notFound } from "../../emulator/refusal.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Delivery, Github, RepositoryAddress, Runner } from "../../ports/github.ts";
import type { Answer } from "./answer.ts";
import {
  type BudgetedRequest,
  type BudgetLimits,
  createRequestBudget,
  type Permit,
  type RequestBudget,
} from "./budget.ts";
import { brokenAnswerError, deliveryGoneError, refusalError, unreachableError, waitError } from "./errors.ts";
import { jobEventOf } from "./job-event.ts";
import { mintRefusal } from "./runners.ts";
import { rerunRefusal } from "./runs.ts";

export interface MemoryGithubOptions {
  readonly model: GithubModel;
  readonly clock: Clock;
  /** Called after every request that may have changed something, to take the model's effects. */
  readonly afterChange?: () => void;
  readonly budget?: Partial<BudgetLimits>;
}

/**
 * The port directly on the emulator's model: the same refusals, limits and faults as over HTTP, without HTTP.
 * For tests and the simulator: it waits for nothing, so it is as deterministic as the model and the clock.
 */
export function createMemoryGithub(options: MemoryGithubOptions): Github {
  const budget = createRequestBudget({
    clock: options.clock,
    limited: options.model.state.limits.rateLimitsEnabled,
    ...(options.budget !== undefined && { limits: options.budget }),
  });
  const asker = new Asker(options, budget);
  return {
    ...runnerRequests(asker),
    ...jobRequests(asker),
    ...runRequests(asker),
    ...deliveryRequests(asker),
    ...repositoryRequests(asker),
    budgets: () => budget.report(),
  };
}

interface MemoryRequest<Result> extends BudgetedRequest {
  /** The same as `permission`, in its parts: for example `["checks", "write"]`. */
  readonly needs?: readonly [name: string, level: "read" | "write"];
  readonly accept?: readonly number[];
  /** What GitHub would do. Throws a `GithubRefusal` where it would refuse. */
  readonly act: (now: number) => Result;
  /** Where the request is a conditional one: an answer of the same version as the last one to this key costs nothing. */
  readonly conditional?: { readonly key: string; readonly versionOf: (value: Result) => string };
}

type Outcome<Result> =
  | { readonly accepted: true; readonly value: Result }
  | { readonly accepted: false; readonly answer: Answer };

/** Asks the model as the HTTP emulator does: credentials, permission, limits, faults, then the operation. */
class Asker {
  readonly model: GithubModel;
  readonly clock: Clock;
  readonly #budget: RequestBudget;
  readonly #afterChange: () => void;
  readonly #lastVersions = new Map<string, string>();

  constructor(options: MemoryGithubOptions, budget: RequestBudget) {
    this.model = options.model;
    this.clock = options.clock;
    this.#budget = budget;
    this.#afterChange = options.afterChange ?? (() => undefined);
  }

  async ask<Result>(request: MemoryRequest<Result>): Promise<Result> {
    const permit = this.#budget.admit(request);
    const outcome = this.#perform(request, permit instanceof Promise ? await permit : permit);
    if (outcome.accepted) return outcome.value;
    throw refusalError(outcome.answer, request, this.clock.now());
  }

  /** Refusals whose status is in `accept` are returned; all others are thrown. */
  async tryAsk<Result>(request: MemoryRequest<Result>): Promise<Outcome<Result>> {
    const permit = this.#budget.admit(request);
    return this.#perform(request, permit instanceof Promise ? await permit : permit);
  }

  #perform<Result>(request: MemoryRequest<Result>, permit: Permit): Outcome<Result> {
    const { answer, value } = this.#answer(request);
    const retryAt = permit.settle(answer);
    if (retryAt !== undefined) throw waitError(request, retryAt, "a rate limit has been reached");
    if (answer === undefined) throw unreachableError(request, "ECONNRESET");
    if (answer.status < 400) return { accepted: true, value: value as Result };
    if (request.accept?.includes(answer.status) === true) return { accepted: false, answer };
    throw refusalError(answer, request, this.clock.now());
  }

  #answer<Result>(request: MemoryRequest<Result>): { answer: Answer | undefined; value?: Result } {
    const now = this.clock.now();
    let headers: Answer["headers"] = {};
    try {
      this.#authenticate(request);
      const rated = this.#rated(request);
      headers = this.model.admitRequest(now, rated);
      const fault = this.model.drawRequestFault();
      if (fault === "error") return { answer: { status: 502, headers, data: { message: "Server Error" } } };
      const value = request.act(now);
      if (request.method !== "GET") this.#afterChange();
      if (fault === "answer-lost") return { answer: undefined };
      if (!this.#isUnchanged(request, value))
        return { answer: { status: 200, headers, data: undefined }, value };
      return {
        answer: { status: 304, headers: this.model.refundRequest(now, rated), data: undefined },
        value,
      };
    } catch (error) {
      if (!(error instanceof GithubRefusal)) throw error;
      const { status, message } = error;
      return { answer: { status, headers: { ...headers, ...error.headers }, data: { message } } };
    }
  }

  #rated({ caller, resource, method, endpoint }: BudgetedRequest): RatedRequest {
    // The words of GitHub's own refusals, by which the HTTP emulator counts too.
    const name = caller === "app" ? `app ID ${this.model.state.app.id}` : `installation ID ${caller}`;
    return { caller: name, resource, method, endpoint };
  }

  #authenticate<Result>({ caller, needs }: MemoryRequest<Result>): void {
    if (caller === "app") return;
    const installation = this.model.findInstallation(caller);
    if (installation.suspendedAt !== undefined) {
      throw new GithubRefusal(403, "This installation has been suspended");
    }
    if (needs === undefined) return;
    const [name, level] = needs;
    const granted = installation.permissions[name];
    if (granted === "write" || (granted === "read" && level === "read")) return;
    throw new GithubRefusal(403, "Resource not accessible by integration");
  }

  #isUnchanged<Result>({ conditional }: MemoryRequest<Result>, value: Result): boolean {
    if (conditional === undefined) return false;
    const version = conditional.versionOf(value);
    if (this.#lastVersions.get(conditional.key) === version) return true;
    this.#lastVersions.set(conditional.key, version);
    return false;
  }
}

// ----------------------------------------------------------------------------------------------- runners

const mintPath = "/actions/runners/generate-jitconfig";

function runnerRequests(
  asker: Asker,
): Pick<Github, "mintRunner" | "findRunner" | "deleteRunner" | "listRunners"> {
  const { model } = asker;
  const asRunner = (runner: ModelRunner): Runner => ({
    id: runner.id,
    name: runner.name,
    online: runner.online,
    busy: model.looksBusy(runner),
  });
  return {
    async mintRunner({ scope, name, labels, runnerGroup }) {
      const purpose = scopeRequest(scope, "POST", mintPath, `register the runner ${name}`);
      const outcome = await asker.tryAsk({
        ...purpose,
        priority: "mint",
        resource: "actions_runner_registration",
        accept: [403, 404, 409, 422],
        act(now) {
          const own = ownScope(model, scope);
          const runnerGroupId = groupId(model, scope, runnerGroup);
          const runner = model.registerRunner(now, own, { name, labels, runnerGroupId });
          return { id: runner.id, jitConfig: encodeJitConfig(runner, "memory://github") };
        },
      });
      if (!outcome.accepted) return mintRefusal(outcome.answer, purpose, asker.clock.now());
      const { id, jitConfig } = outcome.value;
      return { kind: "minted", runnerId: id, jitConfig: new Secret(jitConfig) };
    },

    findRunner: (scope, name) =>
      asker.ask({
        ...scopeRequest(scope, "GET", "/actions/runners", `find the runner ${name}`),
        priority: "fence",
        act: (now) => model.listRunners(now, ownScope(model, scope), name).map(asRunner)[0],
      }),

    async deleteRunner(scope, runnerId) {
      const outcome = await asker.tryAsk({
        ...scopeRequest(scope, "DELETE", "/actions/runners/{runner_id}", `remove the runner ${runnerId}`),
        priority: "fence",
        accept: [422],
        act(now) {
          const own = ownScope(model, scope);
          try {
            model.deleteRunner(now, own, runnerId);
            return "deleted" as const;
          } catch (error) {
            if (error instanceof GithubRefusal && error.status === 404) return "absent" as const;
            throw error;
          }
        },
      });
      return outcome.accepted ? outcome.value : "running-a-job";
    },

    listRunners: (scope) =>
      asker.ask({
        ...scopeRequest(scope, "GET", "/actions/runners", "list the runners"),
        priority: "sweep",
        conditional: {
          key: `runners ${JSON.stringify(scope)}`,
          versionOf: (runners) => JSON.stringify(runners),
        },
        act: (now) => model.listRunners(now, ownScope(model, scope)).map(asRunner),
      }),
  };
}

function scopeRequest(scope: Scope, method: "GET" | "POST" | "DELETE", path: string, what: string) {
  const organization = scope.kind === "organization";
  const level: "read" | "write" = method === "GET" ? "read" : "write";
  const permission = organization ? "organization_self_hosted_runners" : "administration";
  return {
    caller: scope.installationId,
    method,
    endpoint: `${organization ? "/orgs/{org}" : "/repos/{owner}/{repo}"}${path}`,
    resource: "core" as const,
    what: `${what} in ${organization ? scope.owner : `${scope.owner}/${scope.name}`}`,
    permission: `${permission}: ${level}`,
    needs: [permission, level] as const,
  };
}

/** The scope in the model's terms; 404 when the installation may not see it. */
function ownScope(model: GithubModel, scope: Scope) {
  const { kind, owner, installationId } = scope;
  if (kind === "repository") {
    const repository = visibleRepository(model, { ...scope, private: true });
    return { kind, owner: repository.owner, name: repository.name } as const;
  }
  const installation = model.findInstallation(installationId);
  if (installation.accountLogin.toLowerCase() !== owner.toLowerCase()) throw notFound();
  return { kind, owner } as const;
}

function groupId(model: GithubModel, scope: Scope, name: string): number {
  if (name.toLowerCase() === "default") return 1;
  if (scope.kind === "repository") {
    throw new GithubRefusal(422, `A repository has only the default runner group, not ${name}.`);
  }
  const groups = model.listRunnerGroups(scope.owner);
  const group = groups.find((entry) => entry.name.toLowerCase() === name.toLowerCase());
  if (group !== undefined) return group.isDefault ? 1 : group.id;
  throw new GithubRefusal(
    404,
    `There is no runner group ${name} in ${scope.owner}, or the App may not see it.`,
  );
}

// -------------------------------------------------------------------------------------------------- jobs

function jobRequests(asker: Asker): Pick<Github, "getJob" | "listOpenJobs" | "reportGivenUp"> {
  const { model, clock } = asker;
  const shown = shownJobs(asker);

  return {
    async getJob(repository, id) {
      const request = repositoryRequest(repository, `show the job ${id}`, "/actions/jobs/{job_id}");
      const job = await asker.tryAsk({
        ...request,
        accept: [404],
        act(now) {
          model.advance(now);
          return shown.event(jobIn(model, repository, id), repository);
        },
      });
      if (!job.accepted) return undefined;
      if (job.value === undefined) throw brokenAnswerError(request, "it is not a job");
      return job.value;
    },

    async listOpenJobs(repository) {
      const runs = await listOpenRuns(asker, repository);
      const found: JobEvent[] = [];
      for (const run of runs) {
        const jobs = await asker.ask({
          ...repositoryRequest(repository, `list the jobs of the run ${run}`, "/actions/runs/{run_id}/jobs"),
          conditional: {
            key: `jobs ${run}`,
            versionOf: (jobs) =>
              String(jobs.reduce((newest, job) => Math.max(newest, shown.version(job)), 0)),
          },
          act: () => model.jobsOf(model.findRun(run), "latest"),
        });
        for (const job of jobs) {
          const event = job.status === "completed" ? undefined : shown.event(job, repository);
          if (event !== undefined) found.push(event);
        }
      }
      return found;
    },

    async reportGivenUp(report) {
      const { repository } = report;
      const what = "report that a job was given up";
      const outcome = await asker.tryAsk({
        ...repositoryRequest(repository, what, "/check-runs"),
        method: "POST",
        permission: "checks: write",
        needs: ["checks", "write"],
        accept: [403],
        act(now) {
          const { repositoryId, runId } = jobIn(model, repository, report.jobId);
          const headSha = model.findRun(runId).headSha;
          const id = model.state.identifiers.checkRun++;
          model.state.checkRuns.set(id, {
            id,
            repositoryId,
            headSha,
            name: `Mayfly: ${report.jobName}`,
            status: "completed",
            conclusion: "failure",
            externalId: String(report.jobId),
            detailsUrl: undefined,
            startedAt: now,
            completedAt: now,
            title: `No machine could be given to this job: ${report.because}`,
            summary: report.detail,
            text: undefined,
          });
        },
      });
      if (outcome.accepted) return "reported";
      const error = refusalError(outcome.answer, { what }, clock.now());
      if (error.code === "GITHUB_PERMISSION_MISSING") return "not-permitted";
      throw error;
    },
  };
}

function runRequests(asker: Asker): Pick<Github, "getRun" | "listRunJobs" | "rerun"> {
  const { model, clock } = asker;
  const shown = shownJobs(asker);

  return {
    async getRun(repository, runId) {
      const run = await asker.tryAsk({
        ...repositoryRequest(repository, `show the run ${runId}`, "/actions/runs/{run_id}"),
        accept: [404],
        act(now) {
          model.advance(now);
          const { attempt, status, conclusion } = runIn(model, repository, runId);
          return { attempt, ended: status === "completed", ...(conclusion !== undefined && { conclusion }) };
        },
      });
      return run.accepted ? run.value : undefined;
    },

    async listRunJobs(repository, runId) {
      const what = `list the jobs of the run ${runId}`;
      const jobs = await asker.ask({
        ...repositoryRequest(repository, what, "/actions/runs/{run_id}/jobs"),
        act(now) {
          model.advance(now);
          return model.jobsOf(runIn(model, repository, runId), "latest");
        },
      });
      return jobs.map((job) => shown.event(job, repository)).filter((event) => event !== undefined);
    },

    async rerun(repository, runId, which) {
      const endpoint =
        which === "failed-jobs" ? "/actions/runs/{run_id}/rerun-failed-jobs" : "/actions/jobs/{job_id}/rerun";
      const request = repositoryRequest(repository, `run a part of the run ${runId} again`, endpoint);
      const purpose = {
        ...request,
        permission: "actions: write",
        needs: ["actions", "write"] as readonly [string, "read" | "write"],
      };
      const outcome = await asker.tryAsk({
        ...purpose,
        method: "POST",
        accept: [403, 404, 409, 422],
        act(now) {
          if (which !== "failed-jobs") model.rerunJob(now, jobIn(model, repository, which).id);
          else model.rerunFailedJobs(now, runIn(model, repository, runId).id);
        },
      });
      if (outcome.accepted) return { kind: "started" };
      return rerunRefusal(outcome.answer, purpose, clock.now());
    },
  };
}

/** What GitHub shows of a job and may change, as it was when somebody last looked. */
interface ShownJob extends Pick<Job, "status" | "conclusion" | "runnerName" | "startedAt" | "completedAt"> {
  /** Higher than that of every job that was seen to change before. */
  readonly version: number;
  event: JobEvent | undefined;
  /** For which the event was made. */
  repository: RepositoryAddress | undefined;
}

/** Jobs wait for hours, are listed every minute and look the same each time. */
function shownJobs({ model, clock }: Asker): {
  version(job: Job): number;
  event(job: Job, repository: RepositoryAddress): JobEvent | undefined;
} {
  const { state } = model;
  const source = { state, addresses: { api: "https://api.github.com", web: "https://github.com" } };
  const known = new WeakMap<Job, ShownJob>();
  let versions = 0;
  const look = (job: Job): ShownJob => {
    const before = known.get(job);
    if (before !== undefined && looksTheSame(before, job)) return before;
    versions += 1;
    const { status, conclusion, runnerName, startedAt, completedAt } = job;
    const repository = undefined;
    const shown = {
      status,
      conclusion,
      runnerName,
      startedAt,
      completedAt,
      version: versions,
      event: undefined,
      repository,
    };
    known.set(job, shown);
    return shown;
  };
  return {
    version: (job) => look(job).version,
    event(job, repository) {
      const shown = look(job);
      if (shown.repository === undefined || !isSameAddress(shown.repository, repository)) {
        shown.repository = repository;
        shown.event = jobEventOf(jobDocument(source, job), repository, clock.now());
      }
      return shown.event && { ...shown.event, receivedAt: clock.now() };
    },
  };
}

function looksTheSame(shown: ShownJob, job: Job): boolean {
  return (
    shown.status === job.status &&
    shown.conclusion === job.conclusion &&
    shown.runnerName === job.runnerName &&
    shown.startedAt === job.startedAt &&
    shown.completedAt === job.completedAt
  );
}

function isSameAddress(one: RepositoryAddress, other: RepositoryAddress): boolean {
  return (
    one.owner === other.owner &&
    one.name === other.name &&
    one.private === other.private &&
    one.installationId === other.installationId
  );
}

async function listOpenRuns(asker: Asker, repository: RepositoryAddress): Promise<readonly number[]> {
  const { model } = asker;
  const ids: number[] = [];
  for (const status of ["queued", "in_progress", "waiting"] as const) {
    const found = await asker.ask({
      ...repositoryRequest(repository, `list the ${status} runs`, "/actions/runs"),
      conditional: { key: `runs ${status} ${repository.owner}/${repository.name}`, versionOf: String },
      act(now) {
        model.advance(now);
        const { id } = visibleRepository(model, repository);
        const isWanted = (run: Run): boolean => run.repositoryId === id && run.status === status;
        return [...model.state.openRuns.values()].filter(isWanted).map((run) => run.id);
      },
    });
    ids.push(...found);
  }
  return [...new Set(ids)].sort((left, right) => right - left).slice(0, 1_000);
}

function repositoryRequest(repository: RepositoryAddress, what: string, path: string) {
  return {
    what: `${what} of ${repository.owner}/${repository.name}`,
    permission: "actions: read",
    needs: actionsRead,
    caller: repository.installationId,
    priority: "sweep" as const,
    method: "GET" as "GET" | "POST",
    endpoint: `/repos/{owner}/{repo}${path}`,
    resource: "core" as const,
  };
}

const actionsRead: readonly [string, "read" | "write"] = ["actions", "read"];

/** The repository, if the installation covers it; otherwise 404. */
function visibleRepository(model: GithubModel, address: RepositoryAddress): Repository {
  const repository = model.findRepository(address.owner, address.name);
  const installation = model.findInstallation(address.installationId);
  if (!coversRepository(model.state, installation.id, repository.id)) throw notFound();
  return repository;
}

function jobIn(model: GithubModel, address: RepositoryAddress, id: number): Job {
  const repository = visibleRepository(model, address);
  const job = model.findJob(id);
  if (job.repositoryId !== repository.id) throw notFound();
  return job;
}

function runIn(model: GithubModel, address: RepositoryAddress, id: number): Run {
  const repository = visibleRepository(model, address);
  const run = model.findRun(id);
  if (run.repositoryId !== repository.id) throw notFound();
  return run;
}

// -------------------------------------------------------------------------------------------- deliveries

function deliveryRequests(asker: Asker): Pick<Github, "listDeliveries" | "redeliver"> {
  const { model } = asker;
  const request = {
    caller: "app" as const,
    priority: "sweep" as const,
    resource: "core" as const,
    what: "list the deliveries of the App's webhook",
  };
  return {
    async listDeliveries(since) {
      const deliveries: Delivery[] = [];
      let cursor: string | undefined;
      do {
        const page = await asker.ask({
          ...request,
          method: "GET",
          endpoint: "/app/hook/deliveries",
          act: (now) => model.listDeliveries(now, { perPage: 100, ...(cursor !== undefined && { cursor }) }),
        });
        for (const { id, guid, deliveredAt = 0, statusCode, event } of page.deliveries) {
          if (deliveredAt < since) continue;
          const succeeded = statusCode >= 200 && statusCode <= 299;
          deliveries.push({ id, guid, deliveredAt, succeeded, event: event.name });
        }
        cursor = (page.deliveries.at(-1)?.deliveredAt ?? since) < since ? undefined : page.nextCursor;
      } while (cursor !== undefined);
      return deliveries;
    },

    async redeliver(deliveryId) {
      const outcome = await asker.tryAsk({
        ...request,
        what: `send the delivery ${deliveryId} again`,
        method: "POST",
        endpoint: "/app/hook/deliveries/{delivery_id}/attempts",
        accept: [404],
        act: (now) => model.redeliver(now, deliveryId),
      });
      if (!outcome.accepted) throw deliveryGoneError(deliveryId);
    },
  };
}

// ------------------------------------------------------------------------------------------ repositories

function repositoryRequests(asker: Asker): Pick<Github, "listRepositories"> {
  const { model } = asker;
  const request = { priority: "sweep" as const, method: "GET" as const, resource: "core" as const };
  return {
    async listRepositories() {
      const installations = await asker.ask({
        ...request,
        caller: "app",
        what: "list the installations of the App",
        endpoint: "/app/installations",
        act: () => [...model.state.installations.values()],
      });
      const repositories: RepositoryAddress[] = [];
      for (const installation of installations) {
        if (installation.suspendedAt !== undefined) continue;
        const found = await asker.ask({
          ...request,
          caller: installation.id,
          what: `list the repositories of installation ${installation.id}`,
          endpoint: "/installation/repositories",
          act: () => model.repositoriesOf(installation),
        });
        for (const { owner, name, private: isPrivate } of found) {
          repositories.push({ owner, name, private: isPrivate, installationId: installation.id });
        }
      }
      const complete = installations.every((installation) => installation.suspendedAt === undefined);
      return { repositories, complete };
    },
  };
}
