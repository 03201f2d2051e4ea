import { expect, it } from "vitest";
import { scopeName } from "../../src/core/demand.ts";
import { MayflyError } from "../../src/core/errors.ts";
import { receiveDelivery } from "../../src/flow/webhook.ts";
import { policy, preset, repository } from "../builders.ts";
import { World } from "../support/world.ts";

/*
 * What goes wrong elsewhere between a delivery and the machine for its job. Which failure of which system each test is
 * about stands in docs/reference/failures-of-others.md.
 */

const away = new MayflyError({
  kind: "retry",
  code: "AWAY",
  message: "It does not answer.",
  suggestion: "Try again.",
});

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

/** How often each kind of request was made. */
function countedCalls(world: World): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { method } of world.github.calls) counts[method] = (counts[method] ?? 0) + 1;
  return counts;
}

it("makes one machine for a job that is told twice, held back, let go, and found in the list as well", async () => {
  const world = new World({ bootSeconds: 100 });
  world.network = (sendings) => [...sendings, ...sendings];
  const job = world.github.queueJob();
  await world.step();
  job.status = "waiting";
  await world.round();
  world.github.approve(job);
  await world.run(150);
  await endsWithNothingLeft(world);
  expect(job).toMatchObject({ conclusion: "success" });
  expect(world.compute.launchCount).toBe(1);
});

it("answers a delivery that it could not write down with an error, and serves the job when GitHub sends it again", async () => {
  const world = new World();
  let failures = 1;
  world.intercept = (name, effect) =>
    name === "store.addJob" && failures-- > 0 ? Promise.reject(away) : effect();
  const job = world.github.queueJob();
  await world.step();
  expect(world.failures).toEqual([away]);
  expect(await world.jobs()).toEqual([]);
  // Nothing tells of the job but GitHub's log of deliveries: no repository is known that could be asked.
  await endsWithNothingLeft(world);
  expect(countedCalls(world)).toMatchObject({ redeliver: 1 });
  expect(job).toMatchObject({ conclusion: "success" });
});

it("answers a delivery while GitHub, the provider and everybody who works is away", async () => {
  const world = new World();
  world.github.queueJob();
  const called: string[] = [];
  world.intercept = (name, effect) => {
    called.push(name);
    return /^(github|compute)\./.test(name) ? Promise.reject(away) : effect();
  };
  const [sending] = world.github.outbox;
  expect(await receiveDelivery(world.ports, world.policy, sending!)).toMatchObject({ status: 202 });
  expect(called).toEqual(["secrets.read", "store.addJob", "work.send"]);
});

it("launches in the moment in which a delivery arrives: no message waits to be looked at", async () => {
  const world = new World();
  world.github.queueJob();
  const before = world.now();
  await world.step();
  expect(world.compute.machines().map(({ launchedAt }) => launchedAt)).toEqual([before]);
});

it("asks GitHub for a hundred registrations and for nothing else when a hundred jobs come at once", async () => {
  const limits = { machines: 200, perRepository: 200 };
  const world = new World({ policy: policy({ presets: [preset({ max: 200 })], limits }) });
  for (let count = 0; count < 100; count++) world.github.queueJob({ runSeconds: 20 });
  await world.run(50);
  expect([...world.github.jobs.values()].filter(({ status }) => status !== "completed")).toEqual([]);
  expect(countedCalls(world)).toEqual({ mintRunner: 100 });
  // A round asks once for each source, however many jobs there are.
  await world.run(15);
  expect(countedCalls(world)).toMatchObject({ mintRunner: 100, listDeliveries: 1, listOpenJobs: 1 });
  expect(countedCalls(world)).not.toHaveProperty("getJob");
  await endsWithNothingLeft(world);
});

const refusal = { failure: "capacity", code: "InsufficientInstanceCapacity" } as const;

it("launches each job once after an outage of capacity, however many rounds and repeated events there were", async () => {
  const world = new World();
  let isFull = true;
  world.intercept = async (name, effect) => {
    if (name !== "compute.launch" || !isFull) return effect();
    const machines = (await world.machines()).filter(({ state }) => state === "requested");
    for (const _machine of machines) world.compute.refuseNext("memory", [refusal]);
    return effect();
  };
  for (let count = 0; count < 5; count++) world.github.queueJob();
  const told = [...world.github.outbox];
  for (let minute = 0; minute < 30; minute++) {
    world.github.outbox.push(...told);
    await world.run(60);
  }
  expect(world.compute.launchCount).toBe(0);
  isFull = false;
  await endsWithNothingLeft(world);
  expect(world.compute.launchCount).toBe(5);
});

it("gives a repository its own machine while runners of other repositories idle", async () => {
  const idleGraceSeconds = 600;
  const base = policy();
  const world = new World({
    policy: { ...base, registration: "repository", timing: { ...base.timing, idleGraceSeconds } },
  });
  const cancelled = world.github.queueJob();
  await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
  world.github.cancel(cancelled);
  await world.runUntil(() => world.anyAgent((agent) => agent.state === "listening"));
  const job = world.github.queueJob({ repository: repository({ name: "other" }) });
  expect(await world.runUntil(() => job.status === "completed", 120)).toBe(true);
  expect(world.compute.launchCount).toBe(2);
  const scopes = (await world.machines()).map(
    ({ registration }) => registration && scopeName(registration.scope),
  );
  expect(new Set(scopes).size).toBe(2);
});

it("runs a job whose machine hung on another one, though the messages that asked for it are long gone", async () => {
  const world = new World({ policy: policy({ presets: [preset({ bootTimeoutSeconds: 120 })] }) });
  const job = world.github.queueJob();
  await world.step();
  const [first] = [...world.agents.values()];
  first!.hung = true;
  await endsWithNothingLeft(world);
  expect(job).toMatchObject({ conclusion: "success" });
  const [hung] = await world.machines();
  expect(hung).toMatchObject({ reason: "boot-timeout" });
  expect(world.compute.launchCount).toBe(2);
});

it("takes the jobs of a market that is empty up when there is room again, hours later", async () => {
  const world = new World({
    policy: policy({ presets: [preset({ market: "spot-only" })] }),
    pools: ["a", "b"],
  });
  const job = world.github.queueJob();
  let isEmpty = true;
  world.intercept = (name, effect) => {
    if (name === "compute.launch" && isEmpty) {
      for (const pool of ["a", "b"]) world.compute.refuseNext(pool, [refusal]);
    }
    return effect();
  };
  await world.run(3 * 3_600);
  expect(await world.jobs()).toMatchObject([{ state: "queued" }]);
  const ledger = await world.store.load((await world.jobs())[0]!.fleet);
  expect(ledger.record?.blocked).toMatchObject({ because: "no-spot-capacity" });
  isEmpty = false;
  await endsWithNothingLeft(world);
  expect(job).toMatchObject({ conclusion: "success" });
});
