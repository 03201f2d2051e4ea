import { afterEach, describe, expect, it } from "vitest";
import { start } from "../../../test/builders.ts";
import {
  type AwsStandIn,
  createImpatientClock,
  type StandInAnswer,
  standInCredentials,
  startAwsStandIn,
} from "../../../test/support/aws-stand-in.ts";
import { createSeededRandom } from "../random/seeded.ts";
import { type AwsCallLimits, type AwsClientOptions, createAwsClient } from "./client.ts";
import { callJson } from "./json.ts";

let standIn: AwsStandIn;
let clock: ReturnType<typeof createImpatientClock>;
afterEach(async () => {
  await standIn.close();
});

async function call(
  answers: readonly StandInAnswer[],
  limits: AwsCallLimits = {},
  options: Partial<AwsClientOptions> = {},
): Promise<unknown> {
  clock = createImpatientClock(start);
  standIn = await startAwsStandIn(answers, { service: "dynamodb", region: "eu-west-1", now: clock.now });
  const client = createAwsClient({
    region: "eu-west-1",
    endpoint: standIn.url,
    credentials: () => standInCredentials,
    clock,
    random: createSeededRandom(1),
    ...options,
  });
  return await callJson(client, {
    service: "dynamodb",
    action: "GetItem",
    resource: "table mayfly",
    input: { Key: { pk: { S: "ü 🦟" } } },
    limits,
  });
}

function refusal(status: number, code: string, message = "No."): StandInAnswer {
  return { status, body: { __type: `com.amazonaws.dynamodb.v20120810#${code}`, message } };
}

const good: StandInAnswer = { body: { Item: { n: { N: "1" } } } };

describe("a call with the JSON protocol", () => {
  it("is signed, session token included, names its action, and gives the answer", async () => {
    expect(await call([good])).toEqual({ Item: { n: { N: "1" } } });
    const [request] = standIn.requests;
    expect(request?.verdict).toMatchObject({ kind: "valid" });
    expect(request?.headers).toMatchObject({
      "x-amz-target": "DynamoDB_20120810.GetItem",
      "content-type": "application/x-amz-json-1.0",
    });
    expect(JSON.parse(request?.body ?? "")).toEqual({ Key: { pk: { S: "ü 🦟" } } });
  });

  it("asks for the credentials again at every attempt, and signs with the time of then", async () => {
    let asked = 0;
    const credentials = () => {
      asked += 1;
      return standInCredentials;
    };
    await call([refusal(400, "ExpiredTokenException"), good], {}, { credentials });
    expect(asked).toBe(2);
    expect(standIn.requests.map(({ verdict }) => verdict.kind)).toEqual(["valid", "valid"]);
  });

  it.each<[string, StandInAnswer]>([
    ["throttled", refusal(400, "ThrottlingException")],
    ["throttled by the table", refusal(400, "ProvisionedThroughputExceededException")],
    ["failed on their side", refusal(500, "InternalServerError")],
    ["a gateway's page", { status: 502, body: "<html>Bad gateway</html>" }],
    ["cut before the answer", "cut-before"],
    ["cut within the answer", "cut-within"],
  ])("is repeated after a wait: %s", async (_, first) => {
    expect(await call([first, good])).toEqual({ Item: { n: { N: "1" } } });
    expect(clock.sleeps).toHaveLength(1);
    expect(clock.sleeps[0]).toBeLessThanOrEqual(100);
  });

  it("is repeated when there was no answer in time", async () => {
    expect(await call(["nothing", good], { timeoutSeconds: 0.1 })).toEqual({ Item: { n: { N: "1" } } });
  });

  it("gives up after its attempts, with waits that grow", async () => {
    const throttled = Array.from({ length: 9 }, () => refusal(400, "ThrottlingException"));
    const failed = call(
      throttled,
      { attempts: 4 },
      { random: { ...createSeededRandom(1), fraction: () => 1 } },
    );
    await expect(failed).rejects.toMatchObject({ kind: "retry", code: "AWS_THROTTLED" });
    expect(clock.sleeps).toEqual([100, 200, 400]);
  });

  it("is not repeated when it may be done once only and nobody knows whether it was", async () => {
    for (const first of [refusal(500, "InternalServerError"), "cut-before", "cut-within"] as const) {
      await expect(call([first, good], { once: true })).rejects.toMatchObject({ kind: "retry" });
      expect(standIn.requests).toHaveLength(1);
      await standIn.close();
    }
    await call([refusal(400, "ThrottlingException"), good], { once: true });
    expect(standIn.requests).toHaveLength(2);
  });

  it("is called off by its signal, while it waits and before", async () => {
    const calledOff = new AbortController();
    const whileItWaits = (): StandInAnswer => {
      calledOff.abort();
      return "nothing";
    };
    const failed = call([whileItWaits, good], { signal: calledOff.signal });
    await expect(failed).rejects.toMatchObject({ code: "AWS_UNREACHABLE" });
    expect(standIn.requests).toHaveLength(1);
    await standIn.close();
    await expect(call([good], { signal: calledOff.signal })).rejects.toMatchObject({
      code: "AWS_UNREACHABLE",
    });
    expect(standIn.requests).toHaveLength(0);
  });

  it.each<[string, StandInAnswer]>([
    ["no JSON", { body: "<html>Welcome to the hotel</html>" }],
    ["a list", { body: [] }],
  ])("fails when the answer cannot be used: %s", async (_, answer) => {
    await expect(call([answer])).rejects.toMatchObject({ kind: "retry", code: "AWS_BROKEN_ANSWER" });
  });

  it("reads no more than its limit", async () => {
    const large: StandInAnswer = { body: { text: "x".repeat(2_000) } };
    const failed = call([large], { attempts: 1 }, { answerLimitBytes: 1_000 });
    await expect(failed).rejects.toMatchObject({ code: "AWS_UNREACHABLE" });
  });

  it("says so where nobody listens", async () => {
    const failed = call([], { attempts: 1 }, { endpoint: "http://127.0.0.1:1" });
    await expect(failed).rejects.toMatchObject({
      kind: "retry",
      message: "DynamoDB did not answer GetItem on table mayfly: ECONNREFUSED.",
    });
  });
});

