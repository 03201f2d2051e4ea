import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { parse, stringify } from "yaml";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { createDynamoStore } from "../../src/adapters/store/dynamodb.ts";
import { writeRunnerDirectory } from "../../src/emulator/runner-directory.ts";
import type { Store } from "../../src/ports/store.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import {
  type AwsDeployment,
  type AwsDeploymentOptions,
  deployOnStandIns,
} from "../support/aws-deployment.ts";
import { standInClient } from "../support/aws-environment.ts";
import { type AwsInstances, startInstances } from "../support/aws-instances.ts";
import { subnetsByZone } from "../support/ec2-stand-in.ts";
import { type MotoServer, startMoto } from "../support/moto-server.ts";
import { until } from "../support/server-process.ts";

/*
 * The whole of Mayfly on AWS: the built functions under a Lambda host, moto for everything of AWS, the emulated GitHub,
 * and every instance that moto launches as a process of this host that runs its real user data and agent. Names,
 * environment, permissions, triggers, routes, rules, queues, table and launch templates are those of the committed template
 * of CloudFormation; whatever a function's role does not allow there is refused.
 *
 * What moto does not do is done here: it sends no state-change events, gives no notice of an interruption, and is never
 * without capacity.
 */

const moto = inject("moto");
const preset = "linux-x64";
const statusToken = "a token for reading";
let world: DemoWorld;
let deployment: AwsDeployment;
let instances: AwsInstances;
/** The number of the delivery that is lost on its way, counted from 1. */
let lostDelivery = 0;

/** One of its own: moto has one thread at a time, and what lags behind here is what is tested. */
let server: MotoServer;
beforeAll(async () => {
  if (moto !== "") server = await startMoto();
});
afterAll(async () => {
  await server?.stop();
});
beforeEach(async () => {
  lostDelivery = 0;
  world = await createDemoWorld({ faults: "none" });
});
afterEach(async () => {
  await deployment.stop();
  await instances.stop();
  await world.close();
});

type TemplateChange = NonNullable<NonNullable<AwsDeploymentOptions["template"]>["change"]>;

async function deploy(machines: number, change?: TemplateChange): Promise<void> {
  const box = parse(await readFile(world.configPath, "utf8"));
  const secretIn = (name: string) => readFile(join(world.folder, box.secrets[name].file), "utf8");
  const configPath = join(world.folder, "aws.yaml");
  await writeFile(configPath, stringify(configOnAws(box, machines)));
  let deliveries = 0;
  deployment = await deployOnStandIns({
    moto: server.url,
    configPath,
    secrets: {
      "webhook-secret": await secretIn("webhookSecret"),
      "app-private-key": await secretIn("appPrivateKey"),
      "status-token": statusToken,
    },
    everySeconds: { rebalancer: 10, scaledown: 20 },
    template: {
      parameters: { Subnets: JSON.stringify(await subnetsByZone(standInClient(server.url))) },
      ...(change !== undefined && { change }),
    },
    loses: (path) => path === "/webhook" && ++deliveries === lostDelivery,
  });
  world.emulator.setWebhook({ url: `${deployment.url}/webhook`, secret: await secretIn("webhookSecret") });
  deployment.startTriggers();
  const runner = writeRunnerDirectory(join(world.folder, "runner"));
  const listener = await readFile(join(runner, "bin/Runner.Listener"), "utf8");
  instances = await startInstances({ deployment, listener });
}

/** This host is slow beside a hundred real ones. */
const patience = { bootTimeoutMinutes: 5, idleTimeoutMinutes: 5 };

// biome-ignore lint/suspicious/noExplicitAny: the document of the demo, as YAML gives it
function configOnAws({ secrets: _, server: __, ...box }: any, machines: number): unknown {
  const { local: ___, ...linux } = box.presets[preset];
  const ec2 = { compute: "ec2", market: "spot-preferred", instanceTypes: ["m7i.large", "m6i.large"] };
  return {
    ...box,
    presets: { [preset]: { ...linux, ...ec2, ...patience, max: machines, pricePerHourUsd: 0.1 } },
    limits: { machines, perRepository: machines },
    // moto copies its whole table for every transaction, so what is over does not stay there for long. And where this
    // host is slow, EC2's listing may be ahead of its events by more than the demo allows for.
    timing: { ...box.timing, listingDelaySeconds: 30, historyDays: 0.01 },
  };
}

