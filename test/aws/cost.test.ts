import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { callJson } from "../../src/adapters/aws/json.ts";
import { createManualClock, type ManualClock } from "../../src/adapters/clock/manual.ts";
import { createMemoryCompute, type MemoryCompute } from "../../src/adapters/compute/memory.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import { createFixedPrices } from "../../src/adapters/prices/fixed.ts";
import { createSqsQueue } from "../../src/adapters/queue/sqs.ts";
import { createSeededRandom } from "../../src/adapters/random/seeded.ts";
import type { LifecycleEvent, MachineReport, Poke } from "../../src/core/model.ts";
import { Secret } from "../../src/core/secret.ts";
import { answerClaim } from "../../src/flow/claim.ts";
import { applyEvents, receiveReport } from "../../src/flow/lifecycle.ts";
import { rebalance } from "../../src/flow/rebalance.ts";
import { retireMachines, sweep } from "../../src/flow/scaledown.ts";
import { scaleUp } from "../../src/flow/scaleup.ts";
import { readMeasures } from "../../src/flow/status.ts";
import { receiveDelivery } from "../../src/flow/webhook.ts";
import type { Ports } from "../../src/ports/ports.ts";
import type { Queue } from "../../src/ports/queue.ts";
import { idleUse, type JobUse, jobUse } from "../../tools/aws-costs.ts";
import { policy, preset } from "../builders.ts";
import { standInClient } from "../support/aws-environment.ts";
import { type AwsUsage, usageOf } from "../support/aws-usage.ts";
import { createFakeGithub, type FakeGithub, type GithubRunner } from "../support/fake-github.ts";
import { createLedgerTable, type LedgerTable } from "../support/ledger-table.ts";
import { type RecordingProxy, startRecordingProxy } from "../support/recording-proxy.ts";

/*
 * What a job uses of AWS from its delivery to the end of its machine, and what a deployment uses in which nothing happens:
 * the counts from which tools/aws-costs.ts computes docs/operating/costs.md. Machines are those of the memory adapter.
 */

const moto = inject("moto");
const fleet = "linux-x64";
const rules = policy({
  presets: [preset({ max: 200 })],
  limits: { machines: 500, perRepository: 500 },
});

