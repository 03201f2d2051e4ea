import { describe, expect, it } from "vitest";
import {
  fleetRecord,
  job,
  jobEvent,
  machine,
  policy,
  preset,
  repository,
  start,
} from "../../test/builders.ts";
import { World, webhookSecret } from "../../test/support/world.ts";
import { createManualClock } from "../adapters/clock/manual.ts";
import { createMemoryLog } from "../adapters/log/memory.ts";
import { createMemoryStore } from "../adapters/store/memory.ts";
import { MayflyError } from "../core/errors.ts";
import type { LifecycleEvent, Machine, MachineReport, Poke } from "../core/model.ts";
import { Secret } from "../core/secret.ts";
import { signatureOf } from "../core/webhook.ts";
import { applyEvents } from "./lifecycle.ts";
import { readStatus, readWhy } from "./status.ts";
import { receiveDelivery } from "./webhook.ts";

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

describe("a job", () => {
  it("is queued, gets a machine, runs on it, and the machine is gone", async () => {
    const world = new World();
    const job = world.github.queueJob();
    const states = new Set<string>();
    await world.runUntil(async () => {
      const known = await world.store.findJob(job.id);
      const [machine] = await world.machines();
      states.add(`${known?.state ?? "unknown"} ${machine?.state ?? "no machine"}`);
      return world.isQuiet();
    });
    expect([...states]).toEqual([
      "unknown no machine",
      "queued launched",
      "queued registered",
      "running busy",
      "running retiring",
      "done retiring",
      "done ended",
    ]);
    expect(await world.leftOver()).toEqual([]);
    expect(world.compute.launchCount).toBe(1);
    const times = Object.values((await world.store.findJob(job.id))?.times ?? {});
    expect(times).toHaveLength(9);
    expect(await world.onlyMachine()).toMatchObject({ reason: "completed", jobId: job.id, exitCode: 0 });
  });

  it("that waits for an approval gets no machine until it has it", async () => {
    const world = new World();
    const job = world.github.queueJob({ status: "waiting" });
    await world.run(200);
    expect(world.compute.launchCount).toBe(0);
    world.github.approve(job);
    await endsWithNothingLeft(world);
    expect(job.conclusion).toBe("success");
  });

  it("that is cancelled in the queue leaves a machine that shuts down when it asks", async () => {
    const world = new World({ bootSeconds: 20 });
    const job = world.github.queueJob();
    await world.run(5);
    world.github.cancel(job);
    await endsWithNothingLeft(world, 60);
    expect(await world.onlyMachine()).toMatchObject({ reason: "surplus" });
    expect(world.github.calls.filter((call) => call.method === "mintRunner")).toHaveLength(0);
  });

  it("that is cancelled leaves its machine to the next one", async () => {
    const world = new World({ bootSeconds: 20 });
    const first = world.github.queueJob();
    await world.run(5);
    world.github.cancel(first);
    await world.run(1);
    const second = world.github.queueJob({ repository: repository({ name: "other" }) });
    await endsWithNothingLeft(world);
    expect(second.conclusion).toBe("success");
    expect(world.compute.launchCount).toBe(1);
  });

  it("whose end is told before its beginning is done, and stays so", async () => {
    const world = new World();
    const job = world.github.queueJob();
    world.github.cancel(job);
    const [queued, ...others] = world.github.outbox.splice(0);
    world.github.outbox.push(...others);
    await world.run(1);
    world.github.outbox.push(queued!);
    await world.run(1);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "done" });
    expect(world.compute.launchCount).toBe(0);
    await endsWithNothingLeft(world);
  });

  it("that another job's runner takes is not served twice, and the other gets its machine", async () => {
    const world = new World({
      policy: policy({ admission: { repositories: ["acme/app"], publicRepositories: "refuse" } }),
    });
    const job = world.github.queueJob();
    await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
    // A job of a repository that we do not serve takes the runner of the organisation.
    job.status = "waiting";
    const thief = world.github.queueJob({ repository: repository({ name: "stranger" }), runSeconds: 100 });
    await world.runUntil(() => thief.status === "in_progress");
    job.status = "queued";
    await endsWithNothingLeft(world);
    expect([job.conclusion, thief.conclusion]).toEqual(["success", "success"]);
    expect(world.compute.launchCount).toBe(2);
    expect(await world.store.findJob(thief.id)).toMatchObject({ outcome: { kind: "refused" } });
  });

  it("may run on a machine of another fleet: that is busy, its own is surplus", async () => {
    const labels = ["self-hosted", "linux", "x64", "gpu"];
    const world = new World({ policy: policy({ presets: [preset(), preset({ name: "gpu", labels })] }) });
    const plain = world.github.queueJob({ runSeconds: 200 });
    await world.run(1);
    const [first] = [...world.agents.values()];
    first!.hung = true;
    const gpu = world.github.queueJob({ labels });
    await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
    gpu.status = "waiting";
    await world.runUntil(() => plain.status === "in_progress");
    gpu.status = "queued";
    await world.run(2);
    const taker = await world.store.findMachine(plain.runnerName ?? "");
    expect(taker).toMatchObject({ preset: "gpu", state: "busy", jobId: plain.id });
    first!.hung = false;
    await endsWithNothingLeft(world);
    expect(gpu.conclusion).toBe("success");
    expect(world.compute.launchCount).toBe(3);
  });

  it("that never gets a runner because the App is suspended is given up at its deadline, with nothing left", async () => {
    const rules = policy();
    const timing = { ...rules.timing, jobDeadlineSeconds: 900 };
    const world = new World({ policy: { ...rules, timing } });
    const job = world.github.queueJob();
    await world.run(1);
    world.github.failAll(
      new MayflyError({
        kind: "operator",
        code: "SUSPENDED",
        message: "Suspended.",
        suggestion: "Unsuspend it.",
      }),
    );
    await world.runUntil(async () => (await world.store.findJob(job.id))?.state === "done", 1_200);
    expect(await world.store.findJob(job.id)).toMatchObject({ outcome: { kind: "given-up" } });
    expect(await world.runUntil(async () => (await world.store.activeFleets()).length === 0, 1_200)).toBe(
      true,
    );
    expect(world.compute.machines()).toEqual([]);
    expect(await world.store.counters()).toEqual({});
  });
});

