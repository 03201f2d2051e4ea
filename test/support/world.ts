import { createManualClock, type ManualClock } from "../../src/adapters/clock/manual.ts";
import {
  createMemoryCompute,
  type MemoryCompute,
  type MemoryMachine,
} from "../../src/adapters/compute/memory.ts";
import { createDerivedTokenIdentity } from "../../src/adapters/identity/derived-token.ts";
import { createMemoryImages, type MemoryImages } from "../../src/adapters/images/memory.ts";
import { createMemoryLog, type MemoryLog } from "../../src/adapters/log/memory.ts";
import { createFixedPrices } from "../../src/adapters/prices/fixed.ts";
import { createMemoryQueue } from "../../src/adapters/queue/memory.ts";
import { createSeededRandom } from "../../src/adapters/random/seeded.ts";
import { createMemoryStore } from "../../src/adapters/store/memory.ts";
import { isBeforeJobState, isBeforeMachineState } from "../../src/core/lifecycle.ts";
import type {
  Change,
  Job,
  JobId,
  JobState,
  LifecycleEvent,
  Machine,
  MachineId,
  MachineName,
  MachineReport,
  MachineState,
  Poke,
  Policy,
} from "../../src/core/model.ts";
import { Secret } from "../../src/core/secret.ts";
import { askingMachine } from "../../src/flow/asking-machine.ts";
import { answerClaim, type ClaimAnswer } from "../../src/flow/claim.ts";
import { applyEvents, receiveReport } from "../../src/flow/lifecycle.ts";
import { rebalance } from "../../src/flow/rebalance.ts";
import { retireMachines, sweep } from "../../src/flow/scaledown.ts";
import { scaleUp } from "../../src/flow/scaleup.ts";
import { receiveDelivery } from "../../src/flow/webhook.ts";
import type { Compute } from "../../src/ports/compute.ts";
import type { Proof } from "../../src/ports/identity.ts";
import type { Ports } from "../../src/ports/ports.ts";
import type { Queue } from "../../src/ports/queue.ts";
import type { Store } from "../../src/ports/store.ts";
import { policy as defaultPolicy } from "../builders.ts";
import { createFakeGithub, type FakeGithub, type GithubRunner, type Sending } from "./fake-github.ts";

export const webhookSecret = "the-webhook-secret";
const machineKey = "the-key-of-all-machine-tokens";
/** GitHub fails a job when nothing was heard of its runner for so long; in truth it takes ten minutes. */
const jobLockSeconds = 120;
const visibilitySeconds = 120;
/** What ports answer from memory: neither failing nor waiting. */
const answersAtOnce: ReadonlySet<string> = new Set(["budgets", "methodOf"]);

/** The provider says who asks: a machine's caller is what the provider calls it. */
const provenByProvider: Ports["identity"] = {
  issue: () => undefined,
  verify: async (name, { headers }) =>
    typeof name !== "string" && headers.caller === name.providerId ? "proven" : { unproven: "Not that one." },
};

/** Every call through a port passes here: it can be counted, refused, or carried out and then forgotten. */
export type Interceptor = (name: string, effect: () => Promise<unknown>) => Promise<unknown>;

export interface WorldOptions {
  readonly policy?: Policy;
  readonly bootSeconds?: number;
  readonly terminationSeconds?: number;
  readonly pools?: readonly string[];
  readonly changesPerCommit?: number;
  /** `launch`: one call starts many machines that nobody can tell apart, and the provider proves which one asks. */
  readonly marks?: "machine" | "launch";
}

/**
 * The production flow on memory adapters, a small GitHub and machines that behave as the agent does, in time that
 * moves a second at a time. What must always hold is checked at every write and every termination; what was broken
 * is in `violations`.
 */
export class World {
  readonly clock: ManualClock;
  readonly log: MemoryLog;
  readonly github: FakeGithub;
  readonly compute: MemoryCompute;
  readonly images: MemoryImages;
  store: Store;
  readonly work: Queue<Poke>;
  readonly lifecycle: Queue<LifecycleEvent>;
  ports: Ports;
  readonly agents = new Map<MachineId, Agent>();
  readonly violations: string[] = [];
  policy: Policy;
  intercept: Interceptor = (_name, effect) => effect();
  /** What the network does to deliveries: the sendings that arrive, in the order of their arrival. */
  network: (sendings: readonly Sending[]) => readonly Sending[] = (sendings) => sendings;
  /** Everything that is due in a second happens at the same time, and not one after the other. */
  concurrent = false;
  /** Called when a request, a message or a round is over, well or not. */
  onPieceEnded: () => void = () => {};
  /** Errors that ended a request, a message or a round. */
  readonly failures: unknown[] = [];
  readonly everSecret = new Set<string>([webhookSecret, machineKey]);
  readonly #bootSeconds: number;
  readonly #marks: "machine" | "launch";
  readonly #machineStates = new Map<MachineId, MachineState>();
  readonly #jobStates = new Map<JobId, JobState>();
  #second = 0;

