import type { CounterLimit } from "../../core/counters.ts";
import type { FleetId, Job } from "../../core/model.ts";
import type { Condition, DynamoWrite } from "./dynamodb-calls.ts";
import {
  activeItem,
  activeSort,
  countersPartition,
  type Entry,
  endedItem,
  fleetPartition,
  type Item,
  jobEntry,
  keyOf,
  machineEntry,
  number,
  pointerItem,
  recordItem,
  text,
  versionSort,
} from "./dynamodb-table.ts";
import { usageWrites } from "./dynamodb-usage.ts";
import { repositoryKey, type Writes } from "./rules.ts";

/** What this process knows of a fleet's active entries as they were at one version. */
export interface KnownFleet {
  readonly version: number;
  /** By the sort key. */
  readonly entries: ReadonlyMap<string, KnownEntry>;
}

export interface KnownEntry {
  /** The version that wrote it; 0: `addJob` did. */
  readonly at: number;
  /** Counters in which it occupies a place. */
  readonly counters: readonly string[];
  /** Of a job: which repository, and when. */
  readonly sighting: string | undefined;
}

/** A commit as one transaction. */
export interface CommitWrites {
  readonly writes: readonly DynamoWrite[];
  /** For each write, what it means when its condition does not hold: a conflict, or the counter that is full. */
  readonly refusals: readonly ("conflict" | { readonly counter: string })[];
  /** What is known when it was written. */
  readonly after: KnownFleet;
}

export interface CommitContext {
  readonly historySeconds: number;
  /** Entries of the history that are put again, as they were, by their sort key while they were active. */
  readonly corrected?: ReadonlyMap<string, Entry>;
}

/** Without a version item, a fleet has version 0: jobs may have been added, and nothing was ever committed. */
export function planCommit(
  fleet: FleetId,
  known: KnownFleet,
  writes: Writes,
  limits: readonly CounterLimit[],
  { historySeconds, corrected = new Map() }: CommitContext,
): CommitWrites {
  const next = known.version + 1;
  const entries = new Map(known.entries);
  const planned: [DynamoWrite, CommitWrites["refusals"][number]][] = [];
  const changes = new Map<string, number>();
  const count = (counters: readonly string[], step: number): void => {
    for (const counter of counters) changes.set(counter, (changes.get(counter) ?? 0) + step);
  };
  const put = [
    ...[...writes.jobs.values()].map(jobEntry),
    ...[...writes.machines.values()].map(machineEntry),
  ];
  for (const entry of put) {
    const sort = activeSort(entry);
    const before = entries.get(sort);
    count(before?.counters ?? [], -1);
    count(entry.counters, 1);
    for (const write of entryWrites(entry, before !== undefined, next, historySeconds)) {
      planned.push([write, "conflict"]);
    }
    if (entry.endedAt === undefined) entries.set(sort, knownEntry(entry, next));
    else entries.delete(sort);
  }
  const ended = put.filter((entry) => entry.endedAt !== undefined);
  const before = ended.flatMap((entry) => corrected.get(activeSort(entry)) ?? []);
  for (const write of usageWrites(ended, before, historySeconds)) planned.push([write, "conflict"]);
  for (const [counter, change] of changes) {
    if (change !== 0) planned.push([counterWrite(counter, change, limits), { counter }]);
  }
  if (writes.record !== undefined) planned.unshift([{ put: recordItem(writes.record) }, "conflict"]);
  const after = { version: next, entries };
  planned.unshift([{ put: versionItem(fleet, after), condition: isVersion(known.version) }, "conflict"]);
  return { writes: planned.map(([write]) => write), refusals: planned.map(([, refusal]) => refusal), after };
}

/** One write for an entry that is known and stays; two for one that comes or goes. */
function entryWrites(
  entry: Entry,
  isKnown: boolean,
  at: number,
  historySeconds: number,
): readonly DynamoWrite[] {
  const isOurs: Condition = {
    expression: "attribute_not_exists(#pk) OR #fleet = :fleet",
    names: ["pk", "fleet"],
    values: { fleet: text(entry.fleet) },
  };
  if (entry.endedAt === undefined) {
    const active: DynamoWrite = { put: activeItem(entry, at) };
    return isKnown ? [active] : [active, { put: pointerItem(entry), condition: isOurs }];
  }
  const ended: DynamoWrite = { put: endedItem(entry, entry.endedAt, historySeconds), condition: isOurs };
  // A job may have been added since the ledger was loaded; a machine cannot have come without a commit.
  if (!isKnown && entry.kind === "machine") return [ended];
  return [ended, { delete: keyOf(fleetPartition(entry.fleet), activeSort(entry)) }];
}

function counterWrite(counter: string, change: number, limits: readonly CounterLimit[]): DynamoWrite {
  const key = keyOf(countersPartition, counter);
  const limit = change > 0 ? limits.find((each) => each.counter === counter) : undefined;
  const add = { places: change };
  if (limit === undefined) return { key, add };
  const room = limit.max - change;
  // A counter that was never used is not there; that it is not must not make room where there is none.
  const expression = room < 0 ? "#places <= :room" : "attribute_not_exists(#places) OR #places <= :room";
  return {
    key,
    add,
    condition: { expression, names: ["places"], values: { room: number(room) } },
  };
}

function isVersion(version: number): Condition {
  if (version === 0) return { expression: "attribute_not_exists(#pk)", names: ["pk"] };
  return { expression: "#version = :version", names: ["version"], values: { version: number(version) } };
}

function versionItem(fleet: FleetId, known: KnownFleet): Item {
  const { entries, sum } = digestOf(known.entries.values());
  return {
    ...keyOf(fleetPartition(fleet), versionSort),
    version: number(known.version),
    entries: number(entries),
    sum: number(sum),
  };
}

/** Entries that commits wrote, and the sum of their versions: it differs wherever an entry is older or missing. */
export function digestOf(known: Iterable<KnownEntry>): { readonly entries: number; readonly sum: number } {
  let entries = 0;
  let sum = 0;
  for (const { at } of known) {
    if (at > 0) entries += 1;
    sum += at;
  }
  return { entries, sum };
}

export function knownEntry({ value, counters }: Entry, at: number): KnownEntry {
  return { at, counters, sighting: "repository" in value ? sightingOf(value) : undefined };
}

/** Whether a job tells anything new of its repository. */
export function sightingOf({ repository, times }: Job): string {
  return `${repositoryKey(repository)} ${times.received}`;
}
