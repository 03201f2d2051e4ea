import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { validateExchange, validateWebhook } from "./openapi-validator.ts";

const runner = { id: 1, name: "a", os: "linux", status: "online", busy: false, labels: [] };
const list = { method: "GET", path: "/api/v3/orgs/octo-org/actions/runners?per_page=1", status: 200 };

test("what GitHub describes passes, what it does not is named", () => {
  const fine = { ...list, responseBody: { total_count: 1, runners: [runner] } };
  expect(validateExchange(fine)).toEqual([]);
  const { busy: _busy, ...incomplete } = runner;
  expect(validateExchange({ ...list, responseBody: { total_count: 1, runners: [incomplete] } })).toEqual([
    "GET /orgs/octo-org/actions/runners (200), response: /runners/0 must have required property 'busy'",
  ]);
  expect(validateExchange({ ...list, status: 418, responseBody: {} })).toHaveLength(1);
  expect(validateExchange({ ...list, path: "/orgs/octo-org/no/such/thing" })).toHaveLength(1);
  expect(validateExchange({ ...list, status: 204, responseBody: {} })).toHaveLength(1);
});

test("a request that GitHub would refuse is a mistake, unless it was refused", () => {
  const path = "/repos/octo-org/demo/actions/runners/generate-jitconfig";
  const requestBody = { name: "a", runner_group_id: 1, labels: [] };
  const made = { runner, encoded_jit_config: "e30=" };
  const exchange = { method: "POST", path, requestBody, status: 201, responseBody: made };
  expect(validateExchange(exchange)).toEqual([
    expect.stringContaining("/labels must NOT have fewer than 1 items"),
  ]);
  expect(
    validateExchange({ ...exchange, status: 422, responseBody: { message: "Invalid request" } }),
  ).toHaveLength(1);
});

test("of the eight published workflow_job deliveries all but the stale one agree with the description", () => {
  const examples: readonly { name: string; examples: readonly { action: string }[] }[] = createRequire(
    import.meta.url,
  )("@octokit/webhooks-examples/api.github.com/index.json");
  const published = examples.find((event) => event.name === "workflow_job")?.examples ?? [];
  const wrong = published.filter(
    (payload) => validateWebhook("workflow_job", payload.action, payload).length > 0,
  );
  expect([published.length, wrong.length]).toEqual([8, 1]);
});
