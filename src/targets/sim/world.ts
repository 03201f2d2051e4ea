import { createDerivedTokenIdentity } from "../../adapters/identity/derived-token.ts";
import { createFixedPrices } from "../../adapters/prices/fixed.ts";
import { createSeededRandom } from "../../adapters/random/seeded.ts";
import { createMemoryStore } from "../../adapters/store/memory.ts";
import type { Change, Job, LifecycleEvent, Machine, MachineId, Poke, Policy } from "../../core/model.ts";
import { isSettled } from "../../core/rerun.ts";
import { Secret } from "../../core/secret.ts";
import { GithubModel } from "../../emulator/model.ts";
import { noFaults } from "../../emulator/model-faults.ts";
import type { Effect } from "../../emulator/model-state.ts";
import { readStatus } from "../../flow/status.ts";
import { receiveDelivery } from "../../flow/webhook.ts";
import type { Ports } from "../../ports/ports.ts";
import type { Prices } from "../../ports/prices.ts";
import type { Random } from "../../ports/random.ts";
import type { Store } from "../../ports/store.ts";
import { machineRoutes } from "../routes/machine-routes.ts";
import { Agent, type HttpAnswer } from "./agent.ts";
import { type CheckMemory, createCheckMemory, type Facts, lookAt, type WorldView } from "./checks.ts";
import { type CloudMachine, SimCloud } from "./cloud.ts";
import { fullDelivery, shortDelivery } from "./delivery.ts";
import { between, chance } from "./draw.ts";
import { decodeJitRunnerId } from "./jit-runner.ts";
import { Process, type Stage } from "./process.ts";
import { SimQueue } from "./queue.ts";
import { type Faults, quiet, type Scenario } from "./scenario.ts";
import { type PlannedEvent, Scheduler } from "./scheduler.ts";
import { createSecretFinder, type SecretFinder } from "./secret-finder.ts";
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
const machineKey = "sim-key-of-all-machine-tokens";
const machineHttpTimeoutSeconds = 30;
const statusSeconds = 7_200;
const lateNewsMilliseconds = 5_000;

/** Everything that a simulation consists of, wired together, and the truth that the checks compare the ledger with. */
export class World implements WorldView {
  readonly scenario: Scenario;
  readonly scheduler: Scheduler;
  readonly model: GithubModel;
  readonly cloud: SimCloud;
  readonly agents = new Map<MachineId, Agent>();
  readonly jobs = new Map<number, Job>();
  readonly machines = new Map<MachineId, Machine>();
  readonly memory: CheckMemory = createCheckMemory();
  readonly secrets: SecretFinder;
  readonly costlyEvents = new Map<string, number>();
  readonly processes: readonly Process[];
  readonly store: Store;
  policy: Policy;
  faults: Faults;
  healedAt: number | undefined;
  isQuiet = false;
  violation: Violation | undefined;
  /** Jobs and machines that are not over, as far as the ledger knows. */
  activeEntries = 0;
  /** When the ledger first knew of a job, of its start and of its end. */
  readonly toldAt = new Map<string, number>();
  readonly #trace: Trace;
  readonly #network: Random;
  readonly #agentRandom: Random;
  readonly #runnerNames = new Map<number, MachineId>();
  readonly #identity: Ports["identity"];
  #modelDueAt = Number.POSITIVE_INFINITY;

  constructor({ scenario, trace, sabotage, prices }: WorldOptions) {
    const { seed } = scenario;
    this.scenario = scenario;
    this.policy = scenario.policy;
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
    this.store = this.#watchedStore(createMemoryStore({ changesPerCommit: scenario.changesPerCommit }));
    this.#identity = createDerivedTokenIdentity(new Secret(machineKey));
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
    this.policy = { ...this.policy, presets: this.policy.presets.map((preset) => ({ ...preset, warm: 0 })) };
    for (const process of this.processes) process.start();
  }

  /** Something happened that may cost a machine more than there are jobs. */
  costs(what: string, machines = 1): void {
    this.costlyEvents.set(what, (this.costlyEvents.get(what) ?? 0) + machines);
  }

  /** Looks at whether everything is over. */
  lookForRest(): boolean {
    const open = [...this.model.state.jobs.values()].some(
      (job) => job.status !== "completed" && this.jobs.get(job.id)?.state !== "done" && this.jobs.has(job.id),
    );
    this.isQuiet = !open && this.activeEntries === 0 && this.cloud.machines.size === 0;
    return this.isQuiet;
  }

