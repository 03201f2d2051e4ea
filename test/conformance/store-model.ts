import fc from "fast-check";
import { expect } from "vitest";
import type { FleetUsage } from "../../src/core/cost.ts";
import { type CounterLimit, countersOf, totalCounter } from "../../src/core/counters.ts";
import { type Change, fullName, type Job, type Ledger, type Machine } from "../../src/core/model.ts";
import type { CommitResult, Store } from "../../src/ports/store.ts";
import { fleetRecord, job, machine, repository, start } from "../builders.ts";
import type { StoreHarness } from "./store.ts";

export type Operation =
  | { readonly kind: "add"; readonly job: Job }
  | {
      readonly kind: "commit";
      readonly fleet: string;
      /** How many versions behind the newest one the caller is. */
      readonly behind: number;
      readonly changes: readonly Change[];
      readonly limits: readonly CounterLimit[];
    }
  | { readonly kind: "purge"; readonly before: number }
  | { readonly kind: "reopen" };

const fleets = ["fleet-a", "fleet-b"];
const jobIds = [1, 2, 3, 4, 5, 6];
const machineIds = ["mayfly-1", "mayfly-2", "mayfly-3", "mayfly-4", "mayfly-5"];
const repositories = ["app", "site", "tool"];

const instant = fc.integer({ min: 0, max: 9 }).map((step) => start + step);

function jobsOf(fleet: string): fc.Arbitrary<Job> {
  return fc
    .record({
      id: fc.constantFrom(...jobIds),
      state: fc.constantFrom("waiting", "queued", "running", "done"),
      name: fc.constantFrom(...repositories),
      received: instant,
      started: fc.option(instant, { nil: undefined }),
      completed: instant,
    })
    .map(({ id, state, name, received, started, completed }) =>
      job({
        id,
        fleet,
        state,
        repository: repository({ name }),
        times:
          state === "done"
            ? { received, completed, ...(started !== undefined && { started }) }
            : { received },
      }),
    );
}

function machinesOf(fleet: string): fc.Arbitrary<Machine> {
  const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
  return fc
    .record({
      id: fc.constantFrom(...machineIds),
      state: fc.constantFrom("requested", "launched", "registered", "ended"),
      preset: fc.constantFrom("linux-x64", "linux-arm64"),
      bound: fc.option(fc.constantFrom(...repositories), { nil: undefined }),
      price: fc.option(fc.nat(9), { nil: undefined }),
      launched: fc.option(instant, { nil: undefined }),
      ended: instant,
    })
    .map(({ id, state, preset, bound, price, launched, ended }) =>
      machine({
        id,
        fleet,
        state,
        preset,
        ...(state === "requested" ? {} : { providerId: `provider-of-${id}` }),
        ...(bound === undefined
          ? {}
          : { binding: { jobId: 1, repository: `acme/${bound}`, scope, labels: [] } }),
        ...(price !== undefined && { pricePerHourUsd: price }),
        times: {
          ...(launched !== undefined && { launched }),
          ...(state === "ended" && { ended }),
        },
      }),
    );
}

function changesOf(fleet: string): fc.Arbitrary<Change[]> {
  return fc.array(
    fc.oneof(
      jobsOf(fleet).map((each): Change => ({ put: "job", job: each })),
      machinesOf(fleet).map((each): Change => ({ put: "machine", machine: each })),
      fc
        .nat(3)
        .map((cpu): Change => ({ put: "fleet", record: fleetRecord({ id: fleet, options: { cpu } }) })),
    ),
    { maxLength: 4 },
  );
}

const limit: fc.Arbitrary<CounterLimit> = fc.record({
  counter: fc.constantFrom(totalCounter, "preset:linux-x64", "repository:acme/app"),
  max: fc.nat(3),
});

const operation: fc.Arbitrary<Operation> = fc.constantFrom(...fleets).chain((fleet) =>
  fc.oneof(
    { weight: 3, arbitrary: jobsOf(fleet).map((each): Operation => ({ kind: "add", job: each })) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("commit" as const),
        fleet: fc.constant(fleet),
        behind: fc.constantFrom(0, 0, 0, 1),
        changes: changesOf(fleet),
        limits: fc.array(limit, { maxLength: 1 }),
      }),
    },
    { weight: 1, arbitrary: instant.map((before): Operation => ({ kind: "purge", before })) },
    { weight: 1, arbitrary: fc.constant<Operation>({ kind: "reopen" }) },
  ),
);

export const operations = fc.array(operation, { minLength: 1, maxLength: 25 });