describe("a delivery", () => {
  const signed = (body: string) => {
    const bytes = new TextEncoder().encode(body);
    const headers = {
      "content-type": "application/json",
      "x-github-event": "workflow_job",
      "x-hub-signature-256": signatureOf(bytes, new Secret(webhookSecret)),
    };
    return { headers, body: bytes };
  };

  it("that is refused leaves no trace", async () => {
    const world = new World();
    world.github.queueJob();
    const [sending] = world.github.outbox.splice(0);
    const forged = {
      ...sending!,
      headers: { ...sending!.headers, "x-hub-signature-256": `sha256=${"0".repeat(64)}` },
    };
    expect(await receiveDelivery(world.ports, world.policy, forged)).toMatchObject({ status: 401 });
    expect(await world.store.activeFleets()).toEqual([]);
    expect(await world.work.depth()).toMatchObject({ waiting: 0 });
    expect(world.log.lines.at(-1)).toMatchObject({
      level: "warn",
      fields: { status: 401, stage: "webhook" },
    });
  });

  it.each<[string, object, string]>([
    ["of a public repository", { repository: repository({ private: false }) }, "public-repository"],
    ["of another system", { labels: ["self-hosted", "windows"] }, "wrong-system"],
    ["without labels", { labels: [] }, "no-labels"],
  ])("of a job %s is answered, refused, and visible in why", async (_what, options, because) => {
    const world = new World();
    const job = world.github.queueJob(options);
    await world.run(3);
    expect(await readWhy(world.ports, world.policy, job.id)).toMatchObject({
      job: { state: "done", outcome: "refused", because },
      summary: expect.stringMatching(/^The job was refused\. .+/),
      next: null,
    });
    expect(world.compute.launchCount).toBe(0);
    expect(world.failures).toEqual([]);
  });

  it("without an installation is refused with that reason", async () => {
    const world = new World();
    const job = world.github.queueJob();
    const [sending] = world.github.outbox.splice(0);
    const payload = JSON.parse(new TextDecoder().decode(sending!.body)) as Record<string, unknown>;
    const { installation: _, ...rest } = payload;
    expect(await receiveDelivery(world.ports, world.policy, signed(JSON.stringify(rest)))).toMatchObject({
      status: 202,
    });
    expect(await world.store.findJob(job.id)).toMatchObject({ outcome: { because: "no-installation" } });
  });

  it("of a job that is not ours is ignored", async () => {
    const world = new World();
    const job = world.github.queueJob({ labels: ["ubuntu-latest"] });
    await world.run(2);
    expect(await world.store.findJob(job.id)).toBeUndefined();
  });

  it("that is repeated after a crash makes the fleet be looked at again", async () => {
    const world = new World();
    world.intercept = async (name, effect) => {
      if (name === "work.send") throw new Error("The queue is down.");
      return effect();
    };
    world.github.queueJob();
    const [sending] = world.github.outbox.splice(0);
    await world.attempt(() => receiveDelivery(world.ports, world.policy, sending!));
    expect(world.failures).toHaveLength(1);
    world.intercept = (_name, effect) => effect();
    await receiveDelivery(world.ports, world.policy, sending!);
    await world.workThroughQueues();
    expect(world.compute.launchCount).toBe(1);
  });
});

