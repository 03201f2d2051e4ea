import { expect, inject, it } from "vitest";
import { callJson } from "../../src/adapters/aws/json.ts";
import { createManualClock } from "../../src/adapters/clock/manual.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSqsQueue } from "../../src/adapters/queue/sqs.ts";
import type { Queue } from "../../src/ports/queue.ts";
import { describeQueueBasics, type Note } from "../conformance/queue.ts";
import { standInClient } from "../support/aws-environment.ts";
import { startAwsFaultProxy } from "../support/aws-fault-proxy.ts";

const moto = inject("moto");
const clock = createSystemClock();
let queues = 0;

async function createQueue(
  client: ReturnType<typeof standInClient>,
  attemptsLimit = 3,
): Promise<{ readonly name: string; readonly url: string }> {
  const create = async (name: string, attributes: object) => {
    const input = { QueueName: name, Attributes: attributes };
    const call = { service: "sqs", action: "CreateQueue", resource: `queue ${name}`, input } as const;
    return (await callJson<{ QueueUrl: string }>(client, call)).QueueUrl;
  };
  queues += 1;
  const name = `notes-${queues}`;
  await create(`${name}-dead`, {});
  const deadLetterTargetArn = `arn:aws:sqs:eu-west-1:123456789012:${name}-dead`;
  const redrive = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: attemptsLimit });
  return { name, url: await create(name, { RedrivePolicy: redrive }) };
}

describeQueueBasics(
  "sqs",
  async ({ attemptsLimit }) => {
    const client = standInClient(moto);
    return {
      queue: createSqsQueue<Note>({ client, ...(await createQueue(client, attemptsLimit)), clock }),
      other: createSqsQueue<Note>({ client, ...(await createQueue(client)), clock }),
      close: async () => undefined,
    };
  },
  { skip: moto === "" },
);

it.skipIf(moto === "")("sqs: a message whose answer was lost is there, perhaps twice", async () => {
  const proxy = await startAwsFaultProxy(moto);
  const client = standInClient(proxy.url);
  const queue: Queue<Note> = createSqsQueue({ client, ...(await createQueue(client)), clock });
  proxy.inject("SendMessage", { kind: "lose-answer" });
  await queue.send({ note: "sent" });
  const received = await queue.receive({ limit: 10, visibilitySeconds: 30, waitSeconds: 0 });
  expect(received.map(({ message }) => message.note)).toEqual(["sent", "sent"]);
  await proxy.close();
});

it.skipIf(moto === "")(
  "sqs: what is no JSON is left to become a dead letter, and takes nobody with it",
  async () => {
    const client = standInClient(moto);
    const place = await createQueue(client, 1);
    const queue: Queue<Note> = createSqsQueue({ client, ...place, clock });
    const input = { QueueUrl: place.url, MessageBody: "<xml>" };
    await callJson(client, { service: "sqs", action: "SendMessage", resource: "queue", input });
    await queue.send({ note: "sent" });
    const receive = () => queue.receive({ limit: 10, visibilitySeconds: 1, waitSeconds: 0 });
    expect((await receive()).map(({ message }) => message.note)).toEqual(["sent"]);
    const deadAfterLook = async () => {
      await receive();
      return (await queue.depth()).dead;
    };
    await expect.poll(deadAfterLook, { timeout: 10_000 }).toBe(2);
  },
);

it.skipIf(moto === "")("sqs: a delayed message counts as waiting until its time, and no longer", async () => {
  const manual = createManualClock();
  const client = standInClient(moto);
  const queue: Queue<Note> = createSqsQueue({ client, ...(await createQueue(client)), clock: manual });
  const send = (delaySeconds: number) => queue.send({ note: "look again" }, { key: "fleet-a", delaySeconds });
  await send(60);
  await manual.advance(59_999);
  await send(60);
  expect((await queue.depth()).waiting).toBe(1);
  await manual.advance(1);
  await send(60);
  expect((await queue.depth()).waiting).toBe(2);
});
