import { expect, test } from "vitest";
import { createMemoryLog } from "../../adapters/log/memory.ts";
import { type BatchOptions, dealWithBatch, type SqsRecord } from "./batch.ts";

interface Message {
  readonly fleet: string;
  readonly fails?: true;
}

function record(messageId: string, body: string | Message, attempt = 1): SqsRecord {
  return {
    messageId,
    receiptHandle: `receipt-${messageId}`,
    body: typeof body === "string" ? body : JSON.stringify(body),
    attributes: { ApproximateReceiveCount: String(attempt) },
  };
}

async function deal(records: readonly SqsRecord[], changes: Partial<BatchOptions<Message>> = {}) {
  const handled: (readonly Message[])[] = [];
  const released: [string, number][] = [];
  const log = createMemoryLog();
  const answer = await dealWithBatch<Message>(
    { Records: records },
    {
      name: "scaleup",
      log,
      read: (body) => JSON.parse(body),
      groupOf: ({ fleet }) => fleet,
      async handle(_fleet, messages) {
        handled.push(messages);
        if (messages.some(({ fails }) => fails)) throw new Error("no");
      },
      async release(receipt, delaySeconds) {
        released.push([receipt, delaySeconds]);
      },
      concurrency: 2,
      remainingMilliseconds: () => 60_000,
      reserveMilliseconds: 15_000,
      ...changes,
    },
  );
  return { failures: answer.batchItemFailures.map((one) => one.itemIdentifier), handled, released, log };
}

test("messages of one fleet are one piece of work", async () => {
  const { failures, handled, released } = await deal([
    record("1", { fleet: "a" }),
    record("2", { fleet: "b" }),
    record("3", { fleet: "a" }),
  ]);
  expect(handled.map((messages) => messages.map(({ fleet }) => fleet))).toEqual([["a", "a"], ["b"]]);
  expect([failures, released]).toEqual([[], []]);
});

test("a fleet that fails takes no other with it, and comes again later each time", async () => {
  const { failures, handled, released } = await deal([
    record("1", { fleet: "a", fails: true }, 3),
    record("2", { fleet: "b" }),
    record("3", { fleet: "a" }, 20),
  ]);
  expect(handled).toHaveLength(2);
  expect(failures).toEqual(["1", "3"]);
  expect(released).toEqual([
    ["receipt-1", 8],
    ["receipt-3", 300],
  ]);
});

test("where messages of a group are different work, one that fails takes no other with it", async () => {
  const { failures, handled } = await deal(
    [record("1", { fleet: "a" }), record("2", { fleet: "a", fails: true }), record("3", { fleet: "a" })],
    { separately: true },
  );
  expect(failures).toEqual(["2"]);
  expect(handled.map((messages) => messages.length)).toEqual([3, 1, 1, 1]);
});

test("what is no message fails alone, so that it is a dead letter in the end, and is not lost before", async () => {
  const { failures, handled, log } = await deal([record("1", "{"), record("2", { fleet: "b" })]);
  expect([failures, handled.length]).toEqual([["1"], 1]);
  expect(log.lines).toMatchObject([{ level: "error", fields: { messageId: "1" } }]);
});

test("what there is no time for goes back at once, and nothing that was done is done again", async () => {
  let remaining = 60_000;
  const { failures, handled, released } = await deal(
    ["a", "b", "c", "d"].map((fleet) => record(fleet, { fleet })),
    {
      concurrency: 1,
      remainingMilliseconds: () => {
        remaining -= 20_000;
        return remaining;
      },
    },
  );
  expect(handled).toHaveLength(2);
  expect(failures).toEqual(["c", "d"]);
  expect(released).toEqual([
    ["receipt-c", 0],
    ["receipt-d", 0],
  ]);
});

test("a message that cannot be given back comes again all the same, when its visibility has passed", async () => {
  const { failures, log } = await deal([record("1", { fleet: "a", fails: true })], {
    release: () => Promise.reject(new Error("SQS does not answer")),
  });
  expect(failures).toEqual(["1"]);
  expect(log.lines.map(({ level }) => level)).toEqual(["error", "warn"]);
});
