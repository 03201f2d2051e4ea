import type { AwsPolicy } from "../../src/targets/aws/permissions.ts";

/*
 * What IAM looks at before a request is served, as far as the requests of Mayfly go. moto, with its enforcement on, knows
 * the name of the call and nothing else; here resources and conditions count, a transaction is allowed by its writes, and
 * CreateFleet by all that EC2 does in the name of its caller. It is the reading of AWS's documentation, and no more.
 */

/** A single thing that a request needs to be allowed. */
export interface Demand {
  readonly action: string;
  readonly resource: string;
  /** Keys of IAM's request context that conditions ask for. */
  readonly context: Readonly<Record<string, string>>;
}

export interface JudgedCall {
  readonly service: string;
  readonly action: string;
  readonly body: string;
}

export interface JudgePlace {
  readonly region: string;
  readonly account: string;
  /** Which role instances get, as it is passed to EC2. */
  readonly machineRoleArn: string;
  /** Where there are tasks: their cluster, and the roles that are passed to them. */
  readonly cluster?: { readonly name: string; readonly roleArns: readonly string[] };
  /** The tags of an instance, by its id, of a launch template, by its name, or of a task, by its id. */
  readonly tagsOf: (
    kind: "instance" | "launch-template" | "task",
    name: string,
  ) => Promise<Readonly<Record<string, string>>>;
}

/** Everything that this call needs. */
export async function demandsOf(call: JudgedCall, place: JudgePlace): Promise<readonly Demand[]> {
  const name = `${call.service}:${call.action}`;
  if (call.service === "ec2") return ec2Demands(call, place);
  if (call.service === "ecs") return ecsDemands(call, place);
  const input = JSON.parse(call.body);
  const arn = (service: string, resource: string): string =>
    `arn:aws:${service}:${place.region}:${place.account}:${resource}`;
  const needs = (action: string, resource: string): Demand => ({ action, resource, context: {} });
  switch (call.service) {
    case "dynamodb":
      return dynamoDemands(call.action, input).map(([action, resource]) =>
        needs(`dynamodb:${action}`, arn("dynamodb", `table/${resource}`)),
      );
    case "sqs":
      return [needs(name, arn("sqs", String(input.QueueUrl).split("/").at(-1) ?? ""))];
    case "secretsmanager":
      // AWS adds six characters of its own to the name.
      return [
        needs(
          name,
          input.SecretId.startsWith("arn:")
            ? input.SecretId
            : arn("secretsmanager", `secret:${input.SecretId}-a1b2c3`),
        ),
      ];
    case "ssm":
      return [needs(name, arn("ssm", `parameter/${String(input.Name).replace(/^\//, "")}`))];
    case "events":
      return [needs(name, arn("events", `event-bus/${input.Entries[0].EventBusName}`))];
    case "codebuild":
      return [
        needs(name, arn("codebuild", `project/${input.projectName ?? String(input.ids?.[0]).split(":")[0]}`)),
      ];
    case "ecr":
      return [needs(name, arn("ecr", `repository/${input.repositoryName}`))];
    case "logs":
      return [needs(name, arn("logs", `log-group:${input.logGroupName}:log-stream:${input.logStreamName}`))];
    default:
      return [needs(name, "*")];
  }
}

/** Whether a statement of the policy allows it. */
export function isAllowed({ Statement }: AwsPolicy, { action, resource, context }: Demand): boolean {
  return Statement.some(({ Action, Resource, Condition }) => {
    const conditions = Object.entries(Condition?.StringEquals ?? {});
    return (
      Action.includes(action) &&
      Resource.some((pattern) => matches(pattern, resource)) &&
      conditions.every(([key, values]) => [values].flat().includes(context[key] ?? ""))
    );
  });
}

// biome-ignore lint/suspicious/noExplicitAny: the body of a request, as JSON gives it
function dynamoDemands(action: string, input: any): readonly (readonly [string, string])[] {
  const writes = { Put: "PutItem", Update: "UpdateItem", Delete: "DeleteItem" };
  if (action === "TransactWriteItems") {
    return input.TransactItems.map((item: object) => {
      const [[kind, write] = ["", { TableName: "" }]] = Object.entries(item);
      return [writes[kind as keyof typeof writes] ?? kind, write.TableName] as const;
    });
  }
  if (action === "BatchWriteItem") return Object.keys(input.RequestItems).map((table) => [action, table]);
  const index = input.IndexName === undefined ? "" : `/index/${input.IndexName}`;
  return [[action, `${input.TableName}${index}`]];
}

const launched = ["instance", "volume"];
const launchParts = [...["image", "network-interface", "security-group", "subnet", "spot-instances-request"]];

