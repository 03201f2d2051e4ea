import type { Log } from "../../ports/log.ts";
import type { QueueReceiver } from "../../ports/queue.ts";

/** What is used of an event of SQS. */
export interface SqsEvent {
  readonly Records: readonly SqsRecord[];
}

export interface SqsRecord {
  readonly messageId: string;
  readonly receiptHandle: string;
  readonly body: string;
  readonly attributes?: { readonly ApproximateReceiveCount?: string };
}

/** The messages that come again; all others are done and are deleted from the queue. */
export interface SqsAnswer {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
}

export interface BatchOptions<Message> {
  readonly name: string;
  readonly log: Log;
  /** Throws when the body is no message. Such a one fails alone, and is a dead letter in the end. */
  readonly read: (body: string) => Message;
  /**
   * Messages of one group are dealt with by one call. Where that fails, `separately` deals with each by itself, so that
   * only those come again that fail alone; without it they all come again, for what is one piece of work anyway.
   */
  readonly groupOf: (message: Message, record: SqsRecord) => string;
  readonly handle: (group: string, messages: readonly Message[]) => Promise<void>;
  readonly separately?: true;
  /** Makes failed messages visible at the right time; otherwise they would stay away as long as a whole batch may take. */
  readonly release: QueueReceiver<Message>["release"];
  /** Groups that are worked on at the same time. */
  readonly concurrency: number;
  /** Until the function is killed. */
  readonly remainingMilliseconds: () => number;
  /** Nothing is begun when less time than this is left: it goes back to the queue at once. */
  readonly reserveMilliseconds: number;
}

const retryLimitSeconds = 300;

/**
 * Deals with a batch of messages. A message that fails comes again by itself, later each time, and takes none of its
 * neighbours with it; what there is no time for comes again at once, for another invocation.
 */
export async function dealWithBatch<Message>(
  event: SqsEvent,
  options: BatchOptions<Message>,
): Promise<SqsAnswer> {
  const failed: Failure[] = [];
  const groups = readGroups(event, options, failed);
  const work = async (): Promise<void> => {
    for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
      failed.push(...(await dealWithGroup(group, options)));
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, work));
  await Promise.all(failed.map((failure) => giveBack(failure, options)));
  return { batchItemFailures: failed.map(({ record }) => ({ itemIdentifier: record.messageId })) };
}

interface Group<Message> {
  readonly key: string;
  readonly records: SqsRecord[];
  readonly messages: Message[];
}

interface Failure {
  readonly record: SqsRecord;
  readonly againSeconds: number;
}

function readGroups<Message>(
  event: SqsEvent,
  options: BatchOptions<Message>,
  failed: Failure[],
): Group<Message>[] {
  const groups = new Map<string, Group<Message>>();
  for (const record of event.Records) {
    try {
      const message = options.read(record.body);
      const key = options.groupOf(message, record);
      const group = groups.get(key) ?? { key, records: [], messages: [] };
      groups.set(key, group);
      group.records.push(record);
      group.messages.push(message);
    } catch (error) {
      options.log.error("A message cannot be read.", {
        stage: options.name,
        messageId: record.messageId,
        error,
      });
      failed.push({ record, againSeconds: pauseAfter(record) });
    }
  }
  return [...groups.values()];
}

async function dealWithGroup<Message>(
  group: Group<Message>,
  options: BatchOptions<Message>,
): Promise<readonly Failure[]> {
  const { key, records, messages } = group;
  const { handle, log, name, remainingMilliseconds, reserveMilliseconds } = options;
  if (remainingMilliseconds() < reserveMilliseconds) {
    log.warn("There is no time left for these messages; another invocation takes them.", {
      stage: name,
      messages: records.length,
    });
    return records.map((record) => ({ record, againSeconds: 0 }));
  }
  try {
    await handle(key, messages);
    return [];
  } catch (error) {
    if (options.separately === true && records.length > 1) {
      log.warn("Messages could not be dealt with together.", {
        stage: name,
        messages: records.length,
        error,
      });
      return dealWithEach(group, options);
    }
    log.error("A message could not be dealt with and is tried again.", {
      stage: name,
      attempt: attemptOf(records[0]),
      messages: records.length,
      error,
    });
    return records.map((record) => ({ record, againSeconds: pauseAfter(record) }));
  }
}

async function dealWithEach<Message>(
  { key, records, messages }: Group<Message>,
  options: BatchOptions<Message>,
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  for (const [index, record] of records.entries()) {
    const alone = { key, records: [record], messages: messages.slice(index, index + 1) };
    failures.push(...(await dealWithGroup(alone, options)));
  }
  return failures;
}

async function giveBack<Message>(
  { record, againSeconds }: Failure,
  { release, log, name }: BatchOptions<Message>,
): Promise<void> {
  try {
    await release(record.receiptHandle, againSeconds);
  } catch (error) {
    // It becomes visible again by itself when its visibility has passed.
    log.warn("A message could not be given back.", { stage: name, error });
  }
}

function pauseAfter(record: SqsRecord): number {
  return Math.min(2 ** attemptOf(record), retryLimitSeconds);
}

function attemptOf(record: SqsRecord | undefined): number {
  return Number(record?.attributes?.ApproximateReceiveCount ?? "1");
}
