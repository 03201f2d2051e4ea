import { MayflyError } from "../../core/errors.ts";
import type {
  FleetId,
  FleetSpec,
  Instant,
  LaunchFailureKind,
  MachineId,
  Purchase,
} from "../../core/model.ts";
import type { Secret } from "../../core/secret.ts";
import type {
  Compute,
  LaunchOutcome,
  LaunchRequest,
  ListedMachine,
  MachineToLaunch,
} from "../../ports/compute.ts";
import type { Random } from "../../ports/random.ts";
import { between, chance, oneOf, waiting, wholeBetween } from "./draw.ts";
import type { Faults } from "./faults.ts";
import type { Pool } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import { type Tasks, taskCompute } from "./tasks.ts";

export interface CloudMachine {
  readonly providerId: string;
  readonly launchToken: string;
  /** By which the ledger knows it. Where only launches are marked, its provider's until the ledger has given it one. */
  machineId: MachineId;
  /** Whose it is, by the name of the port. */
  readonly compute: string;
  /** It was launched by nobody here: it does nothing, and stays. */
  readonly isStray: boolean;
  readonly fleet: FleetId;
  readonly spec: FleetSpec;
  readonly pool: Pool;
  readonly launchedAt: Instant;
  readonly listedFrom: Instant;
  readonly credential: Secret | undefined;
  readonly bootTimeoutSeconds: number;
  readonly jobTimeoutSeconds: number;
  /** It is being destroyed, by whoever asked for it. */
  ending: boolean;
  /** When it was first said that it will be taken back, or that it may be. */
  noticeAt: Instant | undefined;
}

/** What the cloud tells the world around it. */
export interface CloudEvents {
  /** Somebody asks through the port for machines that are tasks. */
  launching(request: LaunchRequest): void;
  launched(machine: CloudMachine): void;
  /** Somebody asked through the port that it be destroyed. */
  terminating(machine: CloudMachine): void;
  notice(machine: CloudMachine): void;
  atRisk(machine: CloudMachine): void;
  gone(machine: CloudMachine): void;
  /** For the lifecycle queue, where and when the cloud's own events arrive. */
  announce(machine: CloudMachine, what: "interruption-notice" | "at-risk" | "gone"): void;
}

export interface CloudOptions {
  readonly scheduler: Pick<Scheduler, "now" | "after">;
  /** What machines bear: their own id, or only the token of their launch. */
  readonly marks: "machine" | "launch";
  readonly random: Random;
  /** Present where there are machines that are tasks. */
  readonly tasks?: Tasks;
  readonly pools: readonly Pool[];
  /** Of this instant: they heal. */
  readonly faults: () => Faults;
  readonly events: CloudEvents;
  readonly hours: number;
  /** From the order to end until the machine is gone. Absent: drawn for each machine. */
  readonly shutdownSeconds?: number;
}

interface Outage {
  readonly from: Instant;
  readonly until: Instant;
  readonly kind: LaunchFailureKind;
  readonly purchase: Purchase | "both";
}

/** The compute of presets that have no other. */
const cloudCompute = "cloud";
/** Tasks that one call starts. */
const batchSize = 10;
const noticeSeconds = 120;
/** A provider that can say what became of a machine lists it for so long after its end. */
const endedListedSeconds = 1_200;

/**
 * A cloud: pools of type, zone and market, each with its own capacity; launches that are refused, lost, late or
 * partly done; listings that lag behind; machines that are taken back. A launch is one action for each token and
 * machine: repeated, it answers what it answered.
 */
export class SimCloud {
  /** A port for each compute that the scenario has. */
  readonly computes: readonly Compute[];
  /** Up or ending, by provider id, in the order of launch. */
  readonly machines = new Map<string, CloudMachine>();
  readonly #options: CloudOptions;
  readonly #launches = new Map<string, CloudMachine>();
  /** What was answered to each token, where only launches are marked. */
  readonly #answers = new Map<string, readonly LaunchOutcome[]>();
  readonly #used = new Map<Pool, number>();
  /** Gone, and still listed as if they were there. */
  readonly #ghosts = new Map<string, { readonly machine: CloudMachine; readonly until: Instant }>();
  /** Gone, and listed with what became of them. */
  readonly #ended = new Map<string, EndedMachine>();
  readonly #outages: readonly Outage[];
  readonly #refusedAt = new Map<string, Instant>();
  readonly #launchRates = new Map<Purchase, { readonly left: number; readonly at: Instant }>();
  #count = 0;