/** Runs the operations on the store and on the model, and compares all that can be seen after each. */
export async function checkAgainstModel(
  harness: StoreHarness,
  sequence: readonly Operation[],
): Promise<void> {
  const model = createModel();
  let { store } = harness;
  let purged = false;
  for (const each of sequence) {
    if (each.kind === "add") {
      expect(await store.addJob(fleetRecord({ id: each.job.fleet }), each.job)).toBe(addJob(model, each.job));
    } else if (each.kind === "commit") {
      const version = (model.versions.get(each.fleet) ?? 0) - each.behind;
      const changes = each.changes.filter((change) => !revives(model, change));
      const result = await store.commit(each.fleet, version, changes, each.limits);
      expect(result).toEqual(commit(model, each.fleet, version, changes, each.limits));
    } else if (each.kind === "purge") {
      expect(await store.purge(each.before)).toBe(purge(model, each.before));
      purged = true;
    } else if (harness.reopen !== undefined) {
      store = await harness.reopen();
    }
    const [seen, expected] = [await lookAt(store), lookAtModel(model)];
    // What of a day has been purged may still be in its sums.
    expect(purged ? { ...seen, usage: expected.usage } : seen).toEqual(expected);
  }
}

// ----------------------------------------------------------------------------------------------- model

interface Model {
  readonly versions: Map<string, number>;
  readonly records: Map<string, Ledger["record"]>;
  readonly jobs: Map<number, Job>;
  readonly machines: Map<string, Machine>;
  /** Every job as it was received, for the repositories. */
  readonly received: Job[];
}

function createModel(): Model {
  return { versions: new Map(), records: new Map(), jobs: new Map(), machines: new Map(), received: [] };
}

function addJob(model: Model, added: Job): "added" | "exists" {
  if (model.jobs.has(added.id)) return "exists";
  model.jobs.set(added.id, added);
  model.received.push(added);
  if (!model.records.has(added.fleet)) model.records.set(added.fleet, fleetRecord({ id: added.fleet }));
  return "added";
}

/** The state tables let nothing come back that has ended, so the store need not either. */
function revives(model: Model, change: Change): boolean {
  if (change.put === "job") return isDone(model.jobs.get(change.job.id)) && !isDone(change.job);
  if (change.put === "machine")
    return isEnded(model.machines.get(change.machine.id)) && !isEnded(change.machine);
  return false;
}

function commit(
  model: Model,
  fleet: string,
  version: number,
  changes: readonly Change[],
  limits: readonly CounterLimit[],
): CommitResult {
  if ((model.versions.get(fleet) ?? 0) !== version) return { kind: "conflict" };
  const after: Model = { ...model, jobs: new Map(model.jobs), machines: new Map(model.machines) };
  for (const change of changes) {
    if (change.put === "fleet") continue;
    const [known, put] =
      change.put === "job"
        ? [model.jobs.get(change.job.id), change.job]
        : [model.machines.get(change.machine.id), change.machine];
    if (known !== undefined && known.fleet !== put.fleet) return { kind: "conflict" };
    if (change.put === "job") after.jobs.set(change.job.id, change.job);
    else after.machines.set(change.machine.id, change.machine);
  }
  const sumsBefore = sums(model);
  const sumsAfter = sums(after);
  for (const { counter, max } of limits) {
    const sum = sumsAfter[counter] ?? 0;
    if (sum > (sumsBefore[counter] ?? 0) && sum > max) return { kind: "over-limit", counter };
  }
  for (const change of changes) {
    if (change.put === "fleet") model.records.set(fleet, change.record);
    else if (change.put === "machine") model.machines.set(change.machine.id, change.machine);
  }
  // Where a commit puts a job twice, only the last one was ever written.
  for (const put of new Map(
    changes.flatMap((each) => (each.put === "job" ? [[each.job.id, each.job]] : [])),
  ).values()) {
    model.jobs.set(put.id, put);
    model.received.push(put);
  }
  model.versions.set(fleet, version + 1);
  return { kind: "committed" };
}

function purge(model: Model, before: number): number {
  let gone = 0;
  for (const each of [...model.jobs.values()]) {
    if (isDone(each) && Number(each.times.completed) < before && model.jobs.delete(each.id)) gone += 1;
  }
  for (const each of [...model.machines.values()]) {
    if (isEnded(each) && Number(each.times.ended) < before && model.machines.delete(each.id)) gone += 1;
  }
  return gone;
}

function sums(model: Model): Record<string, number> {
  const found: Record<string, number> = {};
  for (const each of model.machines.values()) {
    for (const counter of countersOf(each)) found[counter] = (found[counter] ?? 0) + 1;
  }
  return found;
}

function isDone(each: Job | undefined): boolean {
  return each?.state === "done";
}

function isEnded(each: Machine | undefined): boolean {
  return each?.state === "ended";
}

