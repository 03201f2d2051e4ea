import { MayflyError } from "../../core/errors.ts";
import type { FleetId, FleetRecord, Instant, Job, Ledger, Machine } from "../../core/model.ts";
import { backoffSeconds } from "../../core/retry.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Random } from "../../ports/random.ts";
import type { CommitResult, SeenRepository, Store } from "../../ports/store.ts";
import type { AwsClient } from "../aws/client.ts";
import {
  type Condition,
  createDynamoCalls,
  type DynamoCalls,
  type DynamoWrite,
  inPartition,
} from "./dynamodb-calls.ts";
import {
  digestOf,
  type KnownEntry,
  type KnownFleet,
  knownEntry,
  planCommit,
  sightingOf,
} from "./dynamodb-commit.ts";
import {
  activeItem,
  activeSort,
  countersPartition,
  type Entry,
  endedItem,
  fleetPartition,
  homeKey,
  type Item,
  indexes,
  jobEntry,
  type Key,
  keyOf,
  machineEntry,
  number,
  numberOf,
  parseDocument,
  pointerItem,
  providerKey,
  recordItem,
  recordSort,
  repositoriesPartition,
  repositoryItem,
  text,
  textOf,
  versionSort,
} from "./dynamodb-table.ts";
import { readUsage, usageWrites } from "./dynamodb-usage.ts";
import { checkFleet, collectWrites, inOrder, repositoryKey, seenRepository, type Writes } from "./rules.ts";

export interface DynamoStoreOptions {
  readonly client: AwsClient;
  readonly table: string;
  readonly clock: Clock;
  readonly random: Random;
  /** How long the history is kept; the table's TTL clears away what `purge` did not. */
  readonly historySeconds: number;
  /** A repository's time is written again when it is older than this, and not with every job. Default 600. */
  readonly repositoryNoteSeconds?: number;
}

/**
 * The ledger in one DynamoDB table (its items: dynamodb-table.ts).
 *
 * - `commit` and `addJob` are one transaction each. `commit` needs to know which places the machines had in the
 *   counters, so it remembers of each fleet what was loaded or written last; it loads by itself where that is not
 *   the version that it is given.
 * - A query is not one look at the table: a transaction that ends meanwhile may be seen in part. `load` reads the
 *   version first, so entries that are **newer** do no harm: the commit that follows meets a newer version. Entries
 *   that are **older** would: the version item holds the number of entries and the sum of the versions that wrote
 *   them, and when these do not fit, the fleet is read again.
 * - The indexes lag behind, by less than a second as a rule. Only what the port does not promise to be consistent
 *   is read from them.
 */
