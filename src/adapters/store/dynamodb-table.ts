import { countersOf } from "../../core/counters.ts";
import { MayflyError } from "../../core/errors.ts";
import type { FleetId, FleetRecord, Instant, Job, JobId, Machine, MachineId } from "../../core/model.ts";
import type { SeenRepository } from "../../ports/store.ts";
import { jobEndedAt, machineEndedAt, repositoryKey } from "./rules.ts";

/*
 * The one table of the ledger. Every item has the keys `pk` and `sk`; entries are JSON in `document`, so that fields
 * which another version of Mayfly wrote survive being read and written by this one.
 *
 * | item                         | pk             | sk            | besides                                      |
 * |------------------------------|----------------|---------------|----------------------------------------------|
 * | a fleet's version            | fleet#<fleet>  | !version      | version, entries, sum (see dynamodb.ts)      |
 * | a fleet's record             | fleet#<fleet>  | record        | document; of an image: active, fleet         |
 * | an active job                | fleet#<fleet>  | job#<id>      | document, at, active, fleet                  |
 * | an active machine            | fleet#<fleet>  | machine#<id>  | document, at, active, fleet, provider        |
 * | where an active job is       | job#<id>       | job           | fleet                                        |
 * | where an active machine is   | machine#<id>   | machine       | fleet                                        |
 * | a job in the history         | job#<id>       | job           | fleet, document, ended, endedAt, expires     |
 * | a machine in the history     | machine#<id>   | machine       | the same, provider                           |
 * | a counter                    | counters       | <name>        | places                                       |
 * | a repository                 | repositories   | <owner/name>  | document, lastSeenAt, expires                |
 * | what was used in a day       | usage          | <day>#<fleet> | fleet, uses, minutes, milliseconds, usd      |
 *
 * `!version` is the first of its fleet in the order of the sort key, so that a query reads it before the entries.
 * An entry that ends moves to the key under which it could be found all along. All attributes of an index are left
 * out where there is nothing to say: an index key may not be empty.
 */

export const indexes = {
  /** Active entries by fleet; keys only. It tells which fleets have any, and, apart from them, which are images. */
  active: { name: "active", partition: "active", sort: "fleet" },
  /** Jobs, and apart from them machines, in the history, by the time of their end. */
  ended: { name: "ended", partition: "ended", sort: "endedAt" },
  /** Machines by `<compute>#<provider id>`. */
  provider: { name: "provider", partition: "provider" },
} as const;

/** What `CreateTable` is called with. The deployed table has the same keys and indexes, and TTL on `expires`. */
export function ledgerTable(name: string): Readonly<Record<string, unknown>> {
  const key = (attribute: string, type: string) => ({ AttributeName: attribute, KeyType: type });
  const { active, ended, provider } = indexes;
  return {
    TableName: name,
    BillingMode: "PAY_PER_REQUEST",
    KeySchema: [key("pk", "HASH"), key("sk", "RANGE")],
    AttributeDefinitions: [
      ...["pk", "sk", active.partition, active.sort, ended.partition, provider.partition].map(
        (AttributeName) => ({ AttributeName, AttributeType: "S" }),
      ),
      { AttributeName: ended.sort, AttributeType: "N" },
    ],
    GlobalSecondaryIndexes: [
      {
        IndexName: active.name,
        KeySchema: [key(active.partition, "HASH"), key(active.sort, "RANGE")],
        Projection: { ProjectionType: "KEYS_ONLY" },
      },
      {
        IndexName: ended.name,
        KeySchema: [key(ended.partition, "HASH"), key(ended.sort, "RANGE")],
        Projection: { ProjectionType: "ALL" },
      },
      {
        IndexName: provider.name,
        KeySchema: [key(provider.partition, "HASH")],
        Projection: { ProjectionType: "ALL" },
      },
    ],
  };
}

/** A value as DynamoDB writes it. Mayfly needs no others. */
export type Attribute = { readonly S: string } | { readonly N: string };
export type Item = Readonly<Record<string, Attribute>>;
export type Key = { readonly pk: Attribute; readonly sk: Attribute };

export function text(value: string): Attribute {
  return { S: value };
}

export function number(value: number): Attribute {
  return { N: String(value) };
}

export function textOf(item: Item, name: string): string | undefined {
  const value = item[name];
  return value !== undefined && "S" in value ? value.S : undefined;
}

export function numberOf(item: Item, name: string): number | undefined {
  const value = item[name];
  return value !== undefined && "N" in value ? Number(value.N) : undefined;
}

// ------------------------------------------------------------------------------------------------ keys

export const versionSort = "!version";
export const recordSort = "record";
export const countersPartition = "counters";
export const repositoriesPartition = "repositories";
export const usagePartition = "usage";

/** `2026-01-31#<fleet>`: the days in their order. Without a fleet: before all fleets of that day. */
export function usageSort(instant: Instant, fleet: FleetId | "" = ""): string {
  return `${new Date(instant).toISOString().slice(0, 10)}#${fleet}`;
}