  constructor(options: WorldOptions = {}) {
    this.policy = options.policy ?? defaultPolicy();
    this.#bootSeconds = options.bootSeconds ?? 3;
    this.#marks = options.marks ?? "machine";
    this.clock = createManualClock();
    this.log = createMemoryLog();
    this.github = createFakeGithub(this.clock, webhookSecret);
    this.store = createMemoryStore({ changesPerCommit: options.changesPerCommit ?? 1_000 });
    this.work = createMemoryQueue<Poke>("work", this.clock);
    this.lifecycle = createMemoryQueue<LifecycleEvent>("lifecycle", this.clock);
    this.compute = createMemoryCompute({
      clock: this.clock,
      terminationSeconds: options.terminationSeconds ?? 1,
      ...(options.pools !== undefined && { pools: options.pools }),
      ...(options.marks !== undefined && { marks: options.marks }),
      onLaunched: (machine) => this.#boot(machine),
      onGone: (providerId) => this.#powerLost(providerId),
    });
    this.images = createMemoryImages({ clock: this.clock, buildSeconds: 40 });
    this.ports = this.#makePorts();
  }

  now(): number {
    return this.clock.now();
  }

  /** The database is lost: what runs goes on, and an empty ledger takes over. */
  loseLedger(): void {
    this.store = createMemoryStore();
    this.ports = this.#makePorts();
    this.#machineStates.clear();
    this.#jobStates.clear();
  }

  /** One second passes, and everything that is due in it happens. */
  async step(): Promise<void> {
    const round = this.#second % 60 === 59;
    const pieces = [
      () => this.#deliver(),
      () => this.workThroughQueues(),
      () => this.#together([...this.agents.values()], (agent) => agent.act()),
      async () => this.github.assign(),
      ...(round ? [() => this.round()] : []),
    ];
    await this.#together(pieces, (piece) => piece());
    this.#failAbandonedJobs();
    await this.workThroughQueues();
    this.#second += 1;
    await this.clock.advance(1_000);
  }

