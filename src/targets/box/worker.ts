import type { Log } from "../../ports/log.ts";
import type { QueueReceiver, Received } from "../../ports/queue.ts";

export interface WorkerOptions<Message> {
  readonly name: string;
  readonly queue: QueueReceiver<Message>;
  /** Throws when the message could not be dealt with; it comes again, later. */
  readonly handle: (message: Message) => Promise<void>;
  /** Nothing is taken from the queue before this has resolved. It never rejects. */
  readonly after?: Promise<void>;
  /** Messages that are worked on at the same time. */
  readonly concurrency: number;
  readonly log: Log;
}

export interface Worker {
  /** Takes no more messages and resolves when those under way are dealt with. */
  stop(): Promise<void>;
}

const visibilitySeconds = 120;
const waitSeconds = 20;
const retryLimitSeconds = 300;
const brokenQueuePauseMilliseconds = 1000;

/** Takes messages from a queue and deals with them, some at a time, until it is stopped. */
export function startWorker<Message>(options: WorkerOptions<Message>): Worker {
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();
  const finished = run(options, stopping.signal, underWay);
  return {
    async stop() {
      stopping.abort();
      await finished;
      await Promise.all(underWay);
    },
  };
}

async function run<Message>(
  options: WorkerOptions<Message>,
  signal: AbortSignal,
  underWay: Set<Promise<void>>,
): Promise<void> {
  await options.after;
  while (!signal.aborted) {
    const limit = options.concurrency - underWay.size;
    if (limit === 0) {
      await Promise.race(underWay);
      continue;
    }
    for (const received of await receive(options, limit, signal)) {
      const work: Promise<void> = deal(options, received).finally(() => underWay.delete(work));
      underWay.add(work);
    }
  }
}

async function receive<Message>(
  { queue, log, name }: WorkerOptions<Message>,
  limit: number,
  signal: AbortSignal,
): Promise<readonly Received<Message>[]> {
  try {
    return await queue.receive({ limit, visibilitySeconds, waitSeconds, signal });
  } catch (error) {
    if (signal.aborted) return [];
    log.error("Messages could not be received.", { stage: name, error });
    await new Promise((resolve) => setTimeout(resolve, brokenQueuePauseMilliseconds));
    return [];
  }
}

async function deal<Message>(
  { queue, handle, log, name }: WorkerOptions<Message>,
  received: Received<Message>,
): Promise<void> {
  try {
    await handle(received.message);
    await queue.delete(received.receipt);
  } catch (error) {
    log.error("A message could not be dealt with and is tried again.", {
      stage: name,
      attempt: received.attempt,
      error,
    });
    await giveBack(queue, received, log, name);
  }
}

async function giveBack<Message>(
  queue: QueueReceiver<Message>,
  received: Received<Message>,
  log: Log,
  name: string,
): Promise<void> {
  try {
    await queue.release(received.receipt, Math.min(2 ** received.attempt, retryLimitSeconds));
  } catch (error) {
    // It becomes visible again by itself when its visibility has passed.
    log.error("A message could not be given back.", { stage: name, error });
  }
}
