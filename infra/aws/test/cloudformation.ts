import { readFileSync } from "node:fs";
import { parse } from "yaml";

/*
 * Reads a CloudFormation template as CloudFormation does: with parameters put in, conditions decided and references
 * followed. What only AWS knows, such as the id of an API, gets a name that can be recognized.
 */

export interface Template {
  readonly Parameters: Readonly<Record<string, { readonly Default?: unknown }>>;
  readonly Conditions?: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<Record<string, TemplateResource>>;
  readonly Outputs: Readonly<Record<string, { readonly Value: unknown }>>;
}

export interface TemplateResource {
  readonly Type: string;
  readonly Properties: Fields;
  readonly Condition?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: what a template holds has no type here.
export type Fields = Record<string, any>;

export interface Resolved {
  readonly resources: ReadonlyMap<string, TemplateResource>;
  readonly outputs: Readonly<Record<string, string>>;
  /** Of this type, in the order of the template. */
  ofType(type: string): readonly Fields[];
}

export const account = "123456789012";
export const region = "eu-west-1";

/** What the tests deploy with; the rest are defaults. */
export const parameters: Readonly<Record<string, string>> = {
  CodeBucket: "code",
  CodePrefix: "mayfly/0.1.0",
  WebhookSecretArn: `arn:aws:secretsmanager:${region}:${account}:secret:given/webhook-secret-a1b2c3`,
  PrivateKeySecretArn: `arn:aws:secretsmanager:${region}:${account}:secret:given/app-private-key-a1b2c3`,
  StatusTokenSecretArn: `arn:aws:secretsmanager:${region}:${account}:secret:given/status-token-a1b2c3`,
  VpcId: "vpc-0123456789abcdef0",
  Subnets: '{"eu-west-1a":"subnet-0123456789abcdef0"}',
};

export const templateFile = new URL("../cloudformation/template.yaml", import.meta.url);

export function readTemplate(): Template {
  return parse(readFileSync(templateFile, "utf8")) as Template;
}

/** What is given are parameters, and attributes such as `Api.ApiEndpoint` where they are known. */
export function resolveTemplate(
  template: Template,
  given: Readonly<Record<string, string>> = parameters,
): Resolved {
  const place = { template, given };
  const resources = new Map(
    Object.entries(template.Resources)
      .filter(([, { Condition }]) => Condition === undefined || isMet(place, Condition))
      .map(([id, { Type, Properties = {} }]) => {
        return [id, { Type, Properties: resolve(place, Properties) as Fields }] as const;
      }),
  );
  const outputs = Object.fromEntries(
    Object.entries(template.Outputs).map(([name, { Value }]) => [name, String(resolve(place, Value))]),
  );
  const ofType = (type: string): readonly Fields[] =>
    [...resources.values()].filter(({ Type }) => Type === type).map(({ Properties }) => Properties);
  return { resources, outputs, ofType };
}

/** One value of the template. */
export function resolveValue(
  template: Template,
  value: unknown,
  given: Readonly<Record<string, string>>,
): unknown {
  return resolve({ template, given }, value);
}

interface Place {
  readonly template: Template;
  readonly given: Readonly<Record<string, string>>;
}

const noValue = Symbol("AWS::NoValue");

function resolve(place: Place, value: unknown): unknown {
  if (Array.isArray(value))
    return value.map((item) => resolve(place, item)).filter((item) => item !== noValue);
  if (typeof value !== "object" || value === null) return value;
  const [[name, inner] = ["", undefined], ...more] = Object.entries(value);
  if (more.length === 0 && name in functions) return functions[name]?.(place, inner);
  const fields = Object.entries(value).map(([key, field]) => [key, resolve(place, field)] as const);
  return Object.fromEntries(fields.filter(([, field]) => field !== noValue));
}

// biome-ignore lint/suspicious/noExplicitAny: each function has an argument of its own.
const functions: Readonly<Record<string, (place: Place, argument: any) => unknown>> = {
  Ref: (place, name: string) => refer(place, name),
  "Fn::GetAtt": (place, [id, attribute]: [string, string]) => attributeOf(place, id, attribute),
  "Fn::Sub": (place, text: string) =>
    text.replace(/\$\{(!?)([^}]+)\}/g, (_, escaped: string, name: string) => {
      if (escaped !== "") return `\${${name}}`;
      const [id = "", attribute] = name.split(".");
      return String(attribute === undefined ? refer(place, name) : attributeOf(place, id, attribute));
    }),
  "Fn::Base64": (place, text) => Buffer.from(String(resolve(place, text))).toString("base64"),
  "Fn::If": (place, [condition, yes, no]: [string, unknown, unknown]) =>
    resolve(place, isMet(place, condition) ? yes : no),
  "Fn::Not": (place, [condition]: [unknown]) => resolve(place, condition) !== true,
  "Fn::And": (place, conditions: readonly unknown[]) =>
    conditions.every((condition) => resolve(place, condition) === true),
  "Fn::Select": (place, [index, list]: [number, unknown]) =>
    (resolve(place, list) as readonly unknown[])[Number(index)],
  "Fn::Split": (place, [separator, text]: [string, unknown]) => String(resolve(place, text)).split(separator),
  "Fn::Equals": (place, [left, right]: [unknown, unknown]) => resolve(place, left) === resolve(place, right),
};

