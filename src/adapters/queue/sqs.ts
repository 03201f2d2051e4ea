import type { Clock } from "../../ports/clock.ts";
import type { Queue, Received } from "../../ports/queue.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";
import { dueAt, encodeMessage } from "./rules.ts";

export interface SqsQueueOptions {
  readonly client: AwsClient;
  /** For error messages. */
  readonly name: string;
  readonly url: string;
  readonly clock: Clock;
}

/**
 * A standard queue of SQS. How often a message is tried, and which queue takes the dead ones, is the redrive policy of
 * the queue itself.
 *
 * A standard queue cannot drop a message in favour of one that waits; a FIFO queue, which can, may drop one in favour
 * of a message that is being worked on, and takes no delay for a single message. So keys are used as far as this process
 * knows for itself that a message waits: it has sent it, with a delay that is not over. Without that, every look at a
 * fleet, which asks for the next one, would begin a chain of looks that goes on for as long as the fleet has jobs.
 */
export function createSqsQueue<Message>({ client, name, url, clock }: SqsQueueOptions): Queue<Message> {
  const call = <Answer>(action: string, input: object, limits = {}): Promise<Answer> =>
    callJson<Answer>(client, {
      service: "sqs",
      action,
      resource: `queue ${name}`,
      input: { QueueUrl: url, ...input },
      limits,
    });
  let deadLetterUrl: string | undefined;
  /** Until when a message of this key certainly waits. */
  const waiting = new Map<string, number>();

  return {
    async send(message, options = {}) {
      const body = encodeMessage(name, message);
      const now = clock.now();
      const due = dueAt(name, now, options);
      const { key } = options;
      const known = key === undefined ? undefined : waiting.get(key);
      if (known !== undefined && known > now && known <= due) return;
      await call("SendMessage", { MessageBody: body, DelaySeconds: Math.ceil((due - now) / 1000) });
      if (key === undefined || due <= now) return;
      forgetPast(waiting, now);
      waiting.set(key, due);
    },
    async receive({ limit, visibilitySeconds, waitSeconds, signal }) {
      const input = {
        MaxNumberOfMessages: Math.min(limit, mostAtOnce),
        VisibilityTimeout: Math.ceil(visibilitySeconds),
        WaitTimeSeconds: Math.min(Math.ceil(waitSeconds), longestWaitSeconds),
        MessageSystemAttributeNames: ["ApproximateReceiveCount"],
      };
      try {
        const limits = { timeoutSeconds: longestWaitSeconds + 10, ...(signal !== undefined && { signal }) };
        const { Messages = [] } = await call<ReceiveAnswer>("ReceiveMessage", input, limits);
        return Messages.flatMap((received) => readMessage<Message>(received));
      } catch (error) {
        if (signal?.aborted === true) return [];
        throw error;
      }
    },
    delete: (receipt) => unlessOver(() => call("DeleteMessage", { ReceiptHandle: receipt })),
    release: (receipt, delaySeconds) =>
      unlessOver(() => {
        const input = { ReceiptHandle: receipt, VisibilityTimeout: Math.ceil(delaySeconds) };
        return call("ChangeMessageVisibility", input);
      }),
    async depth() {
      const counts = await call<AttributesAnswer>("GetQueueAttributes", { AttributeNames: countNames });
      const { Attributes = {} } = counts;
      deadLetterUrl ??= neighbour(url, Attributes.RedrivePolicy);
      const dead =
        deadLetterUrl === undefined
          ? {}
          : await call<AttributesAnswer>("GetQueueAttributes", {
              QueueUrl: deadLetterUrl,
              AttributeNames: [waitingName],
            });
      return {
        waiting: Number(Attributes[waitingName] ?? 0) + Number(Attributes[delayedName] ?? 0),
        inFlight: Number(Attributes[inFlightName] ?? 0),
        dead: Number(dead.Attributes?.[waitingName] ?? 0),
      };
    },
  };
}

/** There are about as many keys as there are fleets. */
function forgetPast(waiting: Map<string, number>, now: number): void {
  for (const [key, due] of waiting) if (due <= now) waiting.delete(key);
}

const mostAtOnce = 10;
const longestWaitSeconds = 20;
const waitingName = "ApproximateNumberOfMessages";
const delayedName = "ApproximateNumberOfMessagesDelayed";
const inFlightName = "ApproximateNumberOfMessagesNotVisible";
const countNames = [waitingName, delayedName, inFlightName, "RedrivePolicy"];

interface ReceiveAnswer {
  readonly Messages?: readonly SqsMessage[];
}

interface SqsMessage {
  readonly Body: string;
  readonly ReceiptHandle: string;
  readonly Attributes?: Readonly<Record<string, string>>;
}

interface AttributesAnswer {
  readonly Attributes?: Readonly<Record<string, string>>;
}

/** Nothing, when it is no JSON: it is left alone, comes again, and is a dead letter in the end. */
function readMessage<Message>({ Body, ReceiptHandle, Attributes }: SqsMessage): readonly Received<Message>[] {
  try {
    const attempt = Number(Attributes?.ApproximateReceiveCount ?? 1);
    return [{ message: JSON.parse(Body) as Message, receipt: ReceiptHandle, attempt }];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

/** A receipt that says nothing any more: the message was deleted, or belongs to somebody else by now. */
async function unlessOver(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof AwsError) || !isOver(error)) throw error;
  }
}

/** SQS says the same in three ways, one of them with a code that it has for much else. */
function isOver({ awsCode, message }: AwsError): boolean {
  if (awsCode === "ReceiptHandleIsInvalid" || awsCode === "MessageNotInflight") return true;
  return awsCode.startsWith("InvalidParameterValue") && /receipt ?handle/i.test(message);
}

/** The address of the queue that the redrive policy names: it has the same account and the same region. */
function neighbour(url: string, redrivePolicy: string | undefined): string | undefined {
  if (redrivePolicy === undefined) return undefined;
  const { deadLetterTargetArn } = JSON.parse(redrivePolicy) as { readonly deadLetterTargetArn?: string };
  const name = deadLetterTargetArn?.split(":").at(-1);
  return name === undefined ? undefined : url.replace(/[^/]+$/, name);
}
