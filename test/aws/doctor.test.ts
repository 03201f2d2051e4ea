import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { parse, stringify } from "yaml";
import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { callJson } from "../../src/adapters/aws/json.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import type { DoctorDocument } from "../../src/cli/doctor.ts";
import type { SetupAwsDocument } from "../../src/cli/setup-aws.ts";
import { type AwsAccount, createAccount } from "../support/aws-account.ts";
import { callEc2, prepareEc2 } from "../support/ec2-stand-in.ts";
import { type MotoServer, startMoto } from "../support/moto-server.ts";
import { expectTranscript } from "../support/transcript.ts";

const moto = inject("moto");
const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

describe.skipIf(moto === "")("mayfly doctor on AWS", () => {
  let server: MotoServer;
  let account: AwsAccount;
  beforeAll(async () => {
    server = await startMoto();
    account = await createAccount(server.url);
  }, 180_000);
  afterAll(async () => {
    await account?.close();
    await server?.stop();
  });

  async function run(
    ...words: readonly string[]
  ): Promise<{ readonly exitCode: number | null; readonly stdout: string }> {
    const child = spawn(process.execPath, [mainFile, ...words], {
      stdio: ["ignore", "pipe", "inherit"],
      env: account.environment,
    });
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { exitCode, stdout };
  }

  /** What a command prints as JSON. */
  async function mayfly<Document>(
    ...words: readonly string[]
  ): Promise<Document & { readonly exitCode: number | null }> {
    const { exitCode, stdout } = await run(...words, "--json");
    return { exitCode, ...JSON.parse(stdout) };
  }

  function doctor(...words: readonly string[]) {
    return mayfly<DoctorDocument>("doctor", "--config", account.configPath, ...words);
  }

  function telling({ findings }: DoctorDocument): readonly string[] {
    return findings
      .filter(({ verdict }) => verdict !== "ok")
      .map(({ verdict, about }) => `${verdict} ${about}`);
  }

  test("finds an account that is ready", async () => {
    const well = await doctor();
    expect(telling(well)).toEqual(["unknown webhook deliveries"]);
    expect(well).toMatchObject({ exitCode: 0, healthy: true });
  });

  test("tells a new user what is left to do, as the page shows it", async () => {
    const RoleName = "AWSServiceRoleForEC2Spot";
    await account.api.query("iam", "DeleteRole", { RoleName });
    account.quotas.set("L-34B43A08", 5).set("L-1216C47A", 5);
    const { exitCode, stdout } = await run("doctor", "--config", account.configPath);
    await account.api.query("iam", "CreateRole", { RoleName, AssumeRolePolicyDocument: "{}" });
    account.quotas.clear();
    expect(exitCode).toBe(1);
    expectTranscript({ page: "docs/start/aws.md", name: "doctor" }, `$ mayfly doctor\n${stdout}`, [
      ["arn:aws:sts::123456789012:user/moto", "arn:aws:iam::123456789012:user/ada"],
      [/(secret:mayfly\/[a-z-]+)-\w{6}\b/g, "$1-a1b2c3"],
      [/https:\/\/\w+\.execute-api/g, "https://a1b2c3d4e5.execute-api"],
      [/\bami-[0-9a-f]{17}\b/g, "ami-0123456789abcdef0"],
      ["mayfly-emulated", "mayfly"],
      ...Object.values(account.subnets).map((id, place) => [id, `subnet-0123456789abcdef${place}`] as const),
    ]);
  });

  test("and mayfly setup aws proposes what is in it, and leaves out what is done", async () => {
    const config = join(account.world.folder, "proposed.yaml");
    const made = await mayfly<SetupAwsDocument>(
      "setup",
      "aws",
      "--yes",
      "--app-id",
      "77",
      "--config",
      config,
    );
    expect(made).toMatchObject({ exitCode: 0, region: "eu-west-1", subnets: account.subnets });
    expect(made.vpcId).toMatch(/^vpc-/);
    const commands = made.commands.map(({ command }) => command).join("\n");
    expect(commands).toContain(`VpcId=${made.vpcId} 'Subnets=${JSON.stringify(account.subnets)}'`);
    expect(commands).not.toMatch(/create-secret|create-service-linked-role|describe-vpcs/);
  });

  test("looks at what only some deployments have: classes in a parameter, and a bus for what changes", async () => {
    const config = join(account.world.folder, "options.yaml");
    const document = parse(await readFile(account.configPath, "utf8"));
    const labels = { ...document.labels, classesParameter: "/mayfly/classes" };
    await writeFile(config, stringify({ ...document, labels }));
    const missing = "arn:aws:events:eu-west-1:123456789012:event-bus/gone";
    const restore = await setVariable(account, "scaleup", "MAYFLY_EVENT_BUS", missing);
    const without = await doctor("--config", config);
    expect(telling(without)).toEqual([
      "unknown webhook deliveries",
      "problem classes in /mayfly/classes",
      "problem event bus",
    ]);
    const { EventBusArn } = await account.api.json("events", "AWSEvents.CreateEventBus", { Name: "changes" });
    await setVariable(account, "scaleup", "MAYFLY_EVENT_BUS", EventBusArn);
    const Value = '{"small":{"cpu":1024,"memory":2048}}';
    const parameter = { Name: "/mayfly/classes", Type: "String", Value };
    await account.api.json("ssm", "AmazonSSM.PutParameter", parameter);
    const well = await doctor("--config", config);
    expect(telling(well)).toEqual(["unknown webhook deliveries"]);
    const says = well.findings.map(({ says }) => says);
    expect(says).toContain("It has small.");
    expect(says).toContain(`What changes is published on ${EventBusArn}.`);
    await restore();
  });

  test("names every right that is missing, and looks at the rest all the same", async () => {
    const actions = [
      ...["lambda:unknown", "events:DescribeRule", "sqs:GetQueueUrl", "dynamodb:DescribeTable"],
      ...["cloudformation:DescribeStacks", "secretsmanager:GetSecretValue", "apigateway:unknown"],
      ...["ec2:DescribeLaunchTemplates", "ec2:DescribeInstanceTypes", "iam:GetRole"],
      ...["servicequotas:GetServiceQuota"],
    ];
    for (const action of actions) account.forbidden.add(action);
    const { findings, exitCode } = await doctor();
    account.forbidden.clear();
    expect(exitCode).toBe(0);
    expect(new Set(findings.map(({ verdict }) => verdict))).toEqual(new Set(["ok", "unknown"]));
    const cures = findings.map(({ cure }) => cure ?? "").join("\n");
    const named = actions.map((action) =>
      action.replace("lambda:unknown", "lambda:GetFunctionConfiguration").replace("unknown", "GET"),
    );
    // Without the function's environment, its schedule is not looked at.
    for (const action of named.filter((each) => !each.startsWith("events:"))) {
      expect(cures).toContain(`Add ${action} on`);
    }
    expect(cures).toContain("to the policy of");
  });

  test("finds every fault of an account that is broken", async () => {
    await breakFunctions(account);
    await breakSecrets(account);
    const named = await breakMachines(account);
    account.world.emulator.setWebhook({ url: "https://elsewhere.example.com/webhook", secret: "x" });
    const ill = await doctor("--stack", "other");
    const told = telling(ill).map((text) => text.replace(/subnet-\w+/, (id) => `(${named.get(id)})`));
    expect(told).toEqual([
      "problem AWS: clock",
      "problem function mayfly-scaleup",
      "problem function mayfly-claim",
      "problem function mayfly-lifecycle",
      "problem function mayfly-rebalancer",
      "problem function mayfly-status",
      "problem queue mayfly-scaleup",
      "problem queue mayfly-scaledown",
      "warning queue mayfly-lifecycle",
      "problem table mayfly",
      "problem stack other",
      "problem secret webhook-secret",
      "warning secret status-token",
      "warning App: webhook",
      "unknown webhook deliveries",
      "problem preset linux-x64: launch template",
      "problem preset linux-x64: machine types",
      "problem preset linux-arm64: launch template",
      "problem preset linux-arm64: image",
      "warning preset linux-arm64: machine types",
      "problem preset windy: launch template",
      "problem preset windy: image",
      "problem preset windy: machine types",
      "problem cluster mayfly",
      ...[
        "problem subnet (public, without addresses)",
        "problem subnet (no way out)",
        "problem subnet (gone)",
      ],
      ...["warning subnet (small)", "problem subnet (in another zone)"],
      "problem role AWSServiceRoleForEC2Spot",
      "problem role AWSServiceRoleForECS",
      "problem quota Standard (A, C, D, H, I, M, R, T, Z), spot",
      "warning quota Standard (A, C, D, H, I, M, R, T, Z), on-demand",
    ]);
    expect(ill).toMatchObject({ exitCode: 1, healthy: false });
  });
});

