import type { Clock } from "../../ports/clock.ts";
import type { AwsClient } from "./client.ts";
import { AwsError } from "./errors.ts";
import { callJson, getJson } from "./json.ts";
import { callQuery, exchangeQuery, type XmlElement } from "./query.ts";

/*
 * What a deployment is made of, as AWS describes it, for whoever looks for a fault. Everything here only reads. What is
 * not there is undefined; what may not be read is an `AwsError` with the permission that is missing.
 */

/** Who asks, and how far AWS's clock is ahead of ours. AWS gives whole seconds. */
export interface AwsCaller {
  readonly account: string;
  readonly arn: string;
  readonly clockAheadSeconds: number;
}

export async function inspectCaller(client: AwsClient, clock: Clock): Promise<AwsCaller> {
  const call = { service: "sts", action: "GetCallerIdentity", resource: "these credentials" } as const;
  const { content, headers } = await exchangeQuery(client, { ...call, input: {} });
  const identity = elementIn(content, "GetCallerIdentityResult");
  const date = Date.parse(headers.date ?? "");
  return {
    account: textIn(identity, "Account"),
    arn: textIn(identity, "Arn"),
    clockAheadSeconds: Number.isNaN(date) ? 0 : Math.round((date - clock.now()) / 1000),
  };
}

export interface DeployedFunction {
  readonly arn: string;
  /** `Active` and `Successful` when it can be started. */
  readonly state: string;
  readonly lastUpdate: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Where its messages come from, and whether they do. */
  readonly queues: readonly { readonly arn: string; readonly enabled: boolean }[];
}

export async function inspectFunction(
  client: AwsClient,
  name: string,
): Promise<DeployedFunction | undefined> {
  const service = { service: "lambda", resource: `function ${name}` } as const;
  const made = await unlessAbsent(() =>
    getJson<{
      readonly FunctionArn?: string;
      readonly State?: string;
      readonly LastUpdateStatus?: string;
      readonly Environment?: { readonly Variables?: Readonly<Record<string, string>> };
    }>(client, {
      ...service,
      action: "GetFunctionConfiguration",
      path: `/2015-03-31/functions/${encodeURIComponent(name)}/configuration`,
    }),
  );
  if (made === undefined) return undefined;
  const { EventSourceMappings = [] } = await getJson<{
    readonly EventSourceMappings?: readonly { readonly EventSourceArn?: string; readonly State?: string }[];
  }>(client, {
    ...service,
    action: "ListEventSourceMappings",
    path: `/2015-03-31/event-source-mappings/?FunctionName=${encodeURIComponent(name)}`,
  });
  return {
    arn: made.FunctionArn ?? "",
    state: made.State ?? "Active",
    lastUpdate: made.LastUpdateStatus ?? "Successful",
    variables: made.Environment?.Variables ?? {},
    queues: EventSourceMappings.map(({ EventSourceArn = "", State = "" }) => ({
      arn: EventSourceArn,
      enabled: !/^Disabl/.test(State),
    })),
  };
}

/** Whether the rule starts anything; undefined where there is none of this name. */
export async function inspectRule(client: AwsClient, name: string): Promise<boolean | undefined> {
  const call = { service: "events", action: "DescribeRule", resource: `rule ${name}` } as const;
  const rule = await unlessAbsent(() =>
    callJson<{ readonly State?: string }>(client, { ...call, input: { Name: name } }),
  );
  return rule === undefined ? undefined : rule.State !== "DISABLED";
}

/** About how many messages wait; undefined where there is no such queue. */
export async function inspectQueue(client: AwsClient, name: string): Promise<number | undefined> {
  const service = { service: "sqs", resource: `queue ${name}` } as const;
  const found = await unlessAbsent(() =>
    callJson<{ readonly QueueUrl: string }>(client, {
      ...service,
      action: "GetQueueUrl",
      input: { QueueName: name },
    }),
  );
  if (found === undefined) return undefined;
  const { Attributes } = await callJson<{ readonly Attributes?: Readonly<Record<string, string>> }>(client, {
    ...service,
    action: "GetQueueAttributes",
    input: { QueueUrl: found.QueueUrl, AttributeNames: ["ApproximateNumberOfMessages"] },
  });
  return Number(Attributes?.ApproximateNumberOfMessages ?? 0);
}

export interface DeployedTable {
  /** `ACTIVE` when it can be used. */
  readonly status: string;
  readonly keys: readonly string[];
  readonly indexes: readonly string[];
}

export async function inspectTable(client: AwsClient, name: string): Promise<DeployedTable | undefined> {
  const call = { service: "dynamodb", action: "DescribeTable", resource: `table ${name}` } as const;
  const found = await unlessAbsent(() =>
    callJson<{
      readonly Table: {
        readonly TableStatus?: string;
        readonly KeySchema?: readonly { readonly AttributeName: string }[];
        readonly GlobalSecondaryIndexes?: readonly { readonly IndexName: string }[];
      };
    }>(client, { ...call, input: { TableName: name } }),
  );
  if (found === undefined) return undefined;
  const { TableStatus = "ACTIVE", KeySchema = [], GlobalSecondaryIndexes = [] } = found.Table;
  return {
    status: TableStatus,
    keys: KeySchema.map(({ AttributeName }) => AttributeName),
    indexes: GlobalSecondaryIndexes.map(({ IndexName }) => IndexName),
  };
}

