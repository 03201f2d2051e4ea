import { createMemoryQueue } from "../../adapters/queue/memory.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Queue, Received, ReceiveOptions, SendOptions } from "../../ports/queue.ts";
import type { Random } from "../../ports/random.ts";
import { chance } from "./draw.ts";
import type { Faults } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";

interface Receiver<Message> {
  readonly options: ReceiveOptions;
  readonly isWanted: () => boolean;
  readonly resolve: (received: readonly Received<Message>[]) => void;
}

/**
 * A queue that outlives the processes, on the memory adapter: messages come late, more than once and in any order,
 * sending fails before or after its effect. Receivers wait until the scheduler gives them something.
 */
export class SimQueue<Message> {
  readonly #name: string;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #faults: () => Faults;
  readonly #memory: Queue<Message>;
  #receivers: Receiver<Message>[] = [];
  #giving = false;
  /** When somebody looks next, among all looks that are planned. */
  #looksAt = Number.POSITIVE_INFINITY;

  constructor(name: string, scheduler: Scheduler, random: Random, faults: () => Faults) {
    this.#name = name;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#faults = faults;
    this.#memory = createMemoryQueue<Message>(name, scheduler.clock());
  }

  async send(message: Message, options: SendOptions = {}): Promise<void> {
    const faults = this.#faults();
    if (chance(this.#random, faults.queueThrottleFraction)) throw throttled(this.#name);
    await this.#put(message, options);
    if (chance(this.#random, faults.queueRepeatFraction)) {
      await this.#put(message, { delaySeconds: this.#random.fraction() * 60 });
    }
    if (chance(this.#random, faults.queueAnswerLostFraction)) throw throttled(this.#name);
  }

  /** Pending until there is something, or for ever when `isWanted` says that nobody waits any more. */
  receive(options: ReceiveOptions, isWanted: () => boolean): Promise<readonly Received<Message>[]> {
    return new Promise((resolve) => {
      this.#receivers.push({ options, isWanted, resolve });
      this.#lookAt(this.#scheduler.now);
    });
  }

  delete(receipt: string): Promise<void> {
    return this.#memory.delete(receipt);
  }

  async release(receipt: string, delaySeconds: number): Promise<void> {
    await this.#memory.release(receipt, delaySeconds);
    this.#lookAt(this.#scheduler.now + delaySeconds * 1_000);
  }

  async #put(message: Message, options: SendOptions): Promise<void> {
    const faults = this.#faults();
    const late = chance(this.#random, faults.queueDelayFraction);
    const extra = late ? this.#random.fraction() * faults.queueDelaySeconds : 0;
    const delaySeconds = Math.min((options.delaySeconds ?? 0) + extra, 900);
    await this.#memory.send(message, { ...options, delaySeconds });
    this.#lookAt(this.#scheduler.now + delaySeconds * 1_000);
  }

  #lookAt(instant: number): void {
    const at = Math.ceil(instant) + 1;
    if (at === this.#looksAt) return;
    this.#looksAt = Math.min(at, this.#looksAt);
    this.#scheduler.at(at, this.#name, () => {
      if (this.#looksAt === at) this.#looksAt = Number.POSITIVE_INFINITY;
      this.#give();
    });
  }

  #give(): void {
    this.#receivers = this.#receivers.filter((receiver) => receiver.isWanted());
    if (this.#receivers.length === 0) return;
    if (this.#giving) {
      this.#lookAt(this.#scheduler.now);
      return;
    }
    const index =
      this.#receivers.length === 1 ? 0 : Math.floor(this.#random.fraction() * this.#receivers.length);
    const receiver = this.#receivers[index];
    if (receiver === undefined) return;
    this.#giving = true;
    this.#scheduler.wake();
    const { limit, visibilitySeconds } = receiver.options;
    void this.#memory.receive({ limit, visibilitySeconds, waitSeconds: 0 }).then((received) => {
      this.#giving = false;
      if (received.length === 0) return;
      this.#receivers.splice(this.#receivers.indexOf(receiver), 1);
      // What is not deleted by then comes again.
      this.#lookAt(this.#scheduler.now + visibilitySeconds * 1_000);
      if (received.length === limit) this.#lookAt(this.#scheduler.now);
      receiver.resolve(received);
    });
  }
}

function throttled(queue: string): MayflyError {
  const message = `The queue ${queue} is busy.`;
  return new MayflyError({ kind: "retry", code: "QUEUE_BUSY", message, suggestion: "Send it again." });
}