  checkEnd(): void {
    this.#countLateNews();
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

  /** News that reaches the ledger late can cost a machine; so can a job that nobody was told of. */
  #countLateNews(): void {
    for (const job of this.model.state.jobs.values()) {
      if (this.model.findRun(job.runId).foreign) this.costs("jobs that nobody was told of");
      if (!this.jobs.has(job.id)) continue;
      const isLate = (happened: number | undefined, states: readonly string[]): boolean => {
        if (happened === undefined) return false;
        const told = states.map((state) => this.toldAt.get(`${job.id} ${state}`) ?? Number.POSITIVE_INFINITY);
        return Math.min(...told) > happened + lateNewsMilliseconds;
      };
      if (isLate(job.createdAt, ["waiting", "queued", "running", "done"])) this.costs("jobs told of late");
      if (isLate(job.startedAt, ["running", "done"])) this.costs("starts told of late");
      if (isLate(job.completedAt, ["done"])) this.costs("ends told of late");
    }
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
    const agent = this.agents.get(this.#runnerNames.get(effect.runnerId) ?? "");
    if (effect.kind === "runner-removed") {
      if (effect.because === "idle") this.costs("idle runners that GitHub removed");
      this.#runnerNames.delete(effect.runnerId);
    }
    if (agent === undefined || agent.runnerId !== effect.runnerId) return;
    if (effect.kind === "job-assigned") agent.assigned(effect.jobId);
    else if (effect.kind === "job-cancelled") agent.cancelled(effect.jobId);
    else agent.removed();
  }

  #deliver(deliveryId: number): void {
    const delivery = this.model.findDelivery(deliveryId);
    const write = this.scenario.lean === true ? shortDelivery : fullDelivery;
    const { headers, body } = write(this.model.state, delivery, webhookSecret);
    const label =
      delivery.event.name === "workflow_job" ? `${delivery.event.action} ${delivery.event.job.id}` : "";
    this.http(
      "webhook",
      `delivery ${label}`,
      (ports) => receiveDelivery(ports, this.policy, { headers, body }),
      (answer) => {
        const statusCode = answer?.status ?? 502;
        this.model.recordDelivery(deliveryId, { statusCode, status: String(statusCode), durationSeconds: 1 });
      },
    );
  }

  /** A delivery that GitHub never sent. */
  forge(body: Buffer): void {
    const headers = {
      "content-type": "application/json",
      "x-github-event": "workflow_job",
      "x-hub-signature-256": `sha256=${"0".repeat(64)}`,
    };
    this.http(
      "webhook",
      "a forged delivery",
      (ports) => receiveDelivery(ports, this.policy, { headers, body }),
      (answer) => {
        if (answer !== undefined && answer.status !== 401)
          this.#violate("S7", `a forged delivery got ${answer.status}`);
      },
    );
  }

  // ------------------------------------------------------------------------------------------------ http