describe("status and why", () => {
  const options = { version: "1", problems: [], listLimit: 50 };

  it("follow a job and its machine from the queue to the end", async () => {
    const world = new World();
    const job = world.github.queueJob();
    const said: (string | null)[] = [];
    await world.runUntil(async () => {
      const why = await readWhy(world.ports, world.policy, job.id);
      if (why !== undefined && said.at(-1) !== why.job.waitsFor) said.push(why.job.waitsFor);
      return world.isQuiet();
    });
    const machine = await world.onlyMachine();
    expect(said).toEqual([
      "A machine is starting for it.",
      `The runner on machine ${machine.id} is starting.`,
      `The runner on machine ${machine.id} listens; GitHub has not assigned the job yet.`,
      null,
    ]);
    const why = await readWhy(world.ports, world.policy, job.id);
    expect(why?.summary).toBe("The job ran and ended: success.");
    expect(why?.steps.map((step) => step.at)).toEqual([...(why?.steps ?? [])].map((step) => step.at).sort());
    expect(await readWhy(world.ports, world.policy, 1)).toBeUndefined();
    const status = await readStatus(world.ports, world.policy, options);
    expect(status).toMatchObject({
      state: "ready",
      jobs: { queued: 0, running: 0, completedLastHour: 1 },
      machines: { alive: 0, launchedLastHour: 1, endedLastHour: 1 },
      waits: { jobs: 1 },
    });
    expect(status.cost.todayUsd).toBeGreaterThan(0);
  });

  it("say what an operator has to change", async () => {
    const world = new World();
    world.compute.refuseNext("memory", [{ failure: "configuration", code: "NO_SUCH_IMAGE" }]);
    world.github.queueJob();
    await world.run(3);
    const status = await readStatus(world.ports, world.policy, options);
    expect(status.state).toBe("degraded");
    expect(status.problems[0]).toContain("NO_SUCH_IMAGE");
    expect(status.activeJobs[0]?.waitsFor).toContain("NO_SUCH_IMAGE");
    expect(status.presets[0]?.status).toBe("blocked");
  });
});