/** The outputs of a stack of CloudFormation. */
export async function inspectStack(
  client: AwsClient,
  name: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  const call = { service: "cloudformation", action: "DescribeStacks", resource: `stack ${name}` } as const;
  const answer = await unlessAbsent(() => callQuery(client, { ...call, input: { StackName: name } }));
  if (answer === undefined) return undefined;
  const [stack = {}] = membersIn(elementIn(answer, "DescribeStacksResult"), "Stacks");
  const outputs = membersIn(stack, "Outputs");
  return Object.fromEntries(
    outputs.map((output) => [textIn(output, "OutputKey"), textIn(output, "OutputValue")]),
  );
}

/** Pages of API Gateway have 25 APIs, and an account 600 of them. */
const apiPagesLimit = 24;

/** The address of the HTTP API of this name. */
export async function inspectHttpApi(client: AwsClient, name: string): Promise<string | undefined> {
  let next: string | undefined;
  for (let page = 1; page <= apiPagesLimit; page += 1) {
    const query = next === undefined ? "" : `?nextToken=${encodeURIComponent(next)}`;
    const answer: {
      readonly items?: readonly { readonly name?: string; readonly apiEndpoint?: string }[];
      readonly nextToken?: string;
    } = await getJson(client, {
      service: "apigateway",
      action: "GET",
      resource: "the HTTP APIs of the account",
      path: `/v2/apis${query}`,
    });
    const found = answer.items?.find((api) => api.name === name);
    if (found !== undefined) return found.apiEndpoint;
    next = answer.nextToken;
    if (next === undefined || next === "") return undefined;
  }
  return undefined;
}

/** The quota as it holds in this region of the account. Those that nobody ever changed have AWS's default. */
export async function inspectQuota(
  client: AwsClient,
  service: "ec2" | "fargate",
  code: string,
): Promise<number | undefined> {
  const call = { service: "servicequotas", resource: `quota ${code} of ${service}` } as const;
  const input = { ServiceCode: service, QuotaCode: code };
  const read = (action: string) =>
    unlessAbsent(() =>
      callJson<{ readonly Quota?: { readonly Value?: number } }>(client, { ...call, action, input }),
    );
  const quota = (await read("GetServiceQuota")) ?? (await read("GetAWSDefaultServiceQuota"));
  return quota?.Quota?.Value;
}

/** Whether there is such a cluster of ECS, and tasks can be started in it. */
export async function clusterExists(client: AwsClient, name: string): Promise<boolean> {
  const call = { service: "ecs", action: "DescribeClusters", resource: `cluster ${name}` } as const;
  const { clusters = [] } = await callJson<{
    readonly clusters?: readonly { readonly status?: string }[];
  }>(client, { ...call, input: { clusters: [name] } });
  return clusters.some(({ status }) => status === "ACTIVE");
}

/** Whether there is such a bus of EventBridge, by its name or ARN. */
export async function busExists(client: AwsClient, name: string): Promise<boolean> {
  const call = { service: "events", action: "DescribeEventBus", resource: `bus ${name}` } as const;
  return (await unlessAbsent(() => callJson(client, { ...call, input: { Name: name } }))) !== undefined;
}

export async function imagePipelineExists(client: AwsClient, arn: string): Promise<boolean> {
  const call = { service: "imagebuilder", action: "GetImagePipeline", resource: `pipeline ${arn}` } as const;
  const path = `/GetImagePipeline?imagePipelineArn=${encodeURIComponent(arn)}`;
  return (await unlessAbsent(() => getJson(client, { ...call, path }))) !== undefined;
}

/** Whether there is such a secret. What is in it is not read. */
export async function secretExists(client: AwsClient, name: string): Promise<boolean> {
  const call = { service: "secretsmanager", action: "DescribeSecret", resource: `secret ${name}` } as const;
  return (await unlessAbsent(() => callJson(client, { ...call, input: { SecretId: name } }))) !== undefined;
}

export async function roleExists(client: AwsClient, name: string): Promise<boolean> {
  const call = { service: "iam", action: "GetRole", resource: `role ${name}` } as const;
  return (await unlessAbsent(() => callQuery(client, { ...call, input: { RoleName: name } }))) !== undefined;
}

/** What services call a thing that is not there. CloudFormation has no code for it, only a sentence. */
const absent =
  /^(ResourceNotFound|QueueDoesNotExist|AWS\.SimpleQueueService\.NonExistentQueue|NoSuchEntity|NoSuchResource|NotFoundException)/;

async function unlessAbsent<Answer>(call: () => Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    const isStack = error.awsCode === "ValidationError" && /does not exist/.test(error.message);
    if (absent.test(error.awsCode) || isStack) return undefined;
    throw error;
  }
}

// ------------------------------------------------------------------------------------------------ answers

function elementIn(element: XmlElement, name: string): XmlElement {
  const value = element[name];
  return typeof value === "object" && !Array.isArray(value) ? (value as XmlElement) : {};
}

function textIn(element: XmlElement, name: string): string {
  const value = element[name];
  return typeof value === "string" ? value : "";
}

function membersIn(element: XmlElement, name: string): readonly XmlElement[] {
  const { member } = elementIn(element, name);
  if (!Array.isArray(member)) return [];
  return member.filter((item): item is XmlElement => typeof item === "object" && !Array.isArray(item));
}
