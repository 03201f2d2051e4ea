import { describe, expect, it } from "vitest";
import { policy, preset } from "../../test/builders.ts";
import type { GithubJob } from "../../test/support/fake-github.ts";
import { type Agent, World } from "../../test/support/world.ts";
import { MayflyError } from "../core/errors.ts";

const spotPreferred = policy({ presets: [preset({ market: "spot-preferred" })] });

/** A world with one job of the run 7 that runs on a spot machine, and a notice for that. */
async function interrupted(rules = spotPreferred): Promise<{ world: World; job: GithubJob }> {
  const world = new World({ policy: rules, pools: ["a", "b", "c"] });
  const job = world.github.queueJob({ runId: 7, runSeconds: 10_000 });
  await takeBack(world, job);
  return { world, job };
}

/** The machine of this job gets a notice, and is cut off two minutes later. */
async function takeBack(world: World, job: GithubJob): Promise<void> {
  await world.runUntil(() => job.status === "in_progress");
  await world.run(5);
  const agent = agentOf(world, job);
  await tell(world, agent, "interruption-notice");
  await world.run(120);
  world.compute.finish(agent.providerId);
  await tell(world, agent, "gone");
}

function agentOf(world: World, job: GithubJob): Agent {
  const agent = [...world.agents.values()].find(({ machineId }) => machineId === job.runnerName);
  if (agent === undefined) throw new Error(`Job ${job.id} runs on no machine of ours`);
  return agent;
}

async function tell(world: World, agent: Agent, what: "interruption-notice" | "gone"): Promise<void> {
  const { providerId } = agent;
  await world.lifecycle.send({ kind: "cloud", compute: "memory", providerId, what, at: world.now() });
  await world.workThroughQueues();
}

const reruns = (world: World) =>
  world.github.calls.filter((call) => call.method === "rerun").map((call) => call.argument);
const attempts = (world: World, runId = 7) =>
  [...world.github.jobs.values()].filter((job) => job.runId === runId);