// ---------------------------------------------------------------------------------- what can be seen

/** All that the store can be asked, with sorted lists where the contract leaves the order open. */
async function lookAt(store: Store) {
  const { jobs, machines } = await store.history(0, 1_000);
  expect(jobs.map((each) => each.times.completed)).toEqual(
    newestFirst(jobs.map((each) => each.times.completed)),
  );
  expect(machines.map((each) => each.times.ended)).toEqual(
    newestFirst(machines.map((each) => each.times.ended)),
  );
  const ledgers = await Promise.all(fleets.map((fleet) => store.load(fleet)));
  return {
    ledgers: ledgers.map((each) => ({ ...each, jobs: byId(each.jobs), machines: byId(each.machines) })),
    jobs: await Promise.all(jobIds.map((id) => store.findJob(id))),
    machines: await Promise.all(machineIds.map((id) => store.findMachine(id))),
    providers: await Promise.all(
      machineIds.map(async (id) => (await store.findMachineByProviderId("memory", `provider-of-${id}`))?.id),
    ),
    activeFleets: [...(await store.activeFleets())].sort(),
    counters: await store.counters(),
    history: { jobs: byId(jobs), machines: byId(machines) },
    usage: rounded(await store.usage(start)),
    recent: byId((await store.recentRepositories(start + 5)).map((each) => ({ ...each, id: each.name }))),
  };
}

function lookAtModel(model: Model): Awaited<ReturnType<typeof lookAt>> {
  const jobs = [...model.jobs.values()];
  const machines = [...model.machines.values()];
  const activeJobs = jobs.filter((each) => !isDone(each));
  const activeMachines = machines.filter((each) => !isEnded(each));
  return {
    ledgers: fleets.map((fleet) => ({
      fleet,
      version: model.versions.get(fleet) ?? 0,
      record: model.records.get(fleet),
      jobs: byId(activeJobs.filter((each) => each.fleet === fleet)),
      machines: byId(activeMachines.filter((each) => each.fleet === fleet)),
    })),
    jobs: jobIds.map((id) => model.jobs.get(id)),
    machines: machineIds.map((id) => model.machines.get(id)),
    providers: machineIds.map((id) => (model.machines.get(id)?.providerId === undefined ? undefined : id)),
    activeFleets: fleets.filter((fleet) =>
      [...activeJobs, ...activeMachines].some((each) => each.fleet === fleet),
    ),
    counters: sums(model),
    history: { jobs: byId(jobs.filter(isDone)), machines: byId(machines.filter(isEnded)) },
    usage: rounded(fleets.flatMap((fleet) => usageOf(model, fleet, start))),
    recent: byId(recentRepositories(model, start + 5).map((each) => ({ ...each, id: each.name }))),
  };
}

function usageOf(model: Model, fleet: string, since: number): readonly FleetUsage[] {
  const jobs = [...model.jobs.values()].filter(
    ({ fleet: own, state, times }) =>
      own === fleet && state === "done" && times.started !== undefined && times.completed! >= since,
  );
  const machines = [...model.machines.values()].filter(
    ({ fleet: own, state, times }) =>
      own === fleet && state === "ended" && times.launched !== undefined && times.ended! >= since,
  );
  if (jobs.length + machines.length === 0) return [];
  let [machineSeconds, costUsd] = [0, 0];
  for (const { times, pricePerHourUsd = 0 } of machines) {
    const seconds = Math.max(0, times.ended! - Math.max(times.launched!, since)) / 1_000;
    machineSeconds += seconds;
    costUsd += (seconds * pricePerHourUsd) / 3_600;
  }
  // All jobs of this model take less than a minute.
  return [{ fleet, hostedMinutes: jobs.length, machineSeconds, costUsd }];
}

/** Sums in another order differ in their last digit. */
function rounded(usages: readonly FleetUsage[]): readonly FleetUsage[] {
  return usages.map((usage) => ({
    ...usage,
    machineSeconds: Math.round(usage.machineSeconds * 1e6),
    costUsd: Math.round(usage.costUsd * 1e9),
  }));
}

function recentRepositories(model: Model, since: number) {
  return repositories.flatMap((name) => {
    const seen = model.received.filter((each) => fullName(each.repository) === `acme/${name}`);
    const lastSeenAt = Math.max(...seen.map((each) => each.times.received));
    return lastSeenAt >= since ? [{ ...repository({ name }), installationId: 7, lastSeenAt }] : [];
  });
}

function byId<Entry extends { readonly id: string | number }>(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((left, right) => (left.id < right.id ? -1 : 1));
}

function newestFirst(instants: readonly (number | undefined)[]): (number | undefined)[] {
  return [...instants].sort((left, right) => Number(right) - Number(left));
}
