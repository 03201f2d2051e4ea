import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { parse, stringify } from "yaml";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { createDynamoStore } from "../../src/adapters/store/dynamodb.ts";
import { writeRunnerDirectory } from "../../src/emulator/runner-directory.ts";
import type { Store } from "../../src/ports/store.ts";
import { fargatePermissions } from "../../src/targets/aws/permissions.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { type AwsDeployment, deployOnStandIns } from "../support/aws-deployment.ts";
import { standInClient } from "../support/aws-environment.ts";
import { type AwsInstances, createLaunchTemplates, startInstances } from "../support/aws-instances.ts";
import { type AwsTasks, startTasks } from "../support/aws-tasks.ts";
import { subnetsByZone } from "../support/ec2-stand-in.ts";
import { buildsOf, createImageProject, keepTasksRunning, prepareEcs } from "../support/ecs-stand-in.ts";
import { until } from "../support/server-process.ts";

/*
 * Two presets in one deployment, one on EC2 and one on Fargate: the built functions, moto, the emulated GitHub, and every
 * instance and every task as a process that runs its real script. What moto does not do of ECS: ecs-over-moto.ts.
 */

const moto = inject("moto");
const taskRoleName = "mayfly-task";
const cluster = `mayfly-fargate-${process.pid}`;
const repository = `123456789012.dkr.ecr.eu-west-1.amazonaws.com/${cluster}`;
const statusToken = "a token for reading";
let world: DemoWorld;
let deployment: AwsDeployment;
let instances: AwsInstances;
let tasks: AwsTasks;

beforeEach(async () => {
  world = await createDemoWorld({ faults: "none" });
});
afterEach(async () => {
  await deployment.stop();
  await Promise.all([instances.stop(), tasks.stop()]);
  await world.close();
});

async function deploy(): Promise<void> {
  const box = parse(await readFile(world.configPath, "utf8"));
  const secretIn = (name: string) => readFile(join(world.folder, box.secrets[name].file), "utf8");
  const configPath = join(world.folder, "aws.yaml");
  await writeFile(configPath, stringify(configOnAws(box)));
  const client = standInClient(moto);
  await keepTasksRunning(moto);
  await createImageProject(client, cluster);
  const place = await prepareEcs(client, cluster);
  deployment = await deployOnStandIns({
    ...{ moto, configPath },
    secrets: {
      "webhook-secret": await secretIn("webhookSecret"),
      "app-private-key": await secretIn("appPrivateKey"),
      "status-token": statusToken,
    },
    everySeconds: { rebalancer: 10, scaledown: 20 },
    environment: {
      MAYFLY_SUBNETS: JSON.stringify(await subnetsByZone(client)),
      MAYFLY_CLUSTER: cluster,
      MAYFLY_TASK_ROLE_ARN: `arn:aws:iam::123456789012:role/${taskRoleName}`,
      MAYFLY_TASK_EXECUTION_ROLE_ARN: place.executionRoleArn,
      MAYFLY_TASK_SECURITY_GROUPS: place.securityGroups.join(),
      MAYFLY_TASK_LOG_GROUP: "/mayfly/tasks",
      MAYFLY_API_URL: "https://api.example.com",
      MAYFLY_IMAGE_PROJECT: cluster,
      MAYFLY_IMAGE_REPOSITORY: repository,
    },
  });
  world.emulator.setWebhook({ url: `${deployment.url}/webhook`, secret: await secretIn("webhookSecret") });
  await createLaunchTemplates(deployment, ["linux-x64"]);
  deployment.startTriggers();
  const runner = writeRunnerDirectory(join(world.folder, "runner"));
  const listener = await readFile(join(runner, "bin/Runner.Listener"), "utf8");
  instances = await startInstances({ deployment, listener });
  tasks = await startTasks({ deployment, cluster, taskRoleName, listener });
}

// biome-ignore lint/suspicious/noExplicitAny: the document of the demo, as YAML gives it
function configOnAws({ secrets: _, server: __, ...box }: any): unknown {
  const { local: ___, ...linux } = box.presets["linux-x64"];
  const patience = { bootTimeoutMinutes: 5, idleTimeoutMinutes: 5, max: 10, market: "spot-preferred" };
  const task = {
    compute: "fargate",
    cpu: 0.25,
    ram: 0.5,
    image: "ubuntu:24.04",
    labels: ["linux", "x64", "task"],
    fargate: { buildImages: true },
  };
  return {
    ...box,
    presets: {
      "linux-x64": { ...linux, ...patience, compute: "ec2", instanceTypes: ["m7i.large"] },
      tasks: { architecture: "x86_64", ...patience, ...task },
    },
    images: { allow: ["ubuntu:*"] },
    limits: { machines: 10, perRepository: 10 },
    timing: { ...box.timing, historyDays: 0.001 },
  };
}

function openStore(): Store {
  return createDynamoStore({
    ...{ client: deployment.client, table: deployment.name, historySeconds: 86_400 },
    ...{ random: createSystemRandom(), clock: createSystemClock() },
  });
}

function lastLines(): string {
  const lines = deployment.host.lines.slice(-40).map(({ name, line }) => `${name}: ${line}`);
  const logs = [...tasks.all.values()].map(({ id, process }) => `${id}: ${process.log()}`);
  return [...lines, ...logs].join("\n");
}

/** Tells, as EventBridge does, of every build that was begun: those of the stand-in end as soon as they are asked about. */
async function tellOfBuilds(store: Store): Promise<void> {
  const told = new Set<string>();
  const tell = async (): Promise<boolean> => {
    for (const { base, architecture, build } of await store.images()) {
      if (build?.id === undefined || told.has(build.tag)) continue;
      told.add(build.tag);
      await deployment.sendEvent("lifecycle", buildEvent({ base, architecture, tag: build.tag }));
    }
    return told.size === 2;
  };
  await until(tell, 120, lastLines);
}

