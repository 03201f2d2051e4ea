import type { Clock } from "../../ports/clock.ts";
import type { Queue, Received } from "../../ports/queue.ts";
import {
  after,
  defaultAttemptsLimit,
  dueAt,
  encodeMessage,
  type QueueOptions,
  readReceipt,
  receiptOf,
} from "./rules.ts";
import { createWaitingRoom } from "./waiting-room.ts";

export interface MemoryQueue<Message> extends Queue<Message> {
  /** When the first message that is known now may be received; undefined when there is none. */
  nextDueAt(): number | undefined;
}

/**
 * A queue that lives as long as the process: for pokes on a box, for the simulator and for tests. `name` is for error
 * messages.
 * Messages are copied as JSON on their way, as every other queue does it. No timers but those of the clock.
 */
export function createMemoryQueue<Message>(
  name: string,
  clock: Clock,
  options: QueueOptions = {},
): MemoryQueue<Message> {
  const state: State = {
    clock,
    attemptsLimit: options.attemptsLimit ?? defaultAttemptsLimit,
    entries: new Map(),
    byKey: new Map(),
    exhausted: 0,
    lastId: 0,
    dead: [],
  };
  const room = createWaitingRoom(clock);
  const source = {
    nextDueAt: () => nextDueAt(state),
    take: async (limit: number, visibilitySeconds: number) => take<Message>(state, limit, visibilitySeconds),
  };
  return {
    nextDueAt: source.nextDueAt,
    async send(message, sendOptions = {}) {
      const document = encodeMessage(name, message);
      const due = dueAt(name, clock.now(), sendOptions);
      if (sendOptions.key !== undefined && isExpected(state, sendOptions.key, due)) return;
      state.lastId += 1;
      const { key } = sendOptions;
      add(state, { id: state.lastId, key, document, due, attempts: 0, inFlight: false });
      room.wake();
    },
    receive: (receiveOptions) => room.receive(source, receiveOptions),
    async delete(receipt) {
      const entry = find(state, receipt);
      if (entry !== undefined) remove(state, entry);
    },
    async release(receipt, delaySeconds) {
      const entry = find(state, receipt);
      if (entry === undefined) return;
      entry.inFlight = false;
      entry.due = after(clock.now(), delaySeconds);
      if (entry.attempts >= state.attemptsLimit) bury(state, entry);
      room.wake();
    },
    async depth() {
      buryExpired(state);
      const entries = [...state.entries.values()];
      const inFlight = entries.filter((entry) => isInFlight(state, entry)).length;
      return { waiting: entries.length - inFlight, inFlight, dead: state.dead.length };
    },
  };
}

interface Entry {
  readonly id: number;
  readonly key: string | undefined;
  readonly document: string;
  /** When it may be received: for the first time, again after a release, or because its visibility has passed. */
  due: number;
  attempts: number;
  /** Received and not released. It is only so until `due`. */
  inFlight: boolean;
}

interface State {
  readonly clock: Clock;
  readonly attemptsLimit: number;
  /** In the order in which they were sent. */
  readonly entries: Map<number, Entry>;
  /** Those that were sent with a key. */
  readonly byKey: Map<string, Set<Entry>>;
  /** How many were received as often as they may be. */
  exhausted: number;
  lastId: number;
  readonly dead: Entry[];
}

function nextDueAt(state: State): number | undefined {
  let next: number | undefined;
  for (const { due } of state.entries.values()) if (next === undefined || due < next) next = due;
  return next;
}

function take<Message>(state: State, limit: number, visibilitySeconds: number): Received<Message>[] {
  buryExpired(state);
  const now = state.clock.now();
  const due: Entry[] = [];
  for (const entry of state.entries.values()) if (entry.due <= now) due.push(entry);
  // The sort is stable: what is due at the same instant stays in the order in which it was sent.
  due.sort((left, right) => left.due - right.due);
  return due.slice(0, limit).map((entry) => {
    entry.due = after(now, visibilitySeconds);
    entry.attempts += 1;
    if (entry.attempts === state.attemptsLimit) state.exhausted += 1;
    entry.inFlight = true;
    const receipt = receiptOf({ id: entry.id, attempt: entry.attempts });
    return { message: JSON.parse(entry.document) as Message, receipt, attempt: entry.attempts };
  });
}

/** Whether a message of this key still waits, and will be received by then. */
function isExpected(state: State, key: string, by: number): boolean {
  buryExpired(state);
  for (const entry of state.byKey.get(key) ?? []) {
    if (entry.due <= by && !isInFlight(state, entry)) return true;
  }
  return false;
}

function find(state: State, receipt: string): Entry | undefined {
  const delivery = readReceipt(receipt);
  const entry = delivery === undefined ? undefined : state.entries.get(delivery.id);
  return entry !== undefined && entry.attempts === delivery?.attempt && isInFlight(state, entry)
    ? entry
    : undefined;
}

function isInFlight(state: State, entry: Entry): boolean {
  return entry.inFlight && entry.due > state.clock.now();
}

function buryExpired(state: State): void {
  if (state.exhausted === 0) return;
  const now = state.clock.now();
  for (const entry of state.entries.values()) {
    if (entry.attempts >= state.attemptsLimit && entry.due <= now) bury(state, entry);
  }
}

function bury(state: State, entry: Entry): void {
  remove(state, entry);
  state.dead.push(entry);
}

function add(state: State, entry: Entry): void {
  state.entries.set(entry.id, entry);
  if (entry.key === undefined) return;
  const alike = state.byKey.get(entry.key);
  if (alike === undefined) state.byKey.set(entry.key, new Set([entry]));
  else alike.add(entry);
}

function remove(state: State, entry: Entry): void {
  state.entries.delete(entry.id);
  if (entry.attempts >= state.attemptsLimit) state.exhausted -= 1;
  if (entry.key === undefined) return;
  const alike = state.byKey.get(entry.key);
  alike?.delete(entry);
  if (alike?.size === 0) state.byKey.delete(entry.key);
}
