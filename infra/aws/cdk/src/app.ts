import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { App } from "aws-cdk-lib";
import type { ImagePipeline } from "../../../../src/targets/aws/image-pipelines.ts";
import type { MachineTemplate } from "../../../../src/targets/aws/machine-templates.ts";
import { FoundationStack } from "./foundation-stack.ts";
import { MayflyStack } from "./mayfly-stack.ts";

/*
 * Both stacks, from what `mayfly aws package` wrote. What is asked for here is given in cdk.json or with `--context`;
 * for more, write an app of your own with these stacks, or put the construct `Mayfly` into one of yours.
 *
 * | context          | what it is                                                    | default                       |
 * |------------------|---------------------------------------------------------------|-------------------------------|
 * | `deployment`     | what everything is called by                                  | `mayfly`                      |
 * | `package`        | the folder of `mayfly aws package --out`                      | `../../../build`              |
 * | `vpcId`          | an existing VPC; with `subnets`                               | a VPC without NAT is made     |
 * | `subnets`        | JSON: a subnet for each zone, by the zone's name              |                               |
 * | `alarmTopicArn`  | the topic of SNS that hears of alarms                         | none                          |
 * | `fargate`        | `true`: with what presets on Fargate need                     | `false`                       |
 * | `fargateShell`   | `true`: tasks may open a shell (ECS Exec)                     | `false`                       |
 * | `publicTasks`    | `no`: tasks get no public addresses, as their subnets have a NAT | `yes`                      |
 * | `eventBusArn`    | the bus on which jobs and machines are published as they change | none                        |
 * | `keepTable`      | `false`: the table may be deleted, for a tear-down            | `true`                        |
 */
const app = new App();
const deployment = text("deployment") ?? "mayfly";
const folder = resolve(text("package") ?? "build");
const machines = JSON.parse(
  readFileSync(join(folder, "machines.json"), "utf8"),
) as readonly MachineTemplate[];
const pipelines = JSON.parse(readFileSync(join(folder, "images.json"), "utf8")) as readonly ImagePipeline[];
const vpcId = text("vpcId");
const topic = text("alarmTopicArn");
const bus = text("eventBusArn");
const env = { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION };

const foundation = new FoundationStack(app, "MayflyFoundation", {
  env,
  stackName: `${deployment}-foundation`,
  deployment,
  ...(vpcId !== undefined && { network: { vpcId, subnets: JSON.parse(text("subnets") ?? "{}") } }),
});
new MayflyStack(app, "Mayfly", {
  env,
  stackName: deployment,
  deployment,
  package: { folder, machines, pipelines },
  foundation,
  ...(text("fargate") === "true" && { fargate: "always" }),
  ...(text("fargateShell") === "true" && { taskShell: "always" }),
  taskPublicAddresses: text("publicTasks") ?? "yes",
  ...(bus !== undefined && { eventBus: { arn: bus } }),
  deletionProtection: text("keepTable") !== "false",
  ...(topic !== undefined && { alarmActions: [topic] }),
});

function text(name: string): string | undefined {
  const value: unknown = app.node.tryGetContext(name);
  return value === undefined || value === "" ? undefined : String(value);
}
