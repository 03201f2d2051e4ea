import type { CounterLimit } from "../../core/counters.ts";
import type { FleetId, FleetRecord, Instant, Job, JobId, Machine, MachineId } from "../../core/model.ts";
import type { CommitResult, SeenRepository, Store } from "../../ports/store.ts";
import {
  type ActiveFleet,
  applyJob,
  applyWrites,
  createActiveFleet,
  isEmpty,
  ledgerOf,
} from "./active-fleet.ts";
import { createEndedList, type EndedList } from "./ended-list.ts";
import {
  checkFleet,
  collectWrites,
  counterChanges,
  inOrder,
  jobEndedAt,
  machineEndedAt,
  passedLimit,
  repositoryKey,
  seenRepository,
  usageOf,
  type Writes,
} from "./rules.ts";

export interface MemoryStoreOptions {
  /** Default 1,000. Smaller in a simulation of a store that takes less. */
  readonly changesPerCommit?: number;
}

/**
 * A store that lives as long as the process: for the simulator, and for tests. Everything happens within the
 * call, in the order of the calls, so two runs with the same calls are equal. Entries are kept as they are
 * given, not copied.
 */
export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  const { changesPerCommit = 1_000 } = options;
  const state = createState();
  return {
    changesPerCommit,
    load: async (fleet) => ledgerOf(state.fleets.get(fleet) ?? createActiveFleet(fleet)),
    async commit(fleet, version, changes, limits = []) {
      const writes = collectWrites(fleet, changes, changesPerCommit);
      const counted = counterChanges(writes.machines, (id) => state.machines.get(id));
      const refusal = refuse(state, fleet, version, writes, counted, limits);
      if (refusal !== undefined) return refusal;
      write(state, fleet, writes, counted);
      return { kind: "committed" };
    },
    addJob: async (record, job) => addJob(state, record, job),
    findJob: async (id) => state.jobs.get(id),
    findMachine: async (id) => state.machines.get(id),
    findMachineByProviderId: async (compute, providerId) =>
      state.machines.get(state.providerIds.get(providerKey(compute, providerId)) ?? ""),
    activeFleets: async () =>
      [...state.fleets.values()]
        .filter((fleet) => !isEmpty(fleet))
        .map((fleet) => fleet.id)
        .sort(inOrder),
    images: async () =>
      [...state.fleets.values()]
        .sort((left, right) => inOrder(left.id, right.id))
        .flatMap(({ record }) => record?.image ?? []),
    counters: async () => {
      state.countersNow ??= Object.fromEntries(state.counters);
      return state.countersNow;
    },
    history: async (since, limit, before) => ({
      jobs: state.endedJobs.newest(since, limit, before),
      machines: state.endedMachines.newest(since, limit, before),
    }),
    usage: async (since) => {
      const { endedJobs, endedMachines } = state;
      return usageOf(endedJobs.newest(since, noLimit), endedMachines.newest(since, noLimit), since);
    },
    recentRepositories: async (since) =>
      [...state.repositories.entries()]
        .filter(([, seen]) => seen.lastSeenAt >= since)
        .sort(([leftKey, left], [rightKey, right]) =>
          left.lastSeenAt === right.lastSeenAt
            ? inOrder(leftKey, rightKey)
            : right.lastSeenAt - left.lastSeenAt,
        )
        .map(([, seen]) => seen),
    purge: async (before) => purge(state, before),
  };
}

const noLimit = Number.MAX_SAFE_INTEGER;

interface State {
  readonly fleets: Map<FleetId, ActiveFleet>;
  /** Active and ended. */
  readonly jobs: Map<JobId, Job>;
  /** Active and ended. */
  readonly machines: Map<MachineId, Machine>;
  readonly providerIds: Map<string, MachineId>;
  readonly endedJobs: EndedList<Job>;
  readonly endedMachines: EndedList<Machine>;
  /** Those that are not zero. */
  readonly counters: Map<string, number>;
  /** The same as they were asked for, while it is still true. */
  countersNow: Readonly<Record<string, number>> | undefined;
  readonly repositories: Map<string, SeenRepository>;
}

