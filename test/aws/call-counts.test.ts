import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { callJson } from "../../src/adapters/aws/json.ts";
import { createManualClock } from "../../src/adapters/clock/manual.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createEc2Compute } from "../../src/adapters/compute/ec2.ts";
import { createMemoryCompute, type MemoryCompute } from "../../src/adapters/compute/memory.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import { createEc2Prices } from "../../src/adapters/prices/ec2.ts";
import { createFixedPrices } from "../../src/adapters/prices/fixed.ts";
import { createSqsQueue } from "../../src/adapters/queue/sqs.ts";
import { createSeededRandom } from "../../src/adapters/random/seeded.ts";
import { createSecretsManager } from "../../src/adapters/secrets/secrets-manager.ts";
import type { LifecycleEvent, Machine, MachineReport, Poke } from "../../src/core/model.ts";
import { answerClaim } from "../../src/flow/claim.ts";
import { applyEvents, receiveReport } from "../../src/flow/lifecycle.ts";
import { retireMachines, sweep } from "../../src/flow/scaledown.ts";
import { scaleUp } from "../../src/flow/scaleup.ts";
import { receiveDelivery } from "../../src/flow/webhook.ts";
import type { Ports } from "../../src/ports/ports.ts";
import type { Queue } from "../../src/ports/queue.ts";
import { policy, preset } from "../builders.ts";
import { standInClient } from "../support/aws-environment.ts";
import { prepareEc2 } from "../support/ec2-stand-in.ts";
import { createFakeGithub, type FakeGithub, type GithubRunner } from "../support/fake-github.ts";
import { createLedgerTable, type LedgerTable } from "../support/ledger-table.ts";

/*
 * What the stages of a warm deployment ask of AWS. Not counted is what nobody asks for: Lambda receives and deletes
 * messages by itself. The machines are those of the memory adapter, whose calls would be EC2's.
 */

const moto = inject("moto");
const fleet = "linux-x64";
const rules = policy({
  presets: [preset({ max: 200 })],
  limits: { machines: 500, perRepository: 500 },
});

