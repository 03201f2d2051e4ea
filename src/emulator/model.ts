import type { Random } from "../ports/random.ts";
import { assign, isInReach } from "./model-assignment.ts";
import {
  type DeliveryOutcome,
  type DeliveryQuery,
  listDeliveries,
  recordDelivery,
  redeliver,
  sendDelivery,
  sendHeldDelivery,
} from "./model-deliveries.ts";
import { type Faults, noFaults } from "./model-faults.ts";
import {
  addAccount,
  addInstallation,
  addRepository,
  addRunnerGroup,
  createToken,
  findRepository,
  findToken,
  type NewInstallation,
  type NewRepository,
  type NewRunnerGroup,
  removeInstallationRepository,
  repositoriesOf,
  suspendInstallation,
  type TokenRequest,
} from "./model-installations.ts";
import {
  approveJob,
  cancelJob,
  completeJob,
  expirePickUp,
  finishJob,
  pickUpJob,
  rejectJob,
  reportStep,
  type StepReport,
} from "./model-jobs.ts";
import { githubLimits, type Limits } from "./model-limits.ts";
import {
  admitRequest,
  exhaustRateLimit,
  type RatedRequest,
  type RateResource,
  refundRequest,
} from "./model-rate-limits.ts";
import {
  connectRunner,
  deleteRunner,
  disconnectRunner,
  findRunner,
  listGroups,
  listRunners,
  looksBusy,
  noticeDisconnect,
  type Registration,
  registerRunner,
  removeRunner,
} from "./model-runners.ts";
import {
  advanceRun,
  cancelRun,
  forceCancelRun,
  type RunRequest,
  rerunFailedJobs,
  rerunJob,
  rerunRun,
  startRun,
} from "./model-runs.ts";
import {
  type Account,
  type App,
  type Conclusion,
  createModelState,
  type Delivery,
  type Effect,
  happens,
  type Installation,
  type InstallationToken,
  type Job,
  type ModelState,
  pick,
  type RateBucket,
  type Repository,
  type Run,
  type Runner,
  type RunnerGroup,
  type Scope,
  type Transition,
} from "./model-state.ts";
import { finishByStranger, takeByStranger } from "./model-strangers.ts";
import { type PlannedJob, plannedJob } from "./planned-job.ts";
import { notFound } from "./refusal.ts";

export interface GithubModelOptions {
  readonly random: Random;
  /** GitHub's own numbers unless given. */
  readonly limits?: Partial<Limits>;
  readonly faults?: Faults;
  readonly app?: Partial<App>;
}

/**
 * GitHub's behaviour as a state machine: no clock, no timers, no input or output. Every call says what the time
 * is, and first does everything that became due until then; `nextDueAt` says when to call `advance` if nothing
 * else happens. What others have to do (send a delivery, tell a runner something) is collected in
 * `takeEffects`. The same random source and the same calls give the same effects.
 *
 * The HTTP emulator and the simulator both drive this class. A request that GitHub would refuse throws a
 * `GithubRefusal` and changes nothing.
 */
export class GithubModel {
  /** Open for reading. Change it only through the methods. */
  readonly state: ModelState;

  constructor(options: GithubModelOptions) {
    this.state = createModelState({
      random: options.random,
      limits: { ...githubLimits, ...options.limits },
      faults: options.faults ?? noFaults,
      app: {
        id: 123_456,
        slug: "mayfly-emulated",
        name: "Mayfly (emulated)",
        ownerLogin: "octo-org",
        hookId: 487_123_900,
        createdAt: 0,
        permissions: {
          actions: "write",
          administration: "write",
          checks: "write",
          metadata: "read",
          organization_self_hosted_runners: "write",
        },
        events: ["workflow_job"],
        ...options.app,
      },
    });
  }

  /** Does everything that is due until `now`, in the order of its instants. */
  advance(now: number): void {
    const { schedule } = this.state;
    for (let due = schedule.takeDue(now); due !== undefined; due = schedule.takeDue(now)) {
      this.#make(due.item, due.at);
    }
  }

