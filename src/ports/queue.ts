/**
 * A queue of small messages. At least once, in any order, possibly late: nothing that is correct may depend on
 * more than that.
 *
 * Contract, for every adapter:
 * - A message whose `send` has resolved is durable, and is received at least once.
 * - A received message is invisible to others for `visibilitySeconds`; if it was not deleted by then it comes
 *   again, with `attempt` one higher. After `attemptsLimit` attempts it moves to the dead letters instead, which
 *   are kept and counted.
 * - Messages are JSON values of at most 256 KiB.
 * - Errors are `MayflyError`s of kind `retry` or `operator`, as in the store.
 */
export interface Queue<Message> extends QueueSender<Message>, QueueReceiver<Message> {}

export interface QueueSender<Message> {
  /**
   * Sends one message. With a `key`, it may be dropped when a message with the same key still waits to be received
   * and will be received no later: for pokes, where one is as good as ten. A message that is being worked on
   * does not count, so what happens meanwhile is not missed. Not every queue sees all that
   * wait; all drop what waits no less than a delayed message that they were given by the same process.
   */
  send(message: Message, options?: SendOptions): Promise<void>;
}

export interface SendOptions {
  /** Not received earlier than this. At most 900. */
  readonly delaySeconds?: number;
  readonly key?: string;
}

export interface QueueReceiver<Message> {
  /**
   * Up to `limit` messages that are due, perhaps fewer than there are, oldest first as far as possible. Waits up to `waitSeconds` for the first
   * one, and returns early and empty when `signal` aborts.
   */
  receive(options: ReceiveOptions): Promise<readonly Received<Message>[]>;
  /** The message is dealt with. Deleting one whose visibility has passed, or twice, is harmless. */
  delete(receipt: string): Promise<void>;
  /** The message could not be dealt with: make it visible again after `delaySeconds`. */
  release(receipt: string, delaySeconds: number): Promise<void>;
  depth(): Promise<QueueDepth>;
}

export interface ReceiveOptions {
  readonly limit: number;
  readonly visibilitySeconds: number;
  readonly waitSeconds: number;
  readonly signal?: AbortSignal;
}

export interface Received<Message> {
  readonly message: Message;
  readonly receipt: string;
  /** 1 for the first delivery. */
  readonly attempt: number;
}

export interface QueueDepth {
  readonly waiting: number;
  readonly inFlight: number;
  readonly dead: number;
}
