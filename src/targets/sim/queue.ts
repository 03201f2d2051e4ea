import { createMemoryQueue, type MemoryQueue } from "../../adapters/queue/memory.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Received, ReceiveOptions, SendOptions } from "../../ports/queue.ts";
import type { Random } from "../../ports/random.ts";
import { chance } from "./draw.ts";
import type { Faults } from "./faults.ts";
import type { PlannedEvent, Scheduler } from "./scheduler.ts";

interface Receiver<Message> {
  readonly options: ReceiveOptions;
  readonly isWanted: () => boolean;
  readonly resolve: (received: readonly Received<Message>[]) => void;
}

/**
 * A queue that outlives the processes, on the memory adapter: messages come late, more than once and in any order,
 * sending fails before or after its effect. Receivers wait until the scheduler gives them something; it looks only when
 * something is due and somebody waits.
 */
export class SimQueue<Message> {
  readonly #name: string;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #faults: () => Faults;
  readonly #memory: MemoryQueue<Message>;
  readonly #receivers: Receiver<Message>[] = [];
  #look: PlannedEvent | undefined;
  #lookAt = Number.POSITIVE_INFINITY;

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
      this.#planLook();
    });
  }

  delete(receipt: string): Promise<void> {
    return this.#memory.delete(receipt);
  }

  async release(receipt: string, delaySeconds: number): Promise<void> {
    await this.#memory.release(receipt, delaySeconds);
    this.#planLook();
  }

  async #put(message: Message, options: SendOptions): Promise<void> {
    const faults = this.#faults();
    const late = chance(this.#random, faults.queueDelayFraction);
    const extra = late ? this.#random.fraction() * faults.queueDelaySeconds : 0;
    const delaySeconds = Math.min((options.delaySeconds ?? 0) + extra, 900);
    await this.#memory.send(message, { ...options, delaySeconds });
    this.#planLook();
  }

  /** One look is planned at most: for the instant at which the next message is due, or for the next millisecond. */
  #planLook(): void {
    const next = this.#scheduler.now + 1;
    if (this.#receivers.length === 0 || next >= this.#lookAt) return;
    const due = this.#memory.nextDueAt();
    if (due === undefined) return;
    const at = Math.max(due + 1, next);
    if (at >= this.#lookAt) return;
    if (this.#look !== undefined) this.#scheduler.callOff(this.#look);
    this.#lookAt = at;
    this.#look = this.#scheduler.at(at, this.#name, () => {
      this.#lookAt = Number.POSITIVE_INFINITY;
      this.#give();
    });
  }

  #give(): void {
    for (let index = this.#receivers.length - 1; index >= 0; index--) {
      if (this.#receivers[index]?.isWanted() === false) this.#receivers.splice(index, 1);
    }
    const index =
      this.#receivers.length <= 1 ? 0 : Math.floor(this.#random.fraction() * this.#receivers.length);
    const [receiver] = this.#receivers.splice(index, 1);
    if (receiver === undefined) return;
    this.#scheduler.wake();
    const { limit, visibilitySeconds } = receiver.options;
    void this.#memory.receive({ limit, visibilitySeconds, waitSeconds: 0 }).then((received) => {
      if (received.length > 0) receiver.resolve(received);
      else this.#receivers.push(receiver);
      this.#planLook();
    });
  }
}

function throttled(queue: string): MayflyError {
  const message = `The queue ${queue} is busy.`;
  return new MayflyError({ kind: "retry", code: "QUEUE_BUSY", message, suggestion: "Send it again." });
}