  async run(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) await this.step();
  }

  /** Steps until this is true. The result says whether it became true in time. */
  async runUntil(condition: () => boolean | Promise<boolean>, limitSeconds = 3_600): Promise<boolean> {
    for (let second = 0; second < limitSeconds; second++) {
      if (await condition()) return true;
      await this.step();
    }
    return condition();
  }

  /** Until no job and no machine is left in the ledger, at the provider or under way. */
  runUntilQuiet(limitSeconds = 3_600): Promise<boolean> {
    return this.runUntil(() => this.isQuiet(), limitSeconds);
  }

  async isQuiet(): Promise<boolean> {
    if (this.github.outbox.length > 0 || this.compute.machines().length > 0) return false;
    if ((await this.store.activeFleets()).length > 0) return false;
    return [...this.github.jobs.values()].every(
      (job) => job.status === "completed" || this.#jobStates.get(job.id) === "done",
    );
  }

  /** The timers: rebalance and the sweep. */
  async round(): Promise<void> {
    await this.attempt(() => rebalance(this.ports, this.policy));
    await this.attempt(() => sweep(this.ports, this.policy));
  }

  async workThroughQueues(): Promise<void> {
    for (let turn = 0; turn < 100; turn++) {
      const dealt = (await this.#workOnce()) + (await this.#applyOnce());
      if (dealt === 0) return;
    }
    this.violations.push("the queues never come to rest");
  }

  /** What a worker or the HTTP front does: an error ends this piece of work and nothing else. */
  async attempt<Result>(piece: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await piece();
    } catch (error) {
      this.failures.push(error);
      return undefined;
    } finally {
      this.onPieceEnded();
    }
  }

  async jobs(): Promise<readonly Job[]> {
    const found = await Promise.all([...this.github.jobs.keys()].map((id) => this.store.findJob(id)));
    return found.filter((job) => job !== undefined);
  }

  /** All machines that the ledger has ever known, in the order in which they were first written. */
  async machines(): Promise<readonly Machine[]> {
    const found = await Promise.all([...this.#machineStates.keys()].map((id) => this.store.findMachine(id)));
    return found.filter((machine) => machine !== undefined);
  }

  anyAgent(matches: (agent: Agent) => boolean): boolean {
    return [...this.agents.values()].some(matches);
  }

  async onlyMachine(): Promise<Machine> {
    const machines = await this.machines();
    if (machines.length !== 1) throw new Error(`There are ${machines.length} machines`);
    return machines[0]!;
  }

  /** By its id, or by what it is called in the world: its provider id, where it knows no other name. */
  claim(name: string): Promise<ClaimAnswer> {
    return answerClaim(this.ports, this.policy, this.#nameOf(name), this.#proofOf(name));
  }

  /** What it says of itself. Rejects when it is to be said again. */
  async report(name: string, report: MachineReport): Promise<void> {
    const machine = await askingMachine(this.ports, this.#nameOf(name), this.#proofOf(name));
    if (!("because" in machine)) await receiveReport(this.ports, machine, report);
    else if (machine.status === 503) throw new Error(machine.because);
  }

  /** The ledger's entry of what is called so in the world. */
  entryOf(name: string): Promise<Machine | undefined> {
    return this.#marks === "machine"
      ? this.store.findMachine(name)
      : this.store.findMachineByProviderId("memory", name);
  }

  #nameOf(name: string): MachineName {
    return this.#marks === "machine" ? name : { compute: "memory", providerId: name };
  }

  #proofOf(name: string): Proof {
    if (this.#marks === "launch") return { headers: { caller: name } };
    return { headers: { authorization: `Bearer ${this.ports.identity.issue(name)?.reveal()}` } };
  }

  async #deliver(): Promise<void> {
    const sent = this.github.outbox.splice(0);
    const arriving = this.network(sent);
    for (const sending of sent) if (!arriving.includes(sending)) this.github.noteAnswer(sending, undefined);
    await this.#together(arriving, async (sending) => {
      const answer = await this.attempt(() => receiveDelivery(this.ports, this.policy, sending));
      this.github.noteAnswer(sending, answer?.status);
    });
  }

  /** One after the other; in a concurrent world all at the same time. */
  async #together<Item>(items: readonly Item[], deal: (item: Item) => Promise<void>): Promise<void> {
    if (this.concurrent) await Promise.all(items.map(deal));
    else for (const item of items) await deal(item);
  }

  async #workOnce(): Promise<number> {
    const received = await this.work.receive({ limit: 10, visibilitySeconds, waitSeconds: 0 });
    await this.#together(received, async ({ message, receipt, attempt }) => {
      const done = await this.attempt(async () => {
        if (message.stage === "scaleup") await scaleUp(this.ports, this.policy, message.fleet);
        else await retireMachines(this.ports, this.policy, message.fleet);
        return true;
      });
      if (done) await this.work.delete(receipt);
      else await this.work.release(receipt, 2 ** attempt);
    });
    return received.length;
  }

  async #applyOnce(): Promise<number> {
    const received = await this.lifecycle.receive({ limit: 10, visibilitySeconds, waitSeconds: 0 });
    await this.#together(received, async ({ message, receipt, attempt }) => {
      const done = await this.attempt(async () => {
        await applyEvents(this.ports, this.policy, [message]);
        return true;
      });
      if (done) await this.lifecycle.delete(receipt);
      else await this.lifecycle.release(receipt, 2 ** attempt);
    });
    return received.length;
  }

  #boot(machine: MemoryMachine): void {
    if (machine.credential !== undefined) this.everSecret.add(machine.credential.reveal());
    this.agents.set(machine.machineId, new Agent(this, machine, this.now() + this.#bootSeconds * 1_000));
  }

  #powerLost(providerId: string): void {
    for (const agent of this.agents.values()) if (agent.providerId === providerId) agent.powerLost();
  }

  #failAbandonedJobs(): void {
    for (const runner of this.github.runners.values()) {
      const agent =
        this.agents.get(runner.name) ??
        [...this.agents.values()].find((entry) => entry.runner?.id === runner.id);
      if (agent?.offSince === undefined || !runner.online) continue;
      if (runner.job === undefined) runner.online = false;
      else if (agent.offSince + jobLockSeconds * 1_000 <= this.now()) this.github.finish(runner, "failure");
    }
  }

  // ------------------------------------------------------------------------------- what must always hold

  #makePorts(): Ports {
    const secrets = {
      read: async () => [new Secret(webhookSecret)],
    };
    return {
      store: this.#watched("store", { ...this.store, commit: this.#commit() }),
      work: this.#watched("work", { send: this.work.send }),
      lifecycle: this.#watched("lifecycle", { send: this.lifecycle.send }),
      compute: new Map([["memory", this.#watched("compute", this.#checkedCompute())]]),
      github: this.#watched("github", this.#checkedGithub()),
      images: this.#watched("images", this.images),
      identity:
        this.#marks === "launch" ? provenByProvider : createDerivedTokenIdentity(new Secret(machineKey)),
      secrets: this.#watched("secrets", secrets),
      prices: createFixedPrices(this.policy.presets),
      clock: this.clock,
      random: createSeededRandom("world"),
      log: this.log,
    };
  }

  /** The port, with every call passing the interceptor. */
  #watched<Port extends object>(name: string, port: Port): Port {
    return new Proxy(port, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== "function" || answersAtOnce.has(String(key))) return member;
        return (...args: unknown[]) =>
          this.intercept(`${name}.${String(key)}`, () => member.apply(target, args) as Promise<unknown>);
      },
    });
  }

  #commit(): Store["commit"] {
    return async (fleet, version, changes, limits) => {
      const result = await this.store.commit(fleet, version, changes, limits);
      if (result.kind === "committed") {
        for (const change of changes) this.#checkChange(change);
        await this.#checkCaps();
      }
      return result;
    };
  }

  #checkChange(change: Change): void {
    if (change.put === "machine") {
      const { id, state } = change.machine;
      const before = this.#machineStates.get(id);
      if (before !== undefined && isBeforeMachineState(state, before)) {
        this.violations.push(`machine ${id} went from ${before} back to ${state}`);
      }
      this.#machineStates.set(id, state);
    } else if (change.put === "job") {
      const { id, state } = change.job;
      const before = this.#jobStates.get(id);
      const isHeldBack = before === "queued" && state === "waiting";
      if (before !== undefined && isBeforeJobState(state, before) && !isHeldBack) {
        this.violations.push(`job ${id} went from ${before} back to ${state}`);
      }
      this.#jobStates.set(id, state);
    }
  }

  async #checkCaps(): Promise<void> {
    const { limits, presets } = this.policy;
    for (const [counter, value] of Object.entries(await this.store.counters())) {
      const preset = presets.find((entry) => counter === `preset:${entry.name}`);
      const max = counter.startsWith("repository:") ? limits.perRepository : preset?.max;
      const limit = counter === "machines" ? limits.machines : max;
      if (value < 0) this.violations.push(`the counter ${counter} is ${value}`);
      if (limit !== undefined && value > limit) this.violations.push(`${counter} is ${value} of ${limit}`);
    }
  }

  #checkedCompute(): Compute {
    const { compute } = this;
    return {
      name: compute.name,
      launch: (request) => compute.launch(request),
      list: () => compute.list(),
      close: () => compute.close(),
      terminate: async (providerIds) => {
        for (const agent of this.agents.values()) {
          if (!providerIds.includes(agent.providerId) || !agent.runsAJob) continue;
          const machine = await this.entryOf(agent.machineId);
          if (machine?.forced === true) continue;
          this.violations.push(`machine ${agent.machineId} was terminated while its job ran`);
        }
        return compute.terminate(providerIds);
      },
    };
  }

  #checkedGithub(): Ports["github"] {
    const { port, runners } = this.github;
    return {
      ...port,
      mintRunner: async (request) => {
        const answer = await port.mintRunner(request);
        if (answer.kind === "minted") {
          this.everSecret.add(answer.jitConfig.reveal());
          const live = [...runners.values()].filter((runner) => runner.name === request.name);
          if (live.some((runner) => runner.online)) {
            this.violations.push(`machine ${request.name} has a second registration`);
          }
        }
        return answer;
      },
    };
  }

  /** What is still open when everything should be over. Empty: all is well. */
  async leftOver(): Promise<readonly string[]> {
    const left = [...this.violations];
    for (const job of this.github.jobs.values()) {
      const known = await this.store.findJob(job.id);
      // A job that ran although nobody told us of it needs nothing any more.
      if (known === undefined && job.status === "completed") continue;
      if (known?.state !== "done") left.push(`job ${job.id} is ${known?.state ?? "unknown"}, not done`);
    }
    for (const machine of this.compute.machines()) left.push(`machine ${machine.machineId} still exists`);
    for (const machine of await this.machines()) {
      if (machine.state !== "ended") left.push(`machine ${machine.id} is ${machine.state}, not ended`);
    }
    const counters = await this.store.counters();
    if (Object.keys(counters).length > 0) left.push(`counters are left: ${JSON.stringify(counters)}`);
    const text = this.log.text();
    for (const secret of this.everSecret) if (text.includes(secret)) left.push(`the log holds ${secret}`);
    return left;
  }
}

