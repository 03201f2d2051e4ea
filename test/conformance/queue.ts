import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ManualClock } from "../../src/adapters/clock/manual.ts";
import type { Queue, Received } from "../../src/ports/queue.ts";

export interface Note {
  readonly note: string;
}

export interface QueueBasicsHarness {
  readonly queue: Queue<Note>;
  /** Another queue in the same place. */
  readonly other: Queue<Note>;
  readonly close: () => Promise<void>;
}

export interface QueueHarness extends QueueBasicsHarness {
  readonly clock: ManualClock;
  /** Ends the process that has the queue open and starts the next one, where the adapter outlives its process. */
  readonly reopen?: () => Promise<Queue<Note>>;
}

/**
 * The contract of `src/ports/queue.ts` as far as it holds in any time, in any order and without keys. Every adapter
 * passes it; `makeHarness` gives queues with this limit.
 */
export function describeQueueBasics(
  name: string,
  makeHarness: (options: { attemptsLimit: number }) => Promise<QueueBasicsHarness>,
  { skip = false }: { readonly skip?: boolean } = {},
): void {
  describe.skipIf(skip)(`queue, basics: ${name}`, () => {
    let harness: QueueBasicsHarness;
    let queue: Queue<Note>;
    beforeEach(async () => {
      harness = await makeHarness({ attemptsLimit: 3 });
      ({ queue } = harness);
    });
    afterEach(async () => {
      await harness.close();
    });

    /** Asks again and again until nothing comes any more. */
    async function receiveAll(): Promise<readonly Received<Note>[]> {
      const all: Received<Note>[] = [];
      for (let last = -1; last !== all.length; ) {
        last = all.length;
        all.push(...(await queue.receive({ limit: 10, visibilitySeconds: 300, waitSeconds: 0 })));
      }
      return all;
    }
    const notesOf = (received: readonly Received<Note>[]): string[] =>
      received.map((each) => each.message.note).sort();

    it("gives each message once, as it was sent, also those that are equal", async () => {
      for (const note of ["one", "two 🦟", "\u0000<&>", "same", "same"]) await queue.send({ note });
      const received = await receiveAll();
      expect(notesOf(received)).toEqual(["\u0000<&>", "one", "same", "same", "two 🦟"]);
      expect(received.map((each) => each.attempt)).toEqual([1, 1, 1, 1, 1]);
      expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 5, dead: 0 });
    });

    it("does not mix queues", async () => {
      await harness.other.send({ note: "for the other" }, { key: "key" });
      await queue.send({ note: "mine" }, { key: "key" });
      expect(notesOf(await receiveAll())).toEqual(["mine"]);
      expect(await harness.other.depth()).toEqual({ waiting: 1, inFlight: 0, dead: 0 });
    });

    it("takes 256 KiB and rejects more, and a delay of more than 900 seconds", async () => {
      const note = "x".repeat(256 * 1_024 - JSON.stringify({ note: "" }).length);
      await queue.send({ note });
      expect(notesOf(await receiveAll())).toEqual([note]);
      const larger = queue.send({ note: `${note}x` });
      await expect(larger).rejects.toMatchObject({ code: "QUEUE_MESSAGE_TOO_LARGE" });
      const later = queue.send({ note: "later" }, { delaySeconds: 901 });
      await expect(later).rejects.toMatchObject({ code: "QUEUE_DELAY_NOT_ALLOWED" });
      expect((await queue.depth()).waiting).toBe(0);
    });

    it("loses none of many that are sent and received at once", async () => {
      await Promise.all(Array.from({ length: 100 }, (_, index) => queue.send({ note: String(index) })));
      const received = (await Promise.all(Array.from({ length: 4 }, receiveAll))).flat();
      // At least once: a queue may give some of them to two.
      expect(new Set(notesOf(received)).size).toBe(100);
    });

    it("does not give what is deleted or delayed, and lets it be deleted twice", async () => {
      await queue.send({ note: "done" });
      await queue.send({ note: "delayed" }, { delaySeconds: 600 });
      const [received] = await receiveAll();
      await queue.delete(received?.receipt ?? "");
      await queue.delete(received?.receipt ?? "");
      expect(await receiveAll()).toEqual([]);
      expect(await queue.depth()).toEqual({ waiting: 1, inFlight: 0, dead: 0 });
    });

    it("drops what is delayed no less than a message with its key, and nothing that comes earlier", async () => {
      const later = { key: "fleet-a", delaySeconds: 600 };
      await queue.send({ note: "in ten minutes" }, later);
      await queue.send({ note: "the same" }, later);
      await queue.send({ note: "even later" }, { ...later, delaySeconds: 900 });
      expect(await queue.depth()).toEqual({ waiting: 1, inFlight: 0, dead: 0 });
      await queue.send({ note: "in five minutes" }, { ...later, delaySeconds: 300 });
      await queue.send({ note: "of another" }, { ...later, key: "fleet-b" });
      expect(await queue.depth()).toEqual({ waiting: 3, inFlight: 0, dead: 0 });
      await queue.send({ note: "now" }, { key: "fleet-a" });
      expect(notesOf(await receiveAll())).toEqual(["now"]);
    });

    it("takes a receipt that is none for one that says nothing any more", async () => {
      await queue.delete("no receipt");
      await queue.release("no receipt", 0);
    });

    it("gives a released message again, and after its last attempt moves it to the dead letters", async () => {
      await queue.send({ note: "poison" });
      for (const attempt of [1, 2, 3]) {
        const [received] = await receiveAll();
        expect(received).toMatchObject({ message: { note: "poison" }, attempt });
        await queue.release(received?.receipt ?? "", 0);
      }
      expect(await receiveAll()).toEqual([]);
      expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 0, dead: 1 });
    });

    it("returns as soon as a message is sent, and empty when the signal aborts", async () => {
      const options = { limit: 10, visibilitySeconds: 300, waitSeconds: 20 };
      const waiting = queue.receive(options);
      await queue.send({ note: "sent" });
      expect(notesOf(await waiting)).toEqual(["sent"]);
      const controller = new AbortController();
      const cut = queue.receive({ ...options, signal: controller.signal });
      controller.abort();
      expect(await cut).toEqual([]);
    });
  });
}

