import type { FleetUsage } from "../../core/cost.ts";
import type { CounterLimit } from "../../core/counters.ts";
import type { FleetId, FleetRecord, Instant, Job, Ledger, Machine } from "../../core/model.ts";
import type { CommitResult, History, SeenRepository, Store } from "../../ports/store.ts";
import type { Database, Statement } from "../sqlite/database.ts";
import { storeDamaged } from "../sqlite/errors.ts";
import {
  type ActiveFleet,
  applyJob,
  applyWrites,
  createActiveFleet,
  isEmpty,
  ledgerOf,
} from "./active-fleet.ts";
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
  sumByFleet,
  type Writes,
} from "./rules.ts";

/**
 * The ledger in SQLite, for one box. One store per database: it remembers the active entries of the fleets that
 * were loaded, which holds because nobody else writes to the file.
 *
 * All that a write does, it does within one call of `Database.write`: it reads, decides and writes without giving
 * up the thread. What it remembers is changed on the way and forgotten when the transaction is rolled back.
 */
export function createSqliteStore(database: Database): Store {
  const state: State = { statements: prepareStatements(database), fleets: new Map(), path: database.path };
  database.onRollback(() => state.fleets.clear());
  return {
    changesPerCommit,
    load: (fleet) => database.read(() => load(state, fleet)),
    async commit(fleet, version, changes, limits = []) {
      const writes = collectWrites(fleet, changes, changesPerCommit);
      return database.write(() => {
        const refusal = refuse(state, fleet, version, writes, limits);
        if (refusal !== undefined) return refusal;
        write(state, fleet, writes);
        return { kind: "committed" };
      });
    },
    async addJob(record, job) {
      checkFleet(record.id, job.fleet, `job ${job.id}`);
      return database.write(() => addJob(state, record, job));
    },
    findJob: (id) => database.read(() => decode<Job>(state, state.statements.job.get(id))),
    findMachine: (id) => database.read(() => decode<Machine>(state, state.statements.machine.get(id))),
    findMachineByProviderId: (compute, providerId) =>
      database.read(() =>
        decode<Machine>(state, state.statements.machineOfProvider.get(compute, providerId)),
      ),
    activeFleets: () =>
      database.read(() =>
        state.statements.activeFleets
          .all()
          .map((row) => row.fleet)
          .sort(inOrder),
      ),
    images: () =>
      database.read(() =>
        decodeAll<FleetRecord>(state, state.statements.imageRecords.all()).flatMap(
          ({ image }) => image ?? [],
        ),
      ),
    counters: () =>
      database.read(() =>
        Object.fromEntries(state.statements.counters.all().map((row) => [row.name, row.value])),
      ),
    history: (since, limit, before = Number.MAX_SAFE_INTEGER) =>
      database.read(() => history(state, since, limit, before)),
    usage: (since) => database.read(() => usage(state, since)),
    recentRepositories: (since) =>
      database.read(() => decodeAll<SeenRepository>(state, state.statements.repositories.all(since))),
    purge: (before) => purge(database, state, before),
  };
}

const changesPerCommit = 1_000;

interface State {
  readonly statements: Statements;
  /** Fleets whose active entries are known. One that has none is not kept. */
  readonly fleets: Map<FleetId, ActiveFleet>;
  readonly path: string;
}

// ----------------------------------------------------------------------------------------------- reads

function load(state: State, id: FleetId): Ledger {
  return ledgerOf(fleetOf(state, id));
}

function fleetOf(state: State, id: FleetId): ActiveFleet {
  const known = state.fleets.get(id);
  if (known !== undefined) return known;
  const { statements } = state;
  const fleet = createActiveFleet(id);
  const row = statements.fleet.get(id);
  if (row === undefined) return fleet;
  fleet.version = row.version;
  fleet.record = decode<FleetRecord>(state, row);
  for (const job of decodeAll<Job>(state, statements.activeJobs.all(id))) fleet.jobs.set(job.id, job);
  for (const machine of decodeAll<Machine>(state, statements.activeMachines.all(id))) {
    fleet.machines.set(machine.id, machine);
  }
  remember(state, fleet);
  return fleet;
}