  /** When something will happen by itself, or undefined. It may turn out to be nothing. */
  nextDueAt(): number | undefined {
    return this.state.schedule.nextAt();
  }

  /** What happened since the last call and concerns the world outside, oldest first. */
  takeEffects(): readonly Effect[] {
    const taken = this.state.effects;
    this.state.effects = [];
    return taken;
  }

  setFaults(faults: Faults): void {
    this.state.faults = faults;
  }

  // ---- accounts, repositories, installations ----

  addOrganization(login: string): Account {
    return addAccount(this.state, login, "Organization");
  }

  addUser(login: string): Account {
    return addAccount(this.state, login, "User");
  }

  addRepository(now: number, repository: NewRepository): Repository {
    return addRepository(this.state, now, repository);
  }

  findRepository(owner: string, name: string): Repository {
    return findRepository(this.state, owner, name);
  }

  addRunnerGroup(group: NewRunnerGroup): RunnerGroup {
    return addRunnerGroup(this.state, group);
  }

  listRunnerGroups(owner: string): readonly RunnerGroup[] {
    return listGroups(this.state, owner);
  }

  addInstallation(now: number, installation: NewInstallation): Installation {
    return addInstallation(this.state, now, installation);
  }

  findInstallation(id: number): Installation {
    return this.state.installations.get(id) ?? refuse();
  }

  suspendInstallation(now: number, id: number, suspended: boolean): void {
    this.advance(now);
    suspendInstallation(this.state, now, this.findInstallation(id), suspended);
  }

  /** The repository is taken out of the installation. */
  removeInstallationRepository(now: number, id: number, repositoryId: number): void {
    this.advance(now);
    removeInstallationRepository(this.state, now, this.findInstallation(id), repositoryId);
  }

  repositoriesOf(installation: Installation): readonly Repository[] {
    return repositoriesOf(this.state, installation);
  }

  createToken(now: number, installationId: number, request: TokenRequest = {}): InstallationToken {
    return createToken(this.state, now, this.findInstallation(installationId), request);
  }

  findToken(now: number, text: string): InstallationToken | undefined {
    return findToken(this.state, now, text);
  }

  // ---- rate limits and faults of requests ----

  /** See `admitRequest` of model-rate-limits.ts. */
  admitRequest(now: number, request: RatedRequest): Readonly<Record<string, string>> {
    return admitRequest(this.state, now, request);
  }

  refundRequest(now: number, request: RatedRequest): Readonly<Record<string, string>> {
    return refundRequest(this.state, now, request);
  }

  exhaustRateLimit(now: number, caller: string, resource: RateResource): RateBucket {
    return exhaustRateLimit(this.state, now, caller, resource);
  }

  /** What goes wrong with a request: nothing, it fails before it had any effect, or its answer is lost. */
  drawRequestFault(): "none" | "error" | "answer-lost" {
    const { random, faults } = this.state;
    if (happens(random, faults.restErrorFraction)) return "error";
    return happens(random, faults.restAnswerLostFraction) ? "answer-lost" : "none";
  }

  // ---- runners ----

  /** See `registerRunner` of model-runners.ts. */
  registerRunner(now: number, scope: Scope, registration: Registration): Runner {
    this.advance(now);
    return registerRunner(this.state, now, scope, registration);
  }

  /** The runner's listener is connected and takes jobs. 404 when GitHub does not know the runner any more. */
  connectRunner(now: number, runnerId: number, version = "2.337.0", operatingSystem = "linux"): void {
    this.advance(now);
    const runner = this.state.runners.get(runnerId);
    if (runner !== undefined && !runner.online) this.#maybeSteal(now, runner);
    connectRunner(this.state, now, runnerId, { version, operatingSystem });
  }

  /** The listener is gone, for whatever reason. GitHub notices later. */
  disconnectRunner(now: number, runnerId: number): void {
    this.advance(now);
    disconnectRunner(this.state, now, runnerId);
  }