async function ec2Demands({ action, body }: JudgedCall, place: JudgePlace): Promise<readonly Demand[]> {
  const parameters = new URLSearchParams(body);
  const arn = (kind: string, id = "any"): string =>
    `arn:aws:ec2:${place.region}:${place.account}:${kind}/${id}`;
  if (action === "TerminateInstances") {
    const ids = [...parameters].flatMap(([name, id]) => (name.startsWith("InstanceId.") ? [id] : []));
    return Promise.all(
      ids.map(async (id) => {
        const context = prefixed("aws:ResourceTag/", await place.tagsOf("instance", id));
        return { action: "ec2:TerminateInstances", resource: arn("instance", id), context };
      }),
    );
  }
  if (action !== "CreateFleet") return [{ action: `ec2:${action}`, resource: "*", context: {} }];
  const template =
    parameters.get("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName") ?? "";
  const templateTags = prefixed("aws:ResourceTag/", await place.tagsOf("launch-template", template));
  const creating = ["ec2:CreateFleet", "ec2:RunInstances"].flatMap((each) => [
    { action: each, resource: arn("launch-template"), context: templateTags },
    ...launchParts.map((kind): Demand => ({ action: each, resource: arn(kind), context: {} })),
    ...launched.map((kind): Demand => {
      const context = prefixed("aws:RequestTag/", requestedTags(parameters, kind));
      return { action: each, resource: arn(kind), context };
    }),
  ]);
  const tagging = launched.map((kind): Demand => {
    const context = { "ec2:CreateAction": "CreateFleet" };
    return { action: "ec2:CreateTags", resource: arn(kind), context };
  });
  const passing = { "iam:PassedToService": "ec2.amazonaws.com" };
  return [
    { action: "ec2:CreateFleet", resource: arn("fleet"), context: {} },
    ...creating,
    ...tagging,
    { action: "iam:PassRole", resource: place.machineRoleArn, context: passing },
  ];
}

async function ecsDemands({ action, body }: JudgedCall, place: JudgePlace): Promise<readonly Demand[]> {
  const input = JSON.parse(body);
  const arn = (resource: string): string => `arn:aws:ecs:${place.region}:${place.account}:${resource}`;
  const inCluster = { "ecs:cluster": arn(`cluster/${place.cluster?.name}`) };
  const name = `ecs:${action}`;
  const taskArn = (id: string): string => arn(`task/${place.cluster?.name}/${id.split("/").at(-1)}`);
  const passing = (place.cluster?.roleArns ?? []).map((resource): Demand => {
    return {
      action: "iam:PassRole",
      resource,
      context: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
    };
  });
  const tagging = (resource: string): Demand => {
    return { action: "ecs:TagResource", resource, context: { "ecs:CreateAction": action } };
  };
  switch (action) {
    case "RegisterTaskDefinition": {
      const resource = arn(`task-definition/${input.family}:1`);
      const tags = input.tags.map(({ key, value }: Readonly<Record<string, string>>) => [key, value]);
      const context = prefixed("aws:RequestTag/", Object.fromEntries(tags));
      return [{ action: name, resource, context }, tagging(resource), ...passing];
    }
    case "RunTask": {
      const [family = "", revision = "1"] = String(input.taskDefinition).split("/").at(-1)?.split(":") ?? [];
      const resource = arn(`task-definition/${family}:${revision}`);
      return [{ action: name, resource, context: inCluster }, tagging(taskArn("any")), ...passing];
    }
    case "DescribeTasks":
      return input.tasks.map((id: string) => ({ action: name, resource: taskArn(id), context: inCluster }));
    case "StopTask": {
      const context = prefixed("aws:ResourceTag/", await place.tagsOf("task", input.task));
      return [{ action: name, resource: taskArn(input.task), context }];
    }
    default:
      return [{ action: name, resource: "*", context: inCluster }];
  }
}

/** `TagSpecification.1.ResourceType=instance`, `TagSpecification.1.Tag.1.Key=…`. */
function requestedTags(parameters: URLSearchParams, kind: string): Readonly<Record<string, string>> {
  const specification = [...parameters].find(
    ([name, value]) => /^TagSpecification\.\d+\.ResourceType$/.test(name) && value === kind,
  );
  const [beginning = ""] = /^TagSpecification\.\d+/.exec(specification?.[0] ?? "") ?? [];
  const keys = [...parameters].filter(([name]) => beginning !== "" && name.startsWith(`${beginning}.Tag.`));
  return Object.fromEntries(
    keys
      .filter(([name]) => name.endsWith(".Key"))
      .map(([name, key]) => [key, parameters.get(name.replace(/Key$/, "Value")) ?? ""]),
  );
}

function prefixed(prefix: string, tags: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(tags).map(([key, value]) => [`${prefix}${key}`, value]));
}

/** `*` stands for any characters, `?` for one. */
function matches(pattern: string, resource: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`).test(resource);
}
