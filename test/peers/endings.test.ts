import { expect, it } from "vitest";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { machineIdFor } from "../../src/flow/machine-id.ts";
import { readStatus, readWhy } from "../../src/flow/status.ts";
import { policy, preset } from "../builders.ts";
import { World } from "../support/world.ts";

/*
 * What goes wrong elsewhere with machines and jobs that are under way. Which failure of which system each test is about
 * stands in docs/reference/failures-of-others.md.
 */

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

it("ends a job at its own preset's limit, from its start on: neither the wait nor another preset counts", async () => {
  const long = preset({ name: "long", labels: ["long"], jobTimeoutSeconds: 4 * 3_600, max: 1 });
  const short = preset({ name: "short", labels: ["short"], jobTimeoutSeconds: 600 });
  const world = new World({ policy: policy({ presets: [long, short] }) });
  const first = world.github.queueJob({ labels: ["self-hosted", "long"], runSeconds: 3 * 3_600 });
  // It waits three hours for the only machine of its kind, and then runs for three more.
  const second = world.github.queueJob({ labels: ["self-hosted", "long"], runSeconds: 3 * 3_600 });
  const endless = world.github.queueJob({ labels: ["self-hosted", "short"], runSeconds: 3 * 3_600 });
  expect(await world.runUntil(() => second.status === "completed", 8 * 3_600)).toBe(true);
  expect([first.conclusion, second.conclusion]).toEqual(["success", "success"]);
  expect(endless.conclusion).not.toBe("success");
  // The machine ends the job itself; the control plane does where that fails.
  const told = [...world.agents.values()].map(({ lastAnswer }) => lastAnswer);
  expect(new Set(told.map((answer) => answer?.kind === "run" && answer.jobTimeoutSeconds))).toEqual(
    new Set([4 * 3_600, 600]),
  );
  expect((endless.completedAt ?? 0) - (endless.startedAt ?? 0)).toBeLessThan(1_200_000);
  await endsWithNothingLeft(world);
});

it("goes on with what is in flight when the configuration changes, and follows the new one afterwards", async () => {
  const world = new World();
  const first = world.github.queueJob({ runSeconds: 600 });
  const isRunning = () => world.anyAgent((agent) => agent.runsAJob);
  expect(await world.runUntil(isRunning, 60)).toBe(true);
  const booting = world.github.queueJob();
  await world.run(1);
  // A preset was renamed, another got other limits, types and an image; nothing was drained before.
  const renamed = preset({ name: "renamed", labels: ["linux", "x64"], instanceTypes: ["c7i.large"] });
  world.policy = policy({ presets: [renamed] });
  const after = world.github.queueJob();
  await endsWithNothingLeft(world);
  expect([first, booting, after].map(({ conclusion }) => conclusion)).toEqual([
    "success",
    "success",
    "success",
  ]);
  expect((await world.machines()).map((machine) => machine.preset)).toEqual([
    "linux-x64",
    "linux-x64",
    "renamed",
  ]);
});

it("names machines so that no two of a burst have the same name", () => {
  const random = createSystemRandom();
  const names = Array.from({ length: 20_000 }, () => machineIdFor("linux-x64", random));
  expect(new Set(names).size).toBe(names.length);
});

it("tells how things stand without asking GitHub or the provider, and without writing anything", async () => {
  const world = new World();
  const job = world.github.queueJob({ runSeconds: 600 });
  world.github.queueJob({ runSeconds: 20 });
  await world.run(60);
  const called = new Set<string>();
  world.intercept = (name, effect) => {
    called.add(name);
    return effect();
  };
  const options = { version: "0.0.0", problems: [], listLimit: 100 };
  const status = await readStatus(world.ports, world.policy, options);
  await readWhy(world.ports, world.policy, job.id);
  expect([...called].filter((name) => !/^store\.(activeFleets|load|history|usage|find)/.test(name))).toEqual(
    [],
  );
  // What has ended well is counted as that, and not as something that still runs.
  expect(status.jobs).toMatchObject({ running: 1, completedLastHour: 1 });
});

it("keeps nothing of a job that was cancelled before it ran: neither a machine, nor a runner, nor an entry", async () => {
  const world = new World({ bootSeconds: 30 });
  for (const wait of [0, 1, 10, 31, 33, 35]) {
    const job = world.github.queueJob();
    await world.run(wait);
    if (job.status !== "queued") continue;
    world.github.cancel(job);
    expect(await world.runUntilQuiet(200)).toBe(true);
    expect(world.github.runners.size).toBe(0);
    expect(await world.leftOver()).toEqual([]);
  }
});
