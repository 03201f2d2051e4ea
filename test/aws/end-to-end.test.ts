import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, inject, test } from "vitest";
import { parse, stringify } from "yaml";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { createDynamoStore } from "../../src/adapters/store/dynamodb.ts";
import { writeRunnerDirectory } from "../../src/emulator/runner-directory.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { type AwsDeployment, deployOnStandIns } from "../support/aws-deployment.ts";
import { type AwsInstances, createLaunchTemplates, startInstances } from "../support/aws-instances.ts";
import { callEc2 } from "../support/ec2-stand-in.ts";
import { until } from "../support/server-process.ts";

/*
 * The whole of Mayfly on AWS: the built functions under a Lambda host, moto for everything of AWS, the emulated GitHub,
 * and every instance that moto launches as a process of this host that runs its real user data and agent.
 *
 * What moto does not do is done here: it sends no state-change events, and gives no notice of an interruption.
 */

const moto = inject("moto");
const preset = "linux-x64";
let world: DemoWorld;
let deployment: AwsDeployment | undefined;
let instances: AwsInstances | undefined;

afterEach(async () => {
  await deployment?.stop();
  await instances?.stop();
  await world?.close();
});

async function deploy(jobs: number): Promise<{ deployment: AwsDeployment; instances: AwsInstances }> {
  world = await createDemoWorld({ faults: "none" });
  const box = parse(await readFile(world.configPath, "utf8"));
  const configPath = join(world.folder, "aws.yaml");
  const { local: _, ...linux } = box.presets[preset];
  const onAws = {
    ...linux,
    compute: "ec2",
    market: "spot-preferred",
    instanceTypes: ["m7i.large", "m6i.large"],
  };
  const { secrets, ...rest } = box;
  await writeFile(
    configPath,
    stringify({
      ...rest,
      server: { logLevel: "info" },
      presets: { [preset]: { ...onAws, max: jobs, pricePerHourUsd: 0.1 } },
      limits: { machines: jobs, perRepository: jobs },
    }),
  );
  const subnets = await subnetsByZone();
  deployment = await deployOnStandIns({
    moto,
    configPath,
    secrets: {
      "webhook-secret": await readFile(join(world.folder, secrets.webhookSecret.file), "utf8"),
      "app-private-key": await readFile(join(world.folder, secrets.appPrivateKey.file), "utf8"),
      "status-token": "a token for reading",
    },
    everySeconds: { rebalancer: 5, scaledown: 10 },
    environment: { MAYFLY_SUBNETS: JSON.stringify(subnets) },
  });
  world.emulator.setWebhook({
    url: `${deployment.url}/webhook`,
    secret: await readFile(join(world.folder, secrets.webhookSecret.file), "utf8"),
  });
  await createLaunchTemplates(deployment, [preset]);
  deployment.startTriggers();
  const runner = writeRunnerDirectory(join(world.folder, "runner"));
  instances = await startInstances({
    deployment,
    presets: [preset],
    listener: await readFile(join(runner, "bin/Runner.Listener"), "utf8"),
  });
  return { deployment, instances };
}

async function subnetsByZone(): Promise<Readonly<Record<string, string>>> {
  const { standInClient } = await import("../support/aws-environment.ts");
  const subnets = itemsAt(await callEc2(standInClient(moto), "DescribeSubnets", {}), "subnetSet");
  return Object.fromEntries(
    subnets.map((subnet) => [textAt(subnet, "availabilityZone"), textAt(subnet, "subnetId")]),
  );
}

function openStore({ client, name }: AwsDeployment) {
  const random = createSystemRandom();
  const clock = createSystemClock();
  return createDynamoStore({ client, table: name, clock, random, historySeconds: 86_400 });
}

test.skipIf(moto === "")("three jobs run on instances, and nothing is left", async () => {
  const { deployment, instances } = await deploy(10);
  await world.startRuns({ jobs: 3 });
  await until(
    () => world.ended(),
    120,
    () =>
      `${JSON.stringify(world.jobs().map(({ status }) => status))} ${deployment.host.lines
        .map(({ name, line }) => `${name}: ${line}`)
        .slice(-60)
        .join("\n")}`,
  );
  expect(world.jobs().map(({ conclusion }) => conclusion)).toEqual(["success", "success", "success"]);
  const store = openStore(deployment);
  await until(
    async () => Object.keys(await store.counters()).length === 0,
    60,
    () => "machines are left in the ledger",
  );
  expect([...instances.all.values()].map(({ isOff }) => isOff)).not.toContain(false);
});
