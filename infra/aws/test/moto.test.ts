import { beforeAll, describe, expect, inject, it } from "vitest";
import { ledgerTable } from "../../../src/adapters/store/dynamodb-table.ts";
import { functions, type QueueName, queueNames, queues } from "../../../src/targets/aws/functions.ts";
import { type Fields, parameters, readTemplate, resolveTemplate } from "./cloudformation.ts";
import { motoApi } from "./moto-api.ts";
import { createStack, supported } from "./stack-on-moto.ts";

/** Another name than that of the deployment by Terraform, which may be made at the same time. */
const chosen = { ...parameters, Deployment: "stacked" };
const moto = inject("moto");
const api = motoApi(moto);
const resolved = resolveTemplate(readTemplate());

describe.skipIf(moto === "")("a stack of the template, on moto", () => {
  beforeAll(async () => {
    await createStack(api, chosen);
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

function sorted(attributes: readonly Fields[]): readonly Fields[] {
  return [...attributes].sort((left, right) => (left.AttributeName < right.AttributeName ? -1 : 1));
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