/** A machine from boot to power off: what the agent does, a second at a time. */
export class Agent {
  readonly machineId: MachineId;
  readonly providerId: string;
  /** The story takes over: the machine does nothing by itself. */
  frozen = false;
  /** It never claims, as if the boot hung. */
  hung = false;
  offSince: number | undefined;
  lastAnswer: ClaimAnswer | undefined;
  runner: GithubRunner | undefined;
  readonly #world: World;
  readonly #reports: MachineReport[] = [];
  #state: "claiming" | "connecting" | "listening" | "running" | "exited" = "claiming";
  #nextAt: number;
  #claimUntil: number;
  #idleSeconds = 0;
  #reportTries = 0;

  constructor(world: World, machine: MemoryMachine, bootedAt: number) {
    this.#world = world;
    this.machineId = machine.machineId;
    this.providerId = machine.providerId;
    this.#nextAt = bootedAt;
    this.#claimUntil = bootedAt + machine.bootTimeoutSeconds * 1_000;
  }

  get runsAJob(): boolean {
    return this.offSince === undefined && this.runner?.job?.status === "in_progress";
  }

  get state(): string {
    return this.offSince === undefined ? this.#state : "off";
  }

  powerLost(): void {
    this.offSince ??= this.#world.now();
  }

  report(report: MachineReport): void {
    this.#reports.push(report);
  }