function remember(state: State, fleet: ActiveFleet): void {
  if (isEmpty(fleet)) state.fleets.delete(fleet.id);
  else state.fleets.set(fleet.id, fleet);
}

function history(state: State, since: Instant, limit: number, before: Instant): History {
  const { endedJobs, endedMachines } = state.statements;
  return {
    jobs: decodeAll<Job>(state, endedJobs.all(since, before, limit)),
    machines: decodeAll<Machine>(state, endedMachines.all(since, before, limit)),
  };
}

/** From the columns alone: a day of a busy box is ten thousand documents. */
function usage({ statements }: State, since: Instant): readonly FleetUsage[] {
  return sumByFleet([...statements.jobUsage.all(since), ...statements.machineUsage.all(since, since)]);
}

interface DocumentRow {
  readonly document: string | null;
}

/** A document that is no JSON any more was damaged after it was written. */
function decode<Entry>(state: State, row: DocumentRow | undefined): Entry | undefined {
  if (row === undefined || row.document === null) return undefined;
  try {
    return JSON.parse(row.document) as Entry;
  } catch (error) {
    throw storeDamaged(state.path, error);
  }
}

function decodeAll<Entry>(state: State, rows: readonly DocumentRow[]): Entry[] {
  return rows.map((row) => decode<Entry>(state, row) as Entry);
}

// ---------------------------------------------------------------------------------------------- writes

function refuse(
  state: State,
  id: FleetId,
  version: number,
  writes: Writes,
  limits: readonly CounterLimit[],
): CommitResult | undefined {
  const { statements } = state;
  const fleet = fleetOf(state, id);
  if (fleet.version !== version) return { kind: "conflict" };
  for (const job of writes.jobs.keys()) {
    if (!fleet.jobs.has(job) && isElsewhere(statements.fleetOfJob.get(job), id)) return { kind: "conflict" };
  }
  for (const machine of writes.machines.keys()) {
    if (fleet.machines.has(machine)) continue;
    if (isElsewhere(statements.fleetOfMachine.get(machine), id)) return { kind: "conflict" };
  }
  const changes = counterChanges(writes.machines, (machine) => fleet.machines.get(machine));
  const counter = passedLimit(limits, changes, (name) => statements.counter.get(name)?.value ?? 0);
  return counter === undefined ? undefined : { kind: "over-limit", counter };
}

function isElsewhere(row: { readonly fleet: FleetId } | undefined, id: FleetId): boolean {
  return row !== undefined && row.fleet !== id;
}

function write(state: State, id: FleetId, writes: Writes): void {
  const { statements } = state;
  const fleet = fleetOf(state, id);
  for (const [counter, change] of counterChanges(writes.machines, (machine) => fleet.machines.get(machine))) {
    statements.addToCounter.run(counter, change);
    statements.dropZeroCounter.run(counter);
  }
  for (const job of writes.jobs.values()) putJob(statements, job);
  for (const machine of writes.machines.values()) putMachine(statements, machine);
  statements.putFleet.run(
    id,
    fleet.version + 1,
    writes.record === undefined ? null : JSON.stringify(writes.record),
  );
  applyWrites(fleet, writes);
  remember(state, fleet);
}

function addJob(state: State, record: FleetRecord, job: Job): "added" | "exists" {
  const { statements } = state;
  if (statements.fleetOfJob.get(job.id) !== undefined) return "exists";
  const fleet = fleetOf(state, record.id);
  if (fleet.record === undefined) statements.putFleet.run(record.id, fleet.version, JSON.stringify(record));
  putJob(statements, job);
  applyJob(fleet, record, job);
  remember(state, fleet);
  return "added";
}

