import { createAwsIamIdentity } from "../../adapters/identity/aws-iam.ts";
import { createDerivedTokenIdentity } from "../../adapters/identity/derived-token.ts";
import { createFixedPrices } from "../../adapters/prices/fixed.ts";
import { createSeededRandom } from "../../adapters/random/seeded.ts";
import { createMemoryStore } from "../../adapters/store/memory.ts";
import { type Image, imageKey } from "../../core/image.ts";
import type { Change, Job, LifecycleEvent, Machine, MachineId, Poke, Policy } from "../../core/model.ts";
import { isSettled } from "../../core/rerun.ts";
import { Secret } from "../../core/secret.ts";
import { GithubModel } from "../../emulator/model.ts";
import { noFaults } from "../../emulator/model-faults.ts";
import type { Delivery, Effect } from "../../emulator/model-state.ts";
import { readStatus } from "../../flow/status.ts";
import { type DeliveryAnswer, receiveDelivery, receiveJobEvent } from "../../flow/webhook.ts";
import type { ImageOrder } from "../../ports/images.ts";
import type { Ports } from "../../ports/ports.ts";
import type { Prices } from "../../ports/prices.ts";
import type { Random } from "../../ports/random.ts";
import type { Store } from "../../ports/store.ts";
import { machineRoutes } from "../routes/machine-routes.ts";
import { Agent, type HttpAnswer } from "./agent.ts";
import { type SimBuild, SimBuilder } from "./builder.ts";
import {
  type CheckMemory,
  createCheckMemory,
  type Facts,
  lookAt,
  type PolicyInForce,
  type WorldView,
} from "./checks.ts";
import { type CloudMachine, SimCloud } from "./cloud.ts";
import { deliveredEvent, signedDelivery } from "./delivery.ts";
import { changedPolicy } from "./deployments.ts";
import { between, chance } from "./draw.ts";
import { type Faults, quiet } from "./faults.ts";
import { decodeJitRunnerId } from "./jit-runner.ts";
import { Process, type Stage } from "./process.ts";
import { SimQueue } from "./queue.ts";
import type { Scenario } from "./scenario.ts";
import { type PlannedEvent, Scheduler } from "./scheduler.ts";
import { createSecretFinder, type SecretFinder } from "./secret-finder.ts";
import { taskCompute } from "./tasks.ts";
import type { Trace } from "./trace.ts";

export interface WorldOptions {
  readonly scenario: Scenario;
  readonly trace: Trace;
  /** A planted bug, for tests of the checks. */
  readonly sabotage?: Sabotage;
  /** What machines cost; without it, what their preset says. */
  readonly prices?: Prices;
}

export interface Sabotage {
  readonly ports?: (stage: Stage, ports: Ports, world: World) => Ports;
  readonly withoutRebalance?: boolean;
}

export interface Violation {
  readonly check: string;
  readonly message: string;
  readonly step: number;
  readonly at: number;
}

/** 2026-01-01T00:00:00Z: a day begins with the simulation. */
export const simulationStart = Date.UTC(2026, 0, 1);

const webhookSecret = "sim-webhook-secret-of-the-app";
/** A default that somebody might have left in. */
export const guessedSecret = "development";
const machineKey = "sim-key-of-all-machine-tokens";
/** Machines that are given no credential sign with it. */
const roleOf = (compute: string): string => `arn:aws:iam::123456789012:role/machine-of-${compute}`;
const machineHttpTimeoutSeconds = 30;
const statusSeconds = 7_200;
/**
 * EC2 says that an instance is gone, and charges nothing more for it, as soon as it begins to shut down. That is long
 * enough for GitHub to tell of the end of its job first, and over before anybody looks again.
 */
const leanShutdownSeconds = 1.5;
/** A machine that waits claims so often, and is noted so often to have claimed. */
const contactSeconds = 15 + 20;