export function createDynamoStore(options: DynamoStoreOptions): Store {
  const state: State = {
    ...options,
    calls: createDynamoCalls(options),
    fleets: createRecent(fleetsRemembered),
    conflicts: createRecent(fleetsRemembered),
    records: createRecent(fleetsRemembered),
    repositories: createRecent(repositoriesRemembered),
    repositoryNoteMilliseconds: (options.repositoryNoteSeconds ?? 600) * 1000,
  };
  const { calls } = state;
  return {
    changesPerCommit,
    load: (fleet) => load(state, fleet),
    commit: async (fleet, version, changes, limits = []) =>
      commit(state, fleet, version, collectWrites(fleet, changes, changesPerCommit), limits),
    addJob: (record, job) => addJob(state, record, job),
    findJob: (id) => find<Job>(calls, { kind: "job", id }),
    findMachine: (id) => find<Machine>(calls, { kind: "machine", id }),
    async findMachineByProviderId(compute, providerId) {
      const { name, partition } = indexes.provider;
      const found = await all(calls, name, inPartition(partition, providerKey(compute, providerId)));
      // A provider may use the id of a machine that has ended again, years later.
      const item = found.find((each) => each.ended === undefined) ?? found[0];
      return item === undefined ? undefined : parseDocument<Machine>(item);
    },
    async activeFleets() {
      const { name, partition } = indexes.active;
      const found = await all(calls, name, inPartition(partition, "active"));
      return [...new Set(found.map((item) => textOf(item, "fleet") ?? ""))].sort(inOrder);
    },
    async images() {
      const { name, partition } = indexes.active;
      const found = await all(calls, name, inPartition(partition, "image"));
      const fleets = found.map((item) => textOf(item, "fleet") ?? "").sort(inOrder);
      const items = await Promise.all(
        fleets.map((fleet) => calls.get(keyOf(fleetPartition(fleet), recordSort))),
      );
      return items.flatMap((item) => (item && parseDocument<FleetRecord>(item).image) ?? []);
    },
    async counters() {
      const items = await everyCounter(calls);
      const used = items.filter((item) => numberOf(item, "places") !== 0);
      return Object.fromEntries(
        used.map((item) => [textOf(item, "sk") ?? "", numberOf(item, "places") ?? 0]),
      );
    },
    async history(since, limit, before = endOfTime) {
      const span = { since, limit, before };
      const [jobs, machines] = await Promise.all([
        ended<Job>(calls, "job", span),
        ended<Machine>(calls, "machine", span),
      ]);
      return { jobs, machines };
    },
    usage: (since) => readUsage(calls, since),
    recentRepositories: (since) => recentRepositories(state, since),
    purge: (before) => purge(state, before),
  };
}

/**
 * One transaction has 100 writes at most. A change takes three at most (an entry that comes or goes takes two, and
 * may be the only one in the counter of its repository); version, record and the counters of the presets take the rest.
 */
const changesPerCommit = 30;

const endOfTime = 8.64e15;
const fleetsRemembered = 500;
const repositoriesRemembered = 5_000;

interface State extends DynamoStoreOptions {
  readonly calls: DynamoCalls;
  readonly fleets: Recent<FleetId, KnownFleet>;
  /** How many commits to a fleet have lost in a row. */
  readonly conflicts: Recent<FleetId, number>;
  /** Fleets that have a record, which they never lose. */
  readonly records: Recent<FleetId, true>;
  /** When a job of the repository was received, as far as this process has written it down. */
  readonly repositories: Recent<string, Instant>;
  readonly repositoryNoteMilliseconds: number;
}

// ----------------------------------------------------------------------------------------------- loads

const loadAttempts = 10;

async function load(state: State, fleet: FleetId): Promise<Ledger> {
  const { calls, clock, random } = state;
  for (let attempt = 1; attempt <= loadAttempts; attempt += 1) {
    const condition = inPartition("pk", fleetPartition(fleet));
    const items: Item[] = [];
    for await (const page of calls.query({ condition, consistent: true })) items.push(...page);
    const read = readFleet(fleet, items);
    if (read.isWhole) {
      state.fleets.set(fleet, read.known);
      if (read.ledger.record !== undefined) state.records.set(fleet, true);
      return read.ledger;
    }
    await clock.sleep(random.fraction() * attempt * 10);
  }
  throw new MayflyError({
    kind: "retry",
    code: "LEDGER_CONTENDED",
    message: `The ledger of fleet ${fleet} was being written each of the ${loadAttempts} times that it was read.`,
    suggestion: "Nothing was lost; the next look at the fleet tries again.",
  });
}

interface FleetRead {
  readonly ledger: Ledger;
  readonly known: KnownFleet;
  /** False: some of it is older than its version. */
  readonly isWhole: boolean;
}

