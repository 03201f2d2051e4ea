import type { AwsCallLimits, AwsClient } from "./client.ts";
import { type AwsPurpose, type AwsRefusal, awsBrokenAnswerError } from "./errors.ts";
import type { ExchangeAnswer } from "./exchange.ts";

/** Services that speak AWS's JSON protocol: its version, and what stands before the action in `x-amz-target`. */
const protocols = {
  dynamodb: { version: "1.0", target: "DynamoDB_20120810" },
  sqs: { version: "1.0", target: "AmazonSQS" },
  secretsmanager: { version: "1.1", target: "secretsmanager" },
  ssm: { version: "1.1", target: "AmazonSSM" },
  codebuild: { version: "1.1", target: "CodeBuild_20161006" },
  logs: { version: "1.1", target: "Logs_20140328" },
  ecr: { version: "1.1", target: "AmazonEC2ContainerRegistry_V20150921" },
  ecs: { version: "1.1", target: "AmazonEC2ContainerServiceV20141113" },
  events: { version: "1.1", target: "AWSEvents" },
  servicequotas: { version: "1.1", target: "ServiceQuotasV20190624" },
} as const;

export interface JsonCall extends AwsPurpose {
  readonly service: keyof typeof protocols;
  readonly input: Readonly<Record<string, unknown>>;
  readonly limits?: AwsCallLimits;
}

/**
 * Calls one action and gives its answer, whose shape is the caller's to know. Errors and repetitions are those of
 * `AwsClient`.
 */
export async function callJson<Answer>(client: AwsClient, call: JsonCall): Promise<Answer> {
  const { service, action, resource, input, limits } = call;
  const { version, target } = protocols[service];
  const answer = await client.send({
    service,
    action,
    resource,
    headers: {
      "content-type": `application/x-amz-json-${version}`,
      "x-amz-target": `${target}.${action}`,
    },
    body: JSON.stringify(input),
    refusalIn,
    ...(limits === undefined ? {} : { limits }),
  });
  return parsedAnswer<Answer>(call, answer);
}

export interface RestCall extends AwsPurpose {
  /** With its query, percent-encoded where that is needed. */
  readonly path: string;
}

/** Reads from a service that speaks REST with JSON, such as Lambda, in the same way. */
export async function getJson<Answer>(client: AwsClient, call: RestCall): Promise<Answer> {
  const answer = await client.send({ ...call, method: "GET", headers: {}, body: "", refusalIn });
  return parsedAnswer<Answer>(call, answer);
}

/** Changes something in such a service. */
export async function putJson<Answer>(
  client: AwsClient,
  call: RestCall & { readonly input: Readonly<Record<string, unknown>> },
): Promise<Answer> {
  const { input, ...purpose } = call;
  const headers = { "content-type": "application/json" };
  const answer = await client.send({
    ...purpose,
    method: "PUT",
    headers,
    body: JSON.stringify(input),
    refusalIn,
  });
  return parsedAnswer<Answer>(call, answer);
}

function parsedAnswer<Answer>(purpose: AwsPurpose, { body }: ExchangeAnswer): Answer {
  const parsed = objectIn(body);
  if (parsed === undefined) throw awsBrokenAnswerError(purpose, "it is no JSON object");
  return parsed as Answer;
}

function refusalIn({ body, headers }: ExchangeAnswer): Omit<AwsRefusal, "status"> {
  const details = objectIn(body) ?? {};
  const type = headers["x-amzn-errortype"] ?? textIn(details, "__type") ?? textIn(details, "code") ?? "";
  return {
    // `com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException`, or `Name:http://…` in the header.
    awsCode: type.replace(/^.*#/, "").replace(/:.*$/, ""),
    message: textIn(details, "message") ?? textIn(details, "Message") ?? "",
    details,
  };
}

function objectIn(text: string): Record<string, unknown> | undefined {
  // Some actions answer with nothing at all.
  if (text === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function textIn(object: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = object[name];
  return typeof value === "string" ? value : undefined;
}