/** Everything that a simulation consists of, wired together, and the truth that the checks compare the ledger with. */
export class World implements WorldView {
  readonly scenario: Scenario;
  readonly scheduler: Scheduler;
  readonly model: GithubModel;
  readonly cloud: SimCloud;
  readonly builder: SimBuilder | undefined;
  readonly images = new Map<string, Image>();
  readonly agents = new Map<MachineId, Agent>();
  readonly everyAgent: Agent[] = [];
  readonly jobs = new Map<number, Job>();
  readonly machines = new Map<MachineId, Machine>();
  readonly machineOfProvider = new Map<string, MachineId>();
  readonly memory: CheckMemory = createCheckMemory();
  readonly secrets: SecretFinder;
  readonly processes: readonly Process[];
  readonly store: Store;
  /** The newest. */
  policy: Policy;
  /** By which each process goes, and every one that was ever in force. */
  readonly #policies: Policy[];
  readonly everyPolicy: PolicyInForce[];
  readonly #deployRandom: Random;
  faults: Faults;
  healedAt: number | undefined;
  isQuiet = false;
  violation: Violation | undefined;
  readonly openJobs = new Map<number, Job>();
  readonly openMachines = new Map<MachineId, Machine>();
  readonly jobsOnLargerRunners = new Set<number>();
  /** When the ledger first knew of a job or a machine in this state: `<id> <state>`. */
  readonly toldAt = new Map<string, number>();
  readonly unansweredAt = new Map<number, number>();
  readonly #trace: Trace;
  readonly #network: Random;
  readonly #agentRandom: Random;
  readonly #agentsByProviderId = new Map<string, Agent>();
  readonly #runnerNames = new Map<number, MachineId>();
  /** Runners that GitHub is being asked to remove by a claim for whose answer nobody waits. */
  readonly #unwantedByRepeats = new Set<number>();
  /** What befell machines that were asked for and did not exist yet. */
  readonly #befallenBefore = new Map<MachineId, string>();
  readonly #identity: Ports["identity"];
  #modelDueAt = Number.POSITIVE_INFINITY;
  #hinderedUntil = 0;
  /** Since when no process runs rounds, and for how long that was so before. */
  #unattendedSince: number | undefined;
  #unattendedMilliseconds = 0;

  constructor({ scenario, trace, sabotage, prices }: WorldOptions) {
    const { seed } = scenario;
    this.scenario = scenario;
    this.policy = scenario.policy;
    this.#policies = Array.from({ length: scenario.processes }, () => scenario.policy);
    this.everyPolicy = [{ policy: scenario.policy, from: simulationStart, until: Number.POSITIVE_INFINITY }];
    this.#deployRandom = createSeededRandom(`${seed} deployments`);
    this.faults = scenario.faults;
    this.#trace = trace;
    this.scheduler = new Scheduler(simulationStart, trace);
    this.#network = createSeededRandom(`${seed} network`);
    this.#agentRandom = createSeededRandom(`${seed} agents`);
    this.secrets = createSecretFinder([webhookSecret, machineKey]);
    this.model = new GithubModel({
      random: createSeededRandom(`${seed} github`),
      faults: scenario.faults.github,
      limits: { deliveryLatencySeconds: 1 },
    });
    this.cloud = this.#createCloud();
    this.builder = this.#createBuilder();
    this.store = this.#watchedStore(createMemoryStore({ changesPerCommit: scenario.changesPerCommit }));
    const identity =
      scenario.marks === "launch"
        ? createAwsIamIdentity({
            roles: ["cloud", taskCompute].map((compute) => ({ compute, arn: roleOf(compute) })),
          })
        : createDerivedTokenIdentity(new Secret(machineKey));
    // To look at proofs takes time, and where nobody looks for what can go wrong there are no impostors.
    this.#identity = scenario.lean === true ? { ...identity, verify: async () => "proven" } : identity;
    this.processes = this.#createProcesses(sabotage, prices ?? createFixedPrices(scenario.policy.presets));
  }

  get now(): number {
    return this.scheduler.now;
  }

  start(): void {
    for (const process of this.processes) process.start();
  }

  /** From now on nothing goes wrong any more, and no machine is kept warm. */
  heal(): void {
    this.healedAt = this.now;
    this.faults = { ...quiet, clockSkewSeconds: this.faults.clockSkewSeconds };
    this.model.setFaults(noFaults);
    const presets = this.policy.presets.map((preset) => ({ ...preset, warm: 0 }));
    this.#comesInForce({ ...this.policy, presets }, 0);
    this.#policies.fill(this.policy);
    for (const process of this.processes) process.start();
  }