function putJob(statements: Statements, job: Job): void {
  const { started = null } = job.times;
  statements.putJob.run(job.id, job.fleet, jobEndedAt(job) ?? null, started, JSON.stringify(job));
  const seen = seenRepository(job);
  statements.putRepository.run(repositoryKey(job.repository), seen.lastSeenAt, JSON.stringify(seen));
}

function putMachine(statements: Statements, machine: Machine): void {
  statements.putMachine.run(
    machine.id,
    machine.fleet,
    machine.compute,
    machine.providerId ?? null,
    machineEndedAt(machine) ?? null,
    machine.times.launched ?? null,
    machine.pricePerHourUsd ?? null,
    JSON.stringify(machine),
  );
}

/** In steps, so that a large history does not hold up everybody else. */
async function purge(database: Database, { statements }: State, before: Instant): Promise<number> {
  let gone = 0;
  for (const statement of [statements.purgeJobs, statements.purgeMachines]) {
    let step: number;
    do {
      step = await database.write(() => Number(statement.run(before, purgedAtOnce).changes));
      gone += step;
    } while (step === purgedAtOnce);
  }
  return gone;
}

const purgedAtOnce = 500;

// ------------------------------------------------------------------------------------------ statements

interface FleetRow extends DocumentRow {
  readonly version: number;
}

interface Statements {
  readonly fleet: Statement<FleetRow>;
  readonly activeJobs: Statement<DocumentRow>;
  readonly activeMachines: Statement<DocumentRow>;
  readonly job: Statement<DocumentRow>;
  readonly machine: Statement<DocumentRow>;
  readonly machineOfProvider: Statement<DocumentRow>;
  readonly fleetOfJob: Statement<{ readonly fleet: FleetId }>;
  readonly fleetOfMachine: Statement<{ readonly fleet: FleetId }>;
  readonly activeFleets: Statement<{ readonly fleet: FleetId }>;
  readonly imageRecords: Statement<DocumentRow>;
  readonly counter: Statement<{ readonly value: number }>;
  readonly counters: Statement<{ readonly name: string; readonly value: number }>;
  readonly endedJobs: Statement<DocumentRow>;
  readonly endedMachines: Statement<DocumentRow>;
  readonly jobUsage: Statement<FleetUsage>;
  readonly machineUsage: Statement<FleetUsage>;
  readonly repositories: Statement<DocumentRow>;
  readonly putFleet: Statement<never>;
  readonly putJob: Statement<never>;
  readonly putMachine: Statement<never>;
  readonly putRepository: Statement<never>;
  readonly addToCounter: Statement<never>;
  readonly dropZeroCounter: Statement<never>;
  readonly purgeJobs: Statement<never>;
  readonly purgeMachines: Statement<never>;
}

function prepareStatements(database: Database): Statements {
  return { ...prepareReads(database), ...prepareWrites(database) };
}

