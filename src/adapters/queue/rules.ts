import { MayflyError } from "../../core/errors.ts";
import type { SendOptions } from "../../ports/queue.ts";

// What the queues have to decide in the same way, whatever they keep their messages in.

export interface QueueOptions {
  /** A message that was received so often without being deleted is dead. */
  readonly attemptsLimit?: number;
}

export const defaultAttemptsLimit = 10;

const longestMessageBytes = 256 * 1_024;
const longestDelaySeconds = 900;

/** The message as JSON. Throws a `MayflyError` when it is longer than 256 KiB. */
export function encodeMessage(queue: string, message: unknown): string {
  const document = JSON.stringify(message);
  // No character takes more than three bytes.
  if (document.length * 3 <= longestMessageBytes) return document;
  const bytes = Buffer.byteLength(document);
  if (bytes <= longestMessageBytes) return document;
  throw new MayflyError({
    kind: "operator",
    code: "QUEUE_MESSAGE_TOO_LARGE",
    message: `A message for the queue ${queue} has ${bytes} bytes, and ${longestMessageBytes} are allowed`,
    suggestion: "This is a bug in Mayfly: please report it with this message.",
  });
}

/** When the message may first be received. Throws a `MayflyError` when that is more than 900 seconds away. */
export function dueAt(queue: string, now: number, options: SendOptions): number {
  const { delaySeconds = 0 } = options;
  if (delaySeconds >= 0 && delaySeconds <= longestDelaySeconds) return after(now, delaySeconds);
  throw new MayflyError({
    kind: "operator",
    code: "QUEUE_DELAY_NOT_ALLOWED",
    message: `A message for the queue ${queue} is delayed by ${delaySeconds} seconds, and 0 to ${longestDelaySeconds} are allowed`,
    suggestion: "This is a bug in Mayfly: please report it with this message.",
  });
}

/** A whole number of milliseconds, never earlier than asked for. */
export function after(now: number, seconds: number): number {
  return Math.ceil(now + seconds * 1_000);
}

/**
 * A receipt names one delivery of one message. It says nothing any more once the message's visibility has passed,
 * even if nobody has received it again: a send may by then have been dropped in favour of that message.
 */
export interface Delivery {
  readonly id: number;
  readonly attempt: number;
}

export function receiptOf({ id, attempt }: Delivery): string {
  return `${id}:${attempt}`;
}

/** Undefined: this is no receipt of ours, so there is nothing that it could mean. */
export function readReceipt(receipt: string): Delivery | undefined {
  const [, id, attempt] = /^(\d+):(\d+)$/.exec(receipt) ?? [];
  return id === undefined || attempt === undefined ? undefined : { id: Number(id), attempt: Number(attempt) };
}