export function fleetPartition(fleet: FleetId): string {
  return `fleet#${fleet}`;
}

export function keyOf(partition: string, sort: string): Key {
  return { pk: text(partition), sk: text(sort) };
}

/** A job or a machine, with what the table wants to know of it. */
export interface Entry {
  readonly kind: "job" | "machine";
  readonly id: JobId | MachineId;
  readonly fleet: FleetId;
  readonly value: Job | Machine;
  /** Undefined while it is active. */
  readonly endedAt: number | undefined;
  readonly counters: readonly string[];
  readonly provider: string | undefined;
}

export function jobEntry(job: Job): Entry {
  const { id, fleet } = job;
  return {
    kind: "job",
    id,
    fleet,
    value: job,
    endedAt: jobEndedAt(job),
    counters: [],
    provider: undefined,
  };
}

export function machineEntry(machine: Machine): Entry {
  const { id, fleet, compute, providerId } = machine;
  const provider = providerId === undefined ? undefined : providerKey(compute, providerId);
  return {
    kind: "machine",
    id,
    fleet,
    value: machine,
    endedAt: machineEndedAt(machine),
    counters: countersOf(machine),
    provider,
  };
}

export function providerKey(compute: string, providerId: string): string {
  return `${compute}#${providerId}`;
}

/** Its sort key while it is active. */
export function activeSort({ kind, id }: Pick<Entry, "kind" | "id">): string {
  return `${kind}#${id}`;
}

/** Where it can be found whatever becomes of it: the place of its history, and until then of its fleet's name. */
export function homeKey({ kind, id }: Pick<Entry, "kind" | "id">): Key {
  return keyOf(`${kind}#${id}`, kind);
}

// ----------------------------------------------------------------------------------------------- items

/** An active entry, written by the commit that made the version `at`; 0 by `addJob`, which makes none. */
export function activeItem(entry: Entry, at: number): Item {
  const { fleet, provider } = entry;
  return {
    ...keyOf(fleetPartition(fleet), activeSort(entry)),
    fleet: text(fleet),
    active: text("active"),
    at: number(at),
    ...(provider === undefined ? {} : { provider: text(provider) }),
    document: documentOf(entry.value, activeSort(entry)),
  };
}

/** What tells where an active entry is. */
export function pointerItem(entry: Entry): Item {
  return { ...homeKey(entry), fleet: text(entry.fleet) };
}

export function endedItem(entry: Entry, endedAt: number, historySeconds: number): Item {
  const { fleet, kind, provider } = entry;
  return {
    ...homeKey(entry),
    fleet: text(fleet),
    ended: text(kind),
    endedAt: number(endedAt),
    expires: expiry(endedAt, historySeconds),
    ...(provider === undefined ? {} : { provider: text(provider) }),
    document: documentOf(entry.value, activeSort(entry)),
  };
}

export function recordItem(record: FleetRecord): Item {
  const partition = fleetPartition(record.id);
  const listed: Partial<Item> =
    record.image === undefined ? {} : { active: text("image"), fleet: text(record.id) };
  return { ...keyOf(partition, recordSort), ...listed, document: documentOf(record, partition) };
}

export function repositoryItem(seen: SeenRepository, historySeconds: number): Item {
  const key = repositoryKey(seen);
  return {
    ...keyOf(repositoriesPartition, key),
    lastSeenAt: number(seen.lastSeenAt),
    expires: expiry(seen.lastSeenAt, historySeconds),
    document: documentOf(seen, key),
  };
}

/** Garbage collection for what `purge` does not get to. AWS needs up to two days for it. */
export function expiry(endedAt: number, historySeconds: number): Attribute {
  const graceSeconds = 2 * 24 * 60 * 60;
  return number(Math.ceil(endedAt / 1000) + historySeconds + graceSeconds);
}

/** An item may have 400 KB; thirty of them in one transaction, 4 MB. */
const documentLimitBytes = 120_000;

function documentOf(value: object, what: string): Attribute {
  const document = JSON.stringify(value);
  const bytes = Buffer.byteLength(document);
  if (bytes <= documentLimitBytes) return text(document);
  throw new MayflyError({
    kind: "give-up",
    code: "STORE_ENTRY_TOO_LARGE",
    message: `${what} has ${bytes} bytes, and the table takes ${documentLimitBytes}.`,
    suggestion: "Look at its labels and names: something in them is far longer than GitHub allows.",
  });
}

export function parseDocument<Value>(item: Item): Value {
  const where = `${textOf(item, "pk")} / ${textOf(item, "sk")}`;
  const document = textOf(item, "document");
  if (document === undefined) throw damaged(where, undefined);
  try {
    return JSON.parse(document) as Value;
  } catch (error) {
    throw damaged(where, error);
  }
}

function damaged(where: string, cause: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "STORE_DAMAGED",
    message: `The item ${where} of the ledger's table is none that Mayfly wrote.`,
    suggestion: "Restore the table from its point-in-time recovery, or delete the item.",
    cause,
  });
}