  async act(): Promise<void> {
    if (this.offSince !== undefined || this.frozen || this.hung || this.#nextAt > this.#world.now()) return;
    if (!(await this.#sendReports())) return;
    if (this.#state === "claiming") await this.#claim();
    else if (this.#state === "connecting") this.#connect();
    else if (this.#state === "listening") this.#listen();
    else if (this.#state === "running") this.#finishJob();
    else this.#powerOff();
    await this.#sendReports();
  }

  async #claim(): Promise<void> {
    const world = this.#world;
    const answer = await world.attempt(() => world.claim(this.machineId));
    this.lastAnswer = answer;
    if (answer === undefined) {
      this.#sleep(2);
      if (world.now() >= this.#claimUntil) this.#powerOff();
    } else if (answer.kind === "wait") {
      this.#sleep(answer.afterSeconds);
      this.#claimUntil = world.now() + 300_000;
    } else if (answer.kind === "refused" && answer.status === 503) {
      this.#sleep(2);
      if (world.now() >= this.#claimUntil) this.#powerOff();
    } else if (answer.kind === "run") {
      this.#idleSeconds = answer.idleTimeoutSeconds;
      this.runner = [...world.github.runners.values()].find(
        (runner) => runner.jitConfig === answer.jitConfig.reveal(),
      );
      this.#state = "connecting";
      this.#sleep(2);
    } else {
      this.#powerOff();
    }
  }

  #connect(): void {
    const config = this.runner?.jitConfig;
    if (config === undefined || this.#world.github.connect(config) === undefined) {
      this.#exit(1, false);
      return;
    }
    this.report({ step: "listening" });
    this.#state = "listening";
    this.#sleep(this.#idleSeconds === 0 ? 1 : 0);
    this.#claimUntil = this.#world.now() + this.#idleSeconds * 1_000;
  }

  #listen(): void {
    const { runner } = this;
    if (runner?.job !== undefined) {
      this.report({ step: "job-started" });
      this.#state = "running";
      this.#nextAt = (runner.job.startedAt ?? this.#world.now()) + runner.job.runSeconds * 1_000;
    } else if (runner === undefined || !this.#world.github.runners.has(runner.id)) {
      this.#exit(0, false);
    } else if (this.#idleSeconds > 0 && this.#world.now() >= this.#claimUntil) {
      runner.online = false;
      this.#exit(0, false);
    }
  }

  #finishJob(): void {
    if (this.runner !== undefined) this.#world.github.finish(this.runner, "success");
    this.#exit(0, true);
  }

  #exit(exitCode: number, ranJob: boolean): void {
    this.report({ step: "exited", exitCode, ranJob });
    this.#state = "exited";
    this.#sleep(1);
  }

  #powerOff(): void {
    this.#world.compute.finish(this.providerId);
  }

  async #sendReports(): Promise<boolean> {
    for (let report = this.#reports[0]; report !== undefined; report = this.#reports[0]) {
      const sent = await this.#world.attempt(async () => {
        await this.#world.report(this.machineId, report as MachineReport);
        return true;
      });
      this.#reportTries += 1;
      if (!sent && this.#reportTries < 4) {
        // What runs is not held up by what is said of it.
        if (!this.runsAJob) this.#sleep(2);
        return false;
      }
      this.#reports.shift();
      this.#reportTries = 0;
    }
    return true;
  }

  #sleep(seconds: number): void {
    this.#nextAt = this.#world.now() + seconds * 1_000;
  }
}