describe.skipIf(moto === "")("what is used of AWS", () => {
  let table: LedgerTable;
  let proxy: RecordingProxy;
  let github: FakeGithub;
  let compute: MemoryCompute;
  let clock: ManualClock;
  let ports: Ports;
  let queues: { readonly work: Queue<Poke>; readonly lifecycle: Queue<LifecycleEvent> };

  beforeEach(async () => {
    clock = createManualClock(Date.now());
    table = await createLedgerTable(moto);
    proxy = await startRecordingProxy(table.proxy.url);
    const client = standInClient(proxy.url);
    const queue = async <Message>(name: string) => {
      const input = { QueueName: `${table.name}-${name}` };
      const call = { service: "sqs", action: "CreateQueue", resource: name, input } as const;
      const { QueueUrl } = await callJson<{ QueueUrl: string }>(client, call);
      return createSqsQueue<Message>({ client, name, url: QueueUrl, clock });
    };
    queues = { work: await queue<Poke>("work"), lifecycle: await queue<LifecycleEvent>("lifecycle") };
    github = createFakeGithub(clock, "the-webhook-secret");
    compute = createMemoryCompute({ clock, marks: "launch" });
    ports = {
      store: table.open({ client, clock }),
      ...queues,
      compute: new Map([["memory", compute]]),
      github: github.port,
      identity: { issue: () => undefined, verify: async () => "proven" },
      secrets: { read: async () => [new Secret("the-webhook-secret")] },
      prices: createFixedPrices(rules.presets),
      clock,
      random: createSeededRandom("cost"),
      log: createMemoryLog(),
    };
    // The first job of all finds a cold process; so does nobody after it.
    await life(1, 1);
  });
  afterEach(async () => {
    await proxy.close();
    await table.close();
  });

  async function deliver(): Promise<void> {
    for (const sending of github.outbox.splice(0)) await receiveDelivery(ports, rules, sending);
  }

  /** What waits, in batches as Lambda hands it over. */
  async function applyAll(batchSize: number): Promise<void> {
    for (;;) {
      const received = await queues.lifecycle.receive({
        limit: batchSize,
        visibilitySeconds: 60,
        waitSeconds: 0,
      });
      if (received.length === 0) return;
      await applyEvents(
        ports,
        rules,
        received.map(({ message }) => message),
      );
      for (const { receipt } of received) await queues.lifecycle.delete(receipt);
    }
  }

  /** The looks that were asked for, once each, as a batch of Lambda has them. */
  async function look(): Promise<void> {
    const received = await queues.work.receive({ limit: 10, visibilitySeconds: 60, waitSeconds: 0 });
    for (const stage of new Set(received.map(({ message }) => message.stage))) {
      if (stage === "scaleup") await scaleUp(ports, rules, fleet);
      else await retireMachines(ports, rules, fleet);
    }
    for (const { receipt } of received) await queues.work.delete(receipt);
    if (received.length === 10) await look();
  }

  /** So many jobs that come at once, from their deliveries until nothing is left of them but history. */
  async function life(jobs: number, batchSize: number): Promise<void> {
    for (let count = 0; count < jobs; count++) github.queueJob();
    await deliver();
    await look();
    const ids = compute.machines().map(({ providerId }) => providerId);
    const happens = async (what: "running" | "gone") => {
      for (const providerId of ids) {
        await queues.lifecycle.send({ kind: "cloud", compute: "memory", providerId, what, at: clock.now() });
      }
      await applyAll(batchSize);
    };
    const say = async (providerId: string, report: MachineReport) => {
      const machine = await ports.store.findMachineByProviderId("memory", providerId);
      if (machine === undefined) throw new Error(`Nothing is known of ${providerId}.`);
      await receiveReport(ports, machine, report);
    };
    await happens("running");
    const runners = new Map<string, GithubRunner>();
    for (const providerId of ids) {
      const answer = await answerClaim(ports, rules, { compute: "memory", providerId }, { headers: {} });
      const runner = answer.kind === "run" ? github.connect(answer.jitConfig.reveal()) : undefined;
      if (runner === undefined) throw new Error(`${providerId} was told to ${answer.kind}.`);
      runners.set(providerId, runner);
      await say(providerId, { step: "listening" });
    }
    github.assign();
    await deliver();
    for (const providerId of ids) await say(providerId, { step: "job-started" });
    await applyAll(batchSize);
    for (const [providerId, runner] of runners) {
      github.finish(runner, "success");
      await say(providerId, { step: "exited", exitCode: 0, ranJob: true });
    }
    await deliver();
    await applyAll(batchSize);
    await look();
    for (const providerId of ids) compute.finish(providerId);
    await happens("gone");
    await look();
    await happens("gone");
    const { jobs: left, machines } = await ports.store.load(fleet);
    expect([left, machines]).toEqual([[], []]);
  }

  async function used(work: () => Promise<void>): Promise<AwsUsage> {
    const first = proxy.exchanges.length;
    await work();
    return usageOf(proxy.exchanges, first);
  }

  it("is what costs are computed from, for a job by itself and for one of many", async () => {
    const many = 20;
    expectAbout(perJob(await used(() => life(1, 1)), 1), jobUse.alone);
    expectAbout(perJob(await used(() => life(many, 10)), many), jobUse.ofTwenty);
  });

  it("is what they are computed from for a minute in which nothing happens", async () => {
    const options = { until: clock.now() + 45_000 };
    // The first round also clears away what is left of the first job.
    await rebalance(ports, rules, options);
    const minute = await used(async () => {
      await rebalance(ports, rules, options);
      await readMeasures(ports, { from: clock.now() - 120_000, until: clock.now() - 60_000 });
    });
    const sweeping = await used(() => sweep(ports, rules, options));
    expect(minute.dynamoWriteUnits + sweeping.dynamoWriteUnits).toBe(0);
    expect([minute.messages, sweeping.messages]).toEqual([{}, {}]);
    const { dynamoReadUnits: readUnitsOfRound } = minute;
    expectAbout({ readUnitsOfRound, readUnitsOfSweep: sweeping.dynamoReadUnits }, idleUse);
  });
});

function perJob(
  usage: AwsUsage,
  jobs: number,
): Readonly<Pick<JobUse, "writeUnits" | "readUnits" | "messages">> {
  const messages = Object.values(usage.messages).reduce((sum, count) => sum + count, 0);
  return {
    writeUnits: usage.dynamoWriteUnits / jobs,
    readUnits: usage.dynamoReadUnits / jobs,
    messages: messages / jobs,
  };
}

/** About, as an item that grows past a kilobyte costs a unit more each time that it is written. */
function expectAbout<Use extends object>(usage: Use, written: Readonly<Record<keyof Use, number>>): void {
  for (const [name, value] of Object.entries(usage)) {
    expect(value, name).toBeLessThanOrEqual(1.1 * written[name as keyof Use]);
    expect(value, name).toBeGreaterThan(0.8 * written[name as keyof Use]);
  }
}