  constructor(options: CloudOptions) {
    this.#options = options;
    this.#outages = this.#planOutages();
    const names = options.tasks === undefined ? [cloudCompute] : [cloudCompute, taskCompute];
    this.computes = names.map((name) => ({
      name,
      launch: async (request) => this.#launch(name, request),
      list: async () => this.#list(name),
      terminate: async (ids) => this.#terminate(name, ids),
      close: async () => undefined,
    }));
  }

  /** How many machines were ever launched. */
  get launchCount(): number {
    return this.#count;
  }

  /** The machine ends by itself. */
  powerOff(machine: CloudMachine): void {
    this.#end(machine, this.#shutdownSeconds(8), false);
  }

  /** A machine with our mark appears that no ledger knows: left over from a ledger that was lost. */
  appear(request: LaunchRequest): void {
    const [pool] = this.#poolsFor(request.spec.compute, request.purchase);
    for (const machine of request.machines)
      if (pool !== undefined) this.#create(request, machine, pool, true);
  }

  /** Why no machine of this compute can be launched for this market now; undefined when one can. */
  refusal(compute: string, purchase: Purchase, now: Instant): LaunchFailureKind | undefined {
    const outage = this.#outage(purchase, now);
    if (outage !== undefined) return outage.kind;
    const isRoom = this.#poolsFor(compute, purchase).some((pool) => this.#isFree(pool));
    return isRoom ? undefined : "capacity";
  }

  /** When a machine of this compute and market was last refused. */
  refusedAt(compute: string, purchase: Purchase): Instant {
    return this.#refusedAt.get(`${compute} ${purchase}`) ?? 0;
  }