describe.skipIf(moto === "")("calls to AWS", () => {
  let table: LedgerTable;
  let github: FakeGithub;
  let ports: Ports;
  let compute: MemoryCompute;
  let lifecycle: Queue<LifecycleEvent>;
  const everCalled = new Set<string>();

  beforeEach(async () => {
    const clock = createManualClock(Date.now());
    table = await createLedgerTable(moto);
    const client = standInClient(table.proxy.url);
    const queue = async <Message>(name: string) => {
      const input = { QueueName: `${table.name}-${name}` };
      const call = { service: "sqs", action: "CreateQueue", resource: name, input } as const;
      const { QueueUrl } = await callJson<{ QueueUrl: string }>(client, call);
      return createSqsQueue<Message>({ client, name, url: QueueUrl, clock });
    };
    const secret = { Name: `${table.name}-secret`, SecretString: "the-webhook-secret" };
    await callJson(client, {
      ...{ service: "secretsmanager", action: "CreateSecret", resource: "secret", input: secret },
    });
    github = createFakeGithub(clock, "the-webhook-secret");
    compute = createMemoryCompute({ clock, marks: "launch" });
    lifecycle = await queue<LifecycleEvent>("lifecycle");
    ports = {
      store: table.open({ clock }),
      work: await queue<Poke>("work"),
      lifecycle,
      compute: new Map([["memory", compute]]),
      github: github.port,
      identity: { issue: () => undefined, verify: async () => "proven" },
      secrets: createSecretsManager({ client, ids: { "webhook-secret": secret.Name }, clock }),
      prices: createFixedPrices(rules.presets),
      clock,
      random: createSeededRandom("call counts"),
      log: createMemoryLog(),
    };
    // The first job of all finds a cold process; nobody counts its calls.
    await queueJobs(1);
    await deliver();
    await scaleUp(ports, rules, fleet);
    await applyEvents(ports, rules, []);
  });
  afterEach(async () => {
    for (const { action } of table.proxy.calls) everCalled.add(action);
    expect([...everCalled]).not.toContain("Scan");
    await table.close();
  });

  async function queueJobs(count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) github.queueJob();
  }

  /** GitHub's deliveries, all that are under way. */
  async function deliver(): Promise<void> {
    for (const sending of github.outbox.splice(0)) await receiveDelivery(ports, rules, sending);
  }

  /** How many calls this makes. */
  async function counted(work: () => Promise<unknown>): Promise<number> {
    table.proxy.forgetCalls();
    await work();
    return table.proxy.calls.length;
  }

  const claim = (providerId: string) =>
    answerClaim(ports, rules, { compute: "memory", providerId }, { headers: {} });

  async function machineOf(providerId: string): Promise<Machine> {
    const machine = await ports.store.findMachineByProviderId("memory", providerId);
    if (machine === undefined) throw new Error(`Nothing is known of ${providerId}.`);
    return machine;
  }

  const report = async (providerId: string, said: MachineReport) =>
    receiveReport(ports, await machineOf(providerId), said);

  /** What waits in the lifecycle queue, in batches as Lambda hands them over; how many events there were. */
  async function applyAll(batchSize: number): Promise<number> {
    let events = 0;
    for (;;) {
      const received = await lifecycle.receive({ limit: batchSize, visibilitySeconds: 60, waitSeconds: 0 });
      if (received.length === 0) return events;
      events += received.length;
      await applyEvents(
        ports,
        rules,
        received.map(({ message }) => message),
      );
      for (const { receipt } of received) await lifecycle.delete(receipt);
    }
  }

  /** What Lambda does by itself is not counted. */
  const callsOfFunction = (): number =>
    table.proxy.calls.filter(({ action }) => action !== "ReceiveMessage" && action !== "DeleteMessage")
      .length;

  it("webhook: two for a job, one for what becomes of it, none to GitHub", async () => {
    const asked = github.calls.length;
    await queueJobs(1);
    expect(await counted(deliver)).toBe(2);
    expect(github.calls.length).toBe(asked);
  });

  it("scaleup: at most 20 for a burst of a hundred jobs of one fleet, EC2's own not counted", async () => {
    await queueJobs(100);
    await deliver();
    const calls = await counted(() => scaleUp(ports, rules, fleet));
    expect(compute.machines()).toHaveLength(101);
    // The counters, the ledger, seven commits of what is meant and four of what came of it; EC2 is asked once more.
    expect(calls).toBe(13);
  });

  it("scaleup: four for one job, and for ten that come together, EC2's own not counted", async () => {
    for (const jobs of [1, 10]) {
      await queueJobs(jobs);
      await deliver();
      expect(await counted(() => scaleUp(ports, rules, fleet))).toBe(4);
    }
    expect(compute.machines()).toHaveLength(12);
  });

  it("a sweep: two, however many machines work, EC2's own not counted, and none to GitHub", async () => {
    await queueJobs(30);
    await deliver();
    await scaleUp(ports, rules, fleet);
    for (const { providerId } of compute.machines()) {
      const answer = await claim(providerId);
      if (answer.kind === "run") github.connect(answer.jitConfig.reveal());
    }
    github.assign();
    await deliver();
    await applyAll(10);
    const asked = github.calls.length;
    expect(await counted(() => sweep(ports, rules))).toBe(2);
    expect(github.calls.slice(asked)).toEqual([]);
  });

  it("scaleup: at most 20 for a burst of a hundred jobs of one fleet, EC2's own with them, in a process that is cold", async () => {
    const client = standInClient(table.proxy.url);
    const { subnets, imageId, launchTemplate } = await prepareEc2(client);
    const spec = { compute: "ec2", market: "spot-preferred", image: imageId } as const;
    const onEc2 = policy({
      presets: [
        preset({ name: "ec2", labels: ["linux", "ec2"], max: 200, instanceTypes: ["m7i.large"], ...spec }),
      ],
      limits: { machines: 500, perRepository: 500 },
    });
    const { clock, log } = ports;
    const ec2 = createEc2Compute({
      ...{ client, clock, log, subnets, deployment: table.name },
      presets: { ec2: { launchTemplate } },
    });
    const prices = createEc2Prices({ client, clock, log, otherwise: createFixedPrices(onEc2.presets) });
    const labels = ["self-hosted", "linux", "ec2"];
    for (let count = 0; count < 100; count += 1) github.queueJob({ labels });
    for (const sending of github.outbox.splice(0)) await receiveDelivery(ports, onEc2, sending);
    const cold = { ...ports, store: table.open({ clock }), compute: new Map([["ec2", ec2]]), prices };
    const calls = await counted(() => scaleUp(cold, onEc2, "ec2"));
    // Also the query for the record of the fleet, which a process that is not cold knows.
    expect(calls).toBe(18);
    expect((await ports.store.load("ec2")).machines.filter(({ state }) => state === "launched")).toHaveLength(
      100,
    );
    const asked = table.proxy.calls.filter(({ service }) => service === "ec2").map(({ action }) => action);
    expect(asked.sort()).toEqual([
      "CreateFleet",
      "DescribeImages",
      "DescribeLaunchTemplateVersions",
      "DescribeSpotPriceHistory",
    ]);
  });

  it("claim: four, and one to GitHub", async () => {
    const [machine] = compute.machines();
    const asked = github.calls.length;
    const calls = await counted(() => claim(machine?.providerId ?? ""));
    expect(calls).toBe(4);
    expect(github.calls.slice(asked).map(({ method }) => method)).toEqual(["mintRunner"]);
  });

  it("claims of a whole launch, each from a process of its own: all are answered, with at most 25 calls each", async () => {
    const jobs = 25;
    await queueJobs(jobs);
    await deliver();
    await scaleUp(ports, rules, fleet);
    const clock = createSystemClock();
    const claims = compute.machines().map(({ providerId }) => async () => {
      const name = { compute: "memory", providerId };
      return answerClaim({ ...ports, clock, store: table.open() }, rules, name, { headers: {} });
    });
    table.proxy.forgetCalls();
    const answers = await Promise.all(claims.map((claim) => claim()));
    expect(answers.filter(({ kind }) => kind !== "run")).toEqual([]);
    expect(table.proxy.calls.length / claims.length).toBeLessThanOrEqual(25);
  });

  /**
   * So many jobs from their deliveries to the ends of their machines: the calls of the lifecycle function for all that
   * is said of them, in batches of this size, and those of the reports, which the machines make through `claim`.
   */
  async function lives(jobs: number, batchSize: number) {
    await queueJobs(jobs - 1);
    await deliver();
    await scaleUp(ports, rules, fleet);
    const counts = { events: 0, lifecycle: 0, reports: 0, told: 0, retiring: 0 };
    const apply = async (): Promise<void> => {
      table.proxy.forgetCalls();
      counts.events += await applyAll(batchSize);
      counts.lifecycle += callsOfFunction();
    };
    const say = async (providerId: string, said: MachineReport): Promise<void> => {
      counts.told += 1;
      counts.reports += await counted(() => report(providerId, said));
    };
    const cloud = (providerId: string, what: "running" | "gone"): Promise<void> =>
      lifecycle.send({ kind: "cloud", compute: "memory", providerId, what, at: ports.clock.now() });
    const machines = compute.machines();
    const runners = new Map<string, GithubRunner>();
    for (const { providerId } of machines) {
      await cloud(providerId, "running");
      const answer = await claim(providerId);
      const runner = answer.kind === "run" ? github.connect(answer.jitConfig.reveal()) : undefined;
      if (runner === undefined) throw new Error(`${providerId} was told to ${answer.kind}.`);
      runners.set(providerId, runner);
      await say(providerId, { step: "listening" });
    }
    await apply();
    github.assign();
    await deliver();
    for (const { providerId } of machines) await say(providerId, { step: "job-started" });
    await apply();
    for (const { providerId } of machines) {
      github.finish(runners.get(providerId) as GithubRunner, "success");
      await say(providerId, { step: "exited", exitCode: 0, ranJob: true });
    }
    await deliver();
    await apply();
    counts.retiring = await counted(() => retireMachines(ports, rules, fleet));
    // EC2 says it twice: shutting-down, and then terminated.
    for (const _state of ["shutting-down", "terminated"]) {
      for (const { providerId } of machines) await cloud(providerId, "gone");
      await apply();
    }
    return counts;
  }

  it.each([
    [1, 1],
    [10, 10],
  ])("lifecycle: at most two for each event of %i jobs, in batches of %i", async (jobs, batchSize) => {
    const { events, lifecycle: calls, reports, told, retiring } = await lives(jobs, batchSize);
    expect(events).toBe(8 * jobs);
    expect(calls / events).toBeLessThanOrEqual(2);
    expect(reports).toBe(2 * told);
    // However many machines: the ledger, what GitHub said of their runners, and a look later. EC2 is asked once more.
    expect(retiring).toBeLessThanOrEqual(3);
    const ledger = await ports.store.load(fleet);
    expect(ledger).toMatchObject({ jobs: [], machines: [] });
  });
});
