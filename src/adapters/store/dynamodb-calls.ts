import { MayflyError } from "../../core/errors.ts";
import { backoffSeconds } from "../../core/retry.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Random } from "../../ports/random.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";
import { type Attribute, type Item, type Key, number, text } from "./dynamodb-table.ts";

/** The few calls of DynamoDB that the ledger is made of, on one table. */
export interface DynamoCalls {
  /** Consistent: every write is seen that was answered before the call. */
  get(key: Key): Promise<Item | undefined>;
  /** The items, page by page, in the order of the sort key. Stops asking when the caller stops reading. */
  query(query: DynamoQuery): AsyncIterable<readonly Item[]>;
  /** False: its condition does not hold, and nothing was written. */
  put(write: DynamoPut): Promise<boolean>;
  /** False: its condition does not hold, and nothing was deleted. */
  delete(key: Key, condition: Condition): Promise<boolean>;
  deleteAll(keys: readonly Key[]): Promise<void>;
  /**
   * All or nothing. The places in the list of the writes whose condition does not hold; an empty list when
   * everything was written. Writes that collide with another transaction are repeated.
   */
  transact(writes: readonly DynamoWrite[]): Promise<readonly number[]>;
}

/** The names in an expression are those of its values: `#at = :at`, with `at` from the values or the names. */
export interface Condition {
  readonly expression: string;
  readonly names: readonly string[];
  readonly values?: Readonly<Record<string, Attribute>>;
}

export interface DynamoPut {
  readonly put: Item;
  readonly condition?: Condition;
}

export type DynamoWrite = DynamoPut | { readonly delete: Key } | DynamoAdd;

/** Adds to numbers, which are 0 when they are not there, and sets what is not a sum. */
export interface DynamoAdd {
  readonly key: Key;
  readonly add: Readonly<Record<string, number>>;
  readonly set?: Readonly<Record<string, Attribute>>;
  readonly condition?: Condition;
}

export interface DynamoQuery {
  readonly index?: string;
  readonly condition: Condition;
  readonly consistent?: true;
  readonly newestFirst?: true;
  readonly limit?: number;
}

