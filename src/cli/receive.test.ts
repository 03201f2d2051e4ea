import { expect, test } from "vitest";
import { readDelivery } from "./receive.ts";

const payload = { action: "queued", workflow_job: { id: 1 } };
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value, null, 2));

test("a body alone is sent as its very bytes, with an event that it looks like", () => {
  const bytes = bytesOf(payload);
  const delivery = readDelivery(bytes, "a.json");
  expect(delivery.body).toEqual(bytes);
  expect(delivery.event).toBe("workflow_job");
  expect(delivery.delivery).toMatch(/^[0-9a-f-]{36}$/);
  expect(readDelivery(bytesOf({ zen: "Keep it logically awesome." }), "a.json").event).toBe("ping");
});

test.each([
  ["an object", { headers: { "X-GitHub-Event": "push", "X-GitHub-Delivery": "guid-1" }, body: payload }],
  [
    "a text",
    { headers: { "x-github-event": "push", "x-github-delivery": "guid-1" }, body: JSON.stringify(payload) },
  ],
  [
    "GitHub's API",
    { id: 1, request: { headers: { "X-GitHub-Event": "push", "X-GitHub-Delivery": "guid-1" }, payload } },
  ],
])("headers and body, as %s", (_name, saved) => {
  const delivery = readDelivery(bytesOf(saved), "a.json");
  expect(delivery).toMatchObject({ event: "push", delivery: "guid-1" });
  expect(JSON.parse(Buffer.from(delivery.body).toString())).toEqual(payload);
});

test.each(["", "not json", "[]", "3"])("%j is no delivery", (text) => {
  expect(() => readDelivery(Buffer.from(text), "a.json")).toThrow("The delivery a.json cannot be read");
});
