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
import { createAwsClient } from "./client.ts";
import { callQuery } from "./query.ts";

let standIn: AwsStandIn;
afterEach(async () => {
  await standIn.close();
});

async function call(answers: readonly StandInAnswer[]): Promise<unknown> {
  const clock = createImpatientClock(start);
  standIn = await startAwsStandIn(answers, { service: "ec2", region: "eu-west-1", now: clock.now });
  const client = createAwsClient({
    region: "eu-west-1",
    endpoint: standIn.url,
    credentials: () => standInCredentials,
    clock,
    random: createSeededRandom(1),
  });
  const filter = { Name: "tag:mayfly", Value: ["a b", "ü&="] };
  return await callQuery(client, {
    service: "ec2",
    action: "DescribeInstances",
    resource: "instances",
    input: { MaxResults: 5, DryRun: false, NextToken: undefined, Filter: [filter] },
  });
}

describe("a call with the query protocol", () => {
  it("is signed, numbers its lists, and gives lists of one as lists", async () => {
    const body = `<?xml version="1.0"?><DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
      <reservationSet><item><instancesSet><item><id>007</id><name>a &amp; b</name></item></instancesSet></item></reservationSet>
      <emptySet/></DescribeInstancesResponse>`;
    expect(await call([{ body }])).toEqual({
      reservationSet: { item: [{ instancesSet: { item: [{ id: "007", name: "a & b" }] } }] },
      emptySet: "",
    });
    const [request] = standIn.requests;
    expect(request?.verdict).toMatchObject({ kind: "valid" });
    expect([...new URLSearchParams(request?.body)]).toEqual([
      ["Action", "DescribeInstances"],
      ["Version", "2016-11-15"],
      ["MaxResults", "5"],
      ["DryRun", "false"],
      ["Filter.1.Name", "tag:mayfly"],
      ["Filter.1.Value.1", "a b"],
      ["Filter.1.Value.2", "ü&="],
    ]);
  });

  it("is repeated when it was throttled", async () => {
    const throttled =
      "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>";
    expect(await call([{ status: 503, body: throttled }, { body: "<R/>" }])).toEqual({});
  });

  it.each([
    [
      "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized. Encoded authorization failure message: s3cr3t</Message></Error></Errors></Response>",
      "AWS_ACCESS_DENIED",
      "EC2 refused DescribeInstances on instances: 400, UnauthorizedOperation, You are not authorized.",
    ],
    [
      "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>It is invalid</Message></Error></ErrorResponse>",
      "AWS_CREDENTIALS_REJECTED",
      "EC2 refused DescribeInstances on instances: 400, InvalidClientTokenId, It is invalid.",
    ],
    ["<html><p>nothing", "AWS_REFUSED", "EC2 refused DescribeInstances on instances: 400."],
  ])("reads a refusal: %s", async (body, code, message) => {
    await expect(call([{ status: 400, body }])).rejects.toMatchObject({ code, message });
  });

  it("fails when the answer is no XML", async () => {
    await expect(call([{ body: "{}" }])).rejects.toMatchObject({ code: "AWS_BROKEN_ANSWER" });
  });
});
