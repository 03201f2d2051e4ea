import {
  type Fields,
  type Resolved,
  readTemplate,
  resolveTemplate,
  type Template,
} from "../../infra/aws/test/cloudformation.ts";
import type { Statement } from "../../infra/aws/test/policies.ts";
import type { FunctionName, FunctionSpec, QueueName } from "../../src/targets/aws/functions.ts";
import type { PolicyStatement } from "../../src/targets/aws/permissions.ts";
import type { HttpFrontRoute } from "./lambda-triggers.ts";

/*
 * What CloudFormation makes of the committed template, in the words of the stand-ins: names, environment, permissions and
 * triggers are taken from there and from nowhere else.
 */

export interface TemplateParts {
  readonly functions: readonly Pick<FunctionSpec, "name" | "timeoutSeconds">[];
  readonly variables: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** What the role of each function allows. */
  readonly statements: ReadonlyMap<string, readonly PolicyStatement[]>;
  /** For `CreateTable`. */
  readonly table: object;
  /** For `CreateQueue`; dead letters come first. */
  readonly queues: readonly {
    readonly name: string;
    readonly attributes: Readonly<Record<string, string>>;
  }[];
  readonly routes: readonly HttpFrontRoute[];
  readonly pollers: readonly PollerParts[];
  readonly schedules: readonly { readonly name: FunctionName; readonly everySeconds: number }[];
  readonly launchTemplates: readonly {
    readonly name: string;
    readonly data: Fields;
    readonly tags: Fields;
  }[];
  readonly machineRoleArn: string;
  /** Whether a rule sends this event to this queue. */
  sends(event: unknown, queue: QueueName): boolean;
}

export interface PollerParts {
  readonly name: FunctionName;
  readonly queue: QueueName;
  readonly batchSize: number;
  readonly windowSeconds: number;
}

export interface TemplateChoice {
  /** Parameters, and attributes that only AWS knows, such as `Api.ApiEndpoint`. */
  readonly given: Readonly<Record<string, string>> & { readonly Deployment: string };
  /** Spoils the template, for a test. */
  readonly change?: (template: Template) => Template;
}

export function templateParts({ given, change = (template) => template }: TemplateChoice): TemplateParts {
  const resolved = resolveTemplate(change(readTemplate()), given);
  const { resources, ofType } = resolved;
  const own = (name: string): string => name.slice(given.Deployment.length + 1);
  const ownName = (arnOrName: string): string => own(arnOrName.split(/[:/]/).at(-1) ?? "");
  const functions = ofType("AWS::Lambda::Function");
  const rules = ofType("AWS::Events::Rule");
  return {
    functions: functions.map(({ FunctionName: name, Timeout }) => ({
      ...{ name: own(name) as FunctionName, timeoutSeconds: Timeout },
    })),
    variables: Object.fromEntries(
      functions.map(({ FunctionName: name, Environment }) => [own(name), Environment.Variables]),
    ),
    statements: statementsOf(resolved, own),
    table: tableOf(resolved),
    queues: queuesOf(resolved),
    routes: ofType("AWS::ApiGatewayV2::Route").map(({ RouteKey, AuthorizationType, Target }) => {
      const integration = resources.get(Target.replace(/^integrations\/the-/, ""))?.Properties;
      const authorizer = AuthorizationType === "AWS_IAM" ? "iam" : "none";
      return { route: RouteKey, name: ownName(integration?.IntegrationUri) as FunctionName, authorizer };
    }),
    pollers: ofType("AWS::Lambda::EventSourceMapping").map((mapping) => ({
      name: ownName(mapping.FunctionName) as FunctionName,
      queue: ownName(mapping.EventSourceArn) as QueueName,
      batchSize: mapping.BatchSize,
      windowSeconds: mapping.MaximumBatchingWindowInSeconds ?? 0,
    })),
    schedules: rules.flatMap(({ ScheduleExpression, Targets }) => {
      const [, minutes] = /^rate\((\d+) minutes?\)$/.exec(ScheduleExpression ?? "") ?? [];
      if (minutes === undefined) return [];
      return Targets.map(({ Arn }: Fields) => ({ name: ownName(Arn), everySeconds: 60 * Number(minutes) }));
    }),
    launchTemplates: ofType("AWS::EC2::LaunchTemplate").map((made) => ({
      name: made.LaunchTemplateName,
      data: made.LaunchTemplateData,
      tags: made.TagSpecifications[0].Tags,
    })),
    machineRoleArn: variableIn(functions, "MAYFLY_MACHINE_ROLE_ARN"),
    sends: (event, queue) =>
      rules.some(
        ({ EventPattern, Targets }) =>
          EventPattern !== undefined &&
          fits(event, EventPattern) &&
          Targets.some(({ Arn }: Fields) => ownName(Arn) === queue),
      ),
  };
}

function variableIn(functions: readonly Fields[], name: string): string {
  return functions.map(({ Environment }) => Environment.Variables[name]).find(Boolean) ?? "";
}

function statementsOf(
  { ofType }: Resolved,
  own: (name: string) => string,
): ReadonlyMap<string, readonly PolicyStatement[]> {
  const all = new Map<string, PolicyStatement[]>();
  const inline = ofType("AWS::IAM::Role").flatMap(({ RoleName, Policies = [] }) =>
    Policies.map(({ PolicyDocument }: Fields) => ({ RoleName, PolicyDocument })),
  );
  for (const { RoleName, PolicyDocument } of [...inline, ...ofType("AWS::IAM::RolePolicy")]) {
    const known = all.get(own(RoleName)) ?? [];
    all.set(own(RoleName), [...known, ...PolicyDocument.Statement.map(statementOf)]);
  }
  return all;
}

/** As the judge reads it, who knows one kind of condition. */
function statementOf({ Effect, Action, Resource, Condition }: Statement): PolicyStatement {
  const { StringEquals, ...others } = Condition ?? {};
  if (Effect !== "Allow" || Object.keys(others).length > 0) {
    throw new Error(`The judge cannot read ${JSON.stringify({ Effect, Action, Condition })}.`);
  }
  const statement = { Effect, Action: [Action].flat(), Resource: [Resource].flat() } as const;
  return StringEquals === undefined ? statement : { ...statement, Condition: { StringEquals } };
}

function tableOf({ ofType }: Resolved): object {
  const [table = {}] = ofType("AWS::DynamoDB::Table");
  const { TableName, BillingMode, KeySchema, AttributeDefinitions, GlobalSecondaryIndexes } = table;
  return { TableName, BillingMode, KeySchema, AttributeDefinitions, GlobalSecondaryIndexes };
}

function queuesOf({ ofType }: Resolved): TemplateParts["queues"] {
  const made = ofType("AWS::SQS::Queue").map((queue) => ({
    name: queue.QueueName,
    attributes: {
      VisibilityTimeout: String(queue.VisibilityTimeout ?? 30),
      MessageRetentionPeriod: String(queue.MessageRetentionPeriod),
      ...(queue.RedrivePolicy !== undefined && { RedrivePolicy: JSON.stringify(queue.RedrivePolicy) }),
    },
  }));
  return made.sort(
    (left, right) => Object.keys(left.attributes).length - Object.keys(right.attributes).length,
  );
}

/** As EventBridge does it: each field of the pattern is a list of values, or a pattern. */
function fits(event: unknown, pattern: Fields): boolean {
  return Object.entries(pattern).every(([name, wanted]) => {
    const value = (event as Fields | undefined)?.[name];
    return Array.isArray(wanted) ? wanted.includes(value) : fits(value, wanted);
  });
}
