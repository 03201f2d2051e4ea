import type { Clock } from "../../ports/clock.ts";
import type { Queue, QueueDepth, Received } from "../../ports/queue.ts";
import type { Database } from "../sqlite/database.ts";
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

/**
 * The queue `name` in SQLite, for one box: one such object per name and database. Messages that were in flight
 * when the process before this one died are visible at once, since nobody works on them any more; the attempt
 * counts. Receivers that wait return empty when the database closes; later calls are rejected.
 */
export async function createSqliteQueue<Message>(
  database: Database,
  name: string,
  clock: Clock,
  options: QueueOptions = {},
): Promise<Queue<Message>> {
  const attemptsLimit = options.attemptsLimit ?? defaultAttemptsLimit;
  const state: State = { name, clock, attemptsLimit, statements: prepareStatements(database) };
  const room = createWaitingRoom(clock, database.closing);
  const source = {
    nextDueAt: () => database.readNow(() => state.statements.nextDue.get(name)?.due ?? undefined),
    take: (limit: number, visibilitySeconds: number) =>
      database.write(() => take<Message>(state, limit, visibilitySeconds)),
  };
  await database.write(() => state.statements.landAll.run(clock.now(), name));
  return {
    async send(message, sendOptions = {}) {
      const document = encodeMessage(name, message);
      const due = dueAt(name, clock.now(), sendOptions);
      // In a burst this is nearly always so, and a look costs much less than a transaction.
      if (await database.read(() => isExpected(state, due, sendOptions.key))) return;
      const isNew = await database.write(() => add(state, document, due, sendOptions.key));
      if (isNew) room.wake();
    },
    receive: (receiveOptions) => room.receive(source, receiveOptions),
    async delete(receipt) {
      const delivery = readReceipt(receipt);
      if (delivery === undefined) return;
      await database.write(() =>
        state.statements.delete.run(delivery.id, name, delivery.attempt, clock.now()),
      );
    },
    async release(receipt, delaySeconds) {
      const delivery = readReceipt(receipt);
      if (delivery === undefined) return;
      await database.write(() => {
        const now = clock.now();
        const due = after(now, delaySeconds);
        state.statements.release.run(due, attemptsLimit, delivery.id, name, delivery.attempt, now);
      });
      room.wake();
    },
    depth: () => database.read(() => depth(state)),
  };
}

interface State {
  readonly name: string;
  readonly clock: Clock;
  readonly attemptsLimit: number;
  readonly statements: ReturnType<typeof prepareStatements>;
}

function add(state: State, document: string, due: number, key: string | undefined): boolean {
  if (isExpected(state, due, key)) return false;
  state.statements.add.run(state.name, key ?? null, due, document);
  return true;
}

/** Whether a message of this key waits to be received, and will be received no later. */
function isExpected(state: State, due: number, key: string | undefined): boolean {
  if (key === undefined) return false;
  const { statements, name, attemptsLimit } = state;
  return statements.expected.get(name, key, due, attemptsLimit, state.clock.now()) !== undefined;
}

function take<Message>(state: State, limit: number, visibilitySeconds: number): Received<Message>[] {
  const { statements, name, attemptsLimit } = state;
  const now = state.clock.now();
  statements.buryExpired.run(name, now, attemptsLimit);
  return statements.due.all(name, now, limit).map((row) => {
    const attempt = row.attempts + 1;
    statements.receive.run(after(now, visibilitySeconds), attempt, row.id);
    const receipt = receiptOf({ id: row.id, attempt });
    return { message: JSON.parse(row.document) as Message, receipt, attempt };
  });
}

function depth(state: State): QueueDepth {
  const { statements, name, attemptsLimit } = state;
  const now = state.clock.now();
  const live = statements.live.get(now, attemptsLimit, now, name);
  const dead = statements.dead.get(name)?.count ?? 0;
  const expired = live?.expired ?? 0;
  const inFlight = live?.inFlight ?? 0;
  return { waiting: (live?.total ?? 0) - inFlight - expired, inFlight, dead: dead + expired };
}

/**
 * `due_at`: when the message may be received, for the first time, again after a release, or because its
 * visibility has passed. `in_flight`: received and not released, which is only so until `due_at`.
 */
function prepareStatements(database: Database) {
  return {
    nextDue: database.prepare<{ due: number | null }>(
      "SELECT min(due_at) AS due FROM messages WHERE queue = ? AND dead = 0",
    ),
    expected: database.prepare<{ id: number }>(`
      SELECT id FROM messages WHERE queue = ? AND key = ? AND dead = 0
        AND due_at <= ? AND attempts < ? AND (in_flight = 0 OR due_at <= ?) LIMIT 1`),
    add: database.prepare("INSERT INTO messages (queue, key, due_at, document) VALUES (?, ?, ?, ?)"),
    buryExpired: database.prepare(
      "UPDATE messages SET dead = 1 WHERE queue = ? AND dead = 0 AND due_at <= ? AND attempts >= ?",
    ),
    due: database.prepare<{ id: number; attempts: number; document: string }>(`
      SELECT id, attempts, document FROM messages WHERE queue = ? AND dead = 0 AND due_at <= ?
      ORDER BY due_at, id LIMIT ?`),
    receive: database.prepare("UPDATE messages SET due_at = ?, attempts = ?, in_flight = 1 WHERE id = ?"),
    delete: database.prepare(
      "DELETE FROM messages WHERE id = ? AND queue = ? AND attempts = ? AND in_flight = 1 AND due_at > ?",
    ),
    release: database.prepare(`
      UPDATE messages SET in_flight = 0, due_at = ?, dead = (attempts >= ?)
      WHERE id = ? AND queue = ? AND attempts = ? AND in_flight = 1 AND due_at > ?`),
    landAll: database.prepare(
      "UPDATE messages SET in_flight = 0, due_at = min(due_at, ?) WHERE queue = ? AND dead = 0 AND in_flight = 1",
    ),
    live: database.prepare<{ total: number; inFlight: number; expired: number }>(`
      SELECT count(*) AS total,
        coalesce(sum(in_flight = 1 AND due_at > ?), 0) AS inFlight,
        coalesce(sum(attempts >= ? AND due_at <= ?), 0) AS expired
      FROM messages WHERE queue = ? AND dead = 0`),
    dead: database.prepare<{ count: number }>(
      "SELECT count(*) AS count FROM messages WHERE queue = ? AND dead = 1",
    ),
  };
}
