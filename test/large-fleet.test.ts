import { describe, expect, it } from "vitest";
import type { AwsClient } from "../src/adapters/aws/client.ts";
import { createManualClock } from "../src/adapters/clock/manual.ts";
import { createMemoryCompute } from "../src/adapters/compute/memory.ts";
import { createMemoryLog } from "../src/adapters/log/memory.ts";
import { createFixedPrices } from "../src/adapters/prices/fixed.ts";
import { createSeededRandom } from "../src/adapters/random/seeded.ts";
import { createDynamoStore } from "../src/adapters/store/dynamodb.ts";
import {
  activeItem,
  fleetPartition,
  type Item,
  jobEntry,
  machineEntry,
  recordItem,
} from "../src/adapters/store/dynamodb-table.ts";
import { scaleUp } from "../src/flow/scaleup.ts";
import { fleetRecord, fleetSpec, job, machine, policy, preset, start } from "./builders.ts";

/*
 * A fleet as large as they come, in a table that answers as DynamoDB does: a megabyte at a time. What a look at it costs is
 * counted; how long it takes is in docs/performance.md.
 */

const fleet = "linux-x64";
const pairs = 2_500;
const newJobs = 100;
const pageBytes = 1_000_000;

/** A machine at work and its job, as the ledger holds them. */
function busyPair(index: number): readonly Item[] {
  const id = `linux-x64-${String(index).padStart(12, "0")}`;
  const labels = ["self-hosted", "linux", "x64"];
  const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
  const times = { launched: start, claimed: start, registered: start, online: start, started: start };
  const its = job({
    ...{ id: 9_000_000 + index, fleet, state: "running", machineId: id, runnerName: id, labels },
    times: { planned: start, running: start, ...times },
  });
  const itsMachine = machine({
    ...{ id, fleet, state: "busy", jobId: its.id, launchToken: id, providerId: `i-${id}`, pool: "memory" },
    ...{ binding: { jobId: its.id, repository: "acme/app", scope, labels } },
    ...{ registration: { runnerId: index, scope }, pricePerHourUsd: 0.1, launchedFor: "acme/app" },
    times,
  });
  return [activeItem(jobEntry(its), 0), activeItem(machineEntry(itsMachine), 0)];
}

/** Answers queries of the fleet from these items, and says yes to everything else. */
function tableOf(items: readonly Item[]) {
  const calls: string[] = [];
  const answerTo = (action: string, body: string): object => {
    const input = JSON.parse(body);
    const isFleet = input.ExpressionAttributeValues?.[":pk"]?.S === fleetPartition(fleet);
    if (action !== "Query" || !isFleet) return {};
    const first = Number(input.ExclusiveStartKey?.pk?.N ?? 0);
    let end = first;
    for (let bytes = 0; end < items.length && bytes < pageBytes; end += 1) {
      bytes += JSON.stringify(items[end]).length;
    }
    const LastEvaluatedKey = end < items.length ? { pk: { N: String(end) } } : undefined;
    return { Items: items.slice(first, end), LastEvaluatedKey };
  };
  const client: AwsClient = {
    region: "eu-west-1",
    async send({ action, body }) {
      calls.push(action);
      return { status: 200, headers: {}, body: JSON.stringify(answerTo(action, body)) };
    },
  };
  return { client, calls };
}

describe("a fleet of 5,000 active entries", () => {
  it("is read once by a look, page by page, and what is new is written in as few commits as always", async () => {
    const spec = fleetSpec({ compute: "memory" });
    const record = fleetRecord({ id: fleet, spec });
    const waiting = Array.from({ length: newJobs }, (_, index) =>
      activeItem(jobEntry(job({ id: index + 1, fleet, labels: ["self-hosted", "linux", "x64"] })), 0),
    );
    const items = [
      recordItem(record),
      ...Array.from({ length: pairs }, (_, index) => busyPair(index)).flat(),
      ...waiting,
    ];
    const table = tableOf(items);
    const clock = createManualClock();
    const random = createSeededRandom("a large fleet");
    const compute = createMemoryCompute({ clock, marks: "launch" });
    const limits = { machines: 5_000, perRepository: 5_000 };
    const rules = policy({ presets: [preset({ max: 5_000 })], limits });
    const store = createDynamoStore({
      ...{ client: table.client, table: "ledger", clock, random, historySeconds: 86_400 },
    });
    await scaleUp(
      {
        ...{ store, clock, random, compute: new Map([["memory", compute]]), log: createMemoryLog() },
        prices: createFixedPrices(rules.presets),
        identity: { issue: () => undefined },
        work: { send: async () => {} },
        github: { reportGivenUp: async () => {} } as never,
      },
      rules,
      fleet,
    );
    expect(compute.machines()).toHaveLength(newJobs);
    const pages = Math.ceil(items.reduce((sum, item) => sum + JSON.stringify(item).length, 0) / pageBytes);
    const counted = Map.groupBy(table.calls, (action) => action);
    // One for the counters; and each page ends after its megabyte, not before.
    expect(counted.get("Query")?.length).toBeLessThanOrEqual(1 + pages);
    // The record, a hundred jobs and as many machines in thirties; then what became of the machines, in twenty-nines.
    expect(counted.get("TransactWriteItems")).toHaveLength(7 + 4);
    expect(table.calls.length).toBeLessThanOrEqual(1 + pages + 7 + 4);
  });
});