/** Sets a variable of a deployed function. The answer takes it back. */
async function setVariable({ api }: AwsAccount, name: string, variable: string, value: string) {
  const path = `/2015-03-31/functions/mayfly-${name}/configuration`;
  const { Environment } = await api.rest("lambda", "GET", path);
  const set = (Variables: Readonly<Record<string, string>>) =>
    api.rest("lambda", "PUT", path, JSON.stringify({ Environment: { Variables } }));
  await set({ ...Environment.Variables, [variable]: value });
  return () => set(Environment.Variables);
}

async function breakFunctions(account: AwsAccount): Promise<void> {
  const { api, client, proxy } = account;
  const identity =
    "<R><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></R>";
  const date = new Date(Date.now() + 120_000).toUTCString();
  const reply = { status: 200, contentType: "text/xml", body: identity, headers: { date } };
  proxy.inject("GetCallerIdentity", { kind: "answer", reply });

  const mappings = "/2015-03-31/event-source-mappings/";
  const { EventSourceMappings } = await api.rest("lambda", "GET", mappings);
  for (const { UUID, FunctionArn } of EventSourceMappings) {
    if (FunctionArn.endsWith("-scaleup"))
      await api.rest("lambda", "PUT", `${mappings}${UUID}`, '{"Enabled":false}');
    if (FunctionArn.endsWith("-lifecycle")) await api.rest("lambda", "DELETE", `${mappings}${UUID}`);
  }
  await setVariable(account, "claim", "MAYFLY_TABLE", "other");
  await api.json("events", "AWSEvents.DisableRule", { Name: "mayfly-rebalancer" });
  await api.rest("lambda", "DELETE", "/2015-03-31/functions/mayfly-status");

  const sqs = (action: string, input: object) => api.json("sqs", `AmazonSQS.${action}`, input);
  const urlOf = async (QueueName: string) => (await sqs("GetQueueUrl", { QueueName })).QueueUrl;
  await sqs("DeleteQueue", { QueueUrl: await urlOf("mayfly-scaleup") });
  await sqs("DeleteQueue", { QueueUrl: await urlOf("mayfly-scaledown-dead") });
  await sqs("SendMessage", { QueueUrl: await urlOf("mayfly-lifecycle-dead"), MessageBody: "{}" });

  const table = (action: string, input: object) =>
    callJson(client, {
      service: "dynamodb",
      action,
      resource: "mayfly",
      input: { TableName: "mayfly", ...input },
    });
  await table("UpdateTable", { DeletionProtectionEnabled: false });
  await table("DeleteTable", {});
  await table("CreateTable", {
    BillingMode: "PAY_PER_REQUEST",
    KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
  });
  const Resources = { Queue: { Type: "AWS::SQS::Queue", Properties: { QueueName: "other" } } };
  const TemplateBody = JSON.stringify({ Resources, Outputs: { TableName: { Value: "other" } } });
  await api.query("cloudformation", "CreateStack", { StackName: "other", TemplateBody });
}

