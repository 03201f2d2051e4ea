import { describe, expect, it } from "vitest";
import { type SignedRequest, verifySignature } from "./support/signature-verifier.ts";

/*
 * The verifier against signatures that AWS publishes: the cases of its Signature Version 4 test suite, and the example
 * of its guide (IAM ListUsers). The signer is then tested against the verifier.
 */

const secretAccessKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const suite = { service: "service", region: "us-east-1", now: Date.UTC(2015, 7, 30, 12, 36) };
const credentials = { AKIDEXAMPLE: { secretAccessKey } };

interface Example {
  readonly name: string;
  readonly request: Partial<SignedRequest>;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly service?: string;
}

const examples: readonly Example[] = [
  {
    name: "get-vanilla",
    request: {},
    signedHeaders: "host;x-amz-date",
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
  },
  {
    name: "get-vanilla-query-order-key-case",
    request: { query: "Param2=value2&Param1=value1" },
    signedHeaders: "host;x-amz-date",
    signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  },
  {
    name: "post-vanilla",
    request: { method: "POST" },
    signedHeaders: "host;x-amz-date",
    signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
  },
  {
    name: "post-x-www-form-urlencoded",
    request: {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: "Param1=value1",
    },
    signedHeaders: "content-type;host;x-amz-date",
    signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  },
  {
    name: "IAM ListUsers",
    request: {
      query: "Action=ListUsers&Version=2010-05-08",
      headers: {
        host: "iam.amazonaws.com",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
      },
    },
    signedHeaders: "content-type;host;x-amz-date",
    signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    service: "iam",
  },
];

function signedRequest(example: Example): SignedRequest {
  const { service = "service", signedHeaders, signature, request } = example;
  const scope = `AKIDEXAMPLE/20150830/us-east-1/${service}/aws4_request`;
  return {
    method: "GET",
    path: "/",
    query: "",
    body: "",
    ...request,
    headers: {
      host: "example.amazonaws.com",
      "x-amz-date": "20150830T123600Z",
      authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
      ...request.headers,
    },
  };
}

describe("the verifier of signatures", () => {
  it.each(examples)("accepts what AWS publishes: $name", (example) => {
    const options = { ...suite, credentials, service: example.service ?? "service" };
    expect(verifySignature(signedRequest(example), options)).toMatchObject({ kind: "valid" });
  });

  const [vanilla] = examples as [Example];
  const request = signedRequest(vanilla);
  const token = { ...request.headers, "x-amz-security-token": "lent" };
  it.each([
    ["another body", { ...request, body: "x" }, {}],
    ["another path", { ...request, path: "/x" }, {}],
    ["another host", { ...request, headers: { ...request.headers, host: "other.example" } }, {}],
    ["a token that is not signed", { ...request, headers: token }, {}],
    ["no signature", { ...request, headers: {} }, {}],
    ["a time long ago", request, { now: suite.now + 16 * 60_000 }],
    ["another region", request, { region: "eu-west-1" }],
    ["another service", request, { service: "sqs" }],
    ["another key", request, { credentials: { AKIDEXAMPLE: { secretAccessKey: "other" } } }],
    ["an unknown key", request, { credentials: {} }],
    ["a missing token", request, { credentials: { AKIDEXAMPLE: { secretAccessKey, sessionToken: "t" } } }],
  ])("refuses %s", (_, changed, options) => {
    const verdict = verifySignature(changed, { ...suite, credentials, ...options });
    expect(verdict.kind).toBe("invalid");
  });
});
