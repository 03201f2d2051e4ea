import { describe, expect, it } from "vitest";
import { fleetRecord, job, machine } from "../../../test/builders.ts";
import { totalCounter } from "../../core/counters.ts";
import type { Change, JobState } from "../../core/model.ts";
import type { Store } from "../../ports/store.ts";
import { createMemoryAnnouncer } from "../announcer/memory.ts";
import { createManualClock } from "../clock/manual.ts";
import { announceChanges } from "./announcing.ts";
import { createMemoryStore } from "./memory.ts";

const fleet = "fleet-a";
const aJob = (state: JobState): Change => ({ put: "job", job: job({ state }) });

function place(inner: Store = createMemoryStore()) {
  const announcer = createMemoryAnnouncer();
  const store = announceChanges(inner, announcer, createManualClock());
  const told = () =>
    announcer.told.map((each) =>
      each.kind === "job"
        ? `job ${each.job.id}: ${each.before} → ${each.job.state}`
        : `machine ${each.machine.id}: ${each.before} → ${each.machine.state}`,
    );
  async function put(...changes: Change[]) {
    const { version } = await store.load(fleet);
    return store.commit(fleet, version, changes);
  }
  return { store, told, put, announcer };
}

describe("a store whose changes are announced", () => {
  it("tells of every state that is another one than before, with what was before", async () => {
    const { store, told, put } = place();
    await store.addJob(fleetRecord(), job({ state: "queued" }));
    await put({ put: "machine", machine: machine({ state: "requested" }) });
    await put({ put: "machine", machine: machine({ state: "launched" }) }, aJob("running"));
    await put({ put: "machine", machine: machine({ state: "ended" }) }, aJob("done"));
    expect(told()).toEqual([
      "job 1001: null → queued",
      "machine mayfly-1: null → requested",
      "machine mayfly-1: requested → launched",
      "job 1001: queued → running",
      "machine mayfly-1: launched → ended",
      "job 1001: running → done",
    ]);
  });

  it("says nothing of what keeps its state, and of records", async () => {
    const { store, told, put } = place();
    await store.addJob(fleetRecord(), job());
    expect(await store.addJob(fleetRecord(), job())).toBe("exists");
    await put(
      { put: "fleet", record: fleetRecord({ options: { cpu: 4 } }) },
      { put: "job", job: job({ runnerName: "another" }) },
    );
    expect(told()).toEqual(["job 1001: null → queued"]);
  });

  it("tells of no commit that was not written, or of which nobody knows that", async () => {
    const { store, told } = place();
    expect(await store.commit(fleet, 7, [aJob("queued")])).toEqual({ kind: "conflict" });
    const limits = [{ counter: totalCounter, max: 0 }];
    const change = { put: "machine", machine: machine() } as const;
    expect(await store.commit(fleet, 0, [change], limits)).toMatchObject({ kind: "over-limit" });
    const lost = place({ ...createMemoryStore(), commit: () => Promise.reject(new Error("busy")) });
    await expect(lost.put(aJob("queued"))).rejects.toThrow("busy");
    expect([...told(), ...lost.told()]).toEqual([]);
  });

  it("knows what another process has written, as whoever commits has loaded it", async () => {
    const inner = createMemoryStore();
    const [one, other] = [place(inner), place(inner)];
    await one.store.addJob(fleetRecord(), job({ state: "queued" }));
    await one.put(aJob("running"));
    await other.put(aJob("done"));
    expect(other.told()).toEqual(["job 1001: running → done"]);
  });
});
