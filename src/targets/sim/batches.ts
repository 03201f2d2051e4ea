import type { QueueReceiver } from "../../ports/queue.ts";
import { type BatchOptions, dealWithBatch, type SqsEvent } from "../aws/batch.ts";

export interface BatchesOptions<Message, Memory> {
  readonly name: string;
  readonly queue: QueueReceiver<Message>;
  readonly batchSize: number;
  readonly isWanted: () => boolean;
  readonly now: () => number;
  /** Lets a function with a memory of its own do it; rejects when that is killed. */
  readonly inFunction: <Answer>(work: (own: Memory) => Promise<Answer>) => Promise<Answer>;
  readonly workOf: (own: Memory) => FunctionWork<Message>;
  readonly onKilled: (error: unknown) => void;
}

/** What a function does with the messages that it gets. */
export type FunctionWork<Message> = Pick<
  BatchOptions<Message>,
  "groupOf" | "handle" | "separately" | "reserveMilliseconds" | "log" | "release"
>;

/** As functions on AWS are set up; what was not deleted comes again after several times the time limit. */
const functionSeconds = 60;
const visibilitySeconds = 360;
const waitSeconds = 20;
const groupsAtOnce = 4;

/**
 * Gives the messages of a queue to functions, as the triggers of SQS do: those that a function does not name as failed
 * are deleted, and of one that is killed all come again when their visibility has passed.
 */
export async function serveInBatches<Message, Memory>(
  options: BatchesOptions<Message, Memory>,
): Promise<void> {
  const { name, queue, batchSize, isWanted, now, inFunction, workOf, onKilled } = options;
  while (isWanted()) {
    const received = await queue.receive({ limit: batchSize, visibilitySeconds, waitSeconds });
    const Records = received.map(({ receipt, message, attempt }) => ({
      messageId: receipt,
      receiptHandle: receipt,
      body: JSON.stringify(message),
      attributes: { ApproximateReceiveCount: String(attempt) },
    }));
    const deal = (event: SqsEvent, own: Memory) => {
      const end = now() + functionSeconds * 1_000;
      return dealWithBatch<Message>(event, {
        ...workOf(own),
        name,
        read: (body) => JSON.parse(body) as Message,
        concurrency: groupsAtOnce,
        remainingMilliseconds: () => end - now(),
      });
    };
    try {
      const { batchItemFailures } = await inFunction((own) => deal({ Records }, own));
      const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
      const done = received.filter(({ receipt }) => !failed.has(receipt));
      await Promise.all(done.map(({ receipt }) => queue.delete(receipt)));
    } catch (error) {
      onKilled(error);
    }
  }
}
