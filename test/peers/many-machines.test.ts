import { expect, it } from "vitest";
import { MayflyError } from "../../src/core/errors.ts";
import { rebalance } from "../../src/flow/rebalance.ts";
import { retireMachines, sweep } from "../../src/flow/scaledown.ts";
import { scaleUp } from "../../src/flow/scaleup.ts";
import { readStatus } from "../../src/flow/status.ts";
import { policy, preset, repository } from "../builders.ts";
import { World } from "../support/world.ts";

/*
 * What goes wrong elsewhere when there are many machines, or one among them that cannot be dealt with. Which failure of
 * which system each test is about stands in docs/reference/failures-of-others.md.
 */

const roomy = policy({
  presets: [preset({ max: 1_000 })],
  limits: { machines: 1_000, perRepository: 1_000 },
});
const suspended = new MayflyError({
  kind: "operator",
  code: "GITHUB_APP_SUSPENDED",
  message: "The App is suspended.",
  suggestion: "Unsuspend it.",
});
const unanswered = new MayflyError({ kind: "retry", code: "GITHUB_TIMEOUT", message: "", suggestion: "" });

const damaged = new MayflyError({
  kind: "operator",
  code: "STORE_DAMAGED",
  message: "An entry cannot be read.",
  suggestion: "Restore it.",
});
const fleet = "linux-x64";

/** So many machines listen, and the jobs that they were made for were cancelled. */
async function idleMachines(world: World, count: number): Promise<void> {
  const jobs = Array.from({ length: count }, () => world.github.queueJob());
  await world.runUntil(() => world.github.runners.size === count);
  for (const job of jobs) world.github.cancel(job);
  const listen = () => [...world.agents.values()].every((agent) => agent.state === "listening");
  expect(await world.runUntil(listen, 60)).toBe(true);
}

it("fences many idle machines at the same time, writes down the answers together, and ends them by one call", async () => {
  const world = new World({ policy: roomy });
  await idleMachines(world, 40);
  const calls = new Map<string, number>();
  let underWay = 0;
  let mostAtOnce = 0;
  world.intercept = async (name, effect) => {
    calls.set(name, (calls.get(name) ?? 0) + 1);
    if (name !== "github.deleteRunner") return effect();
    mostAtOnce = Math.max(mostAtOnce, ++underWay);
    await new Promise((resolve) => setImmediate(resolve));
    underWay -= 1;
    return effect();
  };
  const allRetire = async () => (await world.machines()).every(({ state }) => state === "retiring");
  await world.clock.advance(61_000);
  await scaleUp(world.ports, world.policy, fleet);
  expect(await allRetire()).toBe(true);

  calls.clear();
  await retireMachines(world.ports, world.policy, fleet);
  expect(mostAtOnce).toBeGreaterThanOrEqual(20);
  expect(calls.get("github.deleteRunner")).toBe(40);
  expect(calls.get("compute.terminate")).toBe(1);
  expect(calls.get("store.commit")).toBeLessThanOrEqual(2);
  world.intercept = (_name, effect) => effect();
  expect(await world.runUntilQuiet(60)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
});

it("asks GitHub nothing about machines that run jobs, however many are swept", async () => {
  const world = new World({ policy: roomy });
  for (let index = 0; index < 50; index++) world.github.queueJob({ runSeconds: 3_000 });
  const runJobs = () => [...world.agents.values()].filter((agent) => agent.runsAJob).length === 50;
  expect(await world.runUntil(runJobs, 120)).toBe(true);
  await world.run(1);
  const asked = world.github.calls.length;
  await sweep(world.ports, world.policy);
  await world.workThroughQueues();
  expect(world.github.calls.slice(asked)).toEqual([]);
});

it("asks the provider for nothing but the launch when machines are needed", async () => {
  const world = new World({ policy: roomy });
  for (let index = 0; index < 20; index++) world.github.queueJob();
  const asked: string[] = [];
  world.intercept = (name, effect) => {
    if (name.startsWith("compute.")) asked.push(name);
    return effect();
  };
  await world.step();
  expect(asked).toEqual(["compute.launch"]);
});

it("ends the idle machines of others while the App is suspended for one owner", async () => {
  const world = new World({ policy: roomy });
  const jobs = [
    world.github.queueJob({ repository: repository({ owner: "suspended" }) }),
    world.github.queueJob(),
    world.github.queueJob(),
  ];
  await world.runUntil(() => world.github.runners.size === 3);
  for (const job of jobs) world.github.cancel(job);
  const theirs = [...world.github.runners.values()].find(({ scope }) => scope.owner === "suspended");
  const { port } = world.github;
  const deleteRunner = port.deleteRunner.bind(port);
  const refusing: typeof deleteRunner = async (scope, id) => {
    if (scope.owner === "suspended") throw suspended;
    return deleteRunner(scope, id);
  };
  world.ports = { ...world.ports, github: { ...world.ports.github, deleteRunner: refusing } };
  const onlyTheirs = async () => {
    const alive = (await world.machines()).filter(({ state }) => state !== "ended");
    return alive.length === 1 && alive[0]?.id === theirs?.name;
  };
  expect(await world.runUntil(onlyTheirs, 180)).toBe(true);
});

it("sweeps and rebalances all other fleets when the ledger of one cannot be read, and ends no machine of that one", async () => {
  const world = new World({
    policy: policy({ presets: [preset(), preset({ name: "large", labels: ["large"] })] }),
  });
  world.github.queueJob({ runSeconds: 3_000 });
  world.github.queueJob({ labels: ["self-hosted", "large"], runSeconds: 3_000 });
  await world.runUntil(() => [...world.agents.values()].filter((agent) => agent.runsAJob).length === 2);
  await world.run(1);
  const [first] = [...world.agents.values()];
  const broken = (await world.entryOf(first!.machineId))!.fleet;
  world.intercept = async (name, effect) => {
    if (name !== "store.load") return effect();
    const ledger = (await effect()) as { readonly fleet: string };
    if (ledger.fleet === broken) throw damaged;
    return ledger;
  };
  const other = [...world.agents.values()].at(-1)!;
  world.compute.finish(other.providerId);
  world.github.calls.length = 0;
  // Of a job that is not in the list GitHub is asked by itself.
  world.github.failNext(
    "listOpenJobs",
    Array.from({ length: 5 }, () => unanswered),
  );
  for (let round = 0; round < 5; round++) {
    await sweep(world.ports, world.policy);
    await rebalance(world.ports, world.policy);
    await world.clock.advance(121_000);
  }
  expect(await world.entryOf(other.machineId)).toMatchObject({ missingSince: expect.any(Number) });
  expect(world.github.calls.map(({ method }) => method)).toContain("getJob");
  expect(world.compute.machines().map(({ machineId }) => machineId)).toEqual([first!.machineId]);
  expect(world.log.text()).toContain("A fleet's ledger could not be read.");
  // Whoever asks is told of all other fleets, and of this one that it cannot be read.
  const status = await readStatus(world.ports, world.policy, {
    version: "0.0.0",
    problems: [],
    listLimit: 10,
  });
  expect(status).toMatchObject({ state: "degraded", problems: [expect.stringContaining(broken)] });
  expect(status.fleets.map(({ fleet }) => fleet)).toEqual([(await world.entryOf(other.machineId))?.fleet]);
  world.intercept = (_name, effect) => effect();
  expect(world.violations).toEqual([]);
});