function readFleet(fleet: FleetId, items: readonly Item[]): FleetRead {
  let versionItem: Item | undefined;
  let record: FleetRecord | undefined;
  const jobs: Job[] = [];
  const machines: Machine[] = [];
  const entries = new Map<string, KnownEntry>();
  for (const item of items) {
    const sort = textOf(item, "sk") ?? "";
    const at = numberOf(item, "at") ?? 0;
    if (sort === versionSort) versionItem = item;
    else if (sort === recordSort) record = parseDocument<FleetRecord>(item);
    else if (sort.startsWith("job#")) {
      const job = parseDocument<Job>(item);
      jobs.push(job);
      entries.set(sort, knownEntry(jobEntry(job), at));
    } else if (sort.startsWith("machine#")) {
      const machine = parseDocument<Machine>(item);
      machines.push(machine);
      entries.set(sort, knownEntry(machineEntry(machine), at));
    }
    // Anything else was written by a newer Mayfly, which knows what it is for.
  }
  const version = versionItem === undefined ? 0 : (numberOf(versionItem, "version") ?? 0);
  const digest = digestOf(entries.values());
  const fits =
    digest.entries === (versionItem === undefined ? 0 : numberOf(versionItem, "entries")) &&
    digest.sum === (versionItem === undefined ? 0 : numberOf(versionItem, "sum"));
  const isNewer = [...entries.values()].some(({ at }) => at > version);
  return {
    ledger: { fleet, version, record, jobs, machines },
    known: { version, entries },
    isWhole: fits || isNewer,
  };
}

const findAttempts = 5;

/** An entry may end between the two looks; then it is where the first one was. */
async function find<Value>(calls: DynamoCalls, what: Pick<Entry, "kind" | "id">): Promise<Value | undefined> {
  for (let attempt = 1; attempt <= findAttempts; attempt += 1) {
    const home = await calls.get(homeKey(what));
    if (home === undefined) return undefined;
    if (home.ended !== undefined) return parseDocument<Value>(home);
    const active = await calls.get(keyOf(fleetPartition(textOf(home, "fleet") ?? ""), activeSort(what)));
    if (active !== undefined) return parseDocument<Value>(active);
  }
  throw new MayflyError({
    kind: "operator",
    code: "STORE_DAMAGED",
    message: `The ledger's table says where ${activeSort(what)} is, and it is not there.`,
    suggestion: "Restore the table from its point-in-time recovery, or delete what was left of the item.",
  });
}

async function ended<Value>(
  calls: DynamoCalls,
  kind: Entry["kind"],
  { since, limit, before }: { readonly since: Instant; readonly limit: number; readonly before: Instant },
): Promise<readonly Value[]> {
  const found: Value[] = [];
  if (limit <= 0 || before <= since) return found;
  const { name } = indexes.ended;
  const condition = endedCondition(kind, since, before - 1);
  const pageLimit = limit < 1_000 ? { limit } : {};
  for await (const page of calls.query({ index: name, condition, newestFirst: true, ...pageLimit })) {
    for (const item of page) found.push(parseDocument<Value>(item));
    if (found.length >= limit) break;
  }
  return found.slice(0, limit);
}

/** Both are included. */
function endedCondition(kind: Entry["kind"], first: Instant, last: Instant): Condition {
  return {
    expression: "#ended = :ended AND #endedAt BETWEEN :first AND :last",
    names: ["ended", "endedAt"],
    values: { ended: text(kind), first: number(first), last: number(last) },
  };
}

async function all(calls: DynamoCalls, index: string, condition: Condition): Promise<readonly Item[]> {
  const found: Item[] = [];
  for await (const page of calls.query({ index, condition })) found.push(...page);
  return found;
}

async function everyCounter(calls: DynamoCalls): Promise<readonly Item[]> {
  const found: Item[] = [];
  const condition = inPartition("pk", countersPartition);
  for await (const page of calls.query({ condition, consistent: true })) found.push(...page);
  return found;
}