function isMet(place: Place, condition: string): boolean {
  return resolve(place, place.template.Conditions?.[condition]) === true;
}

const pseudo: Readonly<Record<string, unknown>> = {
  "AWS::Partition": "aws",
  "AWS::Region": region,
  "AWS::AccountId": account,
  "AWS::URLSuffix": "amazonaws.com",
  "AWS::NoValue": noValue,
};

function refer(place: Place, name: string): unknown {
  if (name in pseudo) return pseudo[name];
  const parameter = place.template.Parameters[name];
  if (parameter !== undefined) return place.given[name] ?? parameter.Default;
  const { type, get } = resourceAt(place, name);
  const names: Readonly<Record<string, () => unknown>> = {
    "AWS::SQS::Queue": () => `https://sqs.${region}.amazonaws.com/${account}/${get("QueueName")}`,
    "AWS::DynamoDB::Table": () => get("TableName"),
    "AWS::Lambda::Function": () => get("FunctionName"),
    "AWS::Logs::LogGroup": () => get("LogGroupName"),
    "AWS::IAM::Role": () => get("RoleName"),
    "AWS::IAM::InstanceProfile": () => get("InstanceProfileName"),
    "AWS::ApiGatewayV2::Api": () => "the-api",
    "AWS::ApiGatewayV2::Integration": () => `the-${name}`,
  };
  const found = names[type];
  if (found === undefined) throw new Error(`What does Ref say of ${type}?`);
  return found();
}

function attributeOf(place: Place, id: string, attribute: string): unknown {
  const told = place.given[`${id}.${attribute}`];
  if (told !== undefined) return told;
  const { type, get } = resourceAt(place, id);
  const attributes: Readonly<Record<string, () => string>> = {
    "AWS::SQS::Queue.Arn": () => `arn:aws:sqs:${region}:${account}:${get("QueueName")}`,
    "AWS::DynamoDB::Table.Arn": () => `arn:aws:dynamodb:${region}:${account}:table/${get("TableName")}`,
    "AWS::Lambda::Function.Arn": () => `arn:aws:lambda:${region}:${account}:function:${get("FunctionName")}`,
    "AWS::Logs::LogGroup.Arn": () => `arn:aws:logs:${region}:${account}:log-group:${get("LogGroupName")}:*`,
    "AWS::IAM::Role.Arn": () => `arn:aws:iam::${account}:role/${get("RoleName")}`,
    "AWS::IAM::InstanceProfile.Arn": () =>
      `arn:aws:iam::${account}:instance-profile/${get("InstanceProfileName")}`,
    "AWS::Events::Rule.Arn": () => `arn:aws:events:${region}:${account}:rule/${get("Name")}`,
    "AWS::ECR::Repository.Arn": () => `arn:aws:ecr:${region}:${account}:repository/${get("RepositoryName")}`,
    "AWS::EC2::SecurityGroup.GroupId": () => "the-security-group",
    "AWS::ApiGatewayV2::Api.ApiEndpoint": () => `https://the-api.execute-api.${region}.amazonaws.com`,
  };
  const isImageBuilders = /^AWS::ImageBuilder::(\w+)$/.exec(type)?.[1];
  if (isImageBuilders !== undefined) return `the-${isImageBuilders}-${get("Name")}`;
  const found = attributes[`${type}.${attribute}`];
  if (found === undefined) throw new Error(`What is ${attribute} of ${type}?`);
  return found();
}

function resourceAt(place: Place, id: string): { readonly type: string; get(property: string): unknown } {
  const resource = place.template.Resources[id];
  if (resource === undefined) throw new Error(`There is no ${id}.`);
  return { type: resource.Type, get: (property) => resolve(place, resource.Properties[property]) };
}
