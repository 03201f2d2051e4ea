import { expect, test } from "vitest";
import type { HttpRequest, HttpResponse } from "../../ports/http.ts";
import { createMemoryLog } from "../log/memory.ts";
import { answerLambdaRequest, type LambdaHttpEvent } from "./lambda.ts";

function eventOf(changes: Partial<LambdaHttpEvent> = {}, method = "POST"): LambdaHttpEvent {
  return {
    rawPath: "/webhook",
    rawQueryString: "",
    headers: { "content-type": "application/json" },
    requestContext: { stage: "$default", http: { method, sourceIp: "192.0.2.1" } },
    ...changes,
  };
}

async function ask(
  event: LambdaHttpEvent,
  answer: (request: HttpRequest) => HttpResponse = () => ({ status: 204, headers: {} }),
) {
  const requests: HttpRequest[] = [];
  const log = createMemoryLog();
  const handle = (request: HttpRequest) => {
    requests.push(request);
    return answer(request);
  };
  const answered = await answerLambdaRequest(event, { handle, log, bodyLimitBytes: () => 1000 });
  return { answered, request: requests[0], log };
}

test("the handler gets the very bytes that were signed, sent as text or as base64", async () => {
  const bytes = Buffer.from('{"name":"Žluťoučký \\u00e9 🐎"}');
  const asText = await ask(eventOf({ body: bytes.toString(), isBase64Encoded: false }));
  const asBase64 = await ask(eventOf({ body: bytes.toString("base64"), isBase64Encoded: true }));
  expect(Buffer.from(asText.request!.body).equals(bytes)).toBe(true);
  expect(Buffer.from(asBase64.request!.body).equals(bytes)).toBe(true);
  const binary = Buffer.from([0, 255, 128, 10]);
  const sent = await ask(eventOf({ body: binary.toString("base64"), isBase64Encoded: true }));
  expect(Buffer.from(sent.request!.body).equals(binary)).toBe(true);
  expect((await ask(eventOf())).request!.body.byteLength).toBe(0);
});

test("names of headers are in lower case, whatever the front makes of them", async () => {
  const { request } = await ask(eventOf({ headers: { "X-GitHub-Event": "ping", "x-other": "a,b" } }));
  expect(request!.headers).toEqual({ "x-github-event": "ping", "x-other": "a,b" });
});

test("path and query are those that were sent, without the name of a stage", async () => {
  const plain = await ask(eventOf({ rawPath: "/api/jobs/7", rawQueryString: "state=recent&limit=3" }, "GET"));
  expect(plain.request).toMatchObject({ path: "/api/jobs/7", query: "state=recent&limit=3", method: "GET" });
  const requestContext = { stage: "v1", http: { method: "post" } };
  const staged = await ask(eventOf({ rawPath: "/v1/v1/machines/ec2/i-1/claim", requestContext }));
  expect(staged.request).toMatchObject({ path: "/v1/machines/ec2/i-1/claim", method: "POST" });
  const other = await ask(eventOf({ rawPath: "/v10/claim", requestContext }));
  expect(other.request!.path).toBe("/v10/claim");
});

test("who signed is what the authorizer says, and nothing that a client sends", async () => {
  const userArn = "arn:aws:sts::123456789012:assumed-role/machines/i-1";
  const http = { method: "POST" };
  const signed = await ask(eventOf({ requestContext: { http, authorizer: { iam: { userArn } } } }));
  expect(signed.request!.caller).toBe(userArn);
  const forged = await ask(
    eventOf({
      headers: {
        caller: userArn,
        "x-amzn-iam-user-arn": userArn,
        authorizer: `{"iam":{"userArn":"${userArn}"}}`,
      },
      body: JSON.stringify({ requestContext: { authorizer: { iam: { userArn } } } }),
    }),
  );
  expect(forged.request).not.toHaveProperty("caller");
  const anonymous = await ask(eventOf({ requestContext: { http, authorizer: { iam: { userArn: null } } } }));
  expect(anonymous.request).not.toHaveProperty("caller");
});

test("a body past the limit of its path never reaches the handler", async () => {
  const { answered, request } = await ask(eventOf({ body: "x".repeat(1001) }));
  expect(answered.statusCode).toBe(413);
  expect(request).toBeUndefined();
  expect((await ask(eventOf({ body: "x".repeat(1000) }))).answered.statusCode).toBe(204);
});

test("a text is answered as text, bytes as base64, and HEAD without a body", async () => {
  const text = await ask(eventOf(), () => ({ status: 200, headers: { a: "b" }, body: "yes\n" }));
  expect(text.answered).toEqual({ statusCode: 200, headers: { a: "b" }, body: "yes\n" });
  const bytes = await ask(eventOf(), () => ({ status: 200, headers: {}, body: new Uint8Array([255, 0]) }));
  expect(bytes.answered).toMatchObject({ body: "/wA=", isBase64Encoded: true });
  const head = await ask(eventOf({}, "HEAD"), () => ({ status: 200, headers: {}, body: "yes\n" }));
  expect(head.answered).not.toHaveProperty("body");
});

test("a handler that throws is answered with a sentence without details, which go to the log", async () => {
  const { answered, log } = await ask(eventOf(), () => {
    throw new Error("the secret is hunter2");
  });
  expect(answered.statusCode).toBe(500);
  expect(answered.body).not.toContain("hunter2");
  expect(log.lines).toMatchObject([{ level: "error", fields: { stage: "http", path: "/webhook" } }]);
});

test("what is no request of an HTTP API is said to be none", async () => {
  for (const event of [{}, { rawPath: "/webhook" }, { requestContext: { http: {} } }]) {
    const { answered, request } = await ask(event);
    expect([answered.statusCode, request]).toEqual([400, undefined]);
  }
});