/** Also those that were seen a little earlier: their time is not written with every job. */
async function recentRepositories(state: State, since: Instant): Promise<readonly SeenRepository[]> {
  const found: SeenRepository[] = [];
  const condition = inPartition("pk", repositoriesPartition);
  for await (const page of state.calls.query({ condition, consistent: true })) {
    for (const item of page) found.push(parseDocument<SeenRepository>(item));
  }
  const recent = found.filter((seen) => seen.lastSeenAt >= since - state.repositoryNoteMilliseconds);
  return recent.sort(
    (left, right) => right.lastSeenAt - left.lastSeenAt || inOrder(repositoryKey(left), repositoryKey(right)),
  );
}

// ---------------------------------------------------------------------------------------------- writes

async function commit(
  state: State,
  fleet: FleetId,
  version: number,
  writes: Writes,
  limits: Parameters<typeof planCommit>[3],
): Promise<CommitResult> {
  const known = await knownAt(state, fleet, version);
  if (known === undefined) return { kind: "conflict" };
  const seen = [...writes.jobs.values()].filter(
    (job) => known.entries.get(activeSort(jobEntry(job)))?.sighting !== sightingOf(job),
  );
  const { historySeconds } = state;
  const corrected = await readCorrected(state, known, writes);
  const planned = planCommit(fleet, known, writes, limits, { historySeconds, corrected });
  const failed = await state.calls.transact(planned.writes);
  if (failed.length === 0) {
    state.conflicts.delete(fleet);
    state.fleets.set(fleet, planned.after);
    if (writes.record !== undefined) state.records.set(fleet, true);
    for (const job of seen) await noteRepository(state, job);
    return { kind: "committed" };
  }
  state.fleets.delete(fleet);
  const refusals = failed.map((index) => planned.refusals[index] ?? "conflict");
  const full = refusals.find((refusal) => refusal !== "conflict");
  if (full !== undefined && !refusals.includes("conflict"))
    return { kind: "over-limit", counter: full.counter };
  await letOthersCommit(state, fleet);
  return { kind: "conflict" };
}

/**
 * The machines of one launch claim within seconds, each in a process of its own, and of those that commit at the same
 * time one wins. When all others try again at once, a hundred machines make ten thousand calls, and many give up; when
 * each waits for a while that is drawn anew and grows, sixteen hundred do, and none gives up.
 */
async function letOthersCommit({ conflicts, clock, random }: State, fleet: FleetId): Promise<void> {
  const inARow = (conflicts.get(fleet) ?? 0) + 1;
  conflicts.set(fleet, inARow);
  await clock.sleep(random.fraction() * backoffSeconds(inARow, 0.05, 2) * 1000);
}

/** Undefined: the fleet has another version. */
async function knownAt(state: State, fleet: FleetId, version: number): Promise<KnownFleet | undefined> {
  let known = state.fleets.get(fleet);
  // Versions only rise.
  if (known !== undefined && known.version > version) return undefined;
  if (known?.version !== version) {
    await load(state, fleet);
    known = state.fleets.get(fleet);
  }
  return known?.version === version ? known : undefined;
}

/** What is put as ended without being known as active may be in the history already, where it was counted. */
async function readCorrected(
  { calls }: State,
  known: KnownFleet,
  { jobs, machines }: Writes,
): Promise<ReadonlyMap<string, Entry>> {
  const corrected = new Map<string, Entry>();
  for (const entry of [...[...jobs.values()].map(jobEntry), ...[...machines.values()].map(machineEntry)]) {
    const sort = activeSort(entry);
    if (entry.endedAt === undefined || known.entries.has(sort)) continue;
    const home = await calls.get(homeKey(entry));
    if (home?.ended === undefined) continue;
    const before =
      entry.kind === "job" ? jobEntry(parseDocument<Job>(home)) : machineEntry(parseDocument<Machine>(home));
    if (before.fleet === entry.fleet) corrected.set(sort, before);
  }
  return corrected;
}

async function addJob(state: State, record: FleetRecord, job: Job): Promise<"added" | "exists"> {
  checkFleet(record.id, job.fleet, `job ${job.id}`);
  const added = await addEntry(state, record, jobEntry(job));
  if (added === "added") await noteRepository(state, job);
  return added;
}