  /** A changed configuration: each process goes by it some time within so many seconds, and begins anew for that. */
  deploy(seconds: number): void {
    if (this.healedAt !== undefined) return;
    this.#comesInForce(changedPolicy(this.#deployRandom, this.policy, this.scenario.policy), seconds);
    this.hinder(this.now + (seconds + 120) * 1_000);
    const { policy } = this;
    for (const [index, process] of this.processes.entries()) {
      const at = this.#deployRandom.fraction() * seconds * 1_000;
      this.scheduler.after(at, `p${index + 1} is deployed`, () => {
        if (this.policy !== policy) return;
        this.#policies[index] = policy;
        if (this.scenario.runsAs !== "functions") process.crash();
      });
    }
  }

  #comesInForce(policy: Policy, seconds: number): void {
    const last = this.everyPolicy.at(-1);
    // What was planned by the old one may be written some minutes later.
    if (last !== undefined) last.until = this.now + (seconds + 600) * 1_000;
    this.everyPolicy.push({ policy, from: this.now, until: Number.POSITIVE_INFINITY });
    this.policy = policy;
  }

  /** While functions are replaced, any of them may be the old one or the new one. */
  #policyOf(index: number): Policy {
    const own = this.#policies[index] ?? this.policy;
    if (own === this.policy || this.scenario.runsAs !== "functions") return own;
    return chance(this.#deployRandom, 0.5) ? own : this.policy;
  }

  get policiesInForce(): readonly Policy[] {
    return this.everyPolicy.filter(({ until }) => until > this.now).map(({ policy }) => policy);
  }

  /** GitHub does not do what it is asked, until then. */
  hinder(until: number): void {
    this.#hinderedUntil = Math.max(this.#hinderedUntil, until);
  }

  get hinderedUntil(): number {
    const isUp = this.processes.some((process) => process.runsRounds);
    return isUp ? this.#hinderedUntil : this.now;
  }

  get unattendedMilliseconds(): number {
    return this.#unattendedMilliseconds + this.now - (this.#unattendedSince ?? this.now);
  }

  #noteAttendance(): void {
    this.#unattendedMilliseconds = this.unattendedMilliseconds;
    this.#unattendedSince = this.processes.some((process) => process.runsRounds) ? undefined : this.now;
  }

  /** The machine is of no use any more, and it is not its own fault. Nothing has befallen one that nobody needs. */
  befalls(machineId: MachineId, what: string): void {
    const entry = this.machines.get(machineId);
    const waits = (job: Job): boolean => job.fleet === entry?.fleet && job.state === "queued";
    const isWarm = this.policy.presets.some(({ name, warm }) => name === entry?.fleet && warm > 0);
    if (!isWarm && ![...this.openJobs.values()].some(waits)) return;
    const agent = this.agents.get(machineId);
    if (agent === undefined) this.#befallenBefore.set(machineId, what);
    else agent.misfortunes.add(what);
  }

  /** Looks at whether everything is over. */
  lookForRest(): boolean {
    const entries = this.openJobs.size + this.openMachines.size;
    this.isQuiet = entries === 0 && this.cloud.machines.size === 0 && !this.#isAnyJobOpen();
    return this.isQuiet;
  }

  #isAnyJobOpen(): boolean {
    for (const { id, status } of this.model.state.jobs.values()) {
      if (status === "completed") continue;
      const entry = this.jobs.get(id);
      if (entry !== undefined && entry.state !== "done") return true;
    }
    return false;
  }

  checkEnd(): void {
    this.#look("ended", undefined);
  }

  /** The first violation is the one that counts: what follows may follow from it. */
  #look<Moment extends keyof Facts>(moment: Moment, fact: Facts[Moment]): void {
    if (this.violation !== undefined) return;
    const violation = lookAt(this, moment, fact);
    if (violation !== undefined) this.#violate(violation.check, violation.found);
  }

  #violate(check: string, message: string): void {
    this.violation = { check, message, step: this.scheduler.steps, at: this.now };
    this.#trace.add(this.now, `VIOLATION ${check}: ${message}`);
  }

  // ---------------------------------------------------------------------------------------------- github

  /** To be called after every change of the model: does what it says must be done, and plans its next step. */
  readonly settleModel = (): void => {
    for (const effect of this.model.takeEffects()) this.#onEffect(effect);
    const next = this.model.nextDueAt();
    if (next === undefined || next >= this.#modelDueAt) return;
    this.#modelDueAt = next;
    this.scheduler.at(next, "github", () => {
      // An earlier one was planned meanwhile, and it has planned the next.
      if (this.#modelDueAt !== next) return;
      this.#modelDueAt = Number.POSITIVE_INFINITY;
      this.model.advance(this.now);
      this.settleModel();
    });
  };

  #onEffect(effect: Effect): void {
    if (effect.kind === "deliver") {
      this.#deliver(effect.deliveryId);
      return;
    }
    const machineId = this.#runnerNames.get(effect.runnerId) ?? "";
    const agent = this.agents.get(machineId);
    if (effect.kind === "runner-removed") {
      this.#runnerNames.delete(effect.runnerId);
      const isItsOwn = this.machines.get(machineId)?.registration?.runnerId === effect.runnerId;
      if (isItsOwn && this.#unwantedByRepeats.has(effect.runnerId))
        this.befalls(machineId, "its claim was repeated");
    }
    if (agent === undefined || agent.runnerId !== effect.runnerId) return;
    if (effect.kind === "runner-removed" && effect.because === "idle")
      this.befalls(machineId, "GitHub removed its runner");
    if (effect.kind === "job-assigned") this.#noteAssignment(effect.runnerId, effect.jobId);
    if (effect.kind === "runner-forgotten") this.befalls(machineId, "GitHub gave its runner no job");
    else if (effect.kind === "job-assigned") agent.assigned(effect.jobId);
    else if (effect.kind === "job-cancelled") agent.cancelled(effect.jobId);
    else agent.removed();
  }

  #noteAssignment(runnerId: number, jobId: number): void {
    const offered = this.model.state.runners.get(runnerId)?.labels ?? [];
    if (offered.length > this.model.findJob(jobId).planned.labels.length) this.jobsOnLargerRunners.add(jobId);
  }

  #deliver(deliveryId: number): void {
    const delivery = this.model.findDelivery(deliveryId);
    const label =
      delivery.event.name === "workflow_job" ? `${delivery.event.action} ${delivery.event.job.id}` : "";
    const record = (answer: DeliveryAnswer | undefined): void => {
      const statusCode = answer?.status ?? 502;
      this.model.recordDelivery(deliveryId, { statusCode, status: String(statusCode), durationSeconds: 1 });
    };
    const { lean = false } = this.scenario;
    const event = lean ? deliveredEvent(this.model.state, delivery, this.now) : undefined;
    if (event === undefined) this.#send(`delivery ${label}`, delivery, webhookSecret, record);
    else
      this.http(
        "webhook",
        `delivery ${label}`,
        (ports, policy) => receiveJobEvent(ports, policy, event),
        record,
      );
  }

  /** A delivery that GitHub never sent, signed with what anybody may guess. */
  forge(delivery: Delivery): void {
    this.#send("a forged delivery", delivery, guessedSecret, () => {});
  }

  #send(
    label: string,
    delivery: Delivery,
    secret: string,
    done: (answer: DeliveryAnswer | undefined) => void,
  ): void {
    const { headers, body } = signedDelivery(this.model.state, delivery, secret);
    this.http("webhook", label, (ports, policy) => receiveDelivery(ports, policy, { headers, body }), done);
  }

  // ------------------------------------------------------------------------------------------------ http

  /** A request to one of the processes. `done` gets undefined when no answer came. */
  http<Answer>(
    stage: Stage,
    label: string,
    handle: (ports: Ports, policy: Policy, caughtUp: Promise<void>) => Promise<Answer>,
    done: (answer: Answer | undefined) => void,
  ): void {
    const random = this.#network;
    let isOver = false;
    const endings: PlannedEvent[] = [];
    const finish = (answer: Answer | undefined, afterMilliseconds: number): void => {
      if (isOver) return;
      const end = (): void => {
        isOver = true;
        for (const event of endings) this.scheduler.callOff(event);
        done(answer);
      };
      endings.push(this.scheduler.after(afterMilliseconds, `answer to ${label}`, end));
    };
    if (chance(random, this.faults.requestLostFraction)) {
      finish(undefined, between(random, 10, 10_000));
      return;
    }
    finish(undefined, machineHttpTimeoutSeconds * 1_000);
    this.scheduler.after(between(random, 5, 60), label, () => {
      const up = this.processes.filter((process) => process.isUp);
      const process = up[Math.floor(random.fraction() * up.length)];
      if (process === undefined) finish(undefined, 5);
      else {
        process.request(stage, handle, (answer) => {
          const lost = answer !== undefined && chance(random, this.faults.answerLostFraction);
          finish(lost ? undefined : answer, between(random, 5, 60));
        });
      }
    });
  }

  #machineRequest(
    machine: CloudMachine,
    path: "claim" | "report",
    body: string,
    done: (answer: HttpAnswer | undefined) => void,
  ): void {
    const { machineId } = machine;
    if (path === "report" && chance(this.#network, this.faults.reportLostFraction)) {
      this.scheduler.after(5_000, `${machineId}'s report is lost`, () => done(undefined));
      return;
    }
    const agent = this.#agentsByProviderId.get(machine.providerId);
    if (agent?.unansweredSince === this.now) agent.unattendedBefore = this.unattendedMilliseconds;
    let isWaitedFor = true;
    this.http(
      path,
      `${machineId} ${path} ${body}`,
      (...told) => this.#answerMachine(told, machine, path, body, () => isWaitedFor),
      (answer) => {
        isWaitedFor = false;
        done(answer);
      },
    );
    if (path !== "claim" || !chance(this.#network, this.faults.claimRepeatFraction)) return;
    // The network, or whoever has got hold of the credential, says it once more.
    const repeat = (): void =>
      this.http(
        path,
        `${machineId} claims again`,
        (...told) => this.#answerMachine(told, machine, path, body, () => false),
        () => {},
      );
    this.scheduler.after(this.#network.fraction() ** 3 * 600_000, `${machineId} is repeated`, repeat);
  }

  async #answerMachine(
    told: Parameters<typeof machineRoutes>,
    machine: CloudMachine,
    path: "claim" | "report",
    body: string,
    isWaitedFor: () => boolean,
  ): Promise<HttpAnswer> {
    const { pattern, parameters, proof } = this.#nameAndProof(machine);
    const [ports, ...rest] = told;
    const route = machineRoutes(this.#notingRemovals(ports, isWaitedFor), ...rest).find(
      (entry) => entry.path === `${pattern}/${path}`,
    );
    if (route === undefined) throw new Error(`There is no route for ${path}.`);
    const before = this.machines.get(machine.machineId);
    const answer = await route.handle(
      {
        method: "POST",
        path: "",
        query: "",
        headers: {},
        body: new TextEncoder().encode(body),
        remoteAddress: "",
        ...proof,
      },
      parameters,
    );
    // The ledger may have given it a name meanwhile.
    const { machineId } = machine;
    const text = typeof answer.body === "string" ? answer.body : "";
    if (path === "claim") this.#checkClaim(machineId, before, text);
    // The registration that the machine got before may be gone now.
    const isRepeated = path === "claim" && answer.status === 200 && !isWaitedFor();
    if (isRepeated) this.befalls(machineId, "its claim was repeated");
    return { status: answer.status, body: text };
  }

  /** The process may die before it answers, and the registration that the machine got before is gone all the same. */
  #notingRemovals<Own extends Pick<Ports, "github">>(ports: Own, isWaitedFor: () => boolean): Own {
    const deleteRunner: Ports["github"]["deleteRunner"] = async (scope, runnerId) => {
      if (!isWaitedFor()) this.#unwantedByRepeats.add(runnerId);
      try {
        return await ports.github.deleteRunner(scope, runnerId);
      } finally {
        // Whoever removes it later does so for a reason of its own.
        this.#unwantedByRepeats.delete(runnerId);
      }
    };
    return { ...ports, github: { ...ports.github, deleteRunner } };
  }

  /** How a machine calls itself, and how it proves that. */
  #nameAndProof({ providerId, machineId, credential, compute }: CloudMachine) {
    if (this.scenario.marks === "launch") {
      const caller = `arn:aws:sts::123456789012:assumed-role/machine-of-${compute}/${providerId}`;
      const pattern = "/v1/machines/:compute/:providerId";
      return { pattern, parameters: { compute, providerId }, proof: { caller } };
    }
    const token = (credential ?? this.#identity.issue(machineId))?.reveal();
    const headers = { authorization: `Bearer ${token}` };
    return { pattern: "/v1/machines/:id", parameters: { id: machineId }, proof: { headers } };
  }

  #checkClaim(machineId: MachineId, before: Machine | undefined, text: string): void {
    const action = /^action=(.*)$/m.exec(text)?.[1] ?? "refused";
    const jitConfig = /^jit-config=(.*)$/m.exec(text)?.[1];
    const runnerId = jitConfig === undefined ? undefined : decodeJitRunnerId(jitConfig);
    this.#look("claimAnswered", { machineId, action, before, runnerId });
  }

  // ------------------------------------------------------------------------------------ cloud and agents

  #createCloud(): SimCloud {
    const { scenario, scheduler } = this;
    return new SimCloud({
      scheduler,
      random: createSeededRandom(`${scenario.seed} cloud`),
      marks: scenario.marks ?? "machine",
      ...(scenario.tasks !== undefined && { tasks: scenario.tasks }),
      pools: scenario.pools,
      faults: () => this.faults,
      hours: scenario.hours,
      ...(scenario.lean === true && { shutdownSeconds: leanShutdownSeconds }),
      events: {
        launching: (request) => this.#look("launching", request),
        launched: (machine) => this.#boot(machine),
        terminating: (machine) => this.#look("terminating", machine),
        notice: (machine) => this.agents.get(machine.machineId)?.notice(),
        atRisk: (machine) => this.agents.get(machine.machineId)?.atRisk(),
        gone: (machine) => this.#onGone(machine),
        announce: (machine, what) => this.#announce(machine, what),
      },
    });
  }

  #createBuilder(): SimBuilder | undefined {
    const { scenario, scheduler } = this;
    const { tasks, seed } = scenario;
    if (tasks === undefined) return undefined;
    const random = createSeededRandom(`${seed} builder`);
    const onBuild = (order: ImageOrder): void => this.#look("building", order);
    const isReplacement = ({ base, architecture }: ImageOrder): boolean =>
      this.images.get(imageKey(base, architecture))?.usable !== undefined;
    const onEnd = (build: SimBuild): void => this.#tellOfBuild(build);
    return new SimBuilder({
      scheduler,
      random,
      tasks,
      faults: () => this.faults,
      isReplacement,
      onBuild,
      onEnd,
    });
  }

  #tellOfBuild({ base, architecture, tag }: SimBuild): void {
    const { goneLostFraction, cloudEventDelaySeconds } = this.faults;
    if (chance(this.#network, goneLostFraction)) return;
    const delay = this.#network.fraction() * cloudEventDelaySeconds * 1_000;
    const event: LifecycleEvent = { kind: "image", base, architecture, tag, at: this.now };
    this.scheduler.after(delay, `the builder tells of ${tag}`, () => {
      this.scheduler.wake();
      this.#lifecycleQueue?.send(event).catch(() => undefined);
    });
  }

  #boot(machine: CloudMachine): void {
    if (machine.credential !== undefined) this.secrets.add("a machine's token", machine.credential.reveal());
    const { scenario, scheduler, model, settleModel } = this;
    const agent = new Agent({
      machine,
      scheduler,
      random: this.#agentRandom,
      scenario,
      faults: () => this.faults,
      model,
      settleModel,
      request: (path, body, done) => this.#machineRequest(machine, path, body, done),
      isImageBroken: this.builder?.made(machine.spec.image ?? "")?.isBroken === true,
      powerOff: () => this.cloud.powerOff(machine),
      secondsOf: (jobId) => Number(model.findJob(jobId).planned.environmentVariables.SECONDS ?? 30),
    });
    if (!this.#isAwaited(machine))
      agent.misfortunes.add("it was launched when nobody waited for it any more");
    this.everyAgent.push(agent);
    this.#agentsByProviderId.set(machine.providerId, agent);
    this.#nameAgent(agent, machine.machineId);
  }

  /** Whether a machine of the ledger has yet to get the one that has just come to exist. */
  #isAwaited(machine: CloudMachine): boolean {
    if (this.scenario.marks !== "launch") return this.machines.get(machine.machineId)?.state !== "ended";
    let awaiting = 0;
    for (const { launchToken, providerId } of this.openMachines.values())
      if (launchToken === machine.launchToken && providerId === undefined) awaiting += 1;
    for (const other of this.cloud.machines.values())
      if (other !== machine && other.launchToken === machine.launchToken && isUnnamed(other)) awaiting -= 1;
    return awaiting > 0;
  }

  #nameAgent(agent: Agent, machineId: MachineId): void {
    this.agents.delete(agent.machineId);
    agent.machine.machineId = machineId;
    this.agents.set(machineId, agent);
    const before = this.#befallenBefore.get(machineId);
    if (before !== undefined) agent.misfortunes.add(before);
  }

  #onGone(machine: CloudMachine): void {
    const agent = this.agents.get(machine.machineId);
    if (agent?.machine !== machine) return;
    agent.powerLost();
  }

  #announce(machine: CloudMachine, what: "interruption-notice" | "at-risk" | "gone"): void {
    const delay = this.#network.fraction() * this.faults.cloudEventDelaySeconds * 1_000;
    const { providerId, compute } = machine;
    const event: LifecycleEvent = { kind: "cloud", compute, providerId, what, at: this.now };
    this.scheduler.after(delay, `cloud tells ${machine.machineId} ${what}`, () => {
      this.scheduler.wake();
      // The cloud's own bus tries again by itself, and gives up in the end: then the sweep finds it.
      this.#lifecycleQueue?.send(event).catch(() => undefined);
    });
  }

  // ------------------------------------------------------------------------------------------- processes

  #lifecycleQueue: SimQueue<LifecycleEvent> | undefined;

  #createProcesses(sabotage: Sabotage | undefined, prices: Prices): readonly Process[] {
    const { scenario, scheduler, model, store, settleModel } = this;
    const { seed } = scenario;
    const faults = (): Faults => this.faults;
    const queueRandom = createSeededRandom(`${seed} queues`);
    const createWork = (): SimQueue<Poke> => new SimQueue("work", scheduler, queueRandom, faults);
    const shared = createWork();
    const lifecycle = new SimQueue<LifecycleEvent>("lifecycle", scheduler, queueRandom, faults);
    this.#lifecycleQueue = lifecycle;
    const ports = sabotage?.ports;
    return Array.from({ length: scenario.processes }, (_, index) => {
      return new Process({
        name: `p${index + 1}`,
        seed,
        scheduler,
        random: createSeededRandom(`${seed} process ${index + 1}`),
        faults,
        policy: () => this.#policyOf(index),
        model,
        settleModel,
        store,
        work: scenario.runsAs === "box" ? createWork : () => shared,
        lifecycle,
        computes: this.cloud.computes,
        images: this.builder?.images,
        fixed: {
          identity: this.#identity,
          secrets: { read: async () => [new Secret(webhookSecret)] },
          prices,
        },
        lean: scenario.lean === true,
        runsAs: scenario.runsAs,
        rebalanceSeconds: scenario.rebalanceSeconds,
        scaledownSeconds: scenario.scaledownSeconds,
        statusSeconds,
        status: (own, policy) => this.#readStatus(own, policy),
        runsTimers: index === 0 || scenario.timersEverywhere,
        ...(ports !== undefined && { sabotage: (stage: Stage, own: Ports) => ports(stage, own, this) }),
        ...(sabotage?.withoutRebalance === true && { withoutRebalance: true }),
        events: {
          logged: (process, level, message, fields) => this.#onLogged(process, level, message, fields),
          turned: () => this.#noteAttendance(),
          dealtWith: (event) => this.#look("dealtWith", event),
          swept: (startedAt, computes, refused) => this.#look("swept", { startedAt, computes, refused }),
          unanswered: (jobId) => this.unansweredAt.set(jobId, this.now),
          minted: (name, runnerId, jitConfig) => {
            this.#runnerNames.set(runnerId, name);
            this.secrets.add("a JIT config", jitConfig);
          },
        },
      });
    });
  }

  async #readStatus(ports: Ports, policy: Policy): Promise<void> {
    const document = await readStatus(ports, policy, { version: "sim", problems: [], listLimit: 100 });
    this.#checkText("a status document", document);
  }

  #onLogged(
    process: string,
    level: string,
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    this.#checkText("a log line", fields);
    const about = [fields.machine, fields.job].filter((value) => value !== undefined).join(" ");
    this.#trace.add(this.now, `${process} ${level}: ${message} ${about}`);
  }

  #checkText(where: string, printed: object): void {
    if (this.scenario.lean !== true) this.#look("printed", { where, text: JSON.stringify(printed) });
  }

  // ------------------------------------------------------------------------------------------ the ledger

  #watchedStore(store: Store): Store {
    return {
      ...store,
      commit: async (fleet, version, changes, limits) => {
        const result = await store.commit(fleet, version, changes, limits);
        if (result.kind === "committed") for (const change of changes) this.#onCommitted(change);
        return result;
      },
      addJob: async (record, job) => {
        const result = await store.addJob(record, job);
        if (result === "added") this.#onCommitted({ put: "job", job });
        return result;
      },
    };
  }

  #onCommitted(change: Change): void {
    if (change.put === "fleet") {
      if (change.record.image !== undefined) this.#onImage(change.record.image);
      return;
    }
    const before = change.put === "job" ? this.jobs.get(change.job.id) : this.machines.get(change.machine.id);
    this.#look("committed", { change, before });
    if (change.put === "machine") this.#onMachine(change.machine, before as Machine | undefined);
    else this.#onJob(change.job, before as Job | undefined);
  }

  #onImage(image: Image): void {
    const key = imageKey(image.base, image.architecture);
    this.#look("imageCommitted", { image, before: this.images.get(key) });
    this.images.set(key, image);
    this.#trace.add(this.now, `ledger image ${image.base} ${image.architecture} ${image.state}`);
  }

  #onMachine(machine: Machine, before: Machine | undefined): void {
    this.machines.set(machine.id, machine);
    const agent = this.#agentsByProviderId.get(machine.providerId ?? "");
    if (agent !== undefined && isUnnamed(agent.machine)) this.#nameAgent(agent, machine.id);
    const { providerId } = machine;
    if (providerId !== undefined && !this.machineOfProvider.has(providerId))
      this.machineOfProvider.set(providerId, machine.id);
    if (machine.state === "ended") this.openMachines.delete(machine.id);
    else this.openMachines.set(machine.id, machine);
    if (machine.state !== before?.state) {
      this.#noteTold(`${machine.id} ${machine.state}`);
      this.#checkText("the ledger", machine);
    }
    if (machine.reason === "surplus" && this.#isDisputed(machine)) {
      this.agents.get(machine.id)?.misfortunes.add("one configuration wanted it, and another did not");
    }
    if (machine.reason === "boot-timeout" && before?.state === "launched") this.#noteSilence(machine.id);
    if (machine.reason === "idle" && before?.state === "registered") this.#noteUnheard(machine.id);
    this.#trace.add(this.now, `ledger ${machine.id} ${machine.state} ${machine.reason ?? ""}`);
  }

  /** As many machines are kept warm as the one or the other configuration says. */
  #isDisputed({ preset }: Machine): boolean {
    const warm = this.policiesInForce.map(({ presets }) => presets.find(({ name }) => name === preset)?.warm);
    return new Set(warm).size > 1;
  }

  /**
   * Whoever was not answered for all of its boot limit was right to be there, and it is right that it ends; so it is
   * when nobody was there ever since it began to ask, and whoever comes back finds that its boot limit is over.
   */
  #noteSilence(machineId: MachineId): void {
    const agent = this.agents.get(machineId);
    if (agent?.unansweredSince === undefined) return;
    const limitSeconds = agent.machine.bootTimeoutSeconds - contactSeconds - this.faults.clockSkewSeconds;
    const isAllOfIt = agent.unansweredSince + limitSeconds * 1_000 <= this.now;
    const alone = this.unattendedMilliseconds - (agent.unattendedBefore ?? this.unattendedMilliseconds);
    const wasAlone = this.now - agent.unansweredSince - alone <= contactSeconds * 1_000;
    if (isAllOfIt || wasAlone) agent.misfortunes.add("nobody answered its claims");
  }

  /** Its registration was on the way when the last process died: what it was made for it never heard. */
  #noteUnheard(machineId: MachineId): void {
    const agent = this.agents.get(machineId);
    if (agent?.state !== "claiming" || agent.unansweredSince === undefined) return;
    const silentSeconds = contactSeconds + machineHttpTimeoutSeconds;
    if (agent.unansweredSince + silentSeconds * 1_000 <= this.now)
      agent.misfortunes.add("nobody answered its claims");
  }

  #noteTold(what: string): void {
    if (!this.toldAt.has(what)) this.toldAt.set(what, this.now);
  }

  #onJob(job: Job, before: Job | undefined): void {
    this.jobs.set(job.id, job);
    if (isSettled(job)) this.openJobs.delete(job.id);
    else this.openJobs.set(job.id, job);
    if (job.state !== before?.state) this.#noteTold(`${job.id} ${job.state}`);
    this.#trace.add(this.now, `ledger job ${job.id} ${job.state}`);
  }
}

/** Nobody knows yet which machine of its launch it is. */
function isUnnamed({ machineId, providerId }: CloudMachine): boolean {
  return machineId === providerId;
}