  #poolsFor(compute: string, purchase: Purchase): readonly Pool[] {
    return this.#options.pools.filter(
      (pool) => (pool.compute ?? cloudCompute) === compute && pool.purchase === purchase,
    );
  }

  #planOutages(): readonly Outage[] {
    const { random, scheduler, hours } = this.#options;
    const faults = this.#options.faults();
    return Array.from({ length: faults.outagesPerDay }, () => {
      const from = scheduler.now + random.fraction() * hours * 3_600_000;
      const until = from + between(random, 60, 3 * 3_600) * 1_000;
      const kinds = faults.outageKinds;
      const kind = kinds[Math.floor(random.fraction() * kinds.length)] ?? "capacity";
      return { from, until, kind, purchase: oneOf(random, ["spot", "both"]) };
    });
  }

  #outage(purchase: Purchase, now: Instant): Outage | undefined {
    if (this.#options.faults().outagesPerDay === 0) return undefined;
    return this.#outages.find(
      (outage) =>
        outage.from <= now &&
        now < outage.until &&
        (outage.purchase === "both" || outage.purchase === purchase),
    );
  }

  // ------------------------------------------------------------------------------------------- the port

  #launch(compute: string, request: LaunchRequest): readonly LaunchOutcome[] {
    const { scheduler, random, events } = this.#options;
    const faults = this.#options.faults();
    this.#failSometimes();
    if (compute === taskCompute) events.launching(request);
    if (chance(random, faults.launchLateFraction)) {
      const seconds = random.fraction() * faults.launchLateSeconds;
      scheduler.after(seconds * 1_000, `cloud launches late ${request.token}`, () =>
        this.#launchAll(compute, request),
      );
      throw unreachable("The launch was not answered.");
    }
    const outcomes = this.#launchAll(compute, request);
    if (outcomes === "throttled") throw this.#throttled();
    if (chance(random, faults.launchAnswerLostFraction))
      throw unreachable("The answer to the launch was lost.");
    return outcomes;
  }

  #launchAll(compute: string, request: LaunchRequest): readonly LaunchOutcome[] | "throttled" {
    const outcomes =
      compute === taskCompute
        ? this.#launchInBatches(request)
        : this.#options.marks === "launch"
          ? this.#launchAlike(compute, request.token, request)
          : request.machines.map((machine) => this.#launchOne(compute, request, machine));
    const isRefused = outcomes === "throttled" || outcomes.some((outcome) => outcome.kind === "refused");
    if (isRefused) this.#refusedAt.set(`${compute} ${request.purchase}`, this.#options.scheduler.now);
    return outcomes;
  }

  /** Ten at most are one action. Each is repeated by itself: what was started above the rate is asked for again. */
  #launchInBatches(request: LaunchRequest): readonly LaunchOutcome[] | "throttled" {
    const { machines, token, purchase } = request;
    const outcomes: LaunchOutcome[] = [];
    let isThrottled = false;
    for (let first = 0; first < machines.length; first += batchSize) {
      const batch = machines.slice(first, first + batchSize);
      const key = `${token}.${first / batchSize}`;
      if (this.#answers.has(key) || this.#isWithinRate(purchase, batch.length))
        outcomes.push(...this.#launchAlike(taskCompute, key, { ...request, machines: batch }));
      else isThrottled = true;
    }
    if (isThrottled) return "throttled";
    // One refusal speaks for all that got none.
    const refusal = outcomes.find((outcome) => outcome.kind === "refused");
    const others = outcomes.filter((outcome) => outcome.kind !== "refused");
    return refusal === undefined ? others : [...others, refusal];
  }

  #isWithinRate(purchase: Purchase, count: number): boolean {
    const { tasks, scheduler } = this.#options;
    const { launchBurst = 0, launchesPerSecond = 0 } = tasks ?? {};
    const { left, at } = this.#launchRates.get(purchase) ?? { left: launchBurst, at: scheduler.now };
    const refilled = Math.min(launchBurst, left + ((scheduler.now - at) / 1_000) * launchesPerSecond);
    const isWithin = refilled >= count;
    this.#launchRates.set(purchase, { left: isWithin ? refilled - count : refilled, at: scheduler.now });
    return isWithin;
  }

  /** One action for each key: repeated, it answers what it answered, and launches nothing. */
  #launchAlike(compute: string, key: string, request: LaunchRequest): readonly LaunchOutcome[] {
    const before = this.#answers.get(key);
    if (before !== undefined) return before;
    const single = request.machines.map((machine) => this.#tryOne(compute, request, machine));
    const outcomes = single.flatMap((outcome) => (outcome.kind === "launched" ? [nameless(outcome)] : []));
    const refusal = single.find((outcome) => outcome.kind === "refused");
    if (refusal?.kind === "refused") {
      const { failure, code, message, pools } = refusal;
      if (pools.length > 0) outcomes.push({ kind: "pools-refused", failure, code, message, pools });
      outcomes.push({ kind: "refused", failure, code, message, pools: [] });
    }
    this.#answers.set(key, outcomes);
    return outcomes;
  }

  #launchOne(compute: string, request: LaunchRequest, machine: MachineToLaunch): LaunchOutcome {
    const key = `${request.token} ${machine.id}`;
    const known = this.#launches.get(key);
    if (known !== undefined) return launched(known);
    const outcome = this.#tryOne(compute, request, machine);
    const entry = outcome.kind === "launched" ? this.machines.get(outcome.providerId) : undefined;
    if (entry !== undefined) this.#launches.set(key, entry);
    return outcome;
  }

  #tryOne(compute: string, request: LaunchRequest, machine: MachineToLaunch): MachineOutcome {
    const now = this.#options.scheduler.now;
    const pools = this.#poolsFor(compute, request.purchase).filter(
      ({ name }) => !request.avoidPools.includes(name),
    );
    const names = pools.map(({ name }) => name);
    const outage = this.#outage(request.purchase, now);
    if (outage !== undefined) return refused(machine.id, outage.kind, names);
    const free = pools.filter((pool) => this.#isFree(pool));
    const pool = free[Math.floor(this.#options.random.fraction() * free.length)];
    if (chance(this.#options.random, this.#options.faults().launchThrottledFraction))
      return refused(machine.id, "throttle", []);
    const isLeftOut = chance(this.#options.random, this.#options.faults().partialFleetFraction);
    if (pool === undefined || isLeftOut) return refused(machine.id, "capacity", names);
    return launched(this.#create(request, machine, pool, false));
  }

  #create(request: LaunchRequest, machine: MachineToLaunch, pool: Pool, isStray: boolean): CloudMachine {
    const { scheduler, random, events, marks } = this.#options;
    const faults = this.#options.faults();
    this.#count += 1;
    const providerId = `i-${this.#count}`;
    const entry: CloudMachine = {
      providerId,
      launchToken: request.token,
      machineId: marks === "launch" ? providerId : machine.id,
      compute: pool.compute ?? cloudCompute,
      isStray,
      fleet: request.fleet,
      spec: request.spec,
      pool,
      launchedAt: scheduler.now,
      listedFrom: scheduler.now + random.fraction() * faults.listingLagSeconds * 1_000,
      credential: machine.credential,
      bootTimeoutSeconds: request.bootTimeoutSeconds,
      jobTimeoutSeconds: request.jobTimeoutSeconds,
      ending: false,
      noticeAt: undefined,
    };
    this.machines.set(entry.providerId, entry);
    this.#used.set(pool, (this.#used.get(pool) ?? 0) + 1);
    events.launched(entry);
    if (pool.purchase === "spot" && faults.interruptionsPerHour > 0) {
      const at = waiting(random, 3_600_000 / faults.interruptionsPerHour);
      scheduler.after(at, `cloud wants ${entry.machineId} back`, () => this.#recommendOrInterrupt(entry));
    }
    return entry;
  }

  #list(compute: string): readonly ListedMachine[] {
    this.#failSometimes();
    const { now } = this.#options.scheduler;
    const isIts = (machine: CloudMachine): boolean => machine.compute === compute;
    const listed = [...this.machines.values()].filter((one) => one.listedFrom <= now && isIts(one));
    for (const [id, ghost] of this.#ghosts) {
      if (ghost.until <= now) this.#ghosts.delete(id);
      else if (isIts(ghost.machine)) listed.push(ghost.machine);
    }
    return [...listed.map((machine) => this.#asListed(machine)), ...this.#listEnded(isIts)];
  }

  #asListed({
    providerId,
    launchToken,
    machineId,
    fleet,
    spec,
    launchedAt,
    pool,
  }: CloudMachine): ListedMachine {
    const mark = this.#options.marks === "launch" ? { launchToken } : { machineId };
    return { providerId, ...mark, fleet, preset: spec.preset, launchedAt, purchase: pool.purchase };
  }

  #listEnded(isIts: (machine: CloudMachine) => boolean): readonly ListedMachine[] {
    const { now } = this.#options.scheduler;
    const listed: ListedMachine[] = [];
    for (const [id, { machine, ended, from, until }] of this.#ended) {
      if (until <= now) this.#ended.delete(id);
      else if (from <= now && isIts(machine)) listed.push({ ...this.#asListed(machine), ended });
    }
    return listed;
  }

  #terminate(compute: string, providerIds: readonly string[]) {
    this.#failSometimes();
    return providerIds.map((providerId) => {
      const machine = this.machines.get(providerId);
      if (machine?.compute !== compute) return { providerId, kind: "absent" as const };
      this.#options.events.terminating(machine);
      this.#end(machine, this.#shutdownSeconds(40), false);
      return { providerId, kind: "terminating" as const };
    });
  }

  #failSometimes(): void {
    const { random } = this.#options;
    if (!chance(random, this.#options.faults().cloudErrorFraction)) return;
    if (chance(random, 0.5)) throw unreachable("The call did not get through.");
    throw this.#throttled();
  }

  #throttled(): MayflyError {
    const { random, scheduler } = this.#options;
    return new MayflyError({
      kind: "wait",
      code: "CLOUD_THROTTLED",
      message: "The cloud wants fewer calls.",
      suggestion: "Call later.",
      retryAt: scheduler.now + wholeBetween(random, 1, 20) * 1_000,
    });
  }

  // -------------------------------------------------------------------------------------- what happens

  #recommendOrInterrupt(machine: CloudMachine): void {
    const { scheduler, random, events } = this.#options;
    const { riskFraction } = this.#options.faults();
    if (!chance(random, riskFraction)) {
      this.#interrupt(machine);
      return;
    }
    if (!this.machines.has(machine.providerId)) return;
    machine.noticeAt = scheduler.now;
    events.atRisk(machine);
    events.announce(machine, "at-risk");
    if (!chance(random, 0.5)) return;
    const seconds = between(random, 60, 900);
    scheduler.after(seconds * 1_000, `cloud wants ${machine.machineId} back`, () => this.#interrupt(machine));
  }

  #interrupt(machine: CloudMachine): void {
    const { scheduler, random, events } = this.#options;
    const faults = this.#options.faults();
    if (faults.interruptionsPerHour === 0 || !this.machines.has(machine.providerId) || machine.ending) return;
    machine.noticeAt ??= scheduler.now;
    events.notice(machine);
    if (!chance(random, faults.noticeLostFraction)) events.announce(machine, "interruption-notice");
    this.#end(machine, noticeSeconds, true);
  }

  #shutdownSeconds(longest: number): number {
    const { shutdownSeconds, random } = this.#options;
    return shutdownSeconds ?? between(random, 1, longest);
  }

  #end(machine: CloudMachine, seconds: number, taken: boolean): void {
    if (machine.ending && !taken) return;
    if (!taken) machine.ending = true;
    const { scheduler, random, events } = this.#options;
    scheduler.after(seconds * 1_000, `cloud ends ${machine.machineId}`, () => {
      if (!this.machines.delete(machine.providerId)) return;
      this.#used.set(machine.pool, (this.#used.get(machine.pool) ?? 1) - 1);
      const faults = this.#options.faults();
      const lag = random.fraction() * faults.listingLagSeconds * 1_000;
      const from = scheduler.now + lag;
      if (lag > 0) this.#ghosts.set(machine.providerId, { machine, until: from });
      if (this.#options.marks === "launch") {
        const ended = { detail: taken ? "The cloud took it back." : "It was ended.", takenBack: taken };
        this.#ended.set(machine.providerId, {
          machine,
          ended,
          from,
          until: from + endedListedSeconds * 1_000,
        });
      }
      events.gone(machine);
      if (!chance(random, faults.goneLostFraction)) events.announce(machine, "gone");
    });
  }

  #isFree(pool: Pool): boolean {
    return (this.#used.get(pool) ?? 0) < pool.capacity;
  }
}