  deleteRunner(now: number, scope: Scope, runnerId: number): void {
    this.advance(now);
    deleteRunner(this.state, scope, runnerId);
  }

  findRunner(now: number, scope: Scope, runnerId: number): Runner {
    this.advance(now);
    return findRunner(this.state, scope, runnerId);
  }

  listRunners(now: number, scope: Scope, name?: string): readonly Runner[] {
    this.advance(now);
    return listRunners(this.state, scope, name);
  }

  /** What the API says in `busy`, which a fault can make wrong. */
  looksBusy(runner: Runner): boolean {
    return looksBusy(this.state, runner);
  }

  // ---- runs and jobs ----

  startRun(now: number, request: RunRequest): Run {
    this.advance(now);
    return startRun(this.state, now, request);
  }

  findRun(id: number): Run {
    return this.state.runs.get(id) ?? refuse();
  }

  findJob(id: number): Job {
    return this.state.jobs.get(id) ?? refuse();
  }

  /** The jobs of a run: the newest execution of each, or those of all attempts. */
  jobsOf(run: Run, filter: "latest" | "all"): readonly Job[] {
    if (filter === "latest") return run.current.filter((job) => job !== undefined);
    return run.jobIds.map((id) => this.findJob(id));
  }

  approveJob(now: number, jobId: number): void {
    this.#changeJob(now, jobId, (job) => approveJob(this.state, now, job));
  }

  rejectJob(now: number, jobId: number): void {
    this.#changeJob(now, jobId, (job) => rejectJob(this.state, now, job));
  }

  /** The runner starts the job that it was assigned. */
  pickUpJob(now: number, runnerId: number, jobId: number): void {
    this.#changeJob(now, jobId, (job) => pickUpJob(this.state, now, runnerId, job));
  }

  reportStep(now: number, jobId: number, report: StepReport): void {
    this.#changeJob(now, jobId, (job) => reportStep(now, job, report));
  }

  /** The runner has run the job: the job is completed and the runner removed. */
  finishJob(
    now: number,
    runnerId: number,
    jobId: number,
    conclusion: Conclusion,
    outputs: Readonly<Record<string, string>> = {},
  ): void {
    this.#changeJob(now, jobId, (job) => finishJob(this.state, now, runnerId, job, conclusion, outputs));
  }

  cancelRun(now: number, runId: number): void {
    this.advance(now);
    cancelRun(this.state, now, this.findRun(runId));
  }

  forceCancelRun(now: number, runId: number): void {
    this.advance(now);
    forceCancelRun(this.state, now, this.findRun(runId));
  }

  rerunRun(now: number, runId: number): void {
    this.advance(now);
    rerunRun(this.state, now, this.findRun(runId));
  }

  rerunFailedJobs(now: number, runId: number): void {
    this.advance(now);
    rerunFailedJobs(this.state, now, this.findRun(runId));
  }

  rerunJob(now: number, jobId: number): void {
    this.advance(now);
    const job = this.findJob(jobId);
    rerunJob(this.state, now, this.findRun(job.runId), job);
  }

  // ---- deliveries ----

  findDelivery(id: number): Delivery {
    return this.state.deliveries.get(id) ?? refuse();
  }

  listDeliveries(
    now: number,
    query: DeliveryQuery,
  ): { readonly deliveries: readonly Delivery[]; readonly nextCursor?: string } {
    this.advance(now);
    return listDeliveries(this.state, now, query);
  }

  /** What the receiver answered to an effect `deliver`. */
  recordDelivery(deliveryId: number, outcome: DeliveryOutcome): void {
    recordDelivery(this.state, deliveryId, outcome);
  }

  redeliver(now: number, deliveryId: number): Delivery {
    this.advance(now);
    const again = redeliver(this.state, now, deliveryId);
    this.advance(now);
    return again;
  }

