import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine, start } from "../../test/builders.ts";
import { createMemoryStore } from "../adapters/store/memory.ts";
import type { Change, Job, Ledger } from "../core/model.ts";
import type { CommitResult, Store } from "../ports/store.ts";
import { commitFleet, commitFrom, ledgerAfter, type Outcome } from "./commit-fleet.ts";

const fleet = "fleet-a";

/** A store in which the fleet has one queued job, and what is asked of it. */
async function storeWithJob(): Promise<{ readonly store: Store; readonly calls: string[] }> {
  const memory = createMemoryStore();
  await memory.addJob(fleetRecord(), job());
  const calls: string[] = [];
  const store: Store = {
    ...memory,
    load: (id) => {
      calls.push("load");
      return memory.load(id);
    },
    commit: async (...given) => {
      const result = await memory.commit(...given);
      calls.push(result.kind);
      return result;
    },
  };
  return { store, calls };
}

/** Counts in the name of the job, so that a lost commit is a lost count. */
function counted(ledger: Ledger): Outcome<number> {
  const [known] = ledger.jobs;
  if (known === undefined) throw new Error("The job is missing.");
  const count = Number(known.name.replace(/\D/g, "")) + 1;
  return { changes: [{ put: "job", job: { ...known, name: `${count}` } }], result: count };
}

describe("a commit", () => {
  it("of many at once is one after the other: none decides twice, and none is lost", async () => {
    const { store, calls } = await storeWithJob();
    const results = await Promise.all(
      Array.from({ length: 50 }, () => commitFleet(store, fleet, async (ledger) => counted(ledger))),
    );
    expect(results.toSorted((left, right) => left - right)).toEqual(results.map((_, index) => index + 1));
    expect(calls.filter((call) => call === "conflict")).toEqual([]);
  });

  it("that another process is before is decided again, by what that one wrote", async () => {
    const { store, calls } = await storeWithJob();
    const other = { ...store };
    let isFirst = true;
    const result = await commitFleet(store, fleet, async (ledger) => {
      if (isFirst) await commitFleet(other, fleet, counted);
      isFirst = false;
      return counted(ledger);
    });
    expect(result).toBe(2);
    expect(calls).toEqual(["load", "load", "committed", "conflict", "load", "committed"]);
  });

  it("begins with what is known, and loads only when that is too old", async () => {
    const { store, calls } = await storeWithJob();
    const known = await store.load(fleet);
    const first = await commitFrom(store, fleet, known, counted);
    const second = await commitFrom(store, fleet, first.ledger(), counted);
    expect(calls.splice(0)).toEqual(["load", "committed", "committed"]);
    expect((await commitFrom(store, fleet, known, counted)).result).toBe(3);
    expect(calls).toEqual(["conflict", "load", "committed"]);
    expect(second.ledger()).toEqual({ ...first.ledger(), version: 2, jobs: [job({ name: "2" })] });
  });

  it("without changes writes nothing", async () => {
    const { store, calls } = await storeWithJob();
    expect(await commitFleet(store, fleet, () => ({ changes: [], result: "none" }))).toBe("none");
    expect(calls).toEqual(["load"]);
  });

  it("that would pass a limit says which, and writes nothing", async () => {
    const { store } = await storeWithJob();
    const changes: readonly Change[] = [{ put: "machine", machine: machine() }];
    const limits = [{ counter: "machines", max: 0 }];
    const decide = () => ({ changes, limits, result: "written" });
    expect(await commitFleet(store, fleet, decide, (counter) => `over ${counter}`)).toBe("over machines");
    expect((await store.load(fleet)).machines).toEqual([]);
  });

  it("that fails takes nobody's turn", async () => {
    const { store } = await storeWithJob();
    const failing = commitFleet(store, fleet, () => Promise.reject(new Error("No.")));
    const next = commitFleet(store, fleet, counted);
    await expect(failing).rejects.toThrow("No.");
    expect(await next).toBe(1);
  });

  it("that is never the first gives up, and says that nothing was lost", async () => {
    const { store } = await storeWithJob();
    const contended: Store = { ...store, commit: async (): Promise<CommitResult> => ({ kind: "conflict" }) };
    await expect(commitFleet(contended, fleet, counted)).rejects.toMatchObject({
      kind: "retry",
      code: "LEDGER_CONTENDED",
    });
  });
});

it("what a ledger is after a commit is what the store has then", async () => {
  const ids = [1, 2, 3, 4] as const;
  const anyJob = fc
    .record({
      id: fc.constantFrom(...ids),
      state: fc.constantFrom<Job["state"]>("queued", "running", "done"),
      isLost: fc.boolean(),
    })
    .map(({ id, state, isLost }) =>
      job({
        id,
        state,
        ...(state === "done" && { outcome: { kind: "completed", conclusion: "failure" } }),
        ...(state === "done" && isLost && { loss: { kind: "undecided", since: start, lookAt: start } }),
        times: { ...(state === "done" && { completed: start }) },
      }),
    );
  const anyMachine = fc
    .record({
      id: fc.constantFrom(...ids),
      state: fc.constantFrom("requested" as const, "busy" as const, "ended" as const),
    })
    .map(({ id, state }) =>
      machine({ id: `m-${id}`, state, times: { ...(state === "ended" && { ended: start }) } }),
    );
  const unique = { selector: ({ id }: { readonly id: unknown }) => id, maxLength: 3 } as const;
  const anyChanges = fc
    .tuple(fc.uniqueArray(anyJob, unique), fc.uniqueArray(anyMachine, unique), fc.boolean())
    .map(([jobs, machines, isNewRecord]): readonly Change[] => [
      ...(isNewRecord ? [{ put: "fleet", record: fleetRecord({ refusals: [] }) } as const] : []),
      ...jobs.map((some) => ({ put: "job", job: some }) as const),
      ...machines.map((some) => ({ put: "machine", machine: some }) as const),
    ]);
  await fc.assert(
    fc.asyncProperty(fc.array(anyChanges, { maxLength: 6 }), async (commits) => {
      const store = createMemoryStore();
      let ledger = await store.load(fleet);
      for (const all of commits) {
        // What has ended is no longer written.
        const open = await Promise.all(all.map((change) => isOpen(store, ledger, change)));
        const changes = all.filter((_, index) => open[index]);
        if (changes.length === 0) continue;
        expect(await store.commit(fleet, ledger.version, changes)).toEqual({ kind: "committed" });
        ledger = ledgerAfter(ledger, changes);
        const { jobs, machines, ...rest } = await store.load(fleet);
        expect({ ...ledger, jobs: byId(ledger.jobs), machines: byId(ledger.machines) }).toEqual({
          ...rest,
          jobs: byId(jobs),
          machines: byId(machines),
        });
      }
    }),
  );
});

async function isOpen(store: Store, ledger: Ledger, change: Change): Promise<boolean> {
  if (change.put === "fleet") return true;
  if (change.put === "job") {
    const { id } = change.job;
    return ledger.jobs.some((some) => some.id === id) || (await store.findJob(id)) === undefined;
  }
  const { id } = change.machine;
  return ledger.machines.some((some) => some.id === id) || (await store.findMachine(id)) === undefined;
}

function byId<Entry extends { readonly id: unknown }>(entries: readonly Entry[]): readonly Entry[] {
  return entries.toSorted((left, right) => (`${left.id}` < `${right.id}` ? -1 : 1));
}