describe("a job that was lost with its machine", () => {
  it("is run again when its run has ended, on a machine that nobody takes back, and both say so", async () => {
    const { world, job } = await interrupted();
    expect(await world.runUntil(() => attempts(world).length === 2)).toBe(true);
    expect(reruns(world)).toEqual([job.id]);
    const again = attempts(world)[1]!;
    await world.runUntil(() => again.status === "in_progress");
    expect((await world.store.findMachine(again.runnerName!))?.purchase).toBe("on-demand");
    expect(await world.store.findJob(again.id)).toMatchObject({ runAttempt: 2, rerunOf: job.id });
    expect((await world.store.findJob(job.id))?.loss).toMatchObject({
      kind: "replaced",
      attempt: 2,
      detail: expect.stringContaining("run again, as attempt 2"),
    });
    world.github.cancel(again);
    expect(await world.runUntilQuiet()).toBe(true);
    expect(await world.leftOver()).toEqual([]);
  });

  it("is run again also where another machine had claimed it than the one that GitHub gave it to", async () => {
    const { world, job } = await interrupted();
    const { version, jobs } = await world.store.load("linux-x64");
    const entry = jobs.find(({ id }) => id === job.id)!;
    await world.store.commit("linux-x64", version, [{ put: "job", job: { ...entry, machineId: "another" } }]);
    expect(await world.runUntil(() => attempts(world).length === 2)).toBe(true);
  });

  it("waits for the rest of its run, and goes together with the other lost jobs of it", async () => {
    const world = new World({ policy: spotPreferred, pools: ["a", "b", "c"] });
    const names = ["one", "two", "three"];
    const [one, two, three] = names.map((name) =>
      world.github.queueJob({ runId: 7, name, runSeconds: 10_000 }),
    );
    await takeBack(world, one!);
    await takeBack(world, two!);
    await world.run(1_500);
    expect([one!.status, two!.status]).toEqual(["completed", "completed"]);
    expect(reruns(world)).toEqual([]);
    world.github.finish(
      [...world.github.runners.values()].find((runner) => runner.job === three)!,
      "success",
    );
    await world.runUntil(() => attempts(world).length > 3);
    expect(reruns(world)).toEqual(["failed-jobs"]);
    expect(
      attempts(world)
        .slice(3)
        .map((job) => job.name),
    ).toEqual(["one", "two"]);
    for (const job of [one!, two!]) {
      expect((await world.store.findJob(job.id))?.loss).toMatchObject({ kind: "replaced", attempt: 2 });
    }
    expect((await world.store.findJob(three!.id))?.loss).toBeUndefined();
  });

  it("is run again no more often than the config says", async () => {
    const onlySpot = policy({ presets: [preset({ market: "spot-only" })], rerunsPerJob: 2 });
    const { world } = await interrupted(onlySpot);
    for (const count of [2, 3]) {
      await world.runUntil(() => attempts(world).length === count);
      await takeBack(world, attempts(world).at(-1)!);
    }
    expect(await world.runUntilQuiet()).toBe(true);
    expect(attempts(world)).toHaveLength(3);
    const last = await world.store.findJob(attempts(world)[2]!.id);
    expect(last?.loss).toMatchObject({ kind: "left", detail: expect.stringContaining("2 times already") });
  });

  it("is left with GitHub's sentence where the App may not run it again", async () => {
    const { world, job } = await interrupted();
    world.github.rerunRefusal = "GitHub refused: the App needs actions: write.";
    expect(await world.runUntilQuiet()).toBe(true);
    const loss = (await world.store.findJob(job.id))?.loss;
    expect(loss).toMatchObject({ kind: "left", detail: "GitHub refused: the App needs actions: write." });
    expect(world.log.text()).toContain("is not run again");
  });

  it("is not run again when somebody has cancelled its run", async () => {
    const { world, job } = await interrupted();
    world.github.cancelledRuns.add(7);
    expect(await world.runUntilQuiet()).toBe(true);
    expect(reruns(world)).toEqual([]);
    expect((await world.store.findJob(job.id))?.loss).toMatchObject({ kind: "left" });
  });

  it("is run again once, when the answer to that is lost, and while GitHub is away", async () => {
    const lost = new MayflyError({ kind: "retry", code: "X", message: "Lost.", suggestion: "" });
    const { world, job } = await interrupted();
    world.github.failNext("getRun", [lost, undefined]);
    let isLost = false;
    world.intercept = async (name, effect) => {
      const result = await effect();
      if (name !== "github.rerun" || isLost) return result;
      isLost = true;
      throw lost;
    };
    await world.runUntil(async () => (await world.store.findJob(job.id))?.loss?.kind === "replaced");
    expect(isLost).toBe(true);
    expect(attempts(world)).toHaveLength(2);
    await world.runUntil(() => attempts(world)[1]!.status === "in_progress");
    const { runnerName } = attempts(world)[1]!;
    expect((await world.store.findMachine(runnerName!))?.purchase).toBe("on-demand");
  });
});

describe("a job that was not lost", () => {
  it("but failed by itself after a notice goes to the history, and GitHub is asked nothing", async () => {
    const world = new World({ policy: spotPreferred });
    const job = world.github.queueJob({ runId: 7, runSeconds: 10_000 });
    await world.runUntil(() => job.status === "in_progress");
    await world.run(5);
    const agent = agentOf(world, job);
    await tell(world, agent, "interruption-notice");
    const { machineId } = agent;
    const report = { step: "exited", exitCode: 0, ranJob: true } as const;
    await world.lifecycle.send({ kind: "machine", machineId, report, at: world.now() });
    await world.workThroughQueues();
    world.github.finish(agent.runner!, "failure");
    world.compute.finish(agent.providerId);
    expect(await world.runUntilQuiet()).toBe(true);
    expect(world.github.calls.map((call) => call.method)).not.toContain("getRun");
    expect((await world.store.findJob(job.id))?.loss).toBeUndefined();
  });

  it("but failed on a spot machine nobody took goes to the history once its machine has ended", async () => {
    const world = new World({ policy: spotPreferred });
    const job = world.github.queueJob({ runId: 7, runSeconds: 10_000 });
    await world.runUntil(() => job.status === "in_progress");
    await world.run(5);
    world.github.finish(agentOf(world, job).runner!, "failure");
    expect(await world.runUntilQuiet()).toBe(true);
    expect(world.github.calls.map((call) => call.method)).not.toContain("getRun");
    expect((await world.store.history(0, 10)).jobs.map(({ id }) => id)).toEqual([job.id]);
  });
});