export interface DynamoCallsOptions {
  readonly client: AwsClient;
  readonly table: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** What one `TransactWriteItems` takes. */
export const writesPerTransaction = 100;
const deletesPerCall = 25;
/** Collisions last as long as the other transaction, some milliseconds. */
const collisionAttempts = 12;

export function createDynamoCalls(options: DynamoCallsOptions): DynamoCalls {
  const { table, random } = options;
  const call = <Answer>(action: string, input: Readonly<Record<string, unknown>>): Promise<Answer> =>
    callJson<Answer>(options.client, {
      service: "dynamodb",
      action,
      resource: `table ${table}`,
      input,
    });
  /** Single writes, too, meet transactions on the same item. */
  const write = (action: string, input: Readonly<Record<string, unknown>>): Promise<boolean> =>
    untilFree(options, async () => {
      try {
        await call(action, { TableName: table, ...input });
        return true;
      } catch (error) {
        if (isRefusal(error, "ConditionalCheckFailedException")) return false;
        if (isRefusal(error, "TransactionConflictException")) return undefined;
        throw error;
      }
    });

  return {
    async get(key) {
      const input = { TableName: table, Key: key, ConsistentRead: true };
      return (await call<{ Item?: Item }>("GetItem", input)).Item;
    },
    query: (query) => pages(call, table, query),
    put: ({ put, condition }) => write("PutItem", { Item: put, ...conditionInput(condition) }),
    delete: (key, condition) => write("DeleteItem", { Key: key, ...conditionInput(condition) }),
    deleteAll: (keys) => deleteAll(options, call, keys),
    async transact(writes) {
      // The same for every repetition: DynamoDB answers a transaction that it has done with the same answer again.
      const token = Buffer.from(random.bytes(16)).toString("hex");
      const TransactItems = writes.map((each) => writeInput(table, each));
      return await untilFree(options, async () => {
        try {
          await call("TransactWriteItems", { TransactItems, ClientRequestToken: token });
          return [];
        } catch (error) {
          if (isRefusal(error, "TransactionCanceledException")) return cancelled(error);
          if (isRefusal(error, "TransactionInProgressException")) return undefined;
          throw error;
        }
      });
    },
  };
}

type Call = <Answer>(action: string, input: Readonly<Record<string, unknown>>) => Promise<Answer>;

async function* pages(call: Call, table: string, query: DynamoQuery): AsyncGenerator<readonly Item[]> {
  const { expression, names, values } = query.condition;
  let start: unknown;
  do {
    const answer = await call<{ Items?: readonly Item[]; LastEvaluatedKey?: unknown }>("Query", {
      TableName: table,
      KeyConditionExpression: expression,
      ...expressionInput(names, values),
      ...(query.index === undefined ? {} : { IndexName: query.index }),
      ...(query.consistent === true ? { ConsistentRead: true } : {}),
      ...(query.newestFirst === true ? { ScanIndexForward: false } : {}),
      ...(query.limit === undefined ? {} : { Limit: query.limit }),
      ...(start === undefined ? {} : { ExclusiveStartKey: start }),
    });
    yield answer.Items ?? [];
    start = answer.LastEvaluatedKey;
  } while (start !== undefined);
}

async function deleteAll(options: DynamoCallsOptions, call: Call, keys: readonly Key[]): Promise<void> {
  for (let from = 0; from < keys.length; from += deletesPerCall) {
    let left: unknown[] = keys.slice(from, from + deletesPerCall).map((Key) => ({ DeleteRequest: { Key } }));
    await untilFree(options, async () => {
      const answer = await call<{ UnprocessedItems?: Record<string, unknown[]> }>("BatchWriteItem", {
        RequestItems: { [options.table]: left },
      });
      left = answer.UnprocessedItems?.[options.table] ?? [];
      return left.length === 0 ? true : undefined;
    });
  }
}

// ------------------------------------------------------------------------------------------ collisions

/** Repeats what answers `undefined` because something else has the items just now. */
async function untilFree<Answer>(
  { clock, random, table }: DynamoCallsOptions,
  attempt: () => Promise<Answer | undefined>,
): Promise<Answer> {
  for (let count = 1; count <= collisionAttempts; count += 1) {
    const answer = await attempt();
    if (answer !== undefined) return answer;
    await clock.sleep(random.fraction() * backoffSeconds(count, 0.02, 1) * 1000);
  }
  throw new MayflyError({
    kind: "retry",
    code: "STORE_COLLISIONS",
    message: `Writes to the table ${table} collided with others, or were throttled, ${collisionAttempts} times.`,
    suggestion:
      "Nothing was written, and it is tried again. If it stays, look at the table's throttled requests.",
  });
}

function isRefusal(error: unknown, awsCode: string): error is AwsError {
  return error instanceof AwsError && error.awsCode === awsCode;
}

/** Why a transaction was cancelled, one code for each of its writes. A condition outweighs what would be repeated. */
function cancelled(error: AwsError): readonly number[] | undefined {
  const reasons = (error.details.CancellationReasons ?? []) as readonly { readonly Code?: string }[];
  const codes = reasons.map((reason) => reason.Code ?? "None");
  const failed = codes.flatMap((code, index) => (code === "ConditionalCheckFailed" ? [index] : []));
  if (failed.length > 0) return failed;
  if (codes.some((code) => repeatable.has(code))) return undefined;
  throw error;
}

const repeatable: ReadonlySet<string> = new Set([
  ...["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"],
]);

// --------------------------------------------------------------------------------------------- inputs

function writeInput(table: string, write: DynamoWrite): Readonly<Record<string, unknown>> {
  if ("put" in write) {
    return { Put: { TableName: table, Item: write.put, ...conditionInput(write.condition) } };
  }
  if ("delete" in write) return { Delete: { TableName: table, Key: write.delete } };
  return { Update: { TableName: table, ...updateInput(write) } };
}

function updateInput({ key, add, set = {}, condition }: DynamoAdd): Readonly<Record<string, unknown>> {
  const { expression, names = [], values = {} } = condition ?? {};
  const added = Object.keys(add).map((name) => `#${name} :${name}`);
  const fixed = Object.keys(set).map((name) => `#${name} = :${name}`);
  const changes = Object.entries(add).map(([name, change]) => [name, number(change)]);
  return {
    Key: key,
    UpdateExpression: `ADD ${added.join(", ")}${fixed.length === 0 ? "" : ` SET ${fixed.join(", ")}`}`,
    ...(expression === undefined ? {} : { ConditionExpression: expression }),
    ...expressionInput([...new Set([...names, ...Object.keys(add), ...Object.keys(set)])], {
      ...values,
      ...set,
      ...Object.fromEntries(changes),
    }),
  };
}

function conditionInput(condition: Condition | undefined): Readonly<Record<string, unknown>> {
  if (condition === undefined) return {};
  const { expression, names, values } = condition;
  return { ConditionExpression: expression, ...expressionInput(names, values) };
}

/** Every name is written as `#name`, because DynamoDB reserves hundreds of words. */
function expressionInput(
  names: readonly string[],
  values: Readonly<Record<string, Attribute>> = {},
): Readonly<Record<string, unknown>> {
  const withColon = Object.entries(values).map(([name, value]) => [`:${name}`, value]);
  return {
    ExpressionAttributeNames: Object.fromEntries(names.map((name) => [`#${name}`, name])),
    ...(withColon.length === 0 ? {} : { ExpressionAttributeValues: Object.fromEntries(withColon) }),
  };
}

/** All items of one partition. */
export function inPartition(attribute: string, partition: string): Condition {
  return {
    expression: `#${attribute} = :${attribute}`,
    names: [attribute],
    values: { [attribute]: text(partition) },
  };
}
