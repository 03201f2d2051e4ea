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
import type { Clock } from "../../ports/clock.ts";
import type {
  Compute,
  LaunchOutcome,
  LaunchRequest,
  ListedMachine,
  MachineToLaunch,
  TerminateOutcome,
} from "../../ports/compute.ts";

export interface MemoryComputeOptions {
  readonly clock: Clock;
  /** Without it, `memory`. */
  readonly name?: string;
  /** Where machines can be launched, in the order in which they are tried. Without it, the one pool `memory`. */
  readonly pools?: readonly string[];
  /** How long a machine takes to end once it is terminated. Without it, 0. */
  readonly terminationSeconds?: number;
  /** A machine is not listed for so long after its launch. Without it, 0. */
  readonly listingDelaySeconds?: number;
  readonly pricePerHourUsd?: number;
  /** `launch`: machines bear only the token of their launch, as where one call starts many. Without it, `machine`. */
  readonly marks?: "machine" | "launch";
  /** Called once for each machine that has ended, by itself or not. */
  readonly onGone?: (providerId: string) => void;
  /** Called once for each machine that was launched: the simulator boots it. */
  readonly onLaunched?: (machine: MemoryMachine) => void;
}

export interface MemoryMachine {
  readonly providerId: string;
  /** Its provider id where machines bear only the token of their launch: it knows no other name. */
  readonly machineId: MachineId;
  readonly launchToken: string;
  readonly fleet: FleetId;
  readonly spec: FleetSpec;
  readonly pool: string;
  readonly purchase: Purchase;
  readonly launchedAt: Instant;
  readonly credential: Secret | undefined;
  readonly bootTimeoutSeconds: number;
  readonly jobTimeoutSeconds: number;
}

export interface PoolRefusalLever {
  readonly failure: LaunchFailureKind;
  readonly code: string;
  readonly message?: string;
}

/**
 * Machines that exist only as entries. Deterministic: nothing happens but by a call, a lever or the clock.
 *
 * What is beyond the port are levers: each makes one thing go wrong that goes wrong in a cloud.
 */
export interface MemoryCompute extends Compute {
  /** The next launches in this pool are refused, one per entry; `undefined` lets one through. */
  refuseNext(pool: string, refusals: readonly (PoolRefusalLever | undefined)[]): void;
  /** The next `count` launch calls do their work, and then their answer is lost. */
  loseAnswers(count: number): void;
  /** The next `count` calls, of any kind, fail before they do anything. */
  failCalls(count: number): void;
  /** Not listed before this instant, although it exists. */
  hide(providerId: string, until: Instant): void;
  /** The machine ends by itself: power off, interruption, crash. Nothing when it is gone already. */
  finish(providerId: string): void;
  /** What exists, hidden or not, in the order of launch. */
  machines(): readonly MemoryMachine[];
  /** How many machines were ever launched. */
  readonly launchCount: number;
}

export function createMemoryCompute(options: MemoryComputeOptions): MemoryCompute {
  const place: Place = {
    options,
    machines: new Map(),
    launches: new Map(),
    refusals: new Map(),
    launchCount: 0,
    lostAnswers: 0,
    failingCalls: 0,
  };
  return {
    name: options.name ?? "memory",
    async launch(request) {
      failIfTold(place);
      const outcomes =
        options.marks === "launch"
          ? launchAlike(place, request)
          : request.machines.map((machine) => launchOne(place, request, machine));
      if (place.lostAnswers > 0) {
        place.lostAnswers--;
        throw lost("The answer to the launch was lost.");
      }
      return outcomes;
    },
    async list() {
      failIfTold(place);
      const now = options.clock.now();
      return [...place.machines.values()]
        .filter((entry) => entry.hiddenUntil <= now)
        .map((entry) => asListed(place, entry));
    },
    async terminate(providerIds) {
      failIfTold(place);
      return providerIds.map((providerId) => terminate(place, providerId));
    },
    async close() {},
    ...levers(place),
    get launchCount() {
      return place.launchCount;
    },
  };
}

interface Place {
  readonly options: MemoryComputeOptions;
  readonly machines: Map<string, Entry>;
  /** What each token has launched, where only launches are marked. */
  readonly launches: Map<string, readonly LaunchOutcome[]>;
  readonly refusals: Map<string, (PoolRefusalLever | undefined)[]>;
  launchCount: number;
  lostAnswers: number;
  failingCalls: number;
}

interface Entry {
  readonly machine: MemoryMachine;
  hiddenUntil: Instant;
  terminating: boolean;
}

function levers(place: Place): Omit<MemoryCompute, keyof Compute | "launchCount"> {
  return {
    refuseNext(pool, refusals) {
      place.refusals.set(pool, [...(place.refusals.get(pool) ?? []), ...refusals]);
    },
    loseAnswers(count) {
      place.lostAnswers += count;
    },
    failCalls(count) {
      place.failingCalls += count;
    },
    hide(providerId, until) {
      const entry = place.machines.get(providerId);
      if (entry !== undefined) entry.hiddenUntil = until;
    },
    finish: (providerId) => end(place, providerId),
    machines: () => [...place.machines.values()].map((entry) => entry.machine),
  };
}

