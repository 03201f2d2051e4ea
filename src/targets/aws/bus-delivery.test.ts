import { expect, test } from "vitest";
import { World } from "../../../test/support/world.ts";
import type { RawDelivery } from "../../core/webhook.ts";
import { receiveDelivery } from "../../flow/webhook.ts";
import { isBusEvent, receiveBusDelivery } from "./bus-delivery.ts";

/** A world, a delivery of one of its jobs as a rule would hand it over, and the way in. */
function door() {
  const world = new World();
  world.github.queueJob();
  const [sending] = world.github.outbox.splice(0);
  const body = new TextDecoder().decode(sending?.body);
  // As GitHub writes them: their names come in any case.
  const headers = Object.fromEntries(
    Object.entries(sending?.headers ?? {}).map(([name, value]) => [name.toUpperCase(), value]),
  );
  const send = (detail: unknown) =>
    receiveBusDelivery(
      { "detail-type": "workflow_job", source: "github", id: "event-1", detail },
      {
        log: world.log,
        receive: (delivery: RawDelivery) => receiveDelivery(world.ports, world.policy, delivery),
      },
    );
  return { world, body, headers, send };
}

test("a delivery that comes over a bus is one like any other", async () => {
  const { world, body, headers, send } = door();
  await send({ headers, body });
  expect(await world.jobs()).toHaveLength(1);
  await send({ headers, body: Buffer.from(body).toString("base64"), isBase64Encoded: true });
  expect(await world.jobs()).toHaveLength(1);
  expect(world.log.text()).toContain("Known already.");
});

test.each([
  ["no signature", ({ headers: { "X-HUB-SIGNATURE-256": _, ...headers }, body }) => ({ headers, body })],
  ["another body", ({ headers, body }) => ({ headers, body: `${body} ` })],
  ["a body that was parsed on the way", ({ headers, body }) => ({ headers, body: JSON.parse(body) })],
  ["no headers", ({ body }) => ({ body })],
  ["only the payload", ({ body }) => JSON.parse(body)],
  ["nothing", () => undefined],
] as readonly (readonly [string, (given: { headers: Record<string, string>; body: string }) => unknown])[])(
  "with %s it leaves no trace but a line in the log, and is not sent again",
  async (_what, detailOf) => {
    const { world, headers, body, send } = door();
    await send(detailOf({ headers: headers as Record<string, string>, body }));
    expect(await world.jobs()).toEqual([]);
    expect(world.log.text()).toMatch(/A delivery was refused|is no delivery/);
  },
);

test("one that could not be recorded rejects, so that it comes again", async () => {
  const { world, headers, body, send } = door();
  world.intercept = (name, effect) =>
    name.startsWith("store.") ? Promise.reject(new Error("busy")) : effect();
  await expect(send({ headers, body })).rejects.toThrow();
});

test("requests of the HTTP API are none", () => {
  expect(isBusEvent({ requestContext: {}, rawPath: "/webhook", headers: { "detail-type": "x" } })).toBe(
    false,
  );
});
