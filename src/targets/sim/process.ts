import { createMemoryGithub } from "../../adapters/github/memory.ts";
import { printableFields } from "../../adapters/log/printable.ts";
import { createSeededRandom } from "../../adapters/random/seeded.ts";
import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent, Poke, Policy } from "../../core/model.ts";
import type { GithubModel } from "../../emulator/model.ts";
import { applyEvents, likelyFleet } from "../../flow/lifecycle.ts";
import { pokeEverything } from "../../flow/pokes.ts";
import { type PreviousRound, rebalance } from "../../flow/rebalance.ts";
import { retireMachines, sweep } from "../../flow/scaledown.ts";
import { scaleUp } from "../../flow/scaleup.ts";
import type { Compute } from "../../ports/compute.ts";
import type { Log, LogFields } from "../../ports/log.ts";
import type { Ports } from "../../ports/ports.ts";
import type { Queue } from "../../ports/queue.ts";
import type { Random } from "../../ports/random.ts";
import type { Store } from "../../ports/store.ts";
import { startWorker } from "../box/worker.ts";
import { type FunctionWork, serveInBatches } from "./batches.ts";
import { between, chance, magnitude } from "./draw.ts";
import type { Faults } from "./faults.ts";
import type { SimQueue } from "./queue.ts";
import type { Scenario } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";

/** The parts of the process that call ports, by the stage that they belong to. */
export type Stage = "webhook" | "claim" | "report" | "work" | "lifecycle" | "rebalance" | "sweep" | "status";

export interface ProcessOptions {
  readonly name: string;
  readonly seed: string;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly faults: () => Faults;
  readonly policy: () => Policy;
  readonly model: GithubModel;
  readonly settleModel: () => void;
  readonly store: Store;
  /** For a life of the process: a queue that outlives it, or one of its own. */
  readonly work: () => SimQueue<Poke>;
  readonly lifecycle: SimQueue<LifecycleEvent>;
  readonly computes: readonly Compute[];
  readonly images: Ports["images"];
  readonly fixed: Pick<Ports, "identity" | "secrets" | "prices">;
  /** Store and queues take no time of their own, no crash falls between two calls, nothing is logged, nobody reads the status. */
  readonly lean?: boolean;
  readonly runsAs: Scenario["runsAs"];
  readonly rebalanceSeconds: number;
  readonly scaledownSeconds: number;
  readonly statusSeconds: number;
  readonly runsTimers: boolean;
  readonly status: (ports: Ports, policy: Policy) => Promise<void>;
  /** A planted bug: the ports of a stage as they should not be. Absent in all real simulations. */
  readonly sabotage?: (stage: Stage, ports: Ports) => Ports;
  /** Without rebalance and sweeps, for planted bugs. */
  readonly withoutRebalance?: boolean;
  readonly events: ProcessEvents;
}

export interface ProcessEvents {
  logged(process: string, level: string, message: string, fields: Readonly<Record<string, unknown>>): void;
  /** The process has begun, or has died. */
  turned(): void;
  /** A sweep has ended well, and the listings of these computes were answered. `refused`: the store refused a call meanwhile. */
  swept(startedAt: number, computes: ReadonlySet<string>, refused: boolean): void;
  minted(name: string, runnerId: number, jitConfig: string): void;
  /** GitHub was asked about this job, and gave no answer. */
  unanswered(jobId: number): void;
  /** An event of the lifecycle queue was dealt with. */
  dealtWith(event: LifecycleEvent): void;
}

/** One life of the process, or of a function within it: what it had in memory dies with it. */
interface Life {
  readonly alive: boolean;
  readonly ports: Readonly<Record<Stage, Ports>>;
  readonly work: SimQueue<Poke>;
  readonly openRequests: Set<(outcome: undefined) => void>;
  /** What was missed while nobody listened has been asked for; until then nothing is launched or claimed. */
  readonly caughtUp: Promise<void>;
  readonly catchUp: () => void;
  /** By compute. */
  readonly goodListings: Map<string, number>;
  /** Calls that the store refused, or whose answers were lost. */
  storeRefusals: number;
  end(): void;
}

/** What is left of the time limits of functions, when they have seen to it that they can end in time. */
const roundSeconds = { rebalance: 45, sweep: 35 };
const catchUpLimitSeconds = 10;
const longestBeforeKillSeconds = 30;

/** As functions on AWS are set up. */
const functionsAtOnce = 4;
const batchSizes = { work: 100, lifecycle: 10 };
const workConcurrency = 8;
const lifecycleConcurrency = 16;