function launchOne(place: Place, request: LaunchRequest, machine: MachineToLaunch): LaunchOutcome {
  const providerId = `memory-${machine.id}`;
  const existing = place.machines.get(providerId);
  if (existing !== undefined) return launched(place, existing.machine);
  const found = findPool(place, request);
  if (typeof found !== "string") return { kind: "refused", machineId: machine.id, ...found };
  return launched(place, create(place, request, machine, providerId, found));
}

/** One action for one token: repeated, it answers what it answered. */
function launchAlike(place: Place, request: LaunchRequest): readonly LaunchOutcome[] {
  const before = place.launches.get(request.token);
  if (before !== undefined) return before;
  const outcomes: LaunchOutcome[] = [];
  let refusal: Refusal | undefined;
  for (const machine of request.machines) {
    const found = findPool(place, request);
    if (typeof found !== "string") {
      refusal = found;
      continue;
    }
    const providerId = `memory-${place.launchCount + 1}`;
    const { machineId: _, ...outcome } = launched(
      place,
      create(place, request, { ...machine, id: providerId }, providerId, found),
    );
    outcomes.push(outcome);
  }
  if (refusal !== undefined) outcomes.push({ kind: "refused", ...refusal });
  place.launches.set(request.token, outcomes);
  return outcomes;
}

function create(
  place: Place,
  request: LaunchRequest,
  machine: MachineToLaunch,
  providerId: string,
  pool: string,
): MemoryMachine {
  const { clock, listingDelaySeconds = 0, onLaunched } = place.options;
  const now = clock.now();
  const entry: Entry = {
    machine: {
      providerId,
      machineId: machine.id,
      launchToken: request.token,
      fleet: request.fleet,
      spec: request.spec,
      pool,
      purchase: request.purchase,
      launchedAt: now,
      credential: machine.credential,
      bootTimeoutSeconds: request.bootTimeoutSeconds,
      jobTimeoutSeconds: request.jobTimeoutSeconds,
    },
    hiddenUntil: now + listingDelaySeconds * 1_000,
    terminating: false,
  };
  place.machines.set(providerId, entry);
  place.launchCount++;
  onLaunched?.(entry.machine);
  return entry.machine;
}

type Refusal = Omit<Extract<LaunchOutcome, { kind: "refused" }>, "kind" | "machineId">;

/** The first pool that neither is to be avoided nor refuses; else why the last one refused. */
function findPool(place: Place, request: LaunchRequest): string | Refusal {
  const pools = place.options.pools ?? ["memory"];
  const refusing: string[] = [];
  let last: PoolRefusalLever = { failure: "capacity", code: "ALL_POOLS_AVOIDED" };
  for (const pool of pools) {
    if (request.avoidPools.includes(pool)) continue;
    const refusal = place.refusals.get(pool)?.shift();
    if (refusal === undefined) return pool;
    refusing.push(pool);
    last = refusal;
  }
  const message = last.message ?? `No pool of ${pools.join(", ")} gives a machine (${last.code}).`;
  return { failure: last.failure, code: last.code, message, pools: refusing };
}

function launched(place: Place, machine: MemoryMachine): LaunchOutcome & { kind: "launched" } {
  const { pricePerHourUsd } = place.options;
  return {
    kind: "launched",
    machineId: machine.machineId,
    providerId: machine.providerId,
    pool: machine.pool,
    purchase: machine.purchase,
    ...(pricePerHourUsd === undefined ? {} : { pricePerHourUsd }),
  };
}

function asListed(place: Place, { machine }: Entry): ListedMachine {
  const { providerId, machineId, launchToken, fleet, spec, launchedAt, purchase } = machine;
  const mark = place.options.marks === "launch" ? { launchToken } : { machineId };
  return { providerId, ...mark, fleet, preset: spec.preset, launchedAt, purchase };
}

function terminate(place: Place, providerId: string): TerminateOutcome {
  const entry = place.machines.get(providerId);
  if (entry === undefined) return { providerId, kind: "absent" };
  if (!entry.terminating) {
    entry.terminating = true;
    const { clock, terminationSeconds = 0 } = place.options;
    void clock.sleep(terminationSeconds * 1_000).then(() => end(place, providerId));
  }
  return { providerId, kind: "terminating" };
}

function end(place: Place, providerId: string): void {
  if (place.machines.delete(providerId)) place.options.onGone?.(providerId);
}

function failIfTold(place: Place): void {
  if (place.failingCalls === 0) return;
  place.failingCalls--;
  throw lost("The call did not get through.");
}

function lost(message: string): MayflyError {
  return new MayflyError({ kind: "retry", code: "COMPUTE_UNREACHABLE", message, suggestion: "Call again." });
}