  #changeJob(now: number, jobId: number, change: (job: Job) => void): void {
    this.advance(now);
    const job = this.findJob(jobId);
    change(job);
    advanceRun(this.state, now, this.findRun(job.runId));
  }

  #make(transition: Transition, at: number): void {
    switch (transition.kind) {
      case "delivery-due":
        sendDelivery(this.state, at, transition.deliveryId);
        break;
      case "held-delivery-due":
        sendHeldDelivery(this.state, at, transition.jobId, transition.deliveryId);
        break;
      case "disconnect-noticed":
      case "job-lock-expired":
      case "idle-removal-due":
      case "never-connected":
        this.#changeRunnerByTime(transition, at);
        break;
      default:
        this.#changeJobByTime(transition, at);
    }
  }

  #changeRunnerByTime(transition: Transition & { readonly runnerId: number }, at: number): void {
    const runner = this.state.runners.get(transition.runnerId);
    if (runner === undefined) return;
    if ("connection" in transition && transition.connection !== runner.connection) return;
    const job = runner.jobId === undefined ? undefined : this.state.jobs.get(runner.jobId);
    switch (transition.kind) {
      case "disconnect-noticed":
        noticeDisconnect(this.state, runner);
        break;
      case "job-lock-expired":
        if (job?.status !== "in_progress") break;
        completeJob(this.state, at, job, job.cancelRequested ? "cancelled" : "failure");
        advanceRun(this.state, at, this.findRun(job.runId));
        break;
      case "idle-removal-due":
        if (runner.idleSince === transition.idleSince) removeRunner(this.state, runner, "idle");
        break;
      default:
        if (job === undefined && !runner.connected) removeRunner(this.state, runner, "never-connected");
    }
  }

  #changeJobByTime(transition: Transition & { readonly jobId: number }, at: number): void {
    const job = this.state.jobs.get(transition.jobId);
    if (job === undefined || job.status === "completed") return;
    switch (transition.kind) {
      case "pick-up-expired":
        expirePickUp(this.state, at, job, transition.runnerId);
        break;
      case "queue-limit-reached":
        if (job.status === "queued") completeJob(this.state, at, job, "cancelled");
        break;
      case "stranger-comes":
        takeByStranger(this.state, at, job);
        break;
      case "stranger-done":
        finishByStranger(this.state, at, job, transition.runnerId);
        break;
      case "job-timeout-reached":
        cancelJob(this.state, at, job);
        break;
      case "cancel-timeout-reached":
        completeJob(this.state, at, job, "cancelled");
        break;
    }
    advanceRun(this.state, at, this.findRun(job.runId));
  }

  /** A fault: the runner is taken by a job of a neighbour, or by one whose `queued` event nobody received. */
  #maybeSteal(now: number, runner: Runner): void {
    const { state } = this;
    if (!happens(state.random, state.faults.runnerStolenFraction)) return;
    const inReach = [...state.repositories.values()].filter((repository) =>
      isInReach(state, runner, repository),
    );
    const repository = pick(state.random, inReach);
    if (repository === undefined) return;
    const stolen = plannedJob({
      key: "unannounced",
      name: "unannounced",
      labels: runner.labels.slice(0, 1),
      steps: [
        {
          name: "Nobody was told about this job",
          run: "sleep 1",
          condition: "success",
          environmentVariables: {},
          continueOnError: false,
        },
      ],
    });
    this.#startUnannounced(now, repository, runner, stolen);
  }

  #startUnannounced(now: number, repository: Repository, runner: Runner, job: PlannedJob): void {
    const run = startRun(this.state, now, {
      repositoryId: repository.id,
      workflowName: "elsewhere",
      workflowPath: ".github/workflows/elsewhere.yml",
      jobs: [job],
      event: "schedule",
      foreign: true,
    });
    const started = run.current[0];
    if (started !== undefined && started.runnerId === undefined) assign(this.state, now, started, runner);
  }
}

function refuse(): never {
  throw notFound();
}
