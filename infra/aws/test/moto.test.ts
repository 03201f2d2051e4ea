import { beforeAll, describe, expect, inject, it } from "vitest";
import { ledgerTable } from "../../../src/adapters/store/dynamodb-table.ts";
import { functions, type QueueName, queueNames, queues } from "../../../src/targets/aws/functions.ts";
import {
  type Fields,
  parameters,
  readTemplate,
  resolveTemplate,
  resolveValue,
  type Template,
} from "./cloudformation.ts";
import { motoApi } from "./moto-api.ts";

/** What moto makes when a stack has it. The others are made there by the tests of Terraform. */
const supported: ReadonlySet<string> = new Set([
  ...["AWS::EC2::SecurityGroup", "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Events::Rule"],
  ...["AWS::Logs::LogGroup", "AWS::IAM::Role", "AWS::IAM::InstanceProfile", "AWS::EC2::LaunchTemplate"],
  ...["AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping"],
  "AWS::CloudWatch::Dashboard",
]);

/** Another name than that of the deployment by Terraform, which may be made at the same time. */
const chosen = { ...parameters, Deployment: "stacked" };
const moto = inject("moto");
const api = motoApi(moto);
const template = readTemplate();
const resolved = resolveTemplate(template);

describe.skipIf(moto === "")("a stack of the template, on moto", () => {
  beforeAll(async () => {
    await api.rest("s3", "PUT", `/${parameters.CodeBucket}`, bucketPlace);
    for (const { name } of functions) {
      await api.rest("s3", "PUT", `/${parameters.CodeBucket}/${parameters.CodePrefix}/${name}.zip`, "a zip");
    }
    const vpcs = await api.query("ec2", "DescribeVpcs", { Version: "2016-11-15" });
    const given = { ...chosen, VpcId: /<vpcId>(vpc-[0-9a-f]+)/.exec(vpcs)?.[1] ?? "" };
    const named = Object.entries(given).flatMap(([key, value], index) => [
      [`Parameters.member.${index + 1}.ParameterKey`, key],
      [`Parameters.member.${index + 1}.ParameterValue`, value],
    ]);
    await api.query("cloudformation", "CreateStack", {
      StackName: "stacked",
      TemplateBody: JSON.stringify(withoutUnsupported(template)),
      "Capabilities.member.1": "CAPABILITY_NAMED_IAM",
      ...Object.fromEntries(named),
    });
  });

  it("makes the ledger that the adapter needs", async () => {
    const { Table } = await api.json("dynamodb", "DynamoDB_20120810.DescribeTable", { TableName: "stacked" });
    const wanted = ledgerTable("stacked") as Fields;
    expect(Table.KeySchema).toEqual(wanted.KeySchema);
    expect(sorted(Table.AttributeDefinitions)).toEqual(sorted(wanted.AttributeDefinitions));
    const indexes = Table.GlobalSecondaryIndexes.map(({ IndexName, KeySchema, Projection }: Fields) => ({
      IndexName,
      KeySchema,
      Projection: { ProjectionType: Projection.ProjectionType },
    }));
    expect(indexes).toEqual(wanted.GlobalSecondaryIndexes);
    expect(Table.BillingModeSummary.BillingMode).toBe("PAY_PER_REQUEST");
    expect(Table.DeletionProtectionEnabled).toBe(true);
  });

  it.each(Object.entries(queues))("makes the queue %s and its dead letters", async (name, spec) => {
    const names = queueNames("stacked", name as QueueName);
    const attributes = async (QueueName: string): Promise<Fields> => {
      const { QueueUrl } = await api.json("sqs", "AmazonSQS.GetQueueUrl", { QueueName });
      const input = { QueueUrl, AttributeNames: ["All"] };
      return (await api.json("sqs", "AmazonSQS.GetQueueAttributes", input)).Attributes;
    };
    const dead = await attributes(names.deadLetterQueue);
    expect(dead).toMatchObject({ MessageRetentionPeriod: String(spec.deadLetterSeconds) });
    const queue = await attributes(names.queue);
    expect(queue).toMatchObject({ VisibilityTimeout: String(spec.visibilitySeconds) });
    expect(JSON.parse(queue.RedrivePolicy)).toMatchObject({
      deadLetterTargetArn: dead.QueueArn,
      maxReceiveCount: spec.attemptsLimit,
    });
  });

  it.each(functions)("makes the function $name, with its role and what starts it", async (spec) => {
    const { name, timeoutSeconds, memoryMib, triggers } = spec;
    const path = `/2015-03-31/functions/stacked-${name}`;
    const { Configuration: made } = await api.rest("lambda", "GET", path);
    expect(made).toMatchObject({
      Role: `arn:aws:iam::123456789012:role/stacked-${name}`,
      Runtime: "nodejs22.x",
      Handler: "index.handler",
      Timeout: timeoutSeconds,
      MemorySize: memoryMib,
    });
    const role = await api.query("iam", "GetRolePolicy", { RoleName: `stacked-${name}`, PolicyName: name });
    expect(role).toContain("<PolicyDocument>");
    const { EventSourceMappings } = await api.rest("lambda", "GET", "/2015-03-31/event-source-mappings/");
    const ours = EventSourceMappings.filter(({ FunctionArn }: Fields) => FunctionArn === made.FunctionArn);
    expect(
      ours.map(({ EventSourceArn, BatchSize }: Fields) => [EventSourceArn.split(":").at(-1), BatchSize]),
    ).toEqual(
      triggers.flatMap((trigger) =>
        trigger.kind === "queue" ? [[`stacked-${trigger.queue}`, trigger.batchSize]] : [],
      ),
    );
    const scheduled = triggers.flatMap((trigger) =>
      trigger.kind === "schedule" ? [trigger.everySeconds] : [],
    );
    for (const seconds of scheduled) {
      const rule = await api.json("events", "AWSEvents.DescribeRule", { Name: `stacked-${name}` });
      expect(rule.ScheduleExpression).toMatch(new RegExp(`^rate\\(${seconds / 60} minutes?\\)$`));
      const { Targets } = await api.json("events", "AWSEvents.ListTargetsByRule", {
        Rule: `stacked-${name}`,
      });
      expect(Targets.map(({ Arn }: Fields) => Arn)).toEqual([made.FunctionArn]);
    }
  });

  it("sends what EC2 tells to the queue of lifecycle", async () => {
    for (const rule of ["instance-state", "spot-interruption", "rebalance-recommendation"]) {
      const { Targets } = await api.json("events", "AWSEvents.ListTargetsByRule", {
        Rule: `stacked-${rule}`,
      });
      expect(Targets.map(({ Arn }: Fields) => Arn)).toEqual([
        "arn:aws:sqs:eu-west-1:123456789012:stacked-lifecycle",
      ]);
    }
  });

  it("makes launch templates, a security group that nothing comes into, a profile, logs and a dashboard", async () => {
    const templates = await api.query("ec2", "DescribeLaunchTemplates", { Version: "2016-11-15" });
    expect(templates).toContain("<launchTemplateName>stacked-linux-x64<");
    expect(templates).toContain("<launchTemplateName>stacked-linux-arm64<");
    const groups = await api.query("ec2", "DescribeSecurityGroups", {
      Version: "2016-11-15",
      "Filter.1.Name": "group-name",
      "Filter.1.Value.1": "stacked-machine",
    });
    expect(groups).toContain("<groupName>stacked-machine<");
    expect(groups).toMatch(/<ipPermissions>\s*<\/ipPermissions>|<ipPermissions\/>/);
    const profile = await api.query("iam", "GetInstanceProfile", { InstanceProfileName: "stacked-machine" });
    expect(profile).toContain("<RoleName>stacked-machine<");
    const { logGroups } = await api.json("logs", "Logs_20140328.DescribeLogGroups", {
      logGroupNamePrefix: "/aws/lambda/stacked-",
    });
    expect(logGroups.map(({ retentionInDays }: Fields) => retentionInDays)).toEqual(functions.map(() => 30));
    const dashboard = await api.query("monitoring", "GetDashboard", { DashboardName: "stacked" });
    expect(dashboard).toContain("Messages that wait");
  });

  it("is torn down when its ledger is given up, and not before; then nothing is left", async () => {
    const table = { TableName: "stacked" };
    const deletion = api.json("dynamodb", "DynamoDB_20120810.DeleteTable", table);
    await expect(deletion).rejects.toThrow(/DeletionProtectionEnabled/);
    // What an update of the stack with DeletionProtection=no does; moto's leaves the table as it is.
    const given = { ...table, DeletionProtectionEnabled: false };
    await api.json("dynamodb", "DynamoDB_20120810.UpdateTable", given);
    await api.query("cloudformation", "DeleteStack", { StackName: "stacked" });
    expect((await api.json("dynamodb", "DynamoDB_20120810.ListTables")).TableNames).not.toContain("stacked");
    expect(
      (await api.json("sqs", "AmazonSQS.ListQueues", { QueueNamePrefix: "stacked" })).QueueUrls ?? [],
    ).toEqual([]);
    const { Functions } = await api.rest("lambda", "GET", "/2015-03-31/functions/");
    expect(Functions.filter(({ FunctionName }: Fields) => FunctionName.startsWith("stacked"))).toEqual([]);
    expect(await api.query("iam", "ListRoles", {})).not.toContain("<RoleName>stacked");
  });
});

