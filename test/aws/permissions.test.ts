import { createHmac, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { parse, stringify } from "yaml";
import { callJson } from "../../src/adapters/aws/json.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { createDynamoStore } from "../../src/adapters/store/dynamodb.ts";
import { ledgerTable } from "../../src/adapters/store/dynamodb-table.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Change, FleetRecord, LifecycleEvent } from "../../src/core/model.ts";
import { routeJob } from "../../src/core/route.ts";
import { type FunctionName, functions, type QueueName } from "../../src/targets/aws/functions.ts";
import { type AwsPermission, permissions, policyOf } from "../../src/targets/aws/permissions.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { job, jobEvent, machine } from "../builders.ts";
import { type AwsDeployment, deployOnStandIns } from "../support/aws-deployment.ts";
import { standInClient } from "../support/aws-environment.ts";
import { createLaunchTemplates } from "../support/aws-instances.ts";
import { callEc2 } from "../support/ec2-stand-in.ts";
import { createFakeGithub } from "../support/fake-github.ts";
import type { LambdaHost } from "../support/lambda-host.ts";
import { createUsers, enforce, putPolicy } from "../support/moto-iam.ts";
import { type MotoServer, startMoto } from "../support/moto-server.ts";

/*
 * Each function under the policy that the infrastructure gives it, and nothing else: by moto, which verifies signatures and
 * knows the names of calls, and by a judge of our own in front of it, which knows resources and conditions too
 * (test/support/iam-judge.ts). Then the same without each line of the policy, which must be missed.
 */

const moto = inject("moto");
const preset = "linux-x64";
const statusToken = "a token for reading";
const minute = 60_000;

describe.skipIf(moto === "")("a function may do what it needs and nothing else", () => {
  let server: MotoServer;
  let world: DemoWorld;
  let deployment: AwsDeployment;
  let record: FleetRecord;
  let webhookSecret: string;
  /** Two instances of this deployment that no ledger knows. */
  let instanceIds: readonly string[];

  beforeAll(async () => {
    server = await startMoto();
    const keys = await createUsers(server.url);
    world = await createDemoWorld({ faults: "none" });
    const box = parse(await readFile(world.configPath, "utf8"));
    const secretIn = (name: string) => readFile(join(world.folder, box.secrets[name].file), "utf8");
    webhookSecret = await secretIn("webhookSecret");
    const configPath = join(world.folder, "aws.yaml");
    await writeFile(configPath, stringify(configOnAws(box)));
    const client = standInClient(server.url, keys.test);
    const subnets = itemsAt(await callEc2(client, "DescribeSubnets", {}), "subnetSet");
    const [subnet = {}] = subnets;
    deployment = await deployOnStandIns({
      moto: server.url,
      configPath,
      keys,
      secrets: {
        "webhook-secret": webhookSecret,
        "app-private-key": await secretIn("appPrivateKey"),
        "status-token": statusToken,
      },
      environment: {
        MAYFLY_EVENT_BUS: "default",
        MAYFLY_SUBNETS: JSON.stringify({ "eu-west-1a": textAt(subnet, "subnetId") }),
      },
    });
    for (const { name } of functions) {
      await putPolicy(client, name, policyOf(permissions[name], deployment.policyPlace));
    }
    await createLaunchTemplates(deployment, [preset]);
    await putImageParameter();
    await putParameter("/mayfly/classes", '{"small":{"cpu":512,"memory":1024}}');
    instanceIds = await runInstances();
    const { policy } = await loadConfig({ path: configPath, environment: {} });
    const route = routeJob(["self-hosted", "linux", "x64"], policy);
    if (route.kind !== "routed") throw new Error("The preset does not take its own labels.");
    record = route.record;
    await enforce(server.url);
  }, 120_000);
  afterAll(async () => {
    await deployment.stop();
    await world.close();
    await server.stop();
  });
  beforeEach(async () => {
    deployment.granted.clear();
    for (const { name } of functions) deployment.granted.set(name, permissions[name]);
  });

  // biome-ignore lint/suspicious/noExplicitAny: the document of the demo, as YAML gives it
  function configOnAws({ secrets: _, server: __, ...box }: any): unknown {
    const { local: ___, ...linux } = box.presets[preset];
    const ec2 = { compute: "ec2", market: "spot-preferred", instanceTypes: ["m7i.large"] };
    const image = { ssm: "/mayfly/image" };
    return {
      ...box,
      labels: { ...box.labels, classesParameter: "/mayfly/classes" },
      presets: { [preset]: { ...linux, ...ec2, image, max: 5 } },
      // Every end of a machine gives a scarce place free, and what is spent has to be known.
      limits: { machines: 5, perRepository: 5, dailyBudgetUsd: 1_000 },
    };
  }

  async function putImageParameter(): Promise<void> {
    const { client } = deployment;
    const images = await callEc2(client, "DescribeImages", {
      Owner: ["amazon"],
      Filter: [
        { Name: "name", Value: ["al2023-ami-2023*"] },
        { Name: "architecture", Value: ["x86_64"] },
      ],
    });
    const Value = textAt(itemsAt(images, "imagesSet")[0] ?? {}, "imageId") ?? "";
    await putParameter("/mayfly/image", Value);
  }

  async function putParameter(Name: string, Value: string): Promise<void> {
    const input = { Name, Value, Type: "String" };
    const call = { service: "ssm", action: "PutParameter", resource: "a parameter", input } as const;
    await callJson(deployment.client, call);
  }

  async function runInstances(): Promise<readonly string[]> {
    const tags = {
      "mayfly:deployment": deployment.name,
      "mayfly:fleet": "linux-x64",
      "mayfly:preset": preset,
      "mayfly:launch": "linux-x64-unknown",
    };
    const Tag = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    const answer = await callEc2(deployment.client, "RunInstances", {
      ImageId: "ami-0123456789abcdef0",
      InstanceType: "m7i.large",
      MinCount: 2,
      MaxCount: 2,
      TagSpecification: [{ ResourceType: "instance", Tag }],
    });
    return itemsAt(answer, "instancesSet").map((item) => textAt(item, "instanceId") ?? "");
  }

  // ------------------------------------------------------------------------------------------- what happens

  /** An empty ledger with these entries. */
  async function ledger(...changes: readonly Change[]): Promise<void> {
    const { client, name } = deployment;
    const table = { service: "dynamodb", resource: `table ${name}` } as const;
    await callJson(client, { ...table, action: "DeleteTable", input: { TableName: name } });
    await callJson(client, { ...table, action: "CreateTable", input: ledgerTable(name) });
    if (changes.length === 0) return;
    const store = createDynamoStore({
      ...{ client, table: name, historySeconds: 86_400 },
      random: createSystemRandom(),
      clock: createSystemClock(),
    });
    const written = await store.commit(record.id, 0, [{ put: "fleet", record }, ...changes]);
    if (written.kind !== "committed") throw new Error(`The ledger could not be written: ${written.kind}.`);
  }

  function aJob(ageMilliseconds = 1_000, changes: Parameters<typeof job>[0] = {}): Change {
    const at = Date.now() - ageMilliseconds;
    const times = { created: at, received: at, ...changes.times };
    return { put: "job", job: job({ fleet: record.id, ...changes, times }) };
  }

  function aMachine(changes: Parameters<typeof machine>[0] = {}): Change {
    const identity = { id: "linux-x64-m1", fleet: record.id, compute: "ec2", purchase: "spot" } as const;
    const launch = { launchToken: "linux-x64-m1", providerId: instanceIds[0] ?? "" };
    const times = { requested: Date.now() - 5 * minute, ...changes.times };
    return { put: "machine", machine: machine({ ...identity, ...launch, ...changes, times }) };
  }

  const launched = (): Change => aMachine({ state: "launched", times: { launched: Date.now() - minute } });
  const requested = (): Change => {
    const { providerId: _, ...entry } = machine({
      ...{ id: "linux-x64-m1", fleet: record.id, compute: "ec2", purchase: "spot" },
      ...{ launchToken: `linux-x64-${randomUUID().slice(0, 8)}`, times: { requested: Date.now() - 20_000 } },
    });
    return { put: "machine", machine: entry };
  };
  const binding = {
    ...{ jobId: 1001, repository: "acme/app", labels: ["self-hosted", "linux", "x64"] },
    scope: { kind: "organization", installationId: 7, owner: "acme" },
  } as const;
  /** Its runner has ended, so that nothing but its registration can be left. */
  const retiring = (): Change =>
    aMachine({
      ...{ state: "retiring", reason: "completed", exitCode: 0, binding },
      times: { launched: Date.now() - minute, retiring: Date.now() },
    });

  const batch = (...messages: readonly unknown[]) => ({
    Records: messages.map((message, index) => ({
      messageId: `message-${index}`,
      receiptHandle: "none",
      body: JSON.stringify(message),
    })),
  });

  /** A message that nobody can read, received as Lambda receives it. */
  async function unreadable(queue: QueueName): Promise<unknown> {
    const QueueUrl = deployment.queueUrls[queue];
    const call = { service: "sqs", resource: queue } as const;
    await callJson(deployment.client, { ...call, action: "PurgeQueue", input: { QueueUrl } });
    const input = { QueueUrl, MessageBody: "nonsense" };
    await callJson(deployment.client, { ...call, action: "SendMessage", input });
    const { Messages = [] } = await callJson<{ Messages?: readonly Record<string, string>[] }>(
      deployment.client,
      { ...call, action: "ReceiveMessage", input: { QueueUrl, MaxNumberOfMessages: 10 } },
    );
    return {
      Records: Messages.map(({ MessageId, ReceiptHandle, Body }) => ({
        ...{ messageId: MessageId, receiptHandle: ReceiptHandle, body: Body },
      })),
    };
  }

  function request(method: string, path: string, { body = "", headers = {}, caller = "" } = {}): unknown {
    return {
      ...{ version: "2.0", rawPath: path, rawQueryString: "", headers, body, isBase64Encoded: false },
      requestContext: {
        ...{ stage: "$default", http: { method, path, sourceIp: "192.0.2.1" } },
        ...(caller !== "" && { authorizer: { iam: { userArn: caller } } }),
      },
    };
  }

  function delivery(action: "queued" | "in_progress"): unknown {
    const github = createFakeGithub(createSystemClock(), webhookSecret);
    github.queueJob();
    const payload = { ...JSON.parse(new TextDecoder().decode(github.outbox[0]?.body)), action };
    const body = JSON.stringify(payload);
    const signature = createHmac("sha256", webhookSecret).update(body).digest("hex");
    const headers = {
      ...{ "content-type": "application/json", "x-github-event": "workflow_job" },
      ...{ "x-github-delivery": randomUUID(), "x-hub-signature-256": `sha256=${signature}` },
    };
    return request("POST", "/webhook", { body, headers });
  }

  function fromMachine(what: "claim" | "report", body = ""): unknown {
    const [id = ""] = instanceIds;
    const caller = `arn:aws:sts::123456789012:assumed-role/${deployment.machineRoleName}/${id}`;
    return request("POST", `/v1/machines/ec2/${id}/${what}`, { body, caller });
  }

  const reading = { headers: { authorization: `Bearer ${statusToken}` } };
  const scheduled = { source: "aws.scheduler" };

  /** What makes a function use its permissions: for each a state of the world, and the event. */
  const steps: Readonly<Record<FunctionName, Readonly<Record<string, () => Promise<unknown>>>>> = {
    webhook: {
      "a job is queued": () => ledger().then(() => delivery("queued")),
      "a job is in progress": () => ledger().then(() => delivery("in_progress")),
    },
    scaleup: {
      "a job waits": () => ledger(aJob()).then(() => batch({ stage: "scaleup", fleet: record.id })),
      "a launch was not answered": () =>
        ledger(aJob(), requested()).then(() => batch({ stage: "scaleup", fleet: record.id })),
      "a launch was answered in part": async () => {
        await ledger(aJob());
        const change = (body: string): string =>
          body.replace(/<fleetInstanceSet>.*<\/fleetInstanceSet>/s, "<fleetInstanceSet/>");
        deployment.proxy.inject("CreateFleet", { kind: "rewrite", change });
        return batch({ stage: "scaleup", fleet: record.id });
      },
      "a launch was another one": async () => {
        await ledger(aJob());
        const body =
          "<Response><Errors><Error><Code>IdempotentParameterMismatch</Code><Message>No.</Message></Error></Errors></Response>";
        const reply = { status: 400, contentType: "text/xml", body };
        deployment.proxy.inject("CreateFleet", { kind: "answer", reply });
        return batch({ stage: "scaleup", fleet: record.id });
      },
      "a job has waited too long": () =>
        ledger(aJob(2 * 24 * 60 * minute)).then(() => batch({ stage: "scaleup", fleet: record.id })),
      "a machine is left over": () =>
        ledger(
          aMachine({
            ...{ state: "registered", binding, registration: { runnerId: 1, scope: binding.scope } },
            times: { launched: Date.now() - 4 * minute, registered: Date.now() - 3 * minute },
          }),
        ).then(() => batch({ stage: "scaleup", fleet: record.id })),
      "a message cannot be read": () => unreadable("scaleup"),
    },
    claim: {
      "a machine claims": () => ledger(aJob(), launched()).then(() => fromMachine("claim")),
      "a machine claims for nothing": () => ledger(launched()).then(() => fromMachine("claim")),
      "a machine reports": () => ledger(launched()).then(() => fromMachine("report", "step=listening")),
    },
    lifecycle: {
      "a job is done": () => {
        const event: LifecycleEvent = {
          kind: "job",
          job: jobEvent({ action: "completed", receivedAt: Date.now(), completedAt: Date.now() }),
        };
        return ledger(aJob(), launched()).then(() => batch(event));
      },
      "a machine has ended": () =>
        ledger(launched()).then(() =>
          batch({
            ...{ kind: "machine", machineId: "linux-x64-m1", fleet: record.id, at: Date.now() },
            report: { step: "exited", exitCode: 1, ranJob: false },
          }),
        ),
      "an instance is gone": () =>
        ledger(aJob(), launched()).then(() =>
          batch({
            ...{ kind: "cloud", compute: "ec2", providerId: instanceIds[0], what: "gone", at: Date.now() },
          }),
        ),
      "a message cannot be read": () => unreadable("lifecycle"),
    },
    rebalancer: {
      "there are lost jobs, retiring machines and an old history": async () => {
        await world.startRuns({ jobs: 1 });
        const old = Date.now() - 40 * 24 * 60 * minute;
        const ended = aJob(0, {
          ...{ id: 1, state: "done", outcome: { kind: "completed", conclusion: "success" } },
          times: { created: old, received: old, started: old, completed: old },
        });
        await ledger(ended, retiring());
        return scheduled;
      },
    },
    scaledown: {
      "the sweep finds machines past their time": () =>
        ledger(
          aMachine({ state: "launched", times: { launched: Date.now() - 60 * minute } }),
          aMachine({ id: "linux-x64-m2", launchToken: "linux-x64-m2", providerId: "i-0123456789abcdef0" }),
          retiringAs("linux-x64-m3"),
        ).then(() => scheduled),
      "the sweep finds a launch that was never answered": () => {
        const { put, machine: entry } = requested() as Change & { put: "machine" };
        const times = { requested: Date.now() - 60 * minute };
        return ledger({ put, machine: { ...entry, times } }).then(() => scheduled);
      },
      "a machine retires": async () => {
        // What was ended before need not be ended again, and no permission for it would be missed.
        instanceIds = await runInstances();
        await ledger(retiring());
        return batch({ stage: "scaledown", fleet: record.id });
      },
      "a message cannot be read": () => unreadable("scaledown"),
    },
    status: {
      "somebody reads": () => ledger(aJob()).then(() => request("GET", "/api/status", reading)),
      "an operator ends a machine": () =>
        ledger(aJob(), launched()).then(() =>
          request("POST", "/api/machines/linux-x64-m1/terminate", {
            body: JSON.stringify({ force: false }),
            headers: { ...reading.headers, "content-type": "application/json", "x-mayfly-request": "1" },
          }),
        ),
    },
  };

  function retiringAs(id: string): Change {
    const times = { launched: Date.now() - minute, retiring: Date.now() };
    return aMachine({
      ...{ id, launchToken: id, providerId: "i-0123456789abcdef1", state: "retiring", reason: "idle" },
      times,
    });
  }

  // --------------------------------------------------------------------------------------------- what is seen

  interface Run {
    readonly used: ReadonlySet<AwsPermission>;
    /** Actions that nothing allowed. */
    readonly refused: readonly string[];
    readonly lines: readonly string[];
  }

  /** The function does this once, in a process that knows nothing yet. */
  async function run(name: FunctionName, prepare: () => Promise<unknown>): Promise<Run> {
    const event = await prepare();
    const before = deployment.demands.length;
    const host: LambdaHost = deployment.openHost();
    const outcome = await host.invoke(name, event).then(
      (answer) => JSON.stringify(answer),
      (error: unknown) => String(error),
    );
    await host.stop();
    const demands = deployment.demands.slice(before).filter((demand) => demand.name === name);
    return {
      used: new Set(demands.flatMap(({ allowedBy }) => allowedBy)),
      refused: demands.filter(({ allowedBy }) => allowedBy.length === 0).map(({ action }) => action),
      lines: [...host.lines.map(({ line }) => line), outcome],
    };
  }

  /** Lambda receives and deletes in the name of the function, which does neither. */
  const isLambdas = ({ actions }: AwsPermission): boolean => actions.includes("sqs:ReceiveMessage");

  it.each(functions.map(({ name }) => name))(
    "%s",
    async (name) => {
      const usedBy = new Map<AwsPermission, () => Promise<unknown>>();
      for (const [what, prepare] of Object.entries(steps[name])) {
        const { used, refused, lines } = await run(name, prepare);
        expect({ what, refused, denials: lines.filter(isDenial) }).toEqual({
          what,
          refused: [],
          denials: [],
        });
        for (const permission of used) if (!usedBy.has(permission)) usedBy.set(permission, prepare);
      }
      const needed = permissions[name].filter((permission) => !isLambdas(permission));
      expect(needed.filter((permission) => !usedBy.has(permission))).toEqual([]);
      for (const [permission, prepare] of usedBy) {
        deployment.granted.set(
          name,
          permissions[name].filter((each) => each !== permission),
        );
        const { refused, lines } = await run(name, prepare);
        expect(permission.actions, JSON.stringify(permission)).toEqual(expect.arrayContaining([refused[0]]));
        expect(lines.filter(isDenial), `${lines.join("\n")}`).not.toEqual([]);
      }
    },
    120_000,
  );

  it("moto enforces the policy by itself, too", async () => {
    const { client, policyPlace } = deployment;
    const policy = policyOf(permissions.webhook, policyPlace);
    const withoutSending = policy.Statement.filter(({ Action }) => !Action.includes("sqs:SendMessage"));
    await putPolicy(client, "webhook", { ...policy, Statement: withoutSending });
    const { refused, lines } = await run("webhook", async () => delivery("in_progress"));
    await putPolicy(client, "webhook", policy);
    expect(refused).toEqual([]);
    expect(lines.filter(isDenial)).not.toEqual([]);
  });
});

function isDenial(line: string): boolean {
  return /AWS_ACCESS_DENIED|not authorized|UnauthorizedOperation|AWS_CREDENTIALS/.test(line);
}