async function breakSecrets({ client }: AwsAccount): Promise<void> {
  const broken = { "webhook-secret": "-----BEGIN RSA PRIVATE KEY-----", "status-token": "short" };
  for (const [name, SecretString] of Object.entries(broken)) {
    const input = { SecretId: `mayfly/${name}`, SecretString };
    await callJson(client, { service: "secretsmanager", action: "PutSecretValue", resource: name, input });
  }
}

async function windowsImage(client: AwsClient): Promise<string> {
  const answer = await callEc2(client, "DescribeImages", {
    Filter: [{ Name: "platform", Value: ["windows"] }],
  });
  return textAt(itemsAt(answer, "imagesSet")[0] ?? {}, "imageId") ?? "";
}

/** Tells what is wrong with each subnet. */
async function breakMachines({
  api,
  client,
  subnets,
  quotas,
  configPath,
}: AwsAccount): Promise<ReadonlyMap<string, string>> {
  await callEc2(client, "CreateLaunchTemplateVersion", {
    LaunchTemplateName: "mayfly-linux-arm64",
    LaunchTemplateData: { InstanceType: "m8g.large" },
  });
  const { launchTemplate } = await prepareEc2(client);
  const [first = "", second = "", third = ""] = Object.values(subnets);
  await callEc2(client, "ModifySubnetAttribute", { SubnetId: first, MapPublicIpOnLaunch: { Value: false } });
  const vpcs = await callEc2(client, "DescribeVpcs", {});
  const VpcId = textAt(itemsAt(vpcs, "vpcSet")[0] ?? {}, "vpcId") ?? "";
  const table = await callEc2(client, "CreateRouteTable", { VpcId });
  const RouteTableId = textAt(table, "routeTable", "routeTableId") ?? "";
  await callEc2(client, "AssociateRouteTable", { RouteTableId, SubnetId: second });
  await callEc2(client, "DeleteSubnet", { SubnetId: third });
  const small = async (CidrBlock: string): Promise<string> => {
    const made = await callEc2(client, "CreateSubnet", { VpcId, CidrBlock, AvailabilityZone: "eu-west-1a" });
    const SubnetId = textAt(made, "subnet", "subnetId") ?? "";
    await callEc2(client, "ModifySubnetAttribute", { SubnetId, MapPublicIpOnLaunch: { Value: true } });
    return SubnetId;
  };

  const config = parse(await readFile(configPath, "utf8"));
  const x64 = config.presets["linux-x64"];
  x64.instanceTypes = ["m99.large"];
  const [few, wrong] = [await small("172.31.240.0/28"), await small("172.31.241.0/28")];
  // Without the tag that lets scaleup launch from it.
  x64.ec2 = { launchTemplate, subnets: { "eu-west-1a": few } };
  const arm64 = config.presets["linux-arm64"];
  arm64.instanceTypes = ["m8g.large", "m99g.large"];
  arm64.image = "ami-0123456789abcdef0";
  arm64.ec2 = { subnets: { "eu-west-1b": wrong } };
  const windy = {
    architecture: "x86_64",
    compute: "ec2",
    instanceTypes: ["m99.large"],
    market: "on-demand-only",
    image: await windowsImage(client),
  };
  config.presets.windy = windy;
  const tasks = { architecture: "x86_64", compute: "fargate", image: "ubuntu:24.04", cpu: 1, ram: 2 };
  config.presets.tasks = tasks;
  await writeFile(configPath, stringify(config));

  await api.query("iam", "DeleteRole", { RoleName: "AWSServiceRoleForEC2Spot" });
  quotas.set("L-34B43A08", 1).set("L-1216C47A", 64);
  return new Map([
    ...[
      [first, "public, without addresses"] as const,
      [second, "no way out"] as const,
      [third, "gone"] as const,
    ],
    ...[[few, "small"] as const, [wrong, "in another zone"] as const],
  ]);
}
