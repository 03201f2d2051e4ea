import { afterEach, describe, expect, it } from "vitest";
import { fleetRecord, job, machine, start } from "../../../test/builders.ts";
import {
  type AwsStandIn,
  createImpatientClock,
  type StandInAnswer,
  standInCredentials,
  startAwsStandIn,
} from "../../../test/support/aws-stand-in.ts";
import { totalCounter } from "../../core/counters.ts";
import type { Change } from "../../core/model.ts";
import type { Store } from "../../ports/store.ts";
import { createAwsClient } from "../aws/client.ts";
import { createSeededRandom } from "../random/seeded.ts";
import { createDynamoStore } from "./dynamodb.ts";
import { writesPerTransaction } from "./dynamodb-calls.ts";
import { planCommit } from "./dynamodb-commit.ts";
import { activeItem, type Item, jobEntry, keyOf, machineEntry, number } from "./dynamodb-table.ts";
import { collectWrites } from "./rules.ts";

/* What needs answers that no stand-in for DynamoDB gives. Everything else: test/aws. */

let standIn: AwsStandIn;
afterEach(async () => {
  await standIn.close();
});

let clock: ReturnType<typeof createImpatientClock>;

async function storeThatIsTold(...answers: readonly StandInAnswer[]): Promise<Store> {
  clock = createImpatientClock(start);
  standIn = await startAwsStandIn(answers, { service: "dynamodb", region: "eu-west-1", now: clock.now });
  const random = createSeededRandom(1);
  const client = createAwsClient({
    region: "eu-west-1",
    endpoint: standIn.url,
    credentials: () => standInCredentials,
    clock,
    random,
  });
  return createDynamoStore({ client, table: "ledger", clock, random, historySeconds: 600 });
}

function version(at: number, entries: number, sum: number): Item {
  const counts = { version: number(at), entries: number(entries), sum: number(sum) };
  return { ...keyOf("fleet#fleet-a", "!version"), ...counts };
}

function page(...items: readonly Item[]): StandInAnswer {
  return { body: { Items: items } };
}

describe("a query that a transaction ends within", () => {
  const old = activeItem(machineEntry(machine()), 1);
  const changed = activeItem(machineEntry(machine({ state: "launched" })), 2);

  it.each([
    ["an older entry", [version(2, 1, 2), old]],
    ["an entry too few", [version(2, 1, 2)]],
    ["an entry too many", [version(2, 0, 0), old]],
  ])("is repeated when it shows %s", async (_, torn) => {
    const store = await storeThatIsTold(page(...torn), page(version(2, 1, 2), changed));
    const ledger = await store.load("fleet-a");
    expect(ledger).toMatchObject({ version: 2, machines: [{ state: "launched" }] });
    expect(standIn.requests).toHaveLength(2);
  });

  it("is taken when it shows newer entries: the commit will meet the newer version", async () => {
    const store = await storeThatIsTold(page(version(1, 1, 1), changed));
    expect(await store.load("fleet-a")).toMatchObject({ version: 1, machines: [{ state: "launched" }] });
  });

  it("fails when it never shows the whole", async () => {
    const store = await storeThatIsTold(...Array.from({ length: 10 }, () => page(version(2, 1, 2), old)));
    await expect(store.load("fleet-a")).rejects.toMatchObject({ kind: "retry", code: "LEDGER_CONTENDED" });
  });
});

