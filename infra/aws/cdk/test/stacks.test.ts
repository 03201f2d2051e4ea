import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, Validations } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../../../src/config/load.ts";
import { functions } from "../../../../src/targets/aws/functions.ts";
import { machineTemplates } from "../../../../src/targets/aws/machine-templates.ts";
import { readTemplate } from "../../test/cloudformation.ts";
import { type FoundationProps, FoundationStack } from "../src/foundation-stack.ts";
import { MayflyStack } from "../src/mayfly-stack.ts";
import { exampleConfig } from "../src/template.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "mayfly-cdk-"));
  for (const { name } of functions) writeFileSync(join(folder, `${name}.zip`), name);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function makeStacks(network?: FoundationProps["network"]) {
  const machines = machineTemplates(await loadConfig({ path: exampleConfig, environment: {} }));
  const app = new App({
    analyticsReporting: false,
    context: { "@aws-cdk/core:defaultCrossStackReferences": "strong" },
  });
  const deployment = "mayfly";
  const foundation = new FoundationStack(app, "Foundation", { deployment, ...(network && { network }) });
  const mayfly = new MayflyStack(app, "Mayfly", {
    ...{ deployment, foundation, fargate: "always", taskShell: "always" },
    eventBus: { arn: "arn:aws:events:eu-west-1:123456789012:event-bus/mayfly" },
    package: { folder, machines },
  });
  return { app, foundation, mayfly };
}

describe("the stacks", () => {
  it("are the template, and a foundation", async () => {
    const { mayfly } = await makeStacks();
    const { Resources } = Template.fromStack(mayfly).toJSON();
    const { MachineSecurityGroup, ...others } = readTemplate().Resources;
    expect(MachineSecurityGroup?.Type).toBe("AWS::EC2::SecurityGroup");
    expect(Object.keys(Resources).sort()).toEqual(Object.keys(others).sort());
  });

  it("make a VPC without a NAT gateway, open to nothing", async () => {
    const { foundation } = await makeStacks();
    const template = Template.fromStack(foundation);
    template.resourceCountIs("AWS::EC2::NatGateway", 0);
    template.resourcePropertiesCountIs("AWS::EC2::Subnet", { MapPublicIpOnLaunch: true }, 2);
    template.hasResourceProperties("AWS::EC2::SecurityGroup", { SecurityGroupIngress: Match.absent() });
  });

  it("take a VPC that exists", async () => {
    const subnets = { "eu-west-1a": "subnet-0a1b2c3d", "eu-west-1b": "subnet-0e1f2a3b" };
    const { foundation, mayfly } = await makeStacks({ vpcId: "vpc-0a1b2c3d", subnets });
    Template.fromStack(foundation).resourceCountIs("AWS::EC2::VPC", 0);
    Template.fromStack(mayfly).hasResourceProperties("AWS::Lambda::Function", {
      FunctionName: "mayfly-scaleup",
      Environment: { Variables: { MAYFLY_SUBNETS: JSON.stringify(subnets) } },
    });
  });

  it("have no findings of cdk-nag but those that are meant", async () => {
    const { app } = await makeStacks();
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    expect(() => app.synth()).toThrow();
    const report = readFileSync(join(app.outdir, "validation-report.json"), "utf8");
    const found = new Set(report.match(/AwsSolutions-[A-Z]+\d+/g));
    expect([...found].sort()).toEqual(Object.keys(meant).sort());
  });
});

const meant: Readonly<Record<string, string>> = {
  "AwsSolutions-APIG4": "The webhook verifies GitHub's signature, and the status asks for its token.",
  "AwsSolutions-CB4": "A build has no artifacts that could be encrypted: it pushes to ECR, which encrypts.",
  "AwsSolutions-ECS4": "Container Insights cost by the metric; what tasks do is in the metrics of Mayfly.",
  "AwsSolutions-IAM5": "EC2 has no narrower resources; the policies are compared with the code line by line.",
  "AwsSolutions-L1": "nodejs22.x is the newest that the oldest provider of Terraform knows that is allowed.",
  "AwsSolutions-SMG4": "GitHub has no way to rotate them: people do.",
  "AwsSolutions-VPC7": "Flow logs cost by the gigabyte; who wants them adds them to the VPC.",
};
