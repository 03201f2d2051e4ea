import { describe, expect, it } from "vitest";
import { policy, preset } from "../../test/builders.ts";
import { type Agent, World } from "../../test/support/world.ts";
import { MayflyError } from "../core/errors.ts";
import { resolveSpec } from "../core/route.ts";
import type { Ports } from "../ports/ports.ts";
import type { Store } from "../ports/store.ts";
import { sweep } from "./scaledown.ts";
import { terminateMachine } from "./status.ts";

const suspended = new MayflyError({
  kind: "operator",
  code: "GITHUB_APP_SUSPENDED",
  message: "The App is suspended.",
  suggestion: "Unsuspend it.",
});

/** A world in which one machine is registered, listens and has nothing to do: its job was cancelled. */
async function idleMachine(world = new World()): Promise<{ world: World; agent: Agent }> {
  const job = world.github.queueJob();
  await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
  world.github.cancel(job);
  await world.runUntil(() => world.anyAgent((agent) => agent.state === "listening"));
  return { world, agent: [...world.agents.values()][0]! };
}

async function busyMachine(world = new World(), runSeconds = 100): Promise<{ world: World; agent: Agent }> {
  world.github.queueJob({ runSeconds });
  await world.runUntil(() => world.anyAgent((agent) => agent.state === "running"));
  await world.run(1);
  return { world, agent: [...world.agents.values()][0]! };
}

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

describe("an idle machine", () => {
  it("is retired after the grace, its runner removed first", async () => {
    const { world } = await idleMachine();
    await endsWithNothingLeft(world, 120);
    expect(await world.onlyMachine()).toMatchObject({ reason: "surplus", fence: "passed" });
    expect(world.github.runners.size).toBe(0);
  });

  it("is left alone while GitHub says that it runs a job, and terminated when that has ended", async () => {
    const { world, agent } = await idleMachine();
    await terminateMachine(world.ports, agent.machineId, false);
    // GitHub gives it a job in the last moment, and nobody tells us.
    world.network = () => [];
    world.github.queueJob({ runSeconds: 40 });
    world.github.assign();
    await world.workThroughQueues();
    expect(await world.onlyMachine()).toMatchObject({ state: "retiring", fence: "refused" });
    await world.run(30);
    expect(agent.runsAJob).toBe(true);
    await endsWithNothingLeft(world, 120);
    expect(await world.onlyMachine()).toMatchObject({ state: "ended", reason: "operator" });
  });

  it("ends when the operator forces it, and its runner is removed afterwards", async () => {
    const { world, agent } = await idleMachine();
    await terminateMachine(world.ports, agent.machineId, true);
    await endsWithNothingLeft(world, 30);
    expect(world.github.runners.size).toBe(0);
  });

  it("ends when it vanishes, and its runner is removed", async () => {
    const { world, agent } = await idleMachine();
    agent.frozen = true;
    world.compute.finish(agent.providerId);
    await endsWithNothingLeft(world, 600);
    expect(world.github.runners.size).toBe(0);
  });

  it("ends when its provider says that it is gone", async () => {
    const { world, agent } = await idleMachine();
    world.compute.finish(agent.providerId);
    const { providerId } = agent;
    await world.lifecycle.send({
      kind: "cloud",
      compute: "memory",
      providerId,
      what: "gone",
      at: world.now(),
    });
    await endsWithNothingLeft(world, 10);
    expect(await world.onlyMachine()).toMatchObject({ reason: "lost" });
  });

  it.each(["stops by itself", "hangs"])(
    "ends although the App is suspended for good, when it %s",
    async (how) => {
      const limits = preset({ jobTimeoutSeconds: 600, idleTimeoutSeconds: 120 });
      const { world, agent } = await idleMachine(new World({ policy: policy({ presets: [limits] }) }));
      world.github.failAll(suspended);
      agent.frozen = how === "hangs";
      expect(await world.runUntilQuiet(3_000)).toBe(true);
      expect(await world.leftOver()).toEqual([]);
    },
  );

  it.each(["interruption-notice", "at-risk"] as const)(
    "ends at the event %s, and one in another pool takes the job",
    async (what) => {
      const world = new World({ pools: ["a", "b"] });
      world.github.queueJob();
      await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
      const [agent] = [...world.agents.values()];
      agent!.frozen = true;
      await world.lifecycle.send({
        kind: "cloud",
        compute: "memory",
        providerId: agent!.providerId,
        what,
        at: world.now(),
      });
      await endsWithNothingLeft(world, 120);
      expect(world.compute.launchCount).toBe(2);
      const machines = await world.machines();
      expect(machines.map(({ reason, pool }) => [reason, pool])).toEqual([
        ["interrupted", "a"],
        ["completed", "b"],
      ]);
    },
  );
});