interface EndedMachine {
  readonly machine: CloudMachine;
  readonly ended: NonNullable<ListedMachine["ended"]>;
  readonly from: Instant;
  readonly until: Instant;
}

type MachineOutcome = LaunchOutcome & { readonly kind: "launched" | "refused" };

/** One of a launch, whichever. */
function nameless({
  machineId: _,
  ...outcome
}: LaunchOutcome & { readonly kind: "launched" }): LaunchOutcome {
  return outcome;
}

function launched(machine: CloudMachine): LaunchOutcome & { readonly kind: "launched" } {
  const { machineId, providerId, pool } = machine;
  return {
    kind: "launched",
    machineId,
    providerId,
    pool: pool.name,
    purchase: pool.purchase,
    ...(pool.pricePerHourUsd !== undefined && { pricePerHourUsd: pool.pricePerHourUsd }),
  };
}

function refused(
  machineId: MachineId,
  failure: LaunchFailureKind,
  pools: readonly string[],
): LaunchOutcome & { readonly kind: "refused" } {
  const message = `The cloud gives no machine (${failure}).`;
  return {
    kind: "refused",
    machineId,
    failure,
    code: `Sim${failure}`,
    message,
    pools: failure === "capacity" ? pools : [],
  };
}

function unreachable(message: string): MayflyError {
  return new MayflyError({ kind: "retry", code: "CLOUD_UNREACHABLE", message, suggestion: "Call again." });
}