describe("events that come together", () => {
  /** A fleet with three jobs, two machines that are registered for the first two, and what is sent and counted. */
  async function fleetOfThree() {
    const store = createMemoryStore();
    const rules = policy();
    const record = fleetRecord({ id: "linux-x64" });
    const fleet = record.id;
    for (const id of [1, 2, 3]) await store.addJob(record, job({ id, fleet, times: { planned: start } }));
    const binding = (jobId: number) => ({ jobId, repository: "acme/app", scope, labels: job().labels });
    const registered = (number: number) =>
      machine({
        id: `m-${number}`,
        fleet,
        state: "registered",
        providerId: `p-${number}`,
        binding: binding(number),
      });
    const changes = [1, 2].map((number) => ({ put: "machine", machine: registered(number) }) as const);
    await store.commit(fleet, 0, [...changes, { put: "machine", machine: machine({ id: "m-3", fleet }) }]);
    const calls: string[] = [];
    const noted = <Result>(name: string, result: Result): Result => {
      calls.push(name);
      return result;
    };
    const ports = {
      store: {
        ...store,
        load: (id: string) => noted("load", store.load(id)),
        commit: (...args: Parameters<typeof store.commit>) => noted("commit", store.commit(...args)),
        findJob: (id: number) => noted("find", store.findJob(id)),
        findMachine: (id: string) => noted("find", store.findMachine(id)),
      },
      work: { send: async ({ stage }: Poke) => void calls.push(stage) },
      clock: createManualClock(),
      log: createMemoryLog(),
    };
    return { store, rules, fleet, ports, calls };
  }
  const scope = { kind: "organization", installationId: 7, owner: "acme" } as const;
  const ofGithub = (id: number, action: "in_progress" | "completed", runnerName: string): LifecycleEvent => ({
    kind: "job",
    job: jobEvent({
      id,
      action,
      runnerName,
      startedAt: start,
      ...(action === "completed" && { completedAt: start + 9 }),
    }),
  });
  const ofMachine = (machineId: string, report: MachineReport): LifecycleEvent => ({
    ...{ kind: "machine", machineId, fleet: "linux-x64", report, at: start + 5 },
  });

  it("are one load and one commit, and come out as one after the other", async () => {
    const events = [
      ofMachine("m-1", { step: "listening" }),
      ofGithub(1, "in_progress", "m-1"),
      ofMachine("m-2", { step: "job-started" }),
      ofGithub(2, "in_progress", "m-2"),
      ofGithub(1, "completed", "m-1"),
      ofMachine("m-1", { step: "exited", exitCode: 0, ranJob: true }),
    ];
    const together = await fleetOfThree();
    await applyEvents(together.ports, together.rules, events);
    expect(together.calls).toEqual(["load", "commit", "scaledown"]);
    const inTurn = await fleetOfThree();
    for (const event of events) await applyEvents(inTurn.ports, inTurn.rules, [event]);
    const { version: _, ...expected } = await inTurn.store.load(inTurn.fleet);
    const { version, ...ledger } = await together.store.load(together.fleet);
    expect(ledger).toEqual(expected);
    expect(version).toBe(2);
    expect(await together.store.findJob(1)).toMatchObject({ state: "done" });
    expect(await together.store.findMachine("m-1")).toMatchObject({ state: "retiring", exitCode: 0 });
  });

  it("ask for a look only when that could do something", async () => {
    const { ports, rules, calls } = await fleetOfThree();
    await applyEvents(ports, rules, [ofGithub(1, "in_progress", "m-1")]);
    expect(calls).toEqual(["load", "commit"]);
    calls.length = 0;
    // The machine that was to run job 2 runs another one: a machine is missing.
    await applyEvents(ports, rules, [
      ofGithub(3, "in_progress", "m-2"),
      ofMachine("m-3", { step: "exited", exitCode: 1, ranJob: false }),
    ]);
    expect(calls).toEqual(["load", "commit", "scaledown", "scaleup"]);
  });

  it("ask for none while the jobs that wait are held back by something else", async () => {
    const { ports, rules, calls, store, fleet } = await fleetOfThree();
    const waiting = job({ id: 9, fleet, times: { created: start, received: start, planned: start } });
    await store.addJob(fleetRecord({ id: fleet }), waiting);
    await applyEvents(ports, rules, [ofGithub(1, "in_progress", "m-1")]);
    expect(calls).toEqual(["load", "commit"]);
  });

  it("of the provider find their machines first, and tell other fleets only of scarce places", async () => {
    const { ports, rules, calls, store, fleet } = await fleetOfThree();
    await store.addJob(fleetRecord({ id: "other" }), job({ id: 9, fleet: "other" }));
    const { machines } = await store.load(fleet);
    const m3 = {
      ...machines.find(({ id }) => id === "m-3"),
      state: "launched",
      providerId: "p-3",
    } as Machine;
    await store.commit(fleet, 1, [{ put: "machine", machine: m3 }]);
    const ofProvider = (providerId: string, what: "running" | "gone"): LifecycleEvent => ({
      ...{ kind: "cloud", compute: "memory", providerId, what, at: start + 5 },
    });
    const counted = {
      ...ports,
      store: {
        ...ports.store,
        findMachineByProviderId: (compute: string, id: string) => {
          calls.push(id);
          return store.findMachineByProviderId(compute, id);
        },
      },
    };
    await applyEvents(counted, rules, [
      ...["p-1", "p-3", "nobody's"].map((id) => ofProvider(id, "running")),
      ofProvider("p-1", "gone"),
      ofProvider("p-3", "gone"),
    ]);
    expect(calls).toEqual(["p-1", "p-3", "nobody's", "p-1", "p-3", "load", "commit", "scaledown", "scaleup"]);
    calls.length = 0;
    const m4 = { ...m3, id: "m-4", providerId: "p-4" };
    await store.commit(fleet, 3, [{ put: "machine", machine: m4 }]);
    const tight = { ...rules, limits: { machines: 3, perRepository: 50 } };
    await applyEvents(counted, tight, [ofProvider("p-4", "gone")]);
    expect(calls).toEqual(["p-4", "load", "commit", "scaleup", "scaleup"]);
  });

  it("of a machine that was taken back say so, though its notice never came: its pool is short", async () => {
    const { ports, rules, store, fleet } = await fleetOfThree();
    const { machines, version } = await store.load(fleet);
    const launched = ["m-1", "m-2"].map((id, index) => ({
      ...(machines.find((one) => one.id === id) as Machine),
      ...({ state: "launched", providerId: `task-${index}`, pool: "small/spot", purchase: "spot" } as const),
    }));
    await store.commit(
      fleet,
      version,
      launched.map((machine) => ({ put: "machine", machine })),
    );
    const gone = { kind: "cloud", compute: "memory", what: "gone", at: start + 5 } as const;
    await applyEvents(ports, rules, [
      { ...gone, providerId: "task-0", takenBack: true, detail: "There is no capacity." },
    ]);
    expect(await store.findMachine("m-1")).toMatchObject({ reason: "interrupted", interruptedAt: start + 5 });
    const remembered = async () => (await store.load(fleet)).record?.refusals ?? [];
    expect(await remembered()).toMatchObject([{ pool: "small/spot", kind: "capacity" }]);
    // A control: what was not taken back is lost, and says nothing of its pool.
    await applyEvents(ports, rules, [{ ...gone, providerId: "task-1", detail: "It is gone." }]);
    expect(await store.findMachine("m-2")).toMatchObject({ reason: "lost" });
    expect((await remembered()).filter(({ pool }) => pool === "small/spot")).toHaveLength(1);
  });

  it("about what is not in the fleet's ledger are looked up, each by itself", async () => {
    const { ports, rules, calls, store } = await fleetOfThree();
    await applyEvents(ports, rules, [
      ofGithub(1, "in_progress", "somebody-elses-runner"),
      ofGithub(4, "completed", "m-1"),
      ofMachine("m-unknown", { step: "listening" }),
      ofGithub(2, "in_progress", "m-2"),
    ]);
    expect(calls.slice(0, 2)).toEqual(["load", "commit"]);
    expect(calls).toContain("find");
    expect(await store.findJob(1)).toMatchObject({ state: "running", runnerName: "somebody-elses-runner" });
    expect(await store.findJob(4)).toMatchObject({ state: "done" });
    expect(await store.findJob(2)).toMatchObject({ state: "running", machineId: "m-2" });
  });

  it("that are the first that is heard of a job: it may have been lost with its machine", async () => {
    const { ports, rules, store, fleet } = await fleetOfThree();
    const { machines, version } = await store.load(fleet);
    const m1 = machines.find(({ id }) => id === "m-1") as Machine;
    const taken: Machine = { ...m1, state: "retiring", interruptedAt: start, exitCode: 143 };
    await store.commit(fleet, version, [{ put: "machine", machine: taken }]);
    const ended = { action: "completed", conclusion: "failure", completedAt: start + 9 } as const;
    const jobs = [
      jobEvent({ id: 4, ...ended, runnerName: "m-1" }),
      jobEvent({ id: 5, ...ended, runnerName: "m-2" }),
    ];
    await applyEvents(
      ports,
      rules,
      jobs.map((job) => ({ kind: "job", job })),
    );
    expect(await store.findJob(4)).toMatchObject({ state: "done", loss: { kind: "undecided" } });
    expect((await store.load(fleet)).jobs.map(({ id }) => id)).toContain(4);
    // A control: nobody took the machine of the other.
    expect(await store.findJob(5)).toMatchObject({ state: "done" });
    expect((await store.findJob(5))?.loss).toBeUndefined();
  });

  it("are more than one commit takes: nothing is left out", async () => {
    const { ports, rules, store, fleet, calls } = await fleetOfThree();
    const many = Array.from({ length: 40 }, (_, index) => index + 100);
    for (const id of many) await store.addJob(fleetRecord({ id: fleet }), job({ id, fleet }));
    const small = { ...ports, store: { ...ports.store, changesPerCommit: 12 } };
    const events = many.map((id) => ({ kind: "job", job: jobEvent({ id, action: "completed" }) }) as const);
    await applyEvents(small, rules, events);
    expect(calls.filter((call) => call === "commit").length).toBeGreaterThan(3);
    expect(calls.filter((call) => call === "load")).toHaveLength(1);
    expect((await store.load(fleet)).jobs.map(({ id }) => id)).toEqual([1, 2, 3]);
  });
});