describe("a busy machine", () => {
  it("keeps its job through a spot notice until it is taken", async () => {
    const { world, agent } = await busyMachine(new World({ policy: policy({ rerunsPerJob: 0 }) }));
    const event = { kind: "cloud", compute: "memory", providerId: agent.providerId } as const;
    await world.lifecycle.send({ ...event, what: "interruption-notice", at: world.now() });
    await world.run(5);
    expect(await world.onlyMachine()).toMatchObject({ state: "busy", interruptedAt: expect.any(Number) });
    world.compute.finish(agent.providerId);
    await world.lifecycle.send({ ...event, what: "gone", at: world.now() });
    await endsWithNothingLeft(world);
    expect(await world.onlyMachine()).toMatchObject({ reason: "interrupted" });
    expect([...world.github.jobs.values()][0]?.conclusion).toBe("failure");
  });

  it("is left alone when it may be taken but nobody says that it will be", async () => {
    const { world, agent } = await busyMachine();
    const { providerId } = agent;
    await world.lifecycle.send({
      kind: "cloud",
      compute: "memory",
      providerId,
      what: "at-risk",
      at: world.now(),
    });
    await endsWithNothingLeft(world);
    expect(await world.onlyMachine()).toMatchObject({ reason: "completed" });
    expect([...world.github.jobs.values()][0]?.conclusion).toBe("success");
  });

  it("is terminated when its job passes the limit and the agent does not end it", async () => {
    const short = policy({ presets: [preset({ jobTimeoutSeconds: 60 })] });
    const { world, agent } = await busyMachine(new World({ policy: short }), 10_000);
    await endsWithNothingLeft(world, 600);
    expect(agent.offSince).toBeDefined();
    expect(await world.onlyMachine()).toMatchObject({ reason: "job-timeout" });
  });

  it("is not ended by an operator who does not force it", async () => {
    const { world, agent } = await busyMachine();
    await terminateMachine(world.ports, agent.machineId, false);
    await world.run(30);
    expect(agent.runsAJob).toBe(true);
    await endsWithNothingLeft(world, 200);
    expect([...world.github.jobs.values()][0]?.conclusion).toBe("success");
  });
});