/**
 * The process under test: the production flow with its real core, workers and timers. Every call of a port waits at a
 * gate until the scheduler lets it pass, so a crash can fall before or after the effect of every single call, and any
 * two calls can happen in either order.
 */
export class Process {
  readonly #options: ProcessOptions;
  #life: Life | undefined;
  #lives = 0;
  crashes = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  /** Whether its rounds go on. */
  get runsRounds(): boolean {
    return this.isUp && this.#options.runsTimers;
  }

  start(): void {
    if (this.#life !== undefined) return;
    this.#lives += 1;
    const life = this.#createLife(undefined);
    this.#life = life;
    if (this.#options.runsAs === "box") this.#beginAsBox(life);
    else life.catchUp();
    if (this.#options.runsAs === "functions") this.#startFunctions(life);
    else this.#startWorkers(life);
    this.#options.events.turned();
    if (this.#options.runsTimers) this.#startTimers(life);
  }

  #beginAsBox(life: Life): void {
    const { scheduler, name } = this.#options;
    scheduler.after(catchUpLimitSeconds * 1_000, `${name} begins`, () => {
      scheduler.wake();
      life.catchUp();
    });
    scheduler.wake();
    // Without it, it does not start; whoever watches over it tries again.
    pokeEverything(life.ports.work).catch(() => this.crash());
  }

  #startTimers(life: Life): void {
    const { rebalanceSeconds, scaledownSeconds, statusSeconds, events, scheduler, runsAs } = this.#options;
    const policy = this.#options.policy;
    const within = (ports: Ports, seconds: number) =>
      runsAs === "functions" ? { until: ports.clock.now() + seconds * 1_000 } : {};
    let previous: PreviousRound | "none" | undefined = runsAs === undefined ? undefined : "none";
    const findDemand = async ({ ports }: Life): Promise<void> => {
      previous = await rebalance(ports.rebalance, policy(), {
        ...(previous !== undefined && { previous }),
        ...within(ports.rebalance, roundSeconds.rebalance),
      });
    };
    if (this.#options.withoutRebalance !== true) {
      this.#startTimer(life, "rebalance", rebalanceSeconds, (own) => findDemand(own).finally(life.catchUp));
    }
    this.#startTimer(life, "sweep", scaledownSeconds, async (own) => {
      const startedAt = scheduler.now;
      const before = new Map(own.goodListings);
      const { storeRefusals } = own;
      await sweep(own.ports.sweep, policy(), within(own.ports.sweep, roundSeconds.sweep));
      const listed = [...own.goodListings].filter(([name, count]) => count > (before.get(name) ?? 0));
      const refused = own.storeRefusals > storeRefusals;
      if (listed.length > 0) events.swept(startedAt, new Set(listed.map(([name]) => name)), refused);
    });
    if (this.#options.lean === true) return;
    this.#startTimer(life, "status", statusSeconds, (own) => {
      return this.#options.status(own.ports.status, policy());
    });
  }

  /** Dies at once. What is under way at other places goes on there, and nobody hears the answer. */
  crash(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.crashes += 1;
    life.end();
    this.#life = undefined;
    this.#options.events.turned();
    for (const fail of [...life.openRequests]) fail(undefined);
    const { scheduler, random, faults } = this.#options;
    const seconds = 1 + random.fraction() * faults().restartSeconds;
    scheduler.after(seconds * 1_000, `${this.#options.name} starts`, () => this.start());
  }

  /** Deals with one request. `done` gets undefined when the process dies or fails meanwhile. */
  request<Answer>(
    stage: Stage,
    handle: (ports: Ports, policy: Policy, caughtUp: Promise<void>) => Promise<Answer>,
    done: (answer: Answer | undefined) => void,
  ): void {
    const life = this.#life;
    if (life === undefined) {
      done(undefined);
      return;
    }
    const finish = (answer: Answer | undefined): void => {
      if (life.openRequests.delete(finish)) done(answer);
    };
    life.openRequests.add(finish);
    this.#options.scheduler.wake();
    const answer = this.#withMemory(life, (own) =>
      handle(own.ports[stage], this.#options.policy(), life.caughtUp),
    );
    answer.then(finish, (error: unknown) => {
      if (!life.alive) return;
      life.ports[stage].log.error("A request could not be answered.", { stage: "http", error });
      finish(undefined);
    });
  }

  /** A piece of work: a function has a memory of its own for it, and may be killed before it has an answer. */
  #withMemory<Answer>(life: Life, work: (own: Life) => Promise<Answer>): Promise<Answer> {
    const { runsAs, scheduler, random, faults, name } = this.#options;
    if (runsAs !== "functions") return work(life);
    const own = this.#createLife(life);
    if (!chance(random, faults().functionKilledFraction)) return work(own);
    return new Promise((resolve, reject) => {
      work(own).then(resolve, reject);
      const seconds = magnitude(random, 0.005, longestBeforeKillSeconds);
      scheduler.after(seconds * 1_000, `${name}: a function is killed`, () => {
        scheduler.wake();
        own.end();
        reject(killed());
      });
    });
  }

  // ------------------------------------------------------------------------------------- workers, timers

  #startWorkers(life: Life): void {
    const { lifecycle, policy } = this.#options;
    startWorker<Poke>({
      name: "work",
      queue: this.#receiver(life, "work", life.work),
      after: life.caughtUp,
      handle: ({ stage, fleet }) =>
        this.#withMemory(life, ({ ports }) =>
          stage === "scaleup"
            ? scaleUp(ports.work, policy(), fleet)
            : retireMachines(ports.work, policy(), fleet),
        ),
      concurrency: workConcurrency,
      log: life.ports.work.log,
    });
    startWorker<LifecycleEvent>({
      name: "lifecycle",
      queue: this.#receiver(life, "lifecycle", lifecycle),
      handle: async (event) => {
        await this.#withMemory(life, ({ ports }) => applyEvents(ports.lifecycle, policy(), [event]));
        this.#options.events.dealtWith(event);
      },
      concurrency: lifecycleConcurrency,
      log: life.ports.lifecycle.log,
    });
  }

  #startFunctions(life: Life): void {
    const { lifecycle, policy, events } = this.#options;
    for (let index = 0; index < functionsAtOnce; index++) {
      this.#serve<Poke>(life, "work", life.work, (own) => ({
        groupOf: ({ stage, fleet }) => `${stage} ${fleet}`,
        handle: async (_group, [poke]) => {
          if (poke?.stage === "scaleup") await scaleUp(own.ports.work, policy(), poke.fleet);
          else if (poke !== undefined) await retireMachines(own.ports.work, policy(), poke.fleet);
        },
        reserveMilliseconds: 25_000,
      }));
      this.#serve<LifecycleEvent>(life, "lifecycle", lifecycle, (own) => ({
        groupOf: (event) => likelyFleet(event, policy()) ?? "to be looked up",
        handle: async (_fleet, happened) => {
          await applyEvents(own.ports.lifecycle, policy(), happened);
          for (const event of happened) events.dealtWith(event);
        },
        separately: true,
        reserveMilliseconds: 15_000,
      }));
    }
  }

  #serve<Message>(
    life: Life,
    name: "work" | "lifecycle",
    queue: SimQueue<Message>,
    workOf: (own: Life) => Omit<FunctionWork<Message>, "log" | "release">,
  ): void {
    void serveInBatches<Message, Life>({
      name,
      queue: this.#receiver(life, name, queue),
      batchSize: batchSizes[name],
      isWanted: () => life.alive,
      now: () => this.#options.scheduler.now,
      inFunction: (work) => this.#withMemory(life, work),
      workOf: (own) => ({
        ...workOf(own),
        log: own.ports[name].log,
        release: (receipt, seconds) => this.#receiver(own, name, queue).release(receipt, seconds),
      }),
      onKilled: (error) => life.ports[name].log.error("A function did not answer.", { stage: name, error }),
    });
  }

  #receiver<Message>(life: Life, name: string, queue: SimQueue<Message>): Queue<Message> {
    return {
      send: (message, options) => queue.send(message, options),
      receive: (options) => queue.receive(options, () => life.alive),
      delete: (receipt) => this.#queueCall(life, `${name}.delete`, () => queue.delete(receipt)),
      release: (receipt, seconds) =>
        this.#queueCall(life, `${name}.release`, () => queue.release(receipt, seconds)),
      depth: async () => ({ waiting: 0, inFlight: 0, dead: 0 }),
    };
  }

  #queueCall(life: Life, label: string, effect: () => Promise<void>): Promise<void> {
    return this.#options.lean === true
      ? effect()
      : this.#call(life, `${this.#options.name} ${label}`, fast, effect);
  }

  #startTimer(life: Life, name: string, everySeconds: number, work: (own: Life) => Promise<void>): void {
    const { scheduler } = this.#options;
    const label = `${this.#options.name} ${name}`;
    const again = (): void => {
      if (life.alive) scheduler.after(everySeconds * 1_000, label, round);
    };
    const round = (): void => {
      if (!life.alive) return;
      scheduler.wake();
      this.#withMemory(life, work).then(again, (error: unknown) => {
        life.ports.sweep.log.error("A round failed; the next one comes as planned.", { stage: name, error });
        again();
      });
    };
    round();
  }

  // --------------------------------------------------------------------------------------------- ports

  /** `within`: the life of the process in which a function has its own. */
  #createLife(within: Life | undefined): Life {
    const { name, seed, scheduler, faults, sabotage } = this.#options;
    if (within !== undefined) this.#lives += 1;
    const skew = Math.round((this.#options.random.fraction() * 2 - 1) * faults().clockSkewSeconds * 1_000);
    const clock = scheduler.clock(skew);
    const ports: { [Key in Stage]?: Ports } = {};
    const { promise: caughtUp, resolve: catchUp } = Promise.withResolvers<void>();
    let ended = false;
    const life: Life = {
      get alive() {
        return !ended && within?.alive !== false;
      },
      ports: ports as Readonly<Record<Stage, Ports>>,
      work: within?.work ?? this.#options.work(),
      openRequests: new Set(),
      caughtUp,
      catchUp,
      goodListings: new Map(),
      storeRefusals: 0,
      end() {
        ended = true;
      },
    };
    const github = createMemoryGithub({
      model: this.#options.model,
      clock,
      afterChange: this.#options.settleModel,
    });
    const whole: Ports = {
      ...this.#options.fixed,
      store: this.#gatedStore(life),
      work: this.#gatedSender(life, "work", life.work),
      lifecycle: this.#gatedSender(life, "lifecycle", this.#options.lifecycle),
      compute: new Map(
        this.#options.computes.map((compute) => [compute.name, this.#gatedCompute(life, compute)]),
      ),
      ...this.#gatedImages(life),
      github: { ...this.#gated(life, "github", slow, this.#watchedGithub(github)), budgets: github.budgets },
      clock,
      random: createSeededRandom(`${seed} ${name} ${this.#lives}`),
      log: this.#log(life, {}),
    };
    for (const stage of stages) ports[stage] = sabotage?.(stage, whole) ?? whole;
    return life;
  }

  /** The port, every method of which passes the gate. */
  #gated<Port extends object>(life: Life, name: string, latency: Latency, port: Port): Port {
    const gated: Record<string, unknown> = {};
    for (const [key, member] of Object.entries(port)) {
      if (typeof member !== "function") gated[key] = member;
      else {
        const label = `${this.#options.name} ${name}.${key}`;
        const call = member as (...values: unknown[]) => Promise<unknown>;
        gated[key] = (...values: unknown[]) => this.#call(life, label, latency, () => call(...values));
      }
    }
    return gated as Port;
  }

  #gatedStore(life: Life): Store {
    const { store, faults, random } = this.#options;
    const refusal = (): MayflyError => {
      life.storeRefusals += 1;
      return busy();
    };
    const mayFail = <Arguments extends unknown[], Answer>(
      read: (...values: Arguments) => Promise<Answer>,
    ) => {
      return async (...values: Arguments): Promise<Answer> => {
        if (chance(random, faults().storeReadThrottleFraction)) throw refusal();
        return read(...values);
      };
    };
    const failing: Store = {
      changesPerCommit: store.changesPerCommit,
      findJob: mayFail(store.findJob),
      findMachineByProviderId: mayFail(store.findMachineByProviderId),
      activeFleets: mayFail(store.activeFleets),
      images: mayFail(store.images),
      counters: mayFail(store.counters),
      history: mayFail(store.history),
      usage: mayFail(store.usage),
      recentRepositories: mayFail(store.recentRepositories),
      purge: mayFail(store.purge),
      commit: async (fleet, version, changes, limits) => {
        if (chance(random, faults().storeThrottleFraction)) throw refusal();
        if (chance(random, faults().storeConflictFraction)) return { kind: "conflict" };
        const result = await store.commit(fleet, version, changes, limits);
        if (chance(random, faults().storeAnswerLostFraction)) throw refusal();
        return result;
      },
      addJob: async (record, job) => {
        if (chance(random, faults().storeThrottleFraction)) throw refusal();
        const result = await store.addJob(record, job);
        if (chance(random, faults().storeAnswerLostFraction)) throw refusal();
        return result;
      },
      load: async (fleet) => {
        if (chance(random, faults().storeThrottleFraction)) throw refusal();
        return store.load(fleet);
      },
      findMachine: async (id) => {
        if (chance(random, faults().storeThrottleFraction)) throw refusal();
        return store.findMachine(id);
      },
    };
    return this.#options.lean === true ? store : this.#gated(life, "store", fast, failing);
  }

  #gatedSender<Message>(
    life: Life,
    name: string,
    queue: SimQueue<Message>,
  ): Ports["work"] & Ports["lifecycle"] {
    if (this.#options.lean === true) {
      return { send: (message: unknown, options) => queue.send(message as Message, options) };
    }
    return this.#gated(life, name, fast, {
      send: (message: unknown, options?: object) => queue.send(message as Message, options),
    });
  }

  #gatedImages(life: Life): Pick<Ports, "images"> {
    const { images } = this.#options;
    if (images === undefined) return {};
    const { methodOf, ...calls } = images;
    return { images: { methodOf, ...this.#gated(life, "images", slow, calls) } };
  }

  #gatedCompute(life: Life, compute: Compute): Compute {
    const noting: Compute = {
      ...compute,
      list: async () => {
        const listed = await compute.list();
        life.goodListings.set(compute.name, (life.goodListings.get(compute.name) ?? 0) + 1);
        return listed;
      },
    };
    return this.#gated(life, compute.name, slow, noting);
  }

  #watchedGithub(github: Ports["github"]): Ports["github"] {
    return {
      ...github,
      getJob: async (repository, id) => {
        try {
          return await github.getJob(repository, id);
        } catch (error) {
          // Where the budget forbids to ask, the next round asks.
          if (!(error instanceof MayflyError && error.kind === "wait")) this.#options.events.unanswered(id);
          throw error;
        }
      },
      mintRunner: async (request) => {
        const minted = await github.mintRunner(request);
        if (minted.kind === "minted") {
          this.#options.events.minted(request.name, minted.runnerId, minted.jitConfig.reveal());
        }
        return minted;
      },
    };
  }

  #log(life: Life, common: LogFields): Log {
    const { lean = false } = this.#options;
    const writer = (level: string) => (message: string, fields?: LogFields) => {
      if (!life.alive || lean) return;
      this.#options.events.logged(
        this.#options.name,
        level,
        message,
        printableFields({ ...common, ...fields }),
      );
    };
    return {
      debug: writer("debug"),
      info: writer("info"),
      warn: writer("warn"),
      error: writer("error"),
      with: (fields) => this.#log(life, { ...common, ...fields }),
    };
  }

  // ---------------------------------------------------------------------------------------------- gate

  /** The effect happens when the scheduler says so, and the answer arrives with it, unless the process has died. */
  #call<Result>(life: Life, label: string, latency: Latency, effect: () => Promise<Result>): Promise<Result> {
    const { scheduler, random, faults } = this.#options;
    const { slowCallFraction, slowCallSeconds } = faults();
    let milliseconds = between(random, latency.lowMilliseconds, latency.highMilliseconds);
    if (chance(random, slowCallFraction)) milliseconds += random.fraction() * slowCallSeconds * 1_000;
    return new Promise((resolve, reject) => {
      scheduler.after(milliseconds, label, () => {
        this.#pass(life, effect, resolve, reject);
      });
    });
  }

  #pass<Result>(
    life: Life,
    effect: () => Promise<Result>,
    resolve: (result: Result) => void,
    reject: (error: unknown) => void,
  ): void {
    const { scheduler, random, faults } = this.#options;
    scheduler.wake();
    if (!life.alive) {
      // The request may have left before its sender died.
      if (chance(random, 0.5)) effect().then(ignoreAnswer, ignoreAnswer);
      return;
    }
    if (chance(random, faults().crashFraction)) {
      this.crash();
      if (chance(random, 0.5)) effect().then(ignoreAnswer, ignoreAnswer);
      return;
    }
    effect().then(resolve, reject);
  }
}

/** Nobody is left who could hear the answer, or the refusal. */
function ignoreAnswer(): void {}

interface Latency {
  readonly lowMilliseconds: number;
  readonly highMilliseconds: number;
}

const fast: Latency = { lowMilliseconds: 1, highMilliseconds: 12 };
const slow: Latency = { lowMilliseconds: 80, highMilliseconds: 600 };

const stages = [
  "webhook",
  "claim",
  "report",
  "work",
  "lifecycle",
  "rebalance",
  "sweep",
  "status",
] as const satisfies readonly Stage[];

function busy(): MayflyError {
  const message = "The database is busy, or its answer was lost.";
  return new MayflyError({ kind: "retry", code: "STORE_BUSY", message, suggestion: "Do it again." });
}

function killed(): MayflyError {
  const message = "The function was killed at its time limit.";
  return new MayflyError({ kind: "retry", code: "FUNCTION_KILLED", message, suggestion: "It comes again." });
}