describe("a refusal", () => {
  const denied =
    "User: arn:aws:sts::123456789012:assumed-role/mayfly-webhook/f is not authorized to perform: dynamodb:GetItem on resource: arn:aws:dynamodb:eu-west-1:123456789012:table/mayfly because no identity-based policy allows the dynamodb:GetItem action";

  it.each<[StandInAnswer, string, string]>([
    [refusal(400, "AccessDeniedException", denied), "operator", "AWS_ACCESS_DENIED"],
    [{ status: 403, body: "<html>Forbidden</html>" }, "operator", "AWS_ACCESS_DENIED"],
    [refusal(400, "UnrecognizedClientException"), "operator", "AWS_CREDENTIALS_REJECTED"],
    [refusal(400, "InvalidSignatureException", "Signature expired: …"), "operator", "AWS_CLOCK_SKEW"],
    [refusal(403, "InvalidSignatureException", "does not match"), "operator", "AWS_CREDENTIALS_REJECTED"],
    [refusal(400, "ExpiredTokenException"), "retry", "AWS_CREDENTIALS_EXPIRED"],
    [refusal(400, "ResourceNotFoundException"), "operator", "AWS_NOT_FOUND"],
    [{ status: 400, body: { __type: "com.amazonaws.sqs#QueueDoesNotExist" } }, "operator", "AWS_NOT_FOUND"],
    [refusal(400, "ValidationException"), "give-up", "AWS_REFUSED"],
    [refusal(503, "ServiceUnavailable"), "retry", "AWS_UNAVAILABLE"],
    [{ status: 429, body: {} }, "retry", "AWS_THROTTLED"],
  ])("%j is %s, %s", async (answer, kind, code) => {
    await expect(call([answer], { attempts: 1 })).rejects.toMatchObject({ kind, code });
  });

  it("of a permission names the action, the resource and the policy", async () => {
    await expect(call([refusal(400, "AccessDeniedException", denied)])).rejects.toMatchObject({
      suggestion:
        "Add dynamodb:GetItem on arn:aws:dynamodb:eu-west-1:123456789012:table/mayfly to the policy of arn:aws:sts::123456789012:assumed-role/mayfly-webhook/f.",
    });
    await standIn.close();
    await expect(call([{ status: 403, body: "" }])).rejects.toMatchObject({
      suggestion: "Add dynamodb:GetItem on table mayfly to the policy of this role.",
    });
  });

  it("keeps AWS's own code and the whole answer for the adapter", async () => {
    const body = { __type: "x#TransactionCanceledException", CancellationReasons: [{ Code: "None" }] };
    await expect(call([{ status: 400, body }])).rejects.toMatchObject({
      awsCode: "TransactionCanceledException",
      details: body,
      message: "DynamoDB refused GetItem on table mayfly: 400, TransactionCanceledException.",
    });
    expect(standIn.requests).toHaveLength(1);
  });
});