describe("the sweep", () => {
  it("adopts a machine whose launch was never answered, also when it comes late", async () => {
    const world = new World({ bootSeconds: 400 });
    world.compute.loseAnswers(100);
    world.github.queueJob();
    await world.workThroughQueues();
    await world.step();
    await world.clock.advance(world.policy.timing.launchLimitSeconds * 1_000);
    await sweep(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({ state: "launched", providerId: expect.any(String) });
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(1);
  });

  it("compares no further fleet when its time is up, takes nothing for unknown, and begins elsewhere next time", async () => {
    const labels = (name: string) => ["self-hosted", "linux", "x64", name];
    const names = ["a", "b", "c"];
    const presets = names.map((name) => preset({ name, labels: labels(name) }));
    const world = new World({ policy: policy({ presets }), bootSeconds: 400 });
    for (const name of names) world.github.queueJob({ labels: labels(name) });
    await world.step();
    const loaded = new Set<string>();
    let lookedUp = 0;
    let elapsed = 0;
    const store: Partial<Store> = {
      load: async (fleet) => {
        loaded.add(fleet);
        elapsed += 20_000;
        return world.store.load(fleet);
      },
      findMachine: async (id) => {
        lookedUp += 1;
        return world.store.findMachine(id);
      },
      activeFleets: async () => names,
    };
    const ports: Ports = {
      ...world.ports,
      clock: { ...world.ports.clock, now: () => world.now() + elapsed },
      store: Object.assign(Object.create(world.ports.store) as Store, store),
    };
    await sweep(ports, world.policy, { until: ports.clock.now() + 30_000 });
    expect(loaded.size).toBe(2);
    expect(lookedUp).toBe(0);
    expect((await world.machines()).map(({ state }) => state)).toEqual(["launched", "launched", "launched"]);
    for (let minute = 1; minute < 4; minute++) {
      elapsed += 60_000;
      await sweep(ports, world.policy, { until: ports.clock.now() + 30_000 });
    }
    expect([...loaded].sort()).toEqual(names);
  });

  it("gives a launch up that was never answered and of which nothing exists", async () => {
    const world = new World();
    world.compute.failCalls(1);
    world.github.queueJob();
    await world.step();
    await world.clock.advance(world.policy.timing.launchLimitSeconds * 1_000);
    await sweep(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({ state: "ended", reason: "launch-failed" });
    await endsWithNothingLeft(world);
  });

  it("gives no launch up while it cannot list what exists", async () => {
    const world = new World({ bootSeconds: 1_000 });
    world.compute.loseAnswers(100);
    world.github.queueJob();
    await world.step();
    await world.clock.advance(world.policy.timing.launchLimitSeconds * 1_000);
    world.compute.failCalls(1);
    await sweep(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({ state: "requested" });
  });

  it("lets a machine live that asks for its job although its launch was never answered", async () => {
    const world = new World();
    world.compute.loseAnswers(100);
    world.github.failAll(suspended);
    world.github.queueJob();
    await world.run(world.policy.timing.launchLimitSeconds + 120);
    expect((await world.machines()).map((machine) => machine.state)).not.toContain("ended");
    world.github.failAll(undefined);
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(1);
  });

  it("retires what no ledger knows, after the delay of listings", async () => {
    const world = new World({ bootSeconds: 10_000 });
    await launchUnknown(world);
    await world.run(100);
    expect(world.compute.machines()).toHaveLength(1);
    await world.run(100);
    expect(world.compute.machines()).toHaveLength(0);
    expect(await world.onlyMachine()).toMatchObject({ state: "ended", reason: "orphan" });
  });

  it("lets the jobs of a lost ledger end: their machines are fenced by name, wherever they are registered", async () => {
    const world = new World();
    const job = world.github.queueJob({ runSeconds: 1_000 });
    await world.runUntil(() => job.status === "in_progress");
    world.loseLedger();
    await world.run(500);
    expect(job.status).toBe("in_progress");
    expect(await world.onlyMachine()).toMatchObject({
      state: "retiring",
      reason: "orphan",
      fence: "refused",
    });
    await world.runUntilQuiet();
    expect(job.conclusion).toBe("success");
    expect(world.compute.launchCount).toBe(1);
  });

  it("lets an orphan alone where it cannot look for its runner, until its own time limits have passed", async () => {
    const world = new World({ bootSeconds: 10_000_000 });
    world.github.complete = false;
    const preset = world.policy.presets[0]!;
    await launchUnknown(world);
    const longestSeconds = preset.idleTimeoutSeconds + preset.jobTimeoutSeconds;
    await world.run(Math.min(longestSeconds, 1_000));
    expect(world.compute.machines()).toHaveLength(1);
    await world.clock.advance(longestSeconds * 1_000);
    await world.run(300);
    expect(world.compute.machines()).toHaveLength(0);
  });

  it("terminates again what has ended and still exists", async () => {
    const { world, agent } = await idleMachine();
    agent.frozen = true;
    // A listing that lags: the machine is believed gone, and is there again.
    world.compute.hide(agent.providerId, world.now() + 400_000);
    const terminated = world.compute.terminate;
    world.compute.terminate = async (ids) => ids.map((providerId) => ({ providerId, kind: "absent" }));
    await world.runUntil(async () => (await world.onlyMachine()).state === "ended");
    world.compute.terminate = terminated;
    expect(world.compute.machines()).toHaveLength(1);
    await world.run(500);
    expect(world.compute.machines()).toHaveLength(0);
  });

  it("asks seldom for a machine that takes long to be destroyed", async () => {
    const { world, agent } = await idleMachine();
    agent.frozen = true;
    const asked: number[] = [];
    world.compute.terminate = async (ids) => {
      asked.push(world.now());
      return ids.map((providerId) => ({ providerId, kind: asked.length < 6 ? "terminating" : "absent" }));
    };
    await terminateMachine(world.ports, agent.machineId, false);
    await world.runUntil(async () => (await world.onlyMachine()).state === "ended");
    const pauses = asked.slice(1).map((instant, index) => (instant - asked[index]!) / 1_000);
    expect(pauses).toEqual([2, 2, 4, 8, 15]);
  });

  it("says so when a machine's compute is no longer configured, and does not ask all the time", async () => {
    const { world, agent } = await idleMachine();
    agent.frozen = true;
    (world.ports.compute as Map<string, unknown>).clear();
    await terminateMachine(world.ports, agent.machineId, false);
    await world.run(50);
    const lines = world.log
      .text()
      .split("\n")
      .filter((line) => line.includes("COMPUTE_UNKNOWN"));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThan(10);
  });
});

describe("the sweep, where machines bear only the token of their launch", () => {
  it("adopts what was never answered, also when it comes late", async () => {
    const world = new World({ bootSeconds: 400, marks: "launch" });
    world.compute.loseAnswers(100);
    for (let count = 0; count < 3; count++) world.github.queueJob();
    await world.workThroughQueues();
    await world.step();
    await world.clock.advance(world.policy.timing.launchLimitSeconds * 1_000);
    await sweep(world.ports, world.policy);
    const machines = await world.machines();
    expect(machines.map((machine) => machine.state)).toEqual(["launched", "launched", "launched"]);
    expect(new Set(machines.map((machine) => machine.providerId)).size).toBe(3);
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(3);
  });

  it("terminates what comes to exist when its launch was given up, without asking anybody", async () => {
    const world = new World({ bootSeconds: 1_000, marks: "launch" });
    const { launch } = world.compute;
    world.compute.launch = () => Promise.reject(suspended);
    const job = world.github.queueJob();
    await world.step();
    const machine = await world.onlyMachine();
    world.github.cancel(job);
    await world.run(400);
    world.compute.launch = launch;
    expect(await world.onlyMachine()).toMatchObject({ state: "ended", reason: "launch-failed" });
    await launchUnknown(world, machine.launchToken);
    await endsWithNothingLeft(world);
    const orphan = (await world.machines()).find((entry) => entry.reason === "orphan");
    expect(orphan).toMatchObject({ state: "ended", fence: "passed" });
  });

  it("leaves what may run a job to its own limits when the ledger was lost", async () => {
    const { world, agent } = await busyMachine(new World({ marks: "launch" }), 400);
    world.loseLedger();
    await world.run(350);
    expect(agent.runsAJob).toBe(true);
    expect(await world.onlyMachine()).toMatchObject({ state: "retiring", reason: "orphan", nameless: true });
    await endsWithNothingLeft(world, 900);
    expect([...world.github.jobs.values()][0]?.conclusion).toBe("success");
  });

  it("ends what hangs after the ledger was lost when its time limits have passed", async () => {
    const short = policy({ presets: [preset({ jobTimeoutSeconds: 60, idleTimeoutSeconds: 60 })] });
    const { world, agent } = await idleMachine(new World({ marks: "launch", policy: short }));
    agent.frozen = true;
    world.loseLedger();
    await endsWithNothingLeft(world, 900);
    expect(await world.onlyMachine()).toMatchObject({ reason: "orphan", forced: true });
  });
});

/** A machine with our mark that no ledger knows. */
async function launchUnknown(world: World, token = "t"): Promise<void> {
  await world.compute.launch({
    fleet: "linux-x64",
    spec: resolveSpec(world.policy.presets[0]!, {}, world.policy),
    purchase: "on-demand",
    token,
    attempt: 1,
    machines: [{ id: "linux-x64-orphan" }],
    avoidPools: [],
    jobTimeoutSeconds: 1,
    bootTimeoutSeconds: 1,
  });
}
