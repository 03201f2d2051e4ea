import type { RecordedExchange } from "./recording-proxy.ts";

/** What AWS charges for, of the calls that were recorded. */
export interface AwsUsage {
  /** Units of 1 KB; those within a transaction count twice. With those of the indexes. */
  readonly dynamoWriteUnits: number;
  /** Units of 4 KB. What may lag behind costs half of one. */
  readonly dynamoReadUnits: number;
  /** Messages by the end of the queue's address. Each is also received and deleted. */
  readonly messages: Readonly<Record<string, number>>;
  /** Every call, by its action. */
  readonly calls: Readonly<Record<string, number>>;
}

type Item = Readonly<Record<string, { readonly S?: string; readonly N?: string }>>;
type Write = {
  readonly Put?: { readonly Item: Item };
  readonly Delete?: { readonly Key: Item };
  readonly Update?: { readonly Key: Item };
};

/** Counts what the exchanges after `first` have used; all before it only tell what is in the table. */
export function usageOf(exchanges: readonly RecordedExchange[], first: number): AwsUsage {
  const table = new Map<string, Item>();
  const messages: Record<string, number> = {};
  const calls: Record<string, number> = {};
  let writes = 0;
  let reads = 0;
  for (const [index, exchange] of exchanges.entries()) {
    const action = exchange.requestHeaders["x-amz-target"]?.split(".").at(-1) ?? "";
    const input = exchange.requestBody as {
      readonly TransactItems?: readonly Write[];
      readonly Item?: Item;
      readonly Key?: Item;
      readonly ConsistentRead?: boolean;
      readonly QueueUrl?: string;
    };
    const written = (write: Write): number => writeUnits(table, write);
    const isCounted = index >= first;
    let used = 0;
    if (action === "TransactWriteItems") {
      for (const write of input.TransactItems ?? []) used += written(write) + ownUnits(write);
    } else if (action === "PutItem" && input.Item !== undefined)
      used += written({ Put: { Item: input.Item } });
    else if (action === "UpdateItem" && input.Key !== undefined)
      used += written({ Update: { Key: input.Key } });
    else if (action === "DeleteItem" && input.Key !== undefined)
      used += written({ Delete: { Key: input.Key } });
    if (!isCounted) continue;
    calls[action] = (calls[action] ?? 0) + 1;
    writes += used;
    if (action === "Query" || action === "GetItem") {
      const bytes = Buffer.byteLength(JSON.stringify(exchange.responseBody ?? {}));
      reads += Math.ceil(bytes / 4096) * (input.ConsistentRead === true ? 1 : 0.5);
    }
    if (action === "SendMessage") {
      const queue = input.QueueUrl?.split("-").at(-1) ?? "";
      messages[queue] = (messages[queue] ?? 0) + 1;
    }
  }
  return { dynamoWriteUnits: writes, dynamoReadUnits: reads, messages, calls };
}

/** Of the item itself, once: a transaction pays it a second time. */
function ownUnits(write: Write): number {
  return write.Put === undefined ? 1 : kilobytes(write.Put.Item);
}

/** Of the item and of each index that it is in. */
function writeUnits(table: Map<string, Item>, write: Write): number {
  if (write.Update !== undefined) return 1;
  const key = write.Put?.Item ?? write.Delete?.Key ?? {};
  const name = `${key.pk?.S} / ${key.sk?.S}`;
  const before = table.get(name);
  const after = write.Put?.Item;
  if (after === undefined) table.delete(name);
  else table.set(name, after);
  let units = after === undefined ? (before === undefined ? 1 : kilobytes(before)) : kilobytes(after);
  // The index of what is active holds keys only: it is written when an item comes or goes.
  if ((before?.active === undefined) !== (after?.active === undefined)) units += 1;
  for (const index of ["ended", "provider"]) {
    const holds = after?.[index] !== undefined ? after : before?.[index] !== undefined ? before : undefined;
    if (holds !== undefined) units += kilobytes(holds);
  }
  return units;
}

function kilobytes(item: Item): number {
  let bytes = 0;
  for (const [name, { S = "", N = "" }] of Object.entries(item)) {
    bytes += name.length + Buffer.byteLength(S) + Math.ceil(N.length / 2);
  }
  return Math.max(1, Math.ceil(bytes / 1024));
}
