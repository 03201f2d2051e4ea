import { describe, expect, it } from "vitest";
import { policy, preset, repository, timing } from "../../test/builders.ts";
import { World } from "../../test/support/world.ts";
import { MayflyError } from "../core/errors.ts";
import type { Poke } from "../core/model.ts";
import type { Github } from "../ports/github.ts";
import type { Ports } from "../ports/ports.ts";
import { type PreviousRound, rebalance } from "./rebalance.ts";

const goneForGood = new MayflyError({
  kind: "operator",
  code: "GITHUB_NOT_INSTALLED",
  message: "The App is not installed any more.",
  suggestion: "Install it.",
});

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

/** A world that has heard of the repository, and then of nothing more. */
async function deaf(world = new World()): Promise<World> {
  world.github.queueJob({ runSeconds: 1 });
  await world.runUntilQuiet();
  world.network = () => [];
  return world;
}

describe("rebalance", () => {
  it("finds a queued job of which no delivery told", async () => {
    const world = await deaf();
    const job = world.github.queueJob();
    await world.run(1);
    world.github.failNext("listDeliveries", [goneForGood]);
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "queued" });
    await endsWithNothingLeft(world);
  });

  it("asks GitHub nothing more when its time is up, and every repository has its turn in some round", async () => {
    const names = ["a", "b", "c", "d", "e"];
    const world = new World({ policy: policy({ timing: timing({ jobDeadlineSeconds: 3_600 }) }) });
    for (const name of names) world.github.queueJob({ repository: repository({ name }), runSeconds: 1 });
    await world.runUntilQuiet();
    world.github.queueJob({ runSeconds: 3_000 });
    await world.run(5);
    const asked = new Set<string>();
    const pokes: Poke[] = [];
    // The job that waits is past its deadline, so that its fleet needs a look.
    let elapsed = 3_600_000;
    const github: Partial<Github> = {
      listDeliveries: async () => [],
      async listOpenJobs({ name }) {
        asked.add(name);
        elapsed += 20_000;
        return [];
      },
    };
    const ports: Ports = {
      ...world.ports,
      clock: { ...world.ports.clock, now: () => world.now() + elapsed },
      github: Object.assign(Object.create(world.ports.github) as Github, github),
      work: { send: async (poke) => void pokes.push(poke) },
    };
    await rebalance(ports, world.policy, { until: ports.clock.now() + 30_000 });
    expect(asked.size).toBe(2);
    expect(pokes).toMatchObject([{ stage: "scaleup" }]);
    for (let round = 0; round < 10; round++) {
      elapsed += 60_000;
      await rebalance(ports, world.policy, { until: ports.clock.now() + 30_000 });
    }
    expect([...asked].sort()).toEqual(["a", "app", "b", "c", "d", "e"]);
  });

  it("finds a job that was let go, of which no delivery told", async () => {
    const world = new World();
    const job = world.github.queueJob({ status: "waiting" });
    await world.run(5);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "waiting" });
    expect(world.compute.launchCount).toBe(0);
    world.network = () => [];
    world.github.approve(job);
    await endsWithNothingLeft(world);
    expect(job.conclusion).toBe("success");
  });

  it("holds back a job that was announced as queued and waits for an approval, until it is approved", async () => {
    const world = new World();
    const job = world.github.queueJob();
    await world.run(2);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "queued" });
    job.status = "waiting";
    await world.run(26 * 3_600);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "waiting" });
    expect(world.compute.launchCount).toBe(1);
    world.github.approve(job);
    await endsWithNothingLeft(world);
    expect(job.conclusion).toBe("success");
  });

  it("learns from the list of open jobs that a job has moved on, whose events were lost", async () => {
    const world = new World();
    const job = world.github.queueJob({ runSeconds: 3_000 });
    await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
    // Nobody listens: neither GitHub's events nor the machine's reports arrive.
    world.network = () => [];
    world.agents.clear();
    job.status = "in_progress";
    job.runnerName = (await world.onlyMachine()).id;
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "running" });
    expect(await world.onlyMachine()).toMatchObject({ state: "busy", jobId: job.id });
  });

  it("asks about no job that GitHub lists as open, however long it runs", async () => {
    const world = new World();
    world.github.queueJob({ runSeconds: 3_000 });
    await world.runUntil(() => world.anyAgent((agent) => agent.runsAJob));
    await world.run(2_000);
    const asked = world.github.calls.map(({ method }) => method);
    expect(asked.filter((method) => method === "listOpenJobs").length).toBeGreaterThan(30);
    expect(asked).not.toContain("getJob");
  });

  it("finds, in its first round only, the queued jobs of repositories that an empty ledger has never heard of", async () => {
    const world = new World();
    const job = world.github.queueJob();
    world.github.outbox.length = 0;
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(job.id)).toBeUndefined();
    await rebalance(world.ports, world.policy, { previous: "none" });
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "queued" });
  });

  it("does not give up a job that GitHub's lists do not have yet", async () => {
    const world = new World();
    const job = world.github.queueJob();
    await world.run(1);
    world.github.forget(job);
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "queued" });
  });

  it("has a failed delivery sent again, once, and no other", async () => {
    const world = await deaf();
    world.github.queueJob();
    await world.run(1);
    await world.clock.advance(30_000);
    world.network = (sendings) => sendings;
    await rebalance(world.ports, world.policy);
    await world.run(2);
    await rebalance(world.ports, world.policy);
    expect(world.github.calls.filter((call) => call.method === "redeliver")).toHaveLength(1);
  });

  it("reads all of the last hour's log at first, every ten minutes, and while something in it failed", async () => {
    const world = await deaf();
    let previous: PreviousRound | "none" = "none";
    const readMinutes = async (): Promise<readonly number[]> => {
      world.github.calls.length = 0;
      const at = world.now();
      previous = await rebalance(world.ports, world.policy, { previous });
      const reads = world.github.calls.filter(({ method }) => method === "listDeliveries");
      return reads.map(({ argument }) => (at - Number(argument)) / 60_000);
    };
    const minutes = (count: number): Promise<void> => world.clock.advance(count * 60_000);
    expect(await readMinutes()).toEqual([60]);
    await minutes(9);
    expect(await readMinutes()).toEqual([10]);
    await minutes(1);
    expect(await readMinutes()).toEqual([60]);
    expect(await readMinutes()).toEqual([10]);
    // It comes too late to be sent again in the round in which it is found.
    world.github.queueJob();
    await world.step();
    expect(await readMinutes()).toEqual([10, 60]);
    await minutes(1);
    expect(await readMinutes()).toEqual([10, 60]);
    // It was asked for: until nothing is left to ask for, no round takes the log for read.
    expect(await readMinutes()).toEqual([60]);
    world.github.failNext("listDeliveries", [goneForGood]);
    await readMinutes();
    expect(await readMinutes()).toEqual([60]);
  });

  it("gives up, visibly, a job that GitHub does not know any more", async () => {
    const world = new World({ bootSeconds: 250 });
    const job = world.github.queueJob();
    await world.run(1);
    world.github.forget(job);
    await world.clock.advance(world.policy.timing.jobCheckSeconds * 1_000);
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(job.id)).toMatchObject({
      state: "done",
      outcome: { kind: "given-up", because: "no-longer-at-github" },
    });
    expect(world.github.givenUp).toHaveLength(1);
    expect(await world.runUntil(async () => world.compute.machines().length === 0)).toBe(true);
  });

  it.each(["GitHub does not answer", "GitHub says that it still runs"])(
    "closes a job that cannot run any more, although %s",
    async (answer) => {
      const world = new World();
      const job = world.github.queueJob({ runSeconds: 3_000 });
      await world.runUntil(() => job.status === "in_progress");
      await world.run(30);
      world.network = () => [];
      world.agents.clear();
      const unreachable: Github["getJob"] = async () => {
        throw new MayflyError({ kind: "retry", code: "GITHUB_TIMEOUT", message: "", suggestion: "" });
      };
      const getJob = answer === "GitHub does not answer" ? unreachable : world.ports.github.getJob;
      const github = Object.assign(Object.create(world.ports.github) as Github, { getJob });
      const askAfter = async (hours: number) => {
        const now = (): number => world.now() + hours * 3_600_000;
        await rebalance({ ...world.ports, github, clock: { ...world.ports.clock, now } }, world.policy);
        return world.store.findJob(job.id);
      };
      expect(await askAfter(5 * 24)).toMatchObject({ state: "running" });
      expect(await askAfter(5 * 24 + 2)).toMatchObject({
        state: "done",
        outcome: { kind: "given-up", because: "end-unknown" },
      });
      // On the commit it would say that it got no machine.
      expect(world.github.givenUp).toHaveLength(0);
    },
  );

  it("retires a machine whose idle runner GitHub has removed, and gets another for the job", async () => {
    const world = new World();
    const job = world.github.queueJob();
    await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
    const [agent] = [...world.agents.values()];
    agent!.frozen = true;
    for (const runner of world.github.runners.values()) world.github.remove(runner);
    await world.clock.advance(61_000);
    await endsWithNothingLeft(world);
    expect(job.conclusion).toBe("success");
    expect((await world.machines()).map((machine) => machine.reason)).toEqual(["idle", "completed"]);
  });

  it("retires a machine whose runner does not come online, long before its idle limit", async () => {
    const world = new World();
    world.github.queueJob();
    await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
    const [agent] = [...world.agents.values()];
    agent!.frozen = true;
    await world.clock.advance(170_000);
    await rebalance(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({ state: "registered" });
    await world.clock.advance(10_000);
    await rebalance(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({
      state: "retiring",
      reason: "idle",
      detail: "Its runner is not online, minutes after it was registered.",
    });
  });

  it("retires a machine whose job nobody may ask about any more, once GitHub has removed its runner", async () => {
    const world = new World();
    const job = world.github.queueJob({ runSeconds: 3_000 });
    await world.runUntil(() => world.anyAgent((agent) => agent.runsAJob));
    await world.run(5);
    world.network = () => [];
    world.agents.clear();
    world.github.forget(job);
    await world.clock.advance(world.policy.timing.jobCheckSeconds * 1_000);
    await rebalance(world.ports, world.policy);
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(job.id)).toMatchObject({ state: "done" });
    expect(await world.onlyMachine()).toMatchObject({ state: "busy" });
    for (const runner of world.github.runners.values()) world.github.remove(runner);
    await rebalance(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({ state: "retiring", reason: "lost" });
  });

  it("sees that a runner is busy when neither GitHub nor the machine told", async () => {
    const world = new World();
    world.github.queueJob({ runSeconds: 500 });
    await world.runUntil(() => world.anyAgent((agent) => agent.state === "connecting"));
    const [agent] = [...world.agents.values()];
    await agent!.act();
    agent!.frozen = true;
    world.network = () => [];
    await world.run(2);
    for (const runner of world.github.runners.values()) world.github.connect(runner.jitConfig);
    world.github.assign();
    await world.clock.advance(61_000);
    await rebalance(world.ports, world.policy);
    expect(await world.onlyMachine()).toMatchObject({ state: "busy" });
  });

  it("checks the other jobs when one repository cannot be asked", async () => {
    const world = new World({ policy: policy({ registration: "repository" }), bootSeconds: 250 });
    const lost = world.github.queueJob();
    const found = world.github.queueJob({ repository: repository({ name: "other" }) });
    await world.run(1);
    world.github.forget(lost);
    world.github.forget(found);
    await world.clock.advance(world.policy.timing.jobCheckSeconds * 1_000);
    // Each is asked about once because the lists lack it; the regular check of the first one fails too.
    world.github.failNext("getJob", [goneForGood, goneForGood, goneForGood]);
    await rebalance(world.ports, world.policy);
    const jobs = await Promise.all([lost, found].map((job) => world.store.findJob(job.id)));
    expect(jobs.map((job) => job?.state)).toEqual(["queued", "done"]);
  });

  it("comes to every job in turn, however many GitHub does not answer for", async () => {
    const world = new World({ bootSeconds: 250 });
    for (let count = 0; count < 100; count++) world.github.queueJob();
    await world.run(1);
    await world.clock.advance(1_000);
    const lost = world.github.queueJob({ labels: ["self-hosted", "mayfly/linux-x64/cpu=4"] });
    await world.run(1);
    world.github.forget(lost);
    await world.clock.advance(world.policy.timing.jobCheckSeconds * 1_000);
    const unanswered = Array.from({ length: 100 }, () => goneForGood);
    // The lists are kept away too, or each would be asked about for that reason as well.
    world.github.failNext("listOpenJobs", [goneForGood, goneForGood]);
    world.github.failNext("getJob", unanswered);
    await rebalance(world.ports, world.policy);
    await rebalance(world.ports, world.policy);
    expect(await world.store.findJob(lost.id)).toMatchObject({ state: "done" });
  });

  it("has the other deliveries sent again when GitHub refuses one", async () => {
    const world = await deaf();
    world.github.queueJob();
    world.github.queueJob();
    await world.run(1);
    await world.clock.advance(30_000);
    world.github.failNext("redeliver", [goneForGood]);
    await rebalance(world.ports, world.policy);
    expect(world.github.calls.filter((call) => call.method === "redeliver")).toHaveLength(2);
  });

  it("keeps warm machines ready before any job came, and hands them to the first", async () => {
    const warm = policy({ presets: [preset({ warm: 2 })] });
    const world = new World({ policy: warm });
    await rebalance(world.ports, world.policy);
    await world.run(200);
    expect(world.compute.machines()).toHaveLength(2);
    expect(world.github.runners.size).toBe(0);
    const job = world.github.queueJob({ runSeconds: 5 });
    await world.runUntil(() => job.status === "completed", 40);
    expect(job.conclusion).toBe("success");
    await world.run(60);
    expect(world.compute.launchCount).toBe(3);
    world.policy = policy();
    await endsWithNothingLeft(world);
  });
});