const bucketPlace =
  "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";

function sorted(attributes: readonly Fields[]): readonly Fields[] {
  return [...attributes].sort((left, right) => (left.AttributeName < right.AttributeName ? -1 : 1));
}

/** References to what moto does not make are followed here. */
function withoutUnsupported(whole: Template): object {
  const kept = Object.entries(whole.Resources).filter(([, { Type }]) => supported.has(Type));
  const gone = Object.keys(whole.Resources).filter((id) => !kept.some(([keptId]) => keptId === id));
  const isGone = (text: string): boolean =>
    gone.some((id) => new RegExp(`"${id}"|\\$\\{${id}[.}]`).test(text));
  const follow = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(follow);
    if (typeof value !== "object" || value === null) return value;
    const [name = ""] = Object.keys(value);
    const isReference = name === "Ref" || name.startsWith("Fn::");
    if (isReference && isGone(JSON.stringify(value))) return resolveValue(whole, value, chosen);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, follow(inner)]));
  };
  return { ...whole, Resources: follow(Object.fromEntries(kept)), Outputs: {} };
}

it("is of as many types as were looked at", () => {
  const types = new Set([...resolved.resources.values()].map(({ Type }) => Type));
  expect([...types].filter((type) => !supported.has(type)).sort()).toEqual([
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::IAM::RolePolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::SQS::QueuePolicy",
  ]);
});