/** The whole contract, for adapters whose time can be moved. */
export function describeQueue(
  name: string,
  makeHarness: (options: { attemptsLimit: number }) => Promise<QueueHarness>,
): void {
  describeQueueBasics(name, makeHarness);

  describe(`queue: ${name}`, () => {
    let harness: QueueHarness;
    let queue: Queue<Note>;
    let clock: ManualClock;
    beforeEach(async () => {
      harness = await makeHarness({ attemptsLimit: 3 });
      ({ queue, clock } = harness);
    });
    afterEach(async () => {
      await harness.close();
    });

    const receive = (limit = 10): Promise<readonly Received<Note>[]> =>
      queue.receive({ limit, visibilitySeconds: 30, waitSeconds: 0 });
    const notes = (received: readonly Received<Note>[]): string[] =>
      received.map((each) => each.message.note);
    async function receiveOne(): Promise<Received<Note>> {
      const [received] = await receive(1);
      if (received === undefined) throw new Error("There is nothing to receive.");
      return received;
    }

    describe("messages", () => {
      it("gives each message back, oldest first, up to the limit", async () => {
        for (const note of ["one", "two 🦟", "three"]) await queue.send({ note });
        expect(notes(await receive(2))).toEqual(["one", "two 🦟"]);
        expect(notes(await receive())).toEqual(["three"]);
        expect(await receive()).toEqual([]);
      });

      it("gives copies: what is done to a message afterwards does not change it", async () => {
        const message = { note: "as sent" };
        await queue.send(message);
        message.note = "changed";
        expect((await receiveOne()).message).toEqual({ note: "as sent" });
      });
    });

    it("gives no message to two receivers", async () => {
      await Promise.all(Array.from({ length: 100 }, (_, index) => queue.send({ note: String(index) })));
      const batches = await Promise.all(Array.from({ length: 20 }, () => receive(7)));
      expect(new Set(batches.flatMap(notes)).size).toBe(100);
      expect(batches.flat()).toHaveLength(100);
    });

    describe("visibility, attempts and dead letters", () => {
      it("hides a received message until its visibility has passed, then gives it again", async () => {
        await queue.send({ note: "again" });
        expect((await receiveOne()).attempt).toBe(1);
        await clock.advance(29_999);
        expect(await receive()).toEqual([]);
        await clock.advance(1);
        expect(await receiveOne()).toMatchObject({ message: { note: "again" }, attempt: 2 });
      });

      it("does not give a deleted message again, and lets it be deleted twice", async () => {
        await queue.send({ note: "done" });
        const { receipt } = await receiveOne();
        await queue.delete(receipt);
        await queue.delete(receipt);
        await clock.advance(60_000);
        expect(await receive()).toEqual([]);
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 0, dead: 0 });
      });

      it("ignores a receipt whose visibility has passed, and what is no receipt", async () => {
        await queue.send({ note: "slow" });
        const first = await receiveOne();
        await clock.advance(30_000);
        await queue.delete(first.receipt);
        await queue.release(first.receipt, 600);
        const second = await receiveOne();
        expect(second.attempt).toBe(2);
        await queue.delete(first.receipt);
        await queue.release(first.receipt, 0);
        await queue.delete("no receipt");
        await queue.release("no receipt", 0);
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 1, dead: 0 });
        await queue.delete(second.receipt);
        expect((await queue.depth()).inFlight).toBe(0);
      });

      it("does not mistake a new message for one that was deleted", async () => {
        await queue.send({ note: "old" });
        const old = await receiveOne();
        await queue.delete(old.receipt);
        await queue.send({ note: "new" });
        await receiveOne();
        await queue.delete(old.receipt);
        expect((await queue.depth()).inFlight).toBe(1);
      });

      it("makes a released message visible again after its delay", async () => {
        await queue.send({ note: "later" });
        await queue.release((await receiveOne()).receipt, 5);
        expect(await queue.depth()).toEqual({ waiting: 1, inFlight: 0, dead: 0 });
        await clock.advance(4_999);
        expect(await receive()).toEqual([]);
        await clock.advance(1);
        expect((await receiveOne()).attempt).toBe(2);
      });

      it("moves a message to the dead letters after the last attempt's visibility", async () => {
        await queue.send({ note: "poison" });
        for (const attempt of [1, 2, 3]) {
          expect((await receiveOne()).attempt).toBe(attempt);
          expect((await queue.depth()).dead).toBe(0);
          await clock.advance(30_000);
        }
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 0, dead: 1 });
        expect(await receive()).toEqual([]);
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 0, dead: 1 });
      });

      it("moves a message that is released after its last attempt to the dead letters", async () => {
        await queue.send({ note: "poison" });
        for (const delaySeconds of [0, 0, 60]) {
          await queue.release((await receiveOne()).receipt, delaySeconds);
        }
        expect(await queue.depth()).toEqual({ waiting: 0, inFlight: 0, dead: 1 });
        await clock.advance(60_000);
        expect(await receive()).toEqual([]);
      });

      it("counts what waits, is in flight and is dead", async () => {
        for (const note of ["one", "two", "three"]) await queue.send({ note });
        await queue.send({ note: "four" }, { delaySeconds: 60 });
        await receive(2);
        expect(await queue.depth()).toEqual({ waiting: 2, inFlight: 2, dead: 0 });
        await clock.advance(30_000);
        expect(await queue.depth()).toEqual({ waiting: 4, inFlight: 0, dead: 0 });
      });
    });

    describe("keys", () => {
      const poke = { key: "fleet-a" };

      it("drops a message while one with its key waits", async () => {
        await queue.send({ note: "first" }, poke);
        await queue.send({ note: "second" }, poke);
        await queue.send({ note: "elsewhere" }, { key: "fleet-b" });
        expect(notes(await receive())).toEqual(["first", "elsewhere"]);
      });

      it("keeps one of many that are sent at once", async () => {
        await Promise.all(
          Array.from({ length: 50 }, (_, index) => queue.send({ note: String(index) }, poke)),
        );
        expect(await receive(100)).toHaveLength(1);
      });

      it("keeps a message while one with its key is being worked on, and one only", async () => {
        await queue.send({ note: "first" }, poke);
        const first = await receiveOne();
        await queue.send({ note: "meanwhile" }, poke);
        await queue.send({ note: "dropped" }, poke);
        await queue.delete(first.receipt);
        expect(notes(await receive())).toEqual(["meanwhile"]);
      });

      it("keeps a message after the one with its key is dealt with", async () => {
        await queue.send({ note: "first" }, poke);
        await queue.delete((await receiveOne()).receipt);
        await queue.send({ note: "second" }, poke);
        expect(notes(await receive())).toEqual(["second"]);
      });

      it("keeps a message that comes earlier than the one that waits, and drops one that comes later", async () => {
        await queue.send({ note: "in a minute" }, { ...poke, delaySeconds: 60 });
        await queue.send({ note: "in two" }, { ...poke, delaySeconds: 120 });
        await queue.send({ note: "now" }, poke);
        expect(notes(await receive())).toEqual(["now"]);
        await clock.advance(60_000);
        const again = await receive();
        expect(notes(again)).toContain("in a minute");
        for (const { receipt } of again) await queue.delete(receipt);
        await clock.advance(120_000);
        expect(notes(await receive())).not.toContain("in two");
      });

      it("drops a message while a released one or one whose visibility has passed waits", async () => {
        await queue.send({ note: "first" }, poke);
        await queue.release((await receiveOne()).receipt, 0);
        await queue.send({ note: "dropped" }, poke);
        expect(notes(await receive())).toEqual(["first"]);
        await clock.advance(30_000);
        await queue.send({ note: "dropped too" }, poke);
        expect(notes(await receive())).toEqual(["first"]);
      });

      it("keeps a message when the one with its key is released to come later", async () => {
        await queue.send({ note: "first" }, poke);
        await queue.release((await receiveOne()).receipt, 60);
        await queue.send({ note: "now" }, poke);
        expect(notes(await receive())).toEqual(["now"]);
      });

      it("keeps a message when the one with its key will not be received again", async () => {
        await queue.send({ note: "poison" }, poke);
        for (const _attempt of [1, 2, 3]) {
          await receiveOne();
          await clock.advance(30_000);
        }
        await queue.send({ note: "fresh" }, poke);
        expect(notes(await receive())).toEqual(["fresh"]);
      });

      it("keeps a message that is delayed beyond the visibility of one that is being worked on", async () => {
        await queue.send({ note: "first" }, poke);
        const first = await receiveOne();
        await queue.send({ note: "recheck" }, { ...poke, delaySeconds: 60 });
        await queue.delete(first.receipt);
        await clock.advance(60_000);
        expect(notes(await receive())).toEqual(["recheck"]);
      });
    });

    describe("waiting", () => {
      const wait = (signal?: AbortSignal): { ended: boolean; readonly received: Promise<string[]> } => {
        const received = queue
          .receive({ limit: 10, visibilitySeconds: 30, waitSeconds: 20, ...(signal && { signal }) })
          .then((each) => {
            state.ended = true;
            return notes(each);
          });
        const state = { ended: false, received };
        return state;
      };

      it("returns at once what is there", async () => {
        await queue.send({ note: "there" });
        expect(await wait().received).toEqual(["there"]);
      });

      it("returns as soon as a message is sent, and leaves nothing behind", async () => {
        const waiting = wait();
        await clock.advance(7_000);
        expect(waiting.ended).toBe(false);
        await queue.send({ note: "sent" });
        expect(await waiting.received).toEqual(["sent"]);
        expect(clock.sleepers).toBe(0);
      });

      it("returns empty when the time is up", async () => {
        const waiting = wait();
        await clock.advance(19_999);
        expect(waiting.ended).toBe(false);
        await clock.advance(1);
        expect(await waiting.received).toEqual([]);
      });

      it("returns when a delayed message is due, one that was sent before or meanwhile", async () => {
        await queue.send({ note: "before" }, { delaySeconds: 5 });
        const first = wait();
        await clock.advance(4_999);
        expect(first.ended).toBe(false);
        await clock.advance(1);
        expect(await first.received).toEqual(["before"]);
        const second = wait();
        await queue.send({ note: "meanwhile" }, { delaySeconds: 3 });
        await clock.advance(3_000);
        expect(await second.received).toEqual(["meanwhile"]);
      });

      it("returns when a message is released or its visibility has passed", async () => {
        await queue.send({ note: "one" });
        const { receipt } = await receiveOne();
        const first = wait();
        await queue.release(receipt, 0);
        expect(await first.received).toEqual(["one"]);
        await clock.advance(15_000);
        const second = wait();
        await clock.advance(15_000);
        expect(await second.received).toEqual(["one"]);
      });

      it("goes on waiting when the only message that was due is dead", async () => {
        await queue.send({ note: "poison" });
        for (const _attempt of [1, 2]) await queue.release((await receiveOne()).receipt, 0);
        await receiveOne();
        await clock.advance(25_000);
        const waiting = wait();
        await clock.advance(10_000);
        expect(waiting.ended).toBe(false);
        await queue.send({ note: "fresh" });
        expect(await waiting.received).toEqual(["fresh"]);
      });

      it("gives each message to one of many receivers that wait", async () => {
        const waiting = Array.from({ length: 5 }, () => wait());
        await clock.advance(1);
        await queue.send({ note: "one" });
        await queue.send({ note: "two" });
        await clock.advance(20_000);
        const all = (await Promise.all(waiting.map((each) => each.received))).flat();
        expect(all.sort()).toEqual(["one", "two"]);
      });

      it("returns empty at once when the signal aborts, and takes nothing", async () => {
        const controller = new AbortController();
        const waiting = wait(controller.signal);
        await clock.advance(1_000);
        controller.abort();
        expect(await waiting.received).toEqual([]);
        await queue.send({ note: "for the next" });
        expect(await wait(controller.signal).received).toEqual([]);
        expect(notes(await receive())).toEqual(["for the next"]);
      });
    });

    it("keeps its messages over a restart, and gives those of a dead worker at once", async () => {
      if (harness.reopen === undefined) return;
      await queue.send({ note: "in flight" });
      await receiveOne();
      await queue.send({ note: "waiting" });
      await queue.send({ note: "delayed" }, { delaySeconds: 60 });
      queue = await harness.reopen();
      const received = await receive();
      expect(received.map((each) => [each.message.note, each.attempt])).toEqual([
        ["in flight", 2],
        ["waiting", 1],
      ]);
      expect(await queue.depth()).toEqual({ waiting: 1, inFlight: 2, dead: 0 });
    });

    it("is received after every send of a key, and loses no message without one", async () => {
      const step = fc.oneof(
        {
          weight: 4,
          arbitrary: fc.record({ do: fc.constant("send" as const), key: fc.nat(2), delay: fc.nat(40) }),
        },
        { weight: 3, arbitrary: fc.constant({ do: "receive" as const }) },
        { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), pick: fc.nat(5) }) },
        {
          weight: 2,
          arbitrary: fc.record({ do: fc.constant("release" as const), pick: fc.nat(5), delay: fc.nat(40) }),
        },
        { weight: 2, arbitrary: fc.record({ do: fc.constant("advance" as const), seconds: fc.nat(35) }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
          const fresh = await makeHarness({ attemptsLimit: 1_000 });
          try {
            await checkNothingIsMissed(fresh, steps);
          } finally {
            await fresh.close();
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}

type Step =
  | { readonly do: "send"; readonly key: number; readonly delay: number }
  | { readonly do: "receive" }
  | { readonly do: "delete"; readonly pick: number }
  | { readonly do: "release"; readonly pick: number; readonly delay: number }
  | { readonly do: "advance"; readonly seconds: number };

/** Key 0 stands for no key. Whoever receives a message is told all that was sent with its key before. */
async function checkNothingIsMissed({ queue, clock }: QueueHarness, steps: readonly Step[]): Promise<void> {
  const receipts: string[] = [];
  const untold = new Map<string, number[]>();
  const receive = async (): Promise<readonly Received<Note>[]> => {
    const received = await queue.receive({ limit: 2, visibilitySeconds: 30, waitSeconds: 0 });
    for (const { message } of received) untold.delete(message.note);
    receipts.push(...received.map((each) => each.receipt));
    return received;
  };
  for (const [index, step] of steps.entries()) {
    if (step.do === "send") {
      const note = step.key === 0 ? `message ${index}` : `key ${step.key}`;
      untold.set(note, [...(untold.get(note) ?? []), index]);
      const key = step.key === 0 ? {} : { key: note };
      await queue.send({ note }, { delaySeconds: step.delay, ...key });
    } else if (step.do === "receive") await receive();
    else if (step.do === "delete") await queue.delete(receipts[step.pick] ?? "");
    else if (step.do === "release") await queue.release(receipts[step.pick] ?? "", step.delay);
    else await clock.advance(step.seconds * 1_000);
  }
  for (let depth = await queue.depth(); depth.waiting + depth.inFlight > 0; depth = await queue.depth()) {
    await clock.advance(10_000);
    for (const { receipt } of await receive()) await queue.delete(receipt);
  }
  expect([...untold]).toEqual([]);
}