  /** A request to one of the processes. `done` gets undefined when no answer came. */
  http<Answer>(
    stage: Stage,
    label: string,
    handle: (ports: Ports) => Promise<Answer>,
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
    path: "claim" | "report",
    machineId: MachineId,
    body: string,
    done: (answer: HttpAnswer | undefined) => void,
  ): void {
    if (path === "report" && chance(this.#network, this.faults.reportLostFraction)) {
      this.scheduler.after(5_000, `${machineId}'s report is lost`, () => done(undefined));
      return;
    }
    this.http(
      path,
      `${machineId} ${path} ${body}`,
      (ports) => this.#answerMachine(ports, path, machineId, body),
      done,
    );
    if (path !== "claim" || !chance(this.#network, this.faults.claimRepeatFraction)) return;
    // The network, or whoever has got hold of the credential, says it once more.
    this.costs("claims that were repeated");
    const repeat = (): void =>
      this.http(
        path,
        `${machineId} claims again`,
        (ports) => this.#answerMachine(ports, path, machineId, body, true),
        () => {},
      );
    this.scheduler.after(this.#network.fraction() ** 3 * 600_000, `${machineId} is repeated`, repeat);
  }

  async #answerMachine(
    ports: Ports,
    path: "claim" | "report",
    machineId: MachineId,
    body: string,
    repeated = false,
  ): Promise<HttpAnswer> {
    const route = machineRoutes(ports, this.policy).find((entry) => entry.path.endsWith(path));
    if (route === undefined) throw new Error(`There is no route for ${path}.`);
    const before = this.machines.get(machineId);
    const issued = this.agents.get(machineId)?.machine.credential ?? this.#identity.issue(machineId);
    const credential = issued?.reveal();
    const answer = await route.handle(
      {
        method: "POST",
        path: `/v1/machines/${machineId}/${path}`,
        query: "",
        headers: { authorization: `Bearer ${credential}` },
        body: new TextEncoder().encode(body),
        remoteAddress: "",
      },
      { id: machineId },
    );
    const text = typeof answer.body === "string" ? answer.body : "";
    if (path === "claim") this.#checkClaim(machineId, repeated, before, text);
    return { status: answer.status, body: text };
  }

  #checkClaim(machineId: MachineId, repeated: boolean, before: Machine | undefined, text: string): void {
    const action = /^action=(.*)$/m.exec(text)?.[1] ?? "refused";
    const jitConfig = /^jit-config=(.*)$/m.exec(text)?.[1];
    const runnerId = jitConfig === undefined ? undefined : decodeJitRunnerId(jitConfig);
    this.#look("claimAnswered", { machineId, repeated, action, before, runnerId });
  }

  // ------------------------------------------------------------------------------------ cloud and agents

  #createCloud(): SimCloud {
    const { scenario, scheduler } = this;
    return new SimCloud({
      scheduler,
      random: createSeededRandom(`${scenario.seed} cloud`),
      pools: scenario.pools,
      faults: () => this.faults,
      hours: scenario.hours,
      events: {
        launched: (machine) => this.#boot(machine),
        terminating: (machine) => this.#look("terminating", machine),
        notice: (machine) => this.agents.get(machine.machineId)?.notice(),
        atRisk: (machine) => this.agents.get(machine.machineId)?.atRisk(),
        gone: (machine, taken) => this.#onGone(machine, taken),
        announce: (machine, what) => this.#announce(machine, what),
      },
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
      request: (path, machineId, body, done) => this.#machineRequest(path, machineId, body, done),
      powerOff: () => this.cloud.powerOff(machine),
      secondsOf: (jobId) => Number(model.findJob(jobId).planned.environmentVariables.SECONDS ?? 30),
    });
    this.agents.set(machine.machineId, agent);
  }

  #onGone(machine: CloudMachine, taken: boolean): void {
    this.#look("gone", { machine, taken });
    const agent = this.agents.get(machine.machineId);
    if (agent?.machine !== machine) return;
    agent.powerLost();
  }

  #announce(machine: CloudMachine, what: "interruption-notice" | "at-risk" | "gone"): void {
    const delay = this.#network.fraction() * this.faults.cloudEventDelaySeconds * 1_000;
    const { providerId } = machine;
    const event: LifecycleEvent = { kind: "cloud", compute: "cloud", providerId, what, at: this.now };
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
    const work = new SimQueue<Poke>("work", scheduler, queueRandom, faults);
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
        policy: () => this.policy,
        model,
        settleModel,
        store,
        work,
        lifecycle,
        compute: this.cloud.compute,
        fixed: {
          identity: this.#identity,
          secrets: { read: async () => [new Secret(webhookSecret)] },
          prices,
        },
        lean: scenario.lean === true,
        rebalanceSeconds: scenario.rebalanceSeconds,
        scaledownSeconds: scenario.scaledownSeconds,
        statusSeconds,
        status: (own, policy) => this.#readStatus(own, policy),
        runsTimers: index === 0 || scenario.timersEverywhere,
        ...(ports !== undefined && { sabotage: (stage: Stage, own: Ports) => ports(stage, own, this) }),
        ...(sabotage?.withoutRebalance === true && { withoutRebalance: true }),
        events: {
          logged: (process, level, message, fields) => this.#onLogged(process, level, message, fields),
          swept: (startedAt) => this.#look("swept", { startedAt }),
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
    if (change.put === "fleet") return;
    const before = change.put === "job" ? this.jobs.get(change.job.id) : this.machines.get(change.machine.id);
    this.#look("committed", { change, before });
    const wasActive = before !== undefined && isActive(before);
    if (change.put === "job") {
      this.jobs.set(change.job.id, change.job);
      const told = `${change.job.id} ${change.job.state}`;
      if (change.job.state !== before?.state && !this.toldAt.has(told)) this.toldAt.set(told, this.now);
      this.activeEntries += Number(isActive(change.job)) - Number(wasActive);
    } else {
      this.machines.set(change.machine.id, change.machine);
      this.activeEntries += Number(isActive(change.machine)) - Number(wasActive);
      if (change.machine.state !== before?.state) this.#checkText("the ledger", change.machine);
      this.#trace.add(
        this.now,
        `ledger ${change.machine.id} ${change.machine.state} ${change.machine.reason ?? ""}`,
      );
      return;
    }
    this.#trace.add(this.now, `ledger job ${change.job.id} ${change.job.state}`);
  }
}

function isActive(entry: Job | Machine): boolean {
  return "purchase" in entry ? entry.state !== "ended" : !isSettled(entry);
}