function buildEvent({ base, tag, architecture }: Readonly<Record<"base" | "tag" | "architecture", string>>) {
  const variables = { BASE_IMAGE: base, TAG: tag, ARCHITECTURE: architecture };
  const list = Object.entries(variables).map(([name, value]) => ({ name, value, type: "PLAINTEXT" }));
  return {
    ...{ version: "0", "detail-type": "CodeBuild Build State Change", source: "aws.codebuild" },
    time: new Date().toISOString(),
    detail: {
      "build-status": "SUCCEEDED",
      "project-name": cluster,
      "additional-information": { environment: { "environment-variables": list } },
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: each address has a document of its own
async function read(path: string): Promise<any> {
  const response = await fetch(`${deployment.url}${path}`, {
    headers: { authorization: `Bearer ${statusToken}` },
  });
  expect([path, response.status]).toEqual([path, 200]);
  return response.json();
}

async function startJob(name: string, labels: readonly string[], command: string): Promise<void> {
  const workflowPath = join(world.folder, `${name}.yml`);
  const job = { "runs-on": labels, steps: [{ name: "Work", run: command }] };
  await writeFile(workflowPath, stringify({ name, on: "push", jobs: { [name]: job } }));
  await world.startRuns({ jobs: 1, workflowPath });
}

async function finish(store: Store): Promise<void> {
  await until(() => world.ended(), 180, lastLines);
  const isOver = () =>
    [...instances.all.values()].every(({ isOff }) => isOff) &&
    [...tasks.all.values()].every((task) => task.isOver);
  await until(async () => (await store.activeFleets()).length === 0 && isOver(), 90, lastLines);
}

test.skipIf(moto === "")(
  "jobs run on instances and on tasks, in the size and image that they name; one whose task is taken runs again",
  async () => {
    await deploy();
    const store = openStore();
    await startJob("machine", ["self-hosted", "linux", "x64"], "exit 0");
    await startJob("plain", ["self-hosted", "task"], "exit 0");
    // As workflows of the other system name it.
    const seed = ["self-hosted", "class:medium", "image:ubuntu:22.04"];
    await startJob("seed", seed, "exit 0");
    await startJob("long", ["self-hosted", "class:small", "image:ubuntu:22.04"], "sleep 8");
    await tellOfBuilds(store);
    const long = () => [...tasks.all.values()].find(({ size }) => size === "512/1024");
    await until(
      async () => {
        const task = long();
        const machine = task && (await store.findMachineByProviderId("fargate", task.id));
        return machine?.state === "busy";
      },
      120,
      lastLines,
    );
    await long()?.interrupt(3);
    // The same workflow once more, unchanged: its image is there now.
    await startJob("again", seed, "exit 0");
    const isDone = () => world.jobs().every(({ conclusion }) => conclusion === "success");
    await until(isDone, 180, lastLines);
    await finish(store);
    expect(world.jobs()).toHaveLength(5);
    expect(instances.all.size).toBe(1);
    // Of each base one image was built, whoever wanted it.
    const images = new Map([...tasks.all.values()].map(({ size, image }) => [size, image]));
    expect([...tasks.all.values()].map(({ size }) => size).sort()).toEqual([
      ...["1024/2048", "1024/2048", "256/512", "512/1024", "512/1024"],
    ]);
    const ofSeed = [...tasks.all.values()].filter(({ size }) => size === "1024/2048");
    expect(new Set(ofSeed.map(({ image }) => image)).size).toBe(1);
    for (const image of images.values()) {
      expect(image.startsWith(`${repository}:`)).toBe(true);
      expect(image.slice(repository.length + 1)).toMatch(/^[0-9a-f]{32}$/);
    }
    expect(images.get("1024/2048")).toBe(images.get("512/1024"));
    expect(images.get("256/512")).not.toBe(images.get("512/1024"));
    expect(await buildsOf(deployment.client, cluster)).toHaveLength(2);
    // EventBridge told of both, so that nobody waited for the next look.
    const told = deployment.host.lines.filter(({ line }) => line.includes("is said to have ended"));
    expect(told.length).toBeGreaterThan(0);
    expect(await store.counters()).toEqual({});
    const listed = (await read("/api/images")).images as { reference: string; state: string }[];
    expect(listed.map(({ reference }) => reference).sort()).toEqual([...new Set(images.values())].sort());
    await read("/api/images/log?base=ubuntu:22.04");
    const { machines } = await store.history(0, 100);
    const reasons = machines
      .filter(({ compute }) => compute === "fargate")
      .map(({ reason, purchase }) => `${reason} ${purchase}`);
    expect(reasons.sort()).toEqual([
      ...["completed on-demand", "completed spot", "completed spot", "completed spot", "interrupted spot"],
    ]);
    const problems = deployment.host.lines.filter(
      ({ line }) => !line.startsWith("{") || JSON.parse(line).level === "error",
    );
    expect(problems).toEqual([]);
    expect(deployment.demands.filter(({ allowed }) => !allowed)).toEqual([]);
    const used = new Set(deployment.demands.flatMap(({ allowedBy }) => allowedBy));
    // ListTasks of scaleup is for a launch whose answer was lost, StopTask for a task that does not end by itself, and
    // GetLogEvents for a build that fails.
    const seldom = ["ecs:ListTasks", "ecs:StopTask", "logs:GetLogEvents"];
    const unused = Object.values(fargatePermissions)
      .flat()
      .filter(
        (permission) => !used.has(permission) && !permission.actions.some((each) => seldom.includes(each)),
      );
    expect(unused).toEqual([]);
  },
  400_000,
);
