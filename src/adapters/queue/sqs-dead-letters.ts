import type { AwsClient } from "../aws/client.ts";
import { callJson } from "../aws/json.ts";

/** A message that was tried too often. */
export interface DeadLetter {
  readonly id: string;
  readonly receipt: string;
  readonly body: string;
  /** When it was sent for the first time, in milliseconds since the epoch. */
  readonly sentAt: number;
}

export interface SqsDeadLettersOptions {
  readonly client: AwsClient;
  /** The name of the queue that the messages come from. */
  readonly queue: string;
  /** The name of the queue that holds its dead letters. */
  readonly deadLetterQueue: string;
}

/** The dead letters of one queue of SQS, for people: looked at, and sent back when their cause is gone. */
export interface SqsDeadLetters {
  /** About how many there are, by SQS's own count. */
  count(): Promise<number>;
  /**
   * Up to `limit` of them. Whoever looks has them for himself for a minute; `leave` gives them back at once. A queue
   * of SQS may keep some of its messages to itself: an empty answer is final only when it is repeated.
   */
  look(limit: number): Promise<readonly DeadLetter[]>;
  leave(letters: readonly DeadLetter[]): Promise<void>;
  /** Sends one to its queue again and then removes it here; in between it is in both, which does no harm. */
  sendBack(letter: DeadLetter): Promise<void>;
}

const pageLimit = 10;
const lookSeconds = 60;
const emptyPagesLimit = 2;

export function createSqsDeadLetters(options: SqsDeadLettersOptions): SqsDeadLetters {
  const { client, queue, deadLetterQueue } = options;
  const call = <Answer>(action: string, name: string, input: Readonly<Record<string, unknown>>) =>
    callJson<Answer>(client, { service: "sqs", action, resource: `queue ${name}`, input });
  const addresses = new Map<string, Promise<string>>();
  const urlOf = (name: string): Promise<string> => {
    const asked =
      addresses.get(name) ??
      call<{ readonly QueueUrl: string }>("GetQueueUrl", name, { QueueName: name }).then(
        (answer) => answer.QueueUrl,
      );
    addresses.set(name, asked);
    return asked;
  };
  const receive = async (limit: number): Promise<readonly DeadLetter[]> => {
    const { Messages = [] } = await call<{ readonly Messages?: readonly SqsMessage[] }>(
      "ReceiveMessage",
      deadLetterQueue,
      {
        QueueUrl: await urlOf(deadLetterQueue),
        MaxNumberOfMessages: limit,
        VisibilityTimeout: lookSeconds,
        WaitTimeSeconds: 1,
        MessageSystemAttributeNames: ["SentTimestamp"],
      },
    );
    return Messages.map(letterOf);
  };

  return {
    async count() {
      const { Attributes } = await call<{ readonly Attributes: Readonly<Record<string, string>> }>(
        "GetQueueAttributes",
        deadLetterQueue,
        { QueueUrl: await urlOf(deadLetterQueue), AttributeNames: ["ApproximateNumberOfMessages"] },
      );
      return Number(Attributes.ApproximateNumberOfMessages ?? "0");
    },
    async look(limit) {
      const letters = new Map<string, DeadLetter>();
      for (let emptyPages = 0; emptyPages < emptyPagesLimit && letters.size < limit; ) {
        const page = await receive(Math.min(pageLimit, limit - letters.size));
        if (page.length === 0) emptyPages += 1;
        for (const letter of page) letters.set(letter.id, letter);
      }
      return [...letters.values()];
    },
    async leave(letters) {
      const url = await urlOf(deadLetterQueue);
      for (const { receipt } of letters) {
        const input = { QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: 0 };
        await call("ChangeMessageVisibility", deadLetterQueue, input);
      }
    },
    async sendBack(letter) {
      await call("SendMessage", queue, { QueueUrl: await urlOf(queue), MessageBody: letter.body });
      const input = { QueueUrl: await urlOf(deadLetterQueue), ReceiptHandle: letter.receipt };
      await call("DeleteMessage", deadLetterQueue, input);
    },
  };
}

interface SqsMessage {
  readonly MessageId: string;
  readonly ReceiptHandle: string;
  readonly Body: string;
  readonly Attributes?: { readonly SentTimestamp?: string };
}

function letterOf({ MessageId, ReceiptHandle, Body, Attributes }: SqsMessage): DeadLetter {
  const sentAt = Number(Attributes?.SentTimestamp ?? "0");
  return { id: MessageId, receipt: ReceiptHandle, body: Body, sentAt };
}