function openStore(): Store {
  return createDynamoStore({
    client: deployment.client,
    table: deployment.name,
    random: createSystemRandom(),
    clock: createSystemClock(),
    historySeconds: 86_400,
  });
}

/** The last words of the functions, for a test that fails. */
function lastLines(): string {
  return deployment.host.lines
    .slice(-40)
    .map(({ name, line }) => `${name}: ${line}`)
    .join("\n");
}

async function finish(store: Store, limitSeconds: number): Promise<void> {
  await until(
    () => world.ended(),
    limitSeconds,
    () => `jobs: ${world.jobs().map(({ status }) => status)}\n${lastLines()}`,
  );
  await until(
    async () =>
      (await store.activeFleets()).length === 0 && [...instances.all.values()].every(({ isOff }) => isOff),
    90,
    () => `something is left.\n${lastLines()}`,
  );
}

function problemLines(): readonly string[] {
  return deployment.host.lines
    .filter(({ line }) => !line.startsWith("{") || JSON.parse(line).level === "error")
    .map(({ name, line }) => `${name}: ${line}`);
}

/** A busy host may leave a call without an answer for so long that it is given up, and made again. */
const unanswered = /"code":"(AWS|GITHUB)_(TIMEOUT|UNREACHABLE)"/;

/** What a function asked of AWS without being allowed to. */
function refusals(): readonly string[] {
  const refused = deployment.demands.filter(({ allowed }) => !allowed);
  return refused.map(({ name, action, resource }) => `${name}: ${action} on ${resource}`);
}

test.skipIf(moto === "")(
  "three jobs run on instances, nothing is left, and the status tells of it",
  async () => {
    await deploy(10);
    const store = openStore();
    await world.startRuns({ jobs: 3 });
    await finish(store, 120);
    expect(world.jobs().map(({ conclusion }) => conclusion)).toEqual(["success", "success", "success"]);
    expect(instances.all.size).toBe(3);
    expect(await store.counters()).toEqual({});
    expect(problemLines()).toEqual([]);
    expect(refusals()).toEqual([]);

    const read = (token: string) =>
      fetch(`${deployment.url}/api/status`, { headers: { authorization: `Bearer ${token}` } });
    expect(await (await read(statusToken)).json()).toMatchObject({
      state: "ready",
      jobs: { queued: 0, completedLastHour: 3 },
      machines: { alive: 0, launchedLastHour: 3 },
    });
    expect((await read("another token")).status).toBe(401);
  },
  240_000,
);

test.skipIf(moto === "")(
  "one action that is missing in one role of the template is found out",
  async () => {
    await deploy(1, (template) => withoutAction(template, "ScaleupRole", "ec2:CreateFleet"));
    await world.startRuns({ jobs: 1 });
    await until(
      () => refusals().length > 0,
      60,
      () => `nothing was refused.\n${lastLines()}`,
    );
    const refused = refusals().map((text) => text.replace(/ on .*/s, ""));
    expect(new Set(refused)).toEqual(new Set(["scaleup: ec2:CreateFleet"]));
    expect(instances.all.size).toBe(0);
  },
  120_000,
);

function withoutAction(
  template: Parameters<TemplateChange>[0],
  role: string,
  action: string,
): typeof template {
  const changed = structuredClone(template);
  const statements = changed.Resources[role]?.Properties.Policies[0].PolicyDocument.Statement;
  for (const statement of statements) {
    statement.Action = [statement.Action].flat().filter((each: string) => each !== action);
  }
  return changed;
}

/** A job that goes on until this file exists. */
function endlessWorkflow(file: string): string {
  const run = `until [ -e '${file}' ]; do sleep 1; done`;
  return stringify({
    name: "long",
    on: "push",
    jobs: { long: { "runs-on": ["self-hosted", "linux", "x64"], steps: [{ name: "Work", run }] } },
  });
}

