import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import type { Change, Job, Machine } from "../../src/core/model.ts";
import type { Store } from "../../src/ports/store.ts";
import { fleetRecord, job, machine, start } from "../builders.ts";
import { type AwsFault, jsonRefusal, transactionConflict } from "../support/aws-fault-proxy.ts";
import { createLedgerTable, type LedgerTable } from "../support/ledger-table.ts";

/* What DynamoDB does to a ledger on a bad day, made by the proxy in front of moto (test/support/aws-fault-proxy.ts). */

const dynamodb = inject("dynamodb");
const putMachine = (each: Machine): Change => ({ put: "machine", machine: each });

describe.skipIf(dynamodb === "")("store: dynamodb, when calls fail", () => {
  let table: LedgerTable;
  let store: Store;
  beforeEach(async () => {
    table = await createLedgerTable(dynamodb);
    store = table.open();
  });
  afterEach(async () => {
    await table.close();
  });

  function actions(): readonly string[] {
    return table.proxy.calls.map((call) => call.action);
  }

  it.each<[string, AwsFault]>([
    ["its answer is lost", { kind: "lose-answer" }],
    ["it is lost", { kind: "lose-request" }],
    ["DynamoDB fails", jsonRefusal(500, "InternalServerError")],
    ["it is throttled", jsonRefusal(400, "ThrottlingException")],
    ["it collides with another transaction", transactionConflict(4)],
    ["it is still in progress", jsonRefusal(400, "TransactionInProgressException")],
  ])("commits once, and says so, when %s", async (_, fault) => {
    table.proxy.inject("TransactWriteItems", fault);
    expect(await store.commit("fleet-a", 0, [putMachine(machine())])).toEqual({ kind: "committed" });
    expect(await table.open().load("fleet-a")).toMatchObject({ version: 1, machines: [machine()] });
    expect(await store.counters()).toEqual({ machines: 1, "preset:linux-x64": 1 });
    expect(actions().filter((action) => action === "TransactWriteItems")).toHaveLength(2);
  });

  it("adds a job once, and says so, when the answer is lost", async () => {
    table.proxy.inject("TransactWriteItems", { kind: "lose-answer" });
    expect(await store.addJob(fleetRecord(), job())).toBe("added");
    expect((await store.load("fleet-a")).jobs).toEqual([job()]);
  });

  it("gives up a commit that collides again and again: to be tried again, nothing was written", async () => {
    table.proxy.inject("TransactWriteItems", ...Array.from({ length: 12 }, () => transactionConflict(4)));
    const failed = store.commit("fleet-a", 0, [putMachine(machine())]);
    await expect(failed).rejects.toMatchObject({ kind: "retry", code: "STORE_COLLISIONS" });
    expect((await store.load("fleet-a")).version).toBe(0);
  });

  it("deletes what a batch left over", async () => {
    const ended = [1, 2, 3].map((id) => job({ id, state: "done", times: { completed: start } }));
    for (const each of ended) await store.addJob(fleetRecord(), each);
    // One of three is said to be left over, inside of a 200.
    const left = [{ DeleteRequest: { Key: { pk: { S: "job#2" }, sk: { S: "job" } } } }];
    table.proxy.inject("BatchWriteItem", {
      kind: "rewrite",
      change: () => JSON.stringify({ UnprocessedItems: { [table.name]: left } }),
    });
    expect(await store.purge(start + 1)).toBe(3);
    expect(await store.history(0, 10)).toEqual({ jobs: [], machines: [] });
    expect(actions().filter((action) => action === "BatchWriteItem")).toHaveLength(2);
  });

  it("sees what another process wrote between its load and its commit", async () => {
    await store.load("fleet-a");
    await table.open().commit("fleet-a", 0, [putMachine(machine({ id: "mayfly-2" }))]);
    expect(await store.commit("fleet-a", 0, [putMachine(machine())])).toEqual({ kind: "conflict" });
    await store.load("fleet-a");
    expect(await store.commit("fleet-a", 1, [putMachine(machine())])).toEqual({ kind: "committed" });
    expect(await store.counters()).toMatchObject({ machines: 2 });
  });

  it("keeps fields and items that another version of Mayfly wrote", async () => {
    const newer = { ...machine(), novelty: { since: 9 } } as Machine;
    await store.commit("fleet-a", 0, [putMachine(newer)]);
    const unknown = { pk: { S: "fleet#fleet-a" }, sk: { S: "novelty#1" }, document: { S: "{}" } };
    await table.call("PutItem", { Item: unknown });
    const loaded = await store.load("fleet-a");
    expect(loaded.machines).toEqual([newer]);
    const [known] = loaded.machines as [Machine];
    await store.commit("fleet-a", 1, [putMachine({ ...known, state: "launched" })]);
    expect(await store.findMachine("mayfly-1")).toEqual({ ...newer, state: "launched" });
  });

  it("notes a repository once in a while, not with every job", async () => {
    const at = (seconds: number, id: number): Job => job({ id, times: { received: start + seconds * 1000 } });
    for (const [index, seconds] of [0, 1, 599, 600].entries()) {
      await store.addJob(fleetRecord(), at(seconds, index));
    }
    expect(actions().filter((action) => action === "PutItem")).toHaveLength(2);
    // It was seen after this instant; that it was is written as of a little before.
    const other = table.open();
    await other.addJob(fleetRecord(), at(1_100, 9));
    expect(await store.recentRepositories(start + 1_199_000)).toHaveLength(1);
  });
});