function prepareReads(database: Database) {
  const ended = (table: string): string =>
    `SELECT document FROM ${table} WHERE ended_at >= ? AND ended_at < ? ORDER BY ended_at DESC, id DESC LIMIT ?`;
  const active = (table: string): string =>
    `SELECT document FROM ${table} WHERE fleet = ? AND ended_at IS NULL ORDER BY rowid`;
  return {
    fleet: database.prepare<FleetRow>("SELECT version, record AS document FROM fleets WHERE id = ?"),
    activeJobs: database.prepare<DocumentRow>(active("jobs")),
    activeMachines: database.prepare<DocumentRow>(active("machines")),
    job: database.prepare<DocumentRow>("SELECT document FROM jobs WHERE id = ?"),
    machine: database.prepare<DocumentRow>("SELECT document FROM machines WHERE id = ?"),
    // A provider may use the id of a machine that has ended again, years later.
    machineOfProvider: database.prepare<DocumentRow>(
      "SELECT document FROM machines WHERE compute = ? AND provider_id = ? ORDER BY ended_at IS NOT NULL LIMIT 1",
    ),
    fleetOfJob: database.prepare<{ fleet: FleetId }>("SELECT fleet FROM jobs WHERE id = ?"),
    fleetOfMachine: database.prepare<{ fleet: FleetId }>("SELECT fleet FROM machines WHERE id = ?"),
    activeFleets: database.prepare<{ fleet: FleetId }>(
      "SELECT fleet FROM jobs WHERE ended_at IS NULL UNION SELECT fleet FROM machines WHERE ended_at IS NULL",
    ),
    // What `imageKey` gives begins with `image/`; `0` is the character after the slash.
    imageRecords: database.prepare<DocumentRow>(
      "SELECT record AS document FROM fleets WHERE id >= 'image/' AND id < 'image0' AND record IS NOT NULL ORDER BY id",
    ),
    counter: database.prepare<{ value: number }>("SELECT value FROM counters WHERE name = ?"),
    counters: database.prepare<{ name: string; value: number }>("SELECT name, value FROM counters"),
    endedJobs: database.prepare<DocumentRow>(ended("jobs")),
    endedMachines: database.prepare<DocumentRow>(ended("machines")),
    jobUsage: database.prepare<FleetUsage>(`
      SELECT fleet, sum(max(1, (ended_at - started_at + 59999) / 60000)) AS hostedMinutes, 0 AS machineSeconds,
        0 AS costUsd
      FROM jobs WHERE ended_at >= ? AND started_at IS NOT NULL GROUP BY fleet`),
    machineUsage: database.prepare<FleetUsage>(`
      SELECT fleet, 0 AS hostedMinutes, sum(milliseconds) / 1000.0 AS machineSeconds,
        total(milliseconds * price_per_hour_usd) / 3600000 AS costUsd
      FROM (
        SELECT fleet, price_per_hour_usd, max(0, ended_at - max(launched_at, ?)) AS milliseconds
        FROM machines WHERE ended_at >= ? AND launched_at IS NOT NULL
      ) GROUP BY fleet`),
    repositories: database.prepare<DocumentRow>(
      "SELECT document FROM repositories WHERE last_seen_at >= ? ORDER BY last_seen_at DESC, key",
    ),
  };
}

function prepareWrites(database: Database) {
  const purgeFrom = (table: string): string =>
    `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} WHERE ended_at < ? LIMIT ?)`;
  return {
    putFleet: database.prepare(`
      INSERT INTO fleets (id, version, record) VALUES (?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET version = excluded.version, record = coalesce(excluded.record, record)`),
    putJob: database.prepare(`
      INSERT INTO jobs (id, fleet, ended_at, started_at, document) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, started_at = excluded.started_at,
        document = excluded.document`),
    putMachine: database.prepare(`
      INSERT INTO machines
        (id, fleet, compute, provider_id, ended_at, launched_at, price_per_hour_usd, document)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET compute = excluded.compute, provider_id = excluded.provider_id,
        ended_at = excluded.ended_at, launched_at = excluded.launched_at,
        price_per_hour_usd = excluded.price_per_hour_usd, document = excluded.document`),
    putRepository: database.prepare(`
      INSERT INTO repositories (key, last_seen_at, document) VALUES (?, ?, ?)
      ON CONFLICT (key) DO UPDATE SET last_seen_at = excluded.last_seen_at, document = excluded.document
      WHERE excluded.last_seen_at >= last_seen_at`),
    addToCounter: database.prepare(`
      INSERT INTO counters (name, value) VALUES (?, ?)
      ON CONFLICT (name) DO UPDATE SET value = value + excluded.value`),
    dropZeroCounter: database.prepare("DELETE FROM counters WHERE name = ? AND value = 0"),
    purgeJobs: database.prepare(purgeFrom("jobs")),
    purgeMachines: database.prepare(purgeFrom("machines")),
  };
}