/** EC2 grants one machine less than was asked for, and says that this pool is empty. */
function refuseOnePool(instanceType: string, subnetId: string): void {
  const overrides = `<overrides><instanceType>${instanceType}</instanceType><subnetId>${subnetId}</subnetId></overrides>`;
  const error =
    `<item><launchTemplateAndOverrides>${overrides}</launchTemplateAndOverrides>` +
    "<lifecycle>spot</lifecycle><errorCode>InsufficientInstanceCapacity</errorCode><errorMessage>None left.</errorMessage></item>";
  deployment.proxy.inject("CreateFleet", {
    kind: "rewrite",
    request: (body) =>
      body.replace(
        /TotalTargetCapacity=(\d+)/,
        (_, count: string) => `TotalTargetCapacity=${Number(count) - 1}`,
      ),
    change: (body) => body.replace("</fleetId>", `</fleetId><errorSet>${error}</errorSet>`),
  });
}

test.skipIf(moto === "")(
  "100 jobs with spot, one interruption, one refused pool, one lost delivery: all are done, nothing is left",
  async () => {
    await deploy(12);
    const store = openStore();
    // The ones before tell of the first job's two attempts.
    lostDelivery = 8;
    const workflowPath = join(world.folder, "long.yml");
    const endFile = join(world.folder, "end");
    await writeFile(workflowPath, endlessWorkflow(endFile));
    await world.startRuns({ jobs: 1, workflowPath });
    const [long] = world.jobs();
    let victim: string | undefined;
    await until(
      async () => {
        const job = await store.findJob(long?.id ?? 0);
        const machine = job?.state === "running" ? await store.findMachine(job.machineId ?? "") : undefined;
        victim = machine?.providerId;
        return victim !== undefined;
      },
      120,
      () => `the long job does not run.\n${lastLines()}`,
    );
    // EC2 gives two minutes. Of what is told too late on a busy host it would only be known that the machine is gone.
    await instances.all.get(victim ?? "")?.interrupt(10);
    // Nothing else waits, or a spot machine that is on its way already might do for the second attempt.
    await until(
      () => [...instances.all.values()].some(({ lifecycle }) => lifecycle === "on-demand"),
      120,
      () => `the long job is not run again on demand.\n${lastLines()}`,
    );
    await writeFile(endFile, "");
    const [[, subnet = ""] = []] = Object.entries(await subnetsByZone(standInClient(server.url)));
    refuseOnePool("m6i.large", subnet);
    // As many at a time as this host can run: what is tested here is that all of it fits together, not how fast.
    for (let started = 1; started < 100; started += 11) {
      await world.startRuns({ jobs: 11 });
      await until(
        () => world.jobs().filter(({ status }) => status !== "completed").length < 8,
        240,
        () => `jobs wait.\n${lastLines()}`,
      );
    }
    await finish(store, 240);
    expect(world.jobs().filter(({ conclusion }) => conclusion !== "success")).toEqual([]);
    expect(world.jobs()).toHaveLength(100);
    // A hundred jobs, and one of them twice. Where this host is slow, EC2's listing says that an instance is gone before
    // its own report has been dealt with; then another one is launched for a job that was already taken.
    const bought = Map.groupBy(instances.all.values(), ({ lifecycle }) => lifecycle);
    const [spot = 0, onDemand = 0] = [bought.get("spot")?.length, bought.get("on-demand")?.length];
    expect(spot + onDemand).toBeGreaterThanOrEqual(101);
    expect(spot + onDemand).toBeLessThanOrEqual(110);
    // The pool that refused had others beside it, so dearer is only what stands for the job that was interrupted. GitHub
    // may give its machine to another job that waits, and it is then bought once more.
    expect(onDemand).toBeLessThanOrEqual(10);
    const said = deployment.host.lines.map(({ line }) => line).join("\n");
    expect(said).toContain("InsufficientInstanceCapacity");
    expect(said).toContain(`"state":"ended","reason":"interrupted"`);
    expect(said).toMatch(/Failed deliveries were asked for again|no delivery told of/);
    expect(await store.counters()).toEqual({});
    expect(problemLines().filter((line) => !unanswered.test(line))).toEqual([]);
    expect(refusals()).toEqual([]);
  },
  900_000,
);