function createState(): State {
  return {
    fleets: new Map(),
    jobs: new Map(),
    machines: new Map(),
    providerIds: new Map(),
    endedJobs: createEndedList(jobEndedAt),
    endedMachines: createEndedList(machineEndedAt),
    counters: new Map(),
    countersNow: undefined,
    repositories: new Map(),
  };
}

function refuse(
  state: State,
  fleet: FleetId,
  version: number,
  writes: Writes,
  counted: ReadonlyMap<string, number>,
  limits: readonly CounterLimit[],
): CommitResult | undefined {
  if ((state.fleets.get(fleet)?.version ?? 0) !== version) return { kind: "conflict" };
  const isElsewhere = (known: Job | Machine | undefined): boolean =>
    known !== undefined && known.fleet !== fleet;
  for (const id of writes.jobs.keys()) if (isElsewhere(state.jobs.get(id))) return { kind: "conflict" };
  for (const id of writes.machines.keys())
    if (isElsewhere(state.machines.get(id))) return { kind: "conflict" };
  const counter = passedLimit(limits, counted, (name) => state.counters.get(name) ?? 0);
  return counter === undefined ? undefined : { kind: "over-limit", counter };
}

function write(state: State, id: FleetId, writes: Writes, counted: ReadonlyMap<string, number>): void {
  for (const [counter, change] of counted) {
    state.countersNow = undefined;
    const sum = (state.counters.get(counter) ?? 0) + change;
    if (sum === 0) state.counters.delete(counter);
    else state.counters.set(counter, sum);
  }
  for (const job of writes.jobs.values()) putJob(state, job);
  for (const machine of writes.machines.values()) putMachine(state, machine);
  applyWrites(fleetOf(state, id), writes);
}

function addJob(state: State, record: FleetRecord, job: Job): "added" | "exists" {
  checkFleet(record.id, job.fleet, `job ${job.id}`);
  if (state.jobs.has(job.id)) return "exists";
  putJob(state, job);
  applyJob(fleetOf(state, record.id), record, job);
  return "added";
}

function fleetOf(state: State, id: FleetId): ActiveFleet {
  const known = state.fleets.get(id);
  if (known !== undefined) return known;
  const fleet = createActiveFleet(id);
  state.fleets.set(id, fleet);
  return fleet;
}

function putJob(state: State, job: Job): void {
  const before = state.jobs.get(job.id);
  if (before !== undefined) state.endedJobs.remove(before);
  state.jobs.set(job.id, job);
  state.endedJobs.add(job);
  const key = repositoryKey(job.repository);
  const seen = seenRepository(job);
  if (seen.lastSeenAt >= (state.repositories.get(key)?.lastSeenAt ?? 0)) state.repositories.set(key, seen);
}

function putMachine(state: State, machine: Machine): void {
  const before = state.machines.get(machine.id);
  if (before !== undefined) forgetMachine(state, before);
  state.machines.set(machine.id, machine);
  state.endedMachines.add(machine);
  if (machine.providerId === undefined) return;
  state.providerIds.set(providerKey(machine.compute, machine.providerId), machine.id);
}

function forgetMachine(state: State, machine: Machine): void {
  state.endedMachines.remove(machine);
  state.machines.delete(machine.id);
  if (machine.providerId === undefined) return;
  const key = providerKey(machine.compute, machine.providerId);
  if (state.providerIds.get(key) === machine.id) state.providerIds.delete(key);
}

function purge(state: State, before: Instant): number {
  const jobs = state.endedJobs.endedBefore(before);
  for (const job of jobs) {
    state.jobs.delete(job.id);
    state.endedJobs.remove(job);
  }
  const machines = state.endedMachines.endedBefore(before);
  for (const machine of machines) forgetMachine(state, machine);
  return jobs.length + machines.length;
}

function providerKey(compute: string, providerId: string): string {
  return `${compute} ${providerId}`;
}
