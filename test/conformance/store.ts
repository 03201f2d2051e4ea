import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { presetCounter, repositoryCounter, totalCounter } from "../../src/core/counters.ts";
import type { Change, Job, Ledger, Machine } from "../../src/core/model.ts";
import type { Store } from "../../src/ports/store.ts";
import { fleetRecord, job, machine, repository, start } from "../builders.ts";
import { checkAgainstModel, operations } from "./store-model.ts";

export interface StoreHarness {
  readonly store: Store;
  /** Ends the store properly and opens it again, where the adapter outlives its process. */
  readonly reopen?: () => Promise<Store>;
  readonly close: () => Promise<void>;
}

const putJob = (each: Job): Change => ({ put: "job", job: each });
const putMachine = (each: Machine): Change => ({ put: "machine", machine: each });

export interface StoreSuiteOptions {
  readonly skip?: boolean;
  /** How many random sequences of operations are compared with the model. Default 40. */
  readonly runs?: number;
  /** How many jobs are added at once where many are. Default 600. */
  readonly jobsAtOnce?: number;
}

/** The contract of `src/ports/store.ts`. Every adapter passes it. */
export function describeStore(
  name: string,
  makeHarness: () => Promise<StoreHarness>,
  { skip = false, runs = 40, jobsAtOnce = 600 }: StoreSuiteOptions = {},
): void {
  describe.skipIf(skip)(`store: ${name}`, () => {
    let harness: StoreHarness;
    let store: Store;
    beforeEach(async () => {
      harness = await makeHarness();
      store = harness.store;
    });
    afterEach(async () => {
      await harness.close();
    });

    /** Commits to whatever the newest version is. */
    async function put(fleet: string, ...changes: Change[]): Promise<void> {
      const { version } = await store.load(fleet);
      expect(await store.commit(fleet, version, changes)).toEqual({ kind: "committed" });
    }

    it("lists images, newest written, and nothing else that has a record", async () => {
      const image = { base: "ubuntu:22.04", architecture: "x86_64", state: "ready", attempts: 0 } as const;
      const ids = ["0", "1"].map((digit) => `image/${digit.repeat(32)}`);
      for (const id of ids) await put(id, { put: "fleet", record: fleetRecord({ id, image }) });
      const failed = { ...image, state: "failed" as const };
      await put(ids[1] ?? "", { put: "fleet", record: fleetRecord({ id: ids[1] ?? "", image: failed }) });
      // A preset may be called like that.
      await put("image/cpu=4", { put: "fleet", record: fleetRecord({ id: "image/cpu=4" }) });
      await put("fleet-a", { put: "fleet", record: fleetRecord() }, putJob(job()));
      expect(await store.images()).toEqual([image, failed]);
      expect(await store.activeFleets()).toEqual(["fleet-a"]);
    });

    describe("load and commit", () => {
      it("knows nothing of a fleet that was never written", async () => {
        expect(await store.load("fleet-a")).toEqual({
          fleet: "fleet-a",
          version: 0,
          record: undefined,
          jobs: [],
          machines: [],
        });
      });

      it("gives back what was committed, one version later", async () => {
        const record = fleetRecord({ options: { cpu: 4 } });
        const all: Change[] = [{ put: "fleet", record }, putJob(job()), putMachine(machine())];
        expect(await store.commit("fleet-a", 0, all)).toEqual({ kind: "committed" });
        const expected = { fleet: "fleet-a", version: 1, record, jobs: [job()], machines: [machine()] };
        expect(await store.load("fleet-a")).toEqual(expected);
      });

      it("replaces entries whole and keeps those that are not named", async () => {
        await put("fleet-a", { put: "fleet", record: fleetRecord() }, putJob(job({ runnerName: "other" })));
        await put("fleet-a", putJob(job({ state: "running" })), putMachine(machine()));
        const ledger = await store.load("fleet-a");
        expect(ledger.record).toEqual(fleetRecord());
        expect(ledger.jobs).toEqual([job({ state: "running" })]);
        expect(ledger.machines).toEqual([machine()]);
      });

      it("keeps texts in any script, and long ones", async () => {
        const odd = job({
          name: "建置 🦟 'quoted' \"twice\" \u0000 end",
          labels: Array(100).fill("ü".repeat(256)),
        });
        await put("fleet-a", putJob(odd));
        expect((await store.load("fleet-a")).jobs).toEqual([odd]);
        expect(await store.findJob(odd.id)).toEqual(odd);
      });

      it("refuses a version that is not the newest, older or newer, and writes nothing", async () => {
        await put("fleet-a", putJob(job()));
        for (const version of [0, 2]) {
          const result = await store.commit("fleet-a", version, [
            putJob(job({ id: 2 })),
            putMachine(machine()),
          ]);
          expect(result).toEqual({ kind: "conflict" });
        }
        const ledger = await store.load("fleet-a");
        expect(ledger.version).toBe(1);
        expect(ledger.jobs.map((each) => each.id)).toEqual([1001]);
        expect(ledger.machines).toEqual([]);
        expect(await store.findJob(2)).toBeUndefined();
        expect(await store.counters()).toEqual({});
      });

      it("does not let commits to one fleet disturb another", async () => {
        await put("fleet-a", putJob(job()));
        expect(
          await store.commit("fleet-b", 0, [putMachine(machine({ id: "mayfly-2", fleet: "fleet-b" }))]),
        ).toEqual({ kind: "committed" });
        expect((await store.load("fleet-a")).version).toBe(1);
        expect((await store.load("fleet-b")).version).toBe(1);
      });

      it("raises the version also when nothing is changed", async () => {
        await put("fleet-a");
        expect((await store.load("fleet-a")).version).toBe(1);
      });

      it("refuses entries that live in another fleet, active or ended, and writes nothing", async () => {
        const ended = machine({ id: "mayfly-2", state: "ended", times: { ended: start } });
        await put("fleet-a", putJob(job()), putMachine(machine()), putMachine(ended));
        const stolen: Change[] = [
          putJob(job({ fleet: "fleet-b" })),
          putMachine(machine({ fleet: "fleet-b" })),
          putMachine({ ...ended, fleet: "fleet-b" }),
        ];
        for (const change of stolen) {
          const changes = [putJob(job({ id: 7, fleet: "fleet-b" })), change];
          expect(await store.commit("fleet-b", 0, changes)).toEqual({ kind: "conflict" });
        }
        expect((await store.load("fleet-b")).version).toBe(0);
        expect(await store.findJob(7)).toBeUndefined();
        expect((await store.findJob(1001))?.fleet).toBe("fleet-a");
      });

      it("rejects a commit that puts an entry of another fleet, or more than it takes at once", async () => {
        const wrong = store.commit("fleet-a", 0, [putJob(job({ fleet: "fleet-b" }))]);
        await expect(wrong).rejects.toMatchObject({ code: "STORE_WRONG_FLEET" });
        const many = Array.from({ length: store.changesPerCommit + 1 }, (_, id) => putJob(job({ id })));
        await expect(store.commit("fleet-a", 0, many)).rejects.toMatchObject({
          code: "STORE_COMMIT_TOO_LARGE",
        });
        const most = store.commit("fleet-a", 0, many.slice(1));
        expect(await most).toEqual({ kind: "committed" });
      });

      it("gives ledgers that later commits do not touch", async () => {
        await put("fleet-a", putJob(job()), putMachine(machine()));
        const before = await store.load("fleet-a");
        const copy = structuredClone(before);
        await put("fleet-a", putJob(job({ state: "done" })), putMachine(machine({ state: "launched" })));
        await store.addJob(fleetRecord(), job({ id: 2 }));
        expect(before).toEqual(copy);
        expect((await store.load("fleet-a")).jobs.map((each) => each.id)).toEqual([2]);
      });

      it("lets exactly one of 50 concurrent commits win, in every round", async () => {
        for (let round = 0; round < 5; round += 1) {
          const { version } = await store.load("fleet-a");
          expect(version).toBe(round);
          const results = await Promise.all(
            Array.from({ length: 50 }, (_, index) =>
              store.commit("fleet-a", version, [putMachine(machine({ id: `mayfly-${round}-${index}` }))]),
            ),
          );
          expect(results.filter((result) => result.kind === "committed")).toHaveLength(1);
          expect((await store.load("fleet-a")).machines).toHaveLength(round + 1);
        }
        expect(await store.counters()).toMatchObject({ [totalCounter]: 5 });
      });
    });

    describe("active and history", () => {
      const done = job({ state: "done", times: { completed: start + 9 } });
      const ended = machine({ state: "ended", providerId: "i-1", times: { ended: start + 8 } });

      it("moves what has ended to the history, where it is still found", async () => {
        await put("fleet-a", putJob(job()), putMachine(machine({ providerId: "i-1" })));
        await put("fleet-a", putJob(done), putMachine(ended));
        const ledger = await store.load("fleet-a");
        expect([...ledger.jobs, ...ledger.machines]).toEqual([]);
        expect(await store.findJob(done.id)).toEqual(done);
        expect(await store.findMachine(ended.id)).toEqual(ended);
        expect(await store.findMachineByProviderId("memory", "i-1")).toEqual(ended);
        expect(await store.history(start, 10)).toEqual({ jobs: [done], machines: [ended] });
      });

      it("keeps a job that is done until it is settled what becomes of it", async () => {
        const loss = { kind: "undecided", since: start, lookAt: start } as const;
        await put("fleet-a", putJob({ ...done, loss }));
        expect(await store.activeFleets()).toEqual(["fleet-a"]);
        expect((await store.load("fleet-a")).jobs).toEqual([{ ...done, loss }]);
        expect((await store.history(start, 10)).jobs).toEqual([]);
        const settled = { ...done, loss: { kind: "left", at: start + 20, detail: "No." } as const };
        await put("fleet-a", putJob(settled));
        expect(await store.activeFleets()).toEqual([]);
        expect((await store.history(start, 10)).jobs).toEqual([settled]);
      });

      it("takes an entry that has ended before it was ever seen active", async () => {
        await put("fleet-a", putJob(done));
        expect((await store.load("fleet-a")).jobs).toEqual([]);
        expect((await store.history(start, 10)).jobs).toEqual([done]);
      });

      it("corrects an entry in the history", async () => {
        await put("fleet-a", putJob(done), putMachine(ended));
        const later = { ...done, times: { ...done.times, completed: start + 20 } };
        await put("fleet-a", putJob(later), putMachine({ ...ended, detail: "known now" }));
        const { jobs, machines } = await store.history(start, 10);
        expect(jobs).toEqual([later]);
        expect(machines).toEqual([{ ...ended, detail: "known now" }]);
        expect(await store.history(start + 9, 10)).toEqual({ jobs: [later], machines: [] });
      });

      it("lists the history newest first, from `since` on, `limit` of each at most", async () => {
        const jobs = [30, 10, 40, 20].map((at) =>
          job({ id: at, state: "done", times: { completed: start + at } }),
        );
        const machines = [15, 35, 25].map((at) =>
          machine({ id: `mayfly-${at}`, state: "ended", times: { ended: start + at } }),
        );
        await put("fleet-a", ...jobs.map(putJob), ...machines.map(putMachine));
        const ids = async (since: number, limit: number) => {
          const found = await store.history(since, limit);
          return [found.jobs.map((each) => each.id), found.machines.map((each) => each.id)];
        };
        expect(await ids(start, 10)).toEqual([
          [40, 30, 20, 10],
          ["mayfly-35", "mayfly-25", "mayfly-15"],
        ]);
        expect(await ids(start + 25, 10)).toEqual([
          [40, 30],
          ["mayfly-35", "mayfly-25"],
        ]);
        expect(await ids(start, 2)).toEqual([
          [40, 30],
          ["mayfly-35", "mayfly-25"],
        ]);
      });

      it("lists only what ended before an instant, when one is given", async () => {
        const jobs = [10, 20, 30, 40].map((at) =>
          job({ id: at, state: "done", times: { completed: start + at } }),
        );
        const machines = jobs.map(({ id }) =>
          machine({ id: `mayfly-${id}`, state: "ended", times: { ended: start + id } }),
        );
        await put("fleet-a", ...jobs.map(putJob), ...machines.map(putMachine));
        const ids = async (since: number, limit: number, before: number) => {
          const found = await store.history(start + since, limit, start + before);
          expect(found.machines.map((each) => each.id)).toEqual(found.jobs.map(({ id }) => `mayfly-${id}`));
          return found.jobs.map((each) => each.id);
        };
        expect(await ids(20, 10, 40)).toEqual([30, 20]);
        expect(await ids(0, 1, 40)).toEqual([30]);
        expect(await ids(0, 10, 10)).toEqual([]);
        expect(await ids(40, 10, 20)).toEqual([]);
      });

      it("sums what has ended since an instant has used, by fleet", async () => {
        const hour = 3_600_000;
        const ran = (id: number, seconds: number, completed: number, fleet = "fleet-a") =>
          job({ id, fleet, state: "done", times: { started: completed - seconds * 1_000, completed } });
        const lived = (id: string, launched: number | undefined, ended: number, pricePerHourUsd?: number) =>
          machine({
            id,
            state: "ended",
            times: { ended, ...(launched !== undefined && { launched }) },
            ...(pricePerHourUsd !== undefined && { pricePerHourUsd }),
          });
        const since = start + 24 * hour;
        await put(
          "fleet-a",
          ...[
            ran(1, 61, since),
            ran(2, 60, since + hour),
            ran(3, 0, since + hour),
            ran(4, 600, since - 1),
          ].map(putJob),
          putJob(job({ id: 5, state: "done", times: { completed: since + hour } })),
          putJob(job({ id: 6, state: "running", times: { started: since } })),
          putMachine(lived("mayfly-1", since - 5 * hour, since + hour, 0.5)),
          putMachine(lived("mayfly-2", since + hour, since + 2 * hour)),
          putMachine(lived("mayfly-3", since, since + hour / 2, 4)),
          putMachine(lived("mayfly-4", since - 5 * hour, since - 1, 9)),
          putMachine(lived("mayfly-5", undefined, since + hour, 9)),
          putMachine(
            machine({ id: "mayfly-6", state: "launched", pricePerHourUsd: 9, times: { launched: since } }),
          ),
        );
        await put("fleet-b", putJob(ran(7, 3_600, since + hour, "fleet-b")));
        expect(await store.usage(since)).toEqual([
          { fleet: "fleet-a", hostedMinutes: 4, machineSeconds: 2.5 * 3_600, costUsd: 2.5 },
          { fleet: "fleet-b", hostedMinutes: 60, machineSeconds: 0, costUsd: 0 },
        ]);
        expect(await store.usage(since + 24 * hour)).toEqual([]);
      });

      it("purges what ended before an instant, and only that", async () => {
        const old = job({ id: 1, state: "done", times: { completed: start + 8 } });
        const active = job({ id: 2, times: { received: start - 99 } });
        await put("fleet-a", putJob(old), putJob(done), putJob(active), putMachine(ended));
        expect(await store.purge(start + 9)).toBe(2);
        expect(await store.findJob(1)).toBeUndefined();
        expect(await store.findMachine(ended.id)).toBeUndefined();
        expect(await store.findMachineByProviderId("memory", "i-1")).toBeUndefined();
        expect(await store.history(0, 10)).toEqual({ jobs: [done], machines: [] });
        expect(await store.findJob(done.id)).toEqual(done);
        expect((await store.load("fleet-a")).jobs).toEqual([active]);
        expect((await store.load("fleet-a")).version).toBe(1);
        expect(await store.purge(start + 9)).toBe(0);
      });

      it("keeps apart what ended at the same instant", async () => {
        const jobs = [3, 1, 2].map((id) => job({ id, state: "done", times: { completed: start } }));
        await put("fleet-a", ...jobs.map(putJob));
        const corrected = jobs.map((each) => ({ ...each, runnerName: `runner-${each.id}` }));
        await put("fleet-a", ...corrected.map(putJob));
        const found = (await store.history(start, 10)).jobs;
        expect(found.map((each) => each.runnerName).sort()).toEqual(["runner-1", "runner-2", "runner-3"]);
        expect(await store.purge(start + 1)).toBe(3);
        expect(await store.history(0, 10)).toEqual({ jobs: [], machines: [] });
      });

      it("purges a long history", async () => {
        const count = store.changesPerCommit;
        const jobs = Array.from({ length: count }, (_, id) =>
          job({ id, state: "done", times: { completed: start } }),
        );
        await put("fleet-a", ...jobs.map(putJob));
        expect(await store.purge(start + 1)).toBe(count);
        expect(await store.history(0, 10)).toEqual({ jobs: [], machines: [] });
      });
    });

    describe("adding jobs", () => {
      it("adds a job and its fleet's record, and leaves the version", async () => {
        const record = fleetRecord({ options: { cpu: 4 } });
        expect(await store.addJob(record, job())).toBe("added");
        expect(await store.load("fleet-a")).toEqual({
          fleet: "fleet-a",
          version: 0,
          record,
          jobs: [job()],
          machines: [],
        });
        expect(await store.findJob(1001)).toEqual(job());
      });

      it("keeps the record that the fleet has", async () => {
        await put("fleet-a", { put: "fleet", record: fleetRecord({ options: { cpu: 4 } }) });
        await store.addJob(fleetRecord({ options: { cpu: 8 } }), job());
        expect((await store.load("fleet-a")).record?.options).toEqual({ cpu: 4 });
      });

      it("gives a record to a fleet that was committed without one", async () => {
        await put("fleet-a", putMachine(machine()));
        await store.addJob(fleetRecord(), job());
        expect(await store.load("fleet-a")).toMatchObject({ version: 1, record: fleetRecord() });
      });

      it("leaves a plan valid that was made before", async () => {
        await put("fleet-a", putJob(job()));
        const { version } = await store.load("fleet-a");
        await store.addJob(fleetRecord(), job({ id: 2 }));
        expect(await store.commit("fleet-a", version, [putMachine(machine())])).toEqual({
          kind: "committed",
        });
        expect((await store.load("fleet-a")).jobs).toHaveLength(2);
      });

      it("says that a job exists: active, in the history, and in any fleet", async () => {
        await store.addJob(fleetRecord(), job());
        await put("fleet-a", putJob(job({ id: 2, state: "done" })));
        expect(await store.addJob(fleetRecord(), job({ name: "changed" }))).toBe("exists");
        expect(await store.addJob(fleetRecord(), job({ id: 2 }))).toBe("exists");
        const elsewhere = job({ fleet: "fleet-b" });
        expect(await store.addJob(fleetRecord({ id: "fleet-b" }), elsewhere)).toBe("exists");
        expect(await store.load("fleet-b")).toMatchObject({ version: 0, record: undefined, jobs: [] });
        expect(await store.findJob(1001)).toEqual(job());
      });

      it("adds a job that is already done to the history", async () => {
        const refused = job({
          state: "done",
          times: { completed: start },
          outcome: { kind: "refused", because: "no-preset", detail: "No preset has these labels." },
        });
        expect(await store.addJob(fleetRecord(), refused)).toBe("added");
        expect((await store.load("fleet-a")).jobs).toEqual([]);
        expect(await store.activeFleets()).toEqual([]);
        expect((await store.history(start, 1)).jobs).toEqual([refused]);
      });

      it("adds a job once when it is added many times at once", async () => {
        const results = await Promise.all(
          Array.from({ length: 20 }, () => store.addJob(fleetRecord(), job())),
        );
        expect(results.filter((result) => result === "added")).toHaveLength(1);
        expect((await store.load("fleet-a")).jobs).toHaveLength(1);
      });

      it("shows every one of many jobs as soon as its promise has resolved", async () => {
        await Promise.all(
          Array.from({ length: jobsAtOnce }, async (_, id) => {
            expect(await store.addJob(fleetRecord(), job({ id }))).toBe("added");
            expect(await store.findJob(id)).toBeDefined();
            const ledger: Ledger = await store.load("fleet-a");
            expect(ledger.jobs.some((each) => each.id === id)).toBe(true);
          }),
        );
      });

      it("fails alone: its neighbours are written", async () => {
        const wrong = job({ id: 2, fleet: "fleet-b" });
        const [first, second, third] = await Promise.allSettled([
          store.addJob(fleetRecord(), job({ id: 1 })),
          store.addJob(fleetRecord(), wrong),
          store.addJob(fleetRecord(), job({ id: 3 })),
        ]);
        expect([first.status, second.status, third.status]).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect((await store.load("fleet-a")).jobs.map((each) => each.id).sort()).toEqual([1, 3]);
      });
    });

    describe("lookups", () => {
      it("finds nothing that was never written", async () => {
        expect(await store.findJob(1)).toBeUndefined();
        expect(await store.findMachine("mayfly-1")).toBeUndefined();
        expect(await store.findMachineByProviderId("memory", "i-1")).toBeUndefined();
      });

      it("finds a machine by the provider's name for it, within its compute adapter", async () => {
        await put("fleet-a", putMachine(machine()));
        await put(
          "fleet-a",
          putMachine(machine({ providerId: "i-1" })),
          putMachine(machine({ id: "mayfly-2", compute: "docker", providerId: "i-1" })),
        );
        expect((await store.findMachineByProviderId("memory", "i-1"))?.id).toBe("mayfly-1");
        expect((await store.findMachineByProviderId("docker", "i-1"))?.id).toBe("mayfly-2");
        expect(await store.findMachineByProviderId("ec2", "i-1")).toBeUndefined();
      });

      it("lists the fleets with something active in a stable order", async () => {
        for (const fleet of ["fleet-c", "fleet-a", "fleet-d"]) {
          await store.addJob(fleetRecord({ id: fleet }), job({ id: fleet.charCodeAt(6), fleet }));
        }
        await put("fleet-b", putMachine(machine({ fleet: "fleet-b" })));
        await put("fleet-e", { put: "fleet", record: fleetRecord({ id: "fleet-e" }) });
        const first = await store.activeFleets();
        expect([...first].sort()).toEqual(["fleet-a", "fleet-b", "fleet-c", "fleet-d"]);
        await put("fleet-c", putJob(job({ id: "c".charCodeAt(0), fleet: "fleet-c", state: "done" })));
        expect(await store.activeFleets()).toEqual(first.filter((fleet) => fleet !== "fleet-c"));
      });

      it("lists the repositories of received jobs once each, most recent first", async () => {
        const app = repository({ name: "app" });
        const site = repository({ name: "site", private: false });
        await store.addJob(fleetRecord(), job({ id: 1, repository: app, times: { received: start + 10 } }));
        await store.addJob(fleetRecord(), job({ id: 2, repository: site, times: { received: start + 20 } }));
        await store.addJob(
          fleetRecord(),
          job({ id: 3, repository: app, installationId: 8, times: { received: start + 30 } }),
        );
        await put("fleet-a", putJob(job({ id: 4, repository: site, times: { received: start + 15 } })));
        const seenApp = { ...app, installationId: 8, lastSeenAt: start + 30 };
        const seenSite = { ...site, installationId: 7, lastSeenAt: start + 20 };
        expect(await store.recentRepositories(start)).toEqual([seenApp, seenSite]);
        expect(await store.recentRepositories(start + 30)).toEqual([seenApp]);
        expect(await store.recentRepositories(start + 31)).toEqual([]);
      });

      it("takes two spellings of a repository for one", async () => {
        await store.addJob(fleetRecord(), job({ id: 1, repository: repository({ owner: "Acme" }) }));
        const later = job({
          id: 2,
          repository: repository({ owner: "acme" }),
          times: { received: start + 1 },
        });
        await store.addJob(fleetRecord(), later);
        expect((await store.recentRepositories(0)).map((each) => each.owner)).toEqual(["acme"]);
      });
    });

    describe("counters", () => {
      const bound = (overrides: Partial<Machine> = {}): Machine => {
        const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
        const binding = { jobId: 1001, repository: "Acme/App", scope, labels: [] };
        return machine({ state: "registered", binding, ...overrides });
      };

      it("sums the places of all machines that have not ended, over all fleets", async () => {
        await put("fleet-a", putMachine(machine()), putMachine(bound({ id: "mayfly-2" })));
        await put("fleet-b", putMachine(machine({ id: "mayfly-3", fleet: "fleet-b", preset: "windows" })));
        expect(await store.counters()).toEqual({
          [totalCounter]: 3,
          [presetCounter("linux-x64")]: 2,
          [presetCounter("windows")]: 1,
          [repositoryCounter("acme/app")]: 1,
        });
      });

      it("follows a machine: bound, bound to another repository, ended, corrected afterwards", async () => {
        await put("fleet-a", putMachine(machine()));
        await put("fleet-a", putMachine(bound()));
        expect(await store.counters()).toMatchObject({ [totalCounter]: 1, "repository:acme/app": 1 });
        const other = { ...bound().binding, repository: "acme/site" } as NonNullable<Machine["binding"]>;
        await put("fleet-a", putMachine(bound({ binding: other })));
        const after = await store.counters();
        expect(after).toEqual({ [totalCounter]: 1, "preset:linux-x64": 1, "repository:acme/site": 1 });
        const ended = bound({ state: "ended", binding: other });
        await put("fleet-a", putMachine(ended));
        expect(await store.counters()).toEqual({});
        await put("fleet-a", putMachine({ ...ended, detail: "known now" }));
        expect(await store.counters()).toEqual({});
      });

      it("refuses a commit that would raise a counter over its limit, and writes nothing", async () => {
        await put("fleet-b", putMachine(machine({ id: "mayfly-9", fleet: "fleet-b" })));
        const limits = [{ counter: totalCounter, max: 2 }];
        const two = [putMachine(machine()), putMachine(machine({ id: "mayfly-2" })), putJob(job())];
        expect(await store.commit("fleet-a", 0, two, limits)).toEqual({
          kind: "over-limit",
          counter: totalCounter,
        });
        expect(await store.load("fleet-a")).toMatchObject({ version: 0, jobs: [], machines: [] });
        expect(await store.findMachine("mayfly-1")).toBeUndefined();
        expect(await store.counters()).toMatchObject({ [totalCounter]: 1 });
        expect(await store.commit("fleet-a", 0, two.slice(1), limits)).toEqual({ kind: "committed" });
      });

      it("names the counter that is passed when there are several", async () => {
        const limits = [
          { counter: totalCounter, max: 10 },
          { counter: presetCounter("linux-x64"), max: 5 },
          { counter: repositoryCounter("acme/app"), max: 0 },
          { counter: "preset:unused", max: 0 },
        ];
        expect(await store.commit("fleet-a", 0, [putMachine(machine())], limits)).toEqual({
          kind: "committed",
        });
        expect(await store.commit("fleet-a", 1, [putMachine(bound())], limits)).toEqual({
          kind: "over-limit",
          counter: "repository:acme/app",
        });
      });

      it("does not refuse what leaves or lowers a counter that is already over its limit", async () => {
        await put("fleet-a", ...["1", "2", "3"].map((id) => putMachine(machine({ id: `mayfly-${id}` }))));
        const limits = [{ counter: totalCounter, max: 1 }];
        const launched = putMachine(machine({ state: "launched" }));
        expect(await store.commit("fleet-a", 1, [launched], limits)).toEqual({ kind: "committed" });
        const swap = [putMachine(machine({ state: "ended" })), putMachine(machine({ id: "mayfly-4" }))];
        expect(await store.commit("fleet-a", 2, swap, limits)).toEqual({ kind: "committed" });
        const lower = [putMachine(machine({ id: "mayfly-2", state: "ended" }))];
        expect(await store.commit("fleet-a", 3, lower, limits)).toEqual({ kind: "committed" });
        expect(await store.counters()).toMatchObject({ [totalCounter]: 2 });
      });

      it("says conflict, not over-limit, to a commit that has not seen the newest version", async () => {
        await put("fleet-a", putMachine(machine()));
        const changes = [putMachine(machine({ id: "mayfly-2" }))];
        const result = await store.commit("fleet-a", 0, changes, [{ counter: totalCounter, max: 1 }]);
        expect(result).toEqual({ kind: "conflict" });
      });

      it("holds a limit against commits to many fleets at once", async () => {
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, index) => {
            const fleet = `fleet-${index}`;
            const change = putMachine(machine({ id: `mayfly-${index}`, fleet }));
            return store.commit(fleet, 0, [change], [{ counter: totalCounter, max: 7 }]);
          }),
        );
        expect(results.filter((result) => result.kind === "committed")).toHaveLength(7);
        expect(results.filter((result) => result.kind === "over-limit")).toHaveLength(13);
        expect(await store.counters()).toMatchObject({ [totalCounter]: 7 });
      });
    });

    it("does what a trivial model of it does, whatever the order of operations", async () => {
      await fc.assert(
        fc.asyncProperty(operations, async (sequence) => {
          const fresh = await makeHarness();
          try {
            await checkAgainstModel(fresh, sequence);
          } finally {
            await fresh.close();
          }
        }),
        { numRuns: runs },
      );
    });
  });
}