async function addEntry(state: State, record: FleetRecord, entry: Entry): Promise<"added" | "exists"> {
  const isNew = { expression: "attribute_not_exists(#pk)", names: ["pk"] };
  const writes: DynamoWrite[] =
    entry.endedAt === undefined
      ? [{ put: pointerItem(entry), condition: isNew }, { put: activeItem(entry, 0) }]
      : [
          { put: endedItem(entry, entry.endedAt, state.historySeconds), condition: isNew },
          ...usageWrites([entry], [], state.historySeconds),
        ];
  if (!(await hasRecord(state, record.id))) {
    // Many jobs of a new fleet may come at once, each with the record: one of them writes it.
    const failed = await state.calls.transact([...writes, { put: recordItem(record), condition: isNew }]);
    if (failed.includes(0)) return "exists";
    state.records.set(record.id, true);
    if (failed.length === 0) return "added";
  }
  return (await state.calls.transact(writes)).length === 0 ? "added" : "exists";
}

async function hasRecord(state: State, fleet: FleetId): Promise<boolean> {
  if (state.records.get(fleet) === true) return true;
  const found = await state.calls.get(keyOf(fleetPartition(fleet), recordSort));
  if (found !== undefined) state.records.set(fleet, true);
  return found !== undefined;
}

/** A repository has jobs by the hundred, and one item: it is written now and then, and never in a transaction. */
async function noteRepository(state: State, job: Job): Promise<void> {
  const seen = seenRepository(job);
  const key = repositoryKey(job.repository);
  const noted = state.repositories.get(key);
  if (noted !== undefined && seen.lastSeenAt < noted + state.repositoryNoteMilliseconds) return;
  await state.calls.put({
    put: repositoryItem(seen, state.historySeconds),
    condition: {
      expression: "attribute_not_exists(#pk) OR #lastSeenAt <= :lastSeenAt",
      names: ["pk", "lastSeenAt"],
      values: { lastSeenAt: number(seen.lastSeenAt) },
    },
  });
  state.repositories.set(key, seen.lastSeenAt);
}

// ----------------------------------------------------------------------------------------------- purge

async function purge(state: State, before: Instant): Promise<number> {
  let gone = 0;
  for (const kind of ["job", "machine"] as const) {
    const condition = endedCondition(kind, 0, before - 1);
    for await (const page of state.calls.query({ index: indexes.ended.name, condition })) {
      await state.calls.deleteAll(page.map(({ pk, sk }) => ({ pk, sk }) as Key));
      gone += page.length;
    }
  }
  await dropUnusedCounters(state.calls);
  return gone;
}

/** Enough in one round: counters of repositories are few beside their machines. */
const countersDroppedAtOnce = 25;

async function dropUnusedCounters(calls: DynamoCalls): Promise<void> {
  const unused = (await everyCounter(calls)).filter((item) => numberOf(item, "places") === 0);
  const stillUnused = { expression: "#places = :zero", names: ["places"], values: { zero: number(0) } };
  for (const { pk, sk } of unused.slice(0, countersDroppedAtOnce)) {
    await calls.delete({ pk, sk } as Key, stillUnused);
  }
}

// -------------------------------------------------------------------------------------------- memories

/** The entries that were set last, as many as it may hold. */
interface Recent<Name, Value> {
  get(name: Name): Value | undefined;
  set(name: Name, value: Value): void;
  delete(name: Name): void;
}

function createRecent<Name, Value>(limit: number): Recent<Name, Value> {
  const entries = new Map<Name, Value>();
  return {
    get: (name) => entries.get(name),
    set(name, value) {
      entries.delete(name);
      entries.set(name, value);
      const [oldest] = entries.size > limit ? entries.keys() : [];
      if (oldest !== undefined) entries.delete(oldest);
    },
    delete: (name) => {
      entries.delete(name);
    },
  };
}
