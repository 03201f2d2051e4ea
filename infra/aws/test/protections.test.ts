import { describe, expect, it } from "vitest";
import { type Fields, parameters, readTemplate, resolveTemplate } from "./cloudformation.ts";
import { deploymentOfTemplate } from "./deployment-of-template.ts";

/*
 * What protects a deployment, said out loud: docs/operating/security.md. That Terraform makes the same of each part, another
 * test compares; a part that is added without its protection is found here.
 */

const everything = { ...parameters, Fargate: "yes", FargateShell: "yes" };
const made = resolveTemplate(readTemplate(), everything);
const [table] = made.ofType("AWS::DynamoDB::Table");
const [stage] = made.ofType("AWS::ApiGatewayV2::Stage");

describe("a deployment, as it is made unless it is asked for otherwise", () => {
  it("has a ledger that can be restored, is not deleted by mistake, and is encrypted", () => {
    expect(table?.PointInTimeRecoverySpecification).toEqual({ PointInTimeRecoveryEnabled: true });
    expect(table?.DeletionProtectionEnabled).toBe(true);
    expect(table?.SSESpecification).toEqual({ SSEEnabled: true });
  });

  it("has encrypted queues, each with a policy that refuses what comes without TLS", () => {
    const { queues = {}, queuePolicies = {} } = deploymentOfTemplate(made);
    expect(Object.keys(queues)).toHaveLength(6);
    for (const [name, queue] of Object.entries(queues)) {
      expect([name, queue]).toEqual([name, expect.objectContaining({ encrypted: true })]);
      const { Statement } = queuePolicies[name] as Fields;
      expect(Statement).toContainEqual({
        Sid: "OnlyTls",
        Effect: "Deny",
        Principal: "*",
        Action: "sqs:*",
        Resource: expect.stringMatching(new RegExp(`:${name}$`)),
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      });
    }
  });

  it("keeps every log for thirty days, and none for ever", () => {
    const logs = made.ofType("AWS::Logs::LogGroup");
    expect(logs.map(({ LogGroupName, RetentionInDays }) => [LogGroupName, RetentionInDays])).toEqual(
      logs.map(({ LogGroupName }) => [LogGroupName, 30]),
    );
    const named = made
      .ofType("AWS::Lambda::Function")
      .map(({ FunctionName }) => `/aws/lambda/${FunctionName}`);
    expect(logs.map(({ LogGroupName }) => LogGroupName)).toEqual(expect.arrayContaining(named));
  });

  it("lets no flood through to the functions", () => {
    expect(stage?.DefaultRouteSettings).toEqual({ ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200 });
    const triggers = made.ofType("AWS::Lambda::EventSourceMapping");
    expect(triggers.map(({ ScalingConfig }) => ScalingConfig.MaximumConcurrency)).toEqual([5, 5, 5]);
  });

  it("sets executions apart for those who must always run, when it is asked to", () => {
    const reserved = (given: Readonly<Record<string, string>>) =>
      resolveTemplate(readTemplate(), given)
        .ofType("AWS::Lambda::Function")
        .flatMap(({ FunctionName, ReservedConcurrentExecutions: count }) =>
          count === undefined ? [] : [[FunctionName, count]],
        );
    expect(reserved(everything)).toEqual([]);
    expect(reserved({ ...everything, ReserveConcurrency: "yes" })).toEqual([
      ["mayfly-webhook", 20],
      ["mayfly-rebalancer", 1],
    ]);
  });

  it("has machines with encrypted disks, IMDSv2 alone, and nothing that comes in", () => {
    for (const { LaunchTemplateData: data } of made.ofType("AWS::EC2::LaunchTemplate")) {
      for (const { Ebs } of data.BlockDeviceMappings) expect(Ebs.Encrypted).toBe(true);
      expect(data.MetadataOptions).toMatchObject({ HttpTokens: "required", HttpPutResponseHopLimit: 1 });
    }
    const groups = made.ofType("AWS::EC2::SecurityGroup");
    expect(groups.map(({ SecurityGroupIngress = [] }) => SecurityGroupIngress)).toEqual(groups.map(() => []));
  });
});