describe("a fleet of 5,000 active entries", () => {
  it("is read page by page, consistently, and nothing of it is lost", async () => {
    const items = [
      version(0, 0, 0),
      ...Array.from({ length: 2_500 }, (_, id) => activeItem(jobEntry(job({ id })), 0)),
      ...Array.from({ length: 2_500 }, (_, id) =>
        activeItem(machineEntry(machine({ id: `mayfly-${id}` })), 0),
      ),
    ];
    const pages = Array.from({ length: 4 }, (_, index) => ({
      body: {
        Items: items.slice(index * 1_300, (index + 1) * 1_300),
        ...(index < 3 && { LastEvaluatedKey: keyOf("fleet#fleet-a", `page-${index}`) }),
      },
    }));
    const store = await storeThatIsTold(...pages);
    const ledger = await store.load("fleet-a");
    expect([ledger.jobs.length, ledger.machines.length]).toEqual([2_500, 2_500]);
    const asked = standIn.requests.map(({ body }) => JSON.parse(body));
    expect(asked.map((each) => each.ConsistentRead)).toEqual([true, true, true, true]);
    expect(asked.map((each) => each.ExclusiveStartKey?.sk.S)).toEqual([
      ...[undefined, "page-0", "page-1", "page-2"],
    ]);
  });
});

describe("a commit", () => {
  it("never has more writes than one transaction takes, even when each entry has a counter of its own", async () => {
    const store = await storeThatIsTold();
    const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
    const ended = Array.from({ length: store.changesPerCommit }, (_, index) =>
      machine({
        id: `mayfly-${index}`,
        state: "ended",
        binding: { jobId: index, repository: `acme/${index}`, scope, labels: [] },
      }),
    );
    const known = ended.map((each) => {
      const counters = [totalCounter, "preset:linux-x64", `repository:${each.binding?.repository}`];
      return [`machine#${each.id}`, { at: 1, counters, sighting: undefined }] as const;
    });
    const changes: Change[] = ended.map((each) => ({ put: "machine", machine: each }));
    const writes = collectWrites("fleet-a", changes, store.changesPerCommit);
    const withRecord = { ...writes, record: fleetRecord() };
    const fleet = { version: 1, entries: new Map(known) };
    const planned = planCommit("fleet-a", fleet, withRecord, [], { historySeconds: 600 });
    expect(planned.writes.length).toBeLessThanOrEqual(writesPerTransaction);
    expect(planned.writes.length).toBe(3 * store.changesPerCommit + 4);
  });

  it("refuses an entry that would not fit", async () => {
    const store = await storeThatIsTold(page());
    const huge = job({ labels: Array(1_000).fill("ü".repeat(256)) });
    await expect(store.commit("fleet-a", 0, [{ put: "job", job: huge }])).rejects.toMatchObject({
      code: "STORE_ENTRY_TOO_LARGE",
    });
  });

  it("that loses to others lets them go first, for longer each time, until one of its own has won", async () => {
    const lost: StandInAnswer = {
      status: 400,
      body: {
        __type: "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        CancellationReasons: [{ Code: "ConditionalCheckFailed" }, { Code: "None" }],
      },
    };
    const losses = 10;
    const tries = Array.from({ length: losses }, () => [page(), lost]).flat();
    const store = await storeThatIsTold(...tries, page(), { body: {} }, lost);
    const commit = (at: number) => store.commit("fleet-a", at, [{ put: "machine", machine: machine() }]);
    for (let count = 0; count < losses; count++) expect(await commit(0)).toEqual({ kind: "conflict" });
    expect(clock.sleeps).toHaveLength(losses);
    // Drawn from a span that doubles from 50 ms to two seconds: many that lose at once do not meet again.
    for (const [index, pause] of clock.sleeps.entries()) {
      expect(pause).toBeLessThanOrEqual(Math.min(50 * 2 ** index, 2_000));
    }
    expect(new Set(clock.sleeps).size).toBe(losses);
    expect(Math.max(...clock.sleeps)).toBeGreaterThan(200);
    expect(await commit(0)).toEqual({ kind: "committed" });
    expect(await commit(1)).toEqual({ kind: "conflict" });
    expect(clock.sleeps.at(-1)).toBeLessThanOrEqual(50);
  });

  it("of a version that is known to be old asks nobody", async () => {
    const store = await storeThatIsTold(page(version(3, 0, 0)));
    await store.load("fleet-a");
    expect(await store.commit("fleet-a", 2, [])).toEqual({ kind: "conflict" });
    expect(standIn.requests).toHaveLength(1);
  });
});
