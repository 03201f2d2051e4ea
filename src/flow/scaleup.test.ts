import { describe, expect, it } from "vitest";
import { policy, preset, repository, timing } from "../../test/builders.ts";
import { World } from "../../test/support/world.ts";
import type { Machine } from "../core/model.ts";
import type { LaunchRequest } from "../ports/compute.ts";
import { scaleUp } from "./scaleup.ts";
import { readWhy } from "./status.ts";

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

/** Notes every launch that reaches the provider. */
function launchesOf(world: World): LaunchRequest[] {
  const requests: LaunchRequest[] = [];
  const { launch } = world.compute;
  world.compute.launch = (request) => {
    requests.push(request);
    return launch(request);
  };
  return requests;
}

const full = { failure: "capacity", code: "NO_CAPACITY" } as const;

describe("a launch", () => {
  it("is one call for all jobs that wait together", async () => {
    const world = new World();
    const requests = launchesOf(world);
    for (let count = 0; count < 5; count++) world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests.map((request) => request.machines.length)).toEqual([5]);
    expect(world.compute.launchCount).toBe(5);
  });

  it("whose answer was lost is asked for again with the same token, and starts nothing twice", async () => {
    const world = new World({ bootSeconds: 50 });
    const requests = launchesOf(world);
    world.compute.loseAnswers(1);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests).toHaveLength(2);
    expect(requests[1]).toMatchObject({
      token: requests[0]?.token,
      machines: [{ id: requests[0]?.machines[0]?.id }],
    });
    expect(requests[1]?.machines[0]?.credential?.reveal()).toBe(
      requests[0]?.machines[0]?.credential?.reveal(),
    );
    expect(world.compute.launchCount).toBe(1);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests[2]?.token).not.toBe(requests[0]?.token);
  });

  it("that did not get through is asked for again, and the job runs on its machine", async () => {
    const world = new World();
    world.compute.failCalls(1);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect((await world.machines()).map((machine) => machine.launchAttempts)).toEqual([2]);
  });

  it.each([
    ["first", [full, undefined]],
    ["last", [undefined, full]],
  ] as const)("that is refused for its %s machine buys the rest on demand", async (_which, refusals) => {
    const world = new World({ policy: policy({ presets: [preset({ market: "spot-preferred" })] }) });
    world.compute.refuseNext("memory", refusals);
    world.github.queueJob();
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(2);
    const machines = await world.machines();
    expect(machines.filter((machine) => machine.reason === "launch-failed")).toHaveLength(1);
    expect(machines.map((machine) => machine.purchase)).toEqual(["spot", "spot", "on-demand"]);
  });

  it("that is refused for good is said, tried less and less often, and works once that was mended", async () => {
    const world = new World();
    const refusal = { failure: "configuration", code: "NO_SUCH_IMAGE" } as const;
    world.compute.refuseNext("memory", [refusal, refusal, refusal]);
    const job = world.github.queueJob();
    await world.run(50);
    const { record } = await world.store.load("linux-x64");
    expect(record?.blocked).toMatchObject({ because: "launch-refused", nextAttemptAt: expect.any(Number) });
    await endsWithNothingLeft(world);
    expect(job.conclusion).toBe("success");
    const times = (await world.machines()).map((machine) => machine.times.requested);
    const pauses = times.slice(1).map((time, index) => (time - (times[index] ?? 0)) / 1_000);
    expect(pauses.map((pause) => Math.round(pause / 60))).toEqual([1, 2, 4]);
  });

  it("for a compute that is not configured is said, and machines come once it is", async () => {
    const world = new World();
    const compute = world.ports.compute as Map<string, unknown>;
    const adapter = compute.get("memory");
    compute.clear();
    world.github.queueJob();
    await world.run(20);
    expect(world.log.text()).toContain("COMPUTE_UNKNOWN");
    compute.set("memory", adapter);
    await endsWithNothingLeft(world);
  });
});

describe("the budget", () => {
  it("counts a machine that ends while it is added up", async () => {
    const rules = policy({ limits: { machines: 9, perRepository: 9, dailyBudgetUsd: 0.5 } });
    const world = new World({ policy: rules });
    world.github.queueJob();
    await world.run(10);
    const [machine] = await world.machines();
    if (machine === undefined) throw new Error("No machine was launched.");
    await endsWithNothingLeft(world);
    const launches = world.compute.launchCount;

    const times = { requested: world.now(), launched: world.now() };
    const running = { ...machine, id: "linux-x64-0123456789ab", pricePerHourUsd: 1, times };
    const { store } = world;
    const put = async (changed: Partial<Machine>): Promise<void> => {
      const { version } = await store.load("linux-x64");
      const change = { put: "machine", machine: { ...running, ...changed } } as const;
      expect(await store.commit("linux-x64", version, [change])).toMatchObject({ kind: "committed" });
    };
    await put({ state: "busy" });
    await world.clock.advance(3_600_000);
    let isOver = false;
    const usage = async (since: number) => {
      const answer = await store.usage(since);
      const ended = { ...times, ended: world.now() };
      if (!isOver) await put({ state: "ended", reason: "completed", times: ended });
      isOver = true;
      return answer;
    };
    world.ports = { ...world.ports, store: { ...store, usage } };
    world.github.queueJob();
    await world.run(20);
    expect(isOver).toBe(true);
    expect(world.compute.launchCount).toBe(launches);
  });
});

describe("a burst that one commit has no room for", () => {
  const rules = policy({ presets: [preset({ max: 90 })], limits: { machines: 200, perRepository: 200 } });

  /** A hundred jobs of one fleet are under way; ninety machines may be launched for them. */
  function burst(): World {
    const world = new World({ policy: rules, changesPerCommit: 30 });
    for (let count = 0; count < 100; count++) world.github.queueJob();
    return world;
  }

  it("is one plan and one launch, written in as many commits as it needs", async () => {
    const world = burst();
    const requests = launchesOf(world);
    const called: string[] = [];
    world.intercept = (name, effect) => {
      called.push(name);
      return effect();
    };
    await world.step();
    expect(requests.map(({ machines }) => machines.length)).toEqual([90]);
    const count = (name: string) => called.filter((each) => each === name).length;
    // 1 record, 90 machines and 100 jobs in thirties; then what became of 90 machines, in twenty-nines.
    expect([count("store.load"), count("store.commit")]).toEqual([1, 7 + 4]);
    const { jobs, machines } = await world.store.load("linux-x64");
    expect(jobs.filter((job) => job.times.planned !== undefined)).toHaveLength(100);
    expect(machines.filter((machine) => machine.state === "launched")).toHaveLength(90);
    expect(await world.store.counters()).toMatchObject({ machines: 90 });
  });

  it("launches what was written when somebody else commits in between, and the next look plans the rest", async () => {
    const world = burst();
    const requests = launchesOf(world);
    let commits = 0;
    world.intercept = async (name, effect) => {
      if (name === "store.commit" && ++commits === 3) {
        const { version } = await world.store.load("linux-x64");
        await world.store.commit("linux-x64", version, []);
      }
      return effect();
    };
    await world.step();
    expect(requests.map(({ machines }) => machines.length)).toEqual([59, 31]);
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(100);
  });
});

describe("a launch whose machines bear only its token", () => {
  const alike = (options: object = {}) => new World({ marks: "launch", ...options });

  it("is one call, and every machine is one instance of it", async () => {
    const world = alike();
    const requests = launchesOf(world);
    for (let count = 0; count < 5; count++) world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests.map(({ machines, attempt }) => [machines.length, attempt])).toEqual([[5, 1]]);
    const machines = await world.machines();
    expect(new Set(machines.map((machine) => machine.providerId)).size).toBe(5);
    // The first machine's id: from it can be told that this ledger knows the launch.
    expect(new Set(machines.map((machine) => machine.launchToken))).toEqual(new Set([machines[0]?.id]));
  });

  it("whose answer was lost is asked for again, and starts nothing twice", async () => {
    const world = alike({ bootSeconds: 50 });
    const requests = launchesOf(world);
    world.compute.loseAnswers(2);
    for (let count = 0; count < 3; count++) world.github.queueJob();
    await endsWithNothingLeft(world);
    // Then the sweep finds them.
    expect(requests.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(new Set(requests.map(({ token }) => token)).size).toBe(1);
    expect(world.compute.launchCount).toBe(3);
  });

  it("whose machines claim before anybody knows of them makes them ask again", async () => {
    const world = alike({ bootSeconds: 1 });
    world.compute.loseAnswers(1);
    world.github.queueJob();
    await world.run(10);
    expect([...world.agents.values()][0]?.lastAnswer).toMatchObject({ status: 503 });
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(1);
  });

  it("that gives some of what was asked is over: the rest is asked for anew", async () => {
    const world = alike();
    const requests = launchesOf(world);
    const busy = { failure: "throttle", code: "RequestLimitExceeded" } as const;
    world.compute.refuseNext("memory", [undefined, busy, undefined, busy]);
    for (let count = 0; count < 4; count++) world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests.map(({ machines, attempt }) => [machines.length, attempt])).toEqual([
      [4, 1],
      [2, 1],
    ]);
    expect(requests[1]?.token).not.toBe(requests[0]?.token);
    expect(world.compute.launchCount).toBe(4);
  });

  it("that is repeated gives nobody an instance of a machine that has ended", async () => {
    const world = alike({ bootSeconds: 60, changesPerCommit: 3 });
    // The store takes two machines at a time, and forgets the last answer.
    world.compute.loseAnswers(1);
    for (let count = 0; count < 2; count++) world.github.queueJob();
    await world.step();
    const [first] = world.compute.machines();
    await world.round();
    world.compute.finish(first!.providerId);
    await endsWithNothingLeft(world);
    const ids = (await world.machines()).map((machine) => machine.providerId);
    expect(ids.filter((id) => id === first!.providerId)).toHaveLength(1);
  });

  it("notes the one repository that it is for, and none when there are two", async () => {
    const world = alike();
    const requests = launchesOf(world);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    world.github.queueJob();
    world.github.queueJob({ repository: repository({ name: "other" }) });
    await endsWithNothingLeft(world);
    expect(requests.map((request) => request.repository)).toEqual(["acme/app", undefined]);
  });

  it("remembers a pool that refused while another gave everything, and leaves the market open", async () => {
    const world = alike();
    const requests = launchesOf(world);
    const { launch } = world.compute;
    world.compute.launch = async (request) => [
      ...(await launch(request)),
      { kind: "pools-refused", failure: "capacity", code: "ICE", message: "No machine.", pools: ["a"] },
    ];
    world.github.queueJob();
    await world.run(1);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests.map((request) => request.avoidPools)).toEqual([[], ["a"]]);
  });

  it("and falls short asks the pools that did not refuse before it buys anything dearer", async () => {
    const world = alike({
      policy: policy({ presets: [preset({ market: "spot-preferred" })] }),
      pools: ["a", "b"],
    });
    const { launch } = world.compute;
    let answers = 0;
    world.compute.launch = async (request) => {
      answers += 1;
      if (answers > 1) return launch(request);
      const refusal = { failure: "capacity", code: "ICE", message: "No machine.", pools: ["a"] } as const;
      return [
        ...(await launch({ ...request, machines: request.machines.slice(1) })),
        { kind: "pools-refused", ...refusal },
        { kind: "refused", ...refusal, othersLeft: true },
      ];
    };
    const requests = launchesOf(world);
    for (let count = 0; count < 3; count++) world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(
      requests.map(({ purchase, machines, avoidPools }) => [purchase, machines.length, avoidPools]),
    ).toEqual([
      ["spot", 3, []],
      ["spot", 1, ["a"]],
    ]);
  });
});

describe("a deadline", () => {
  const impatient = policy({
    timing: timing({ jobDeadlineSeconds: 120 }),
    limits: { machines: 1, perRepository: 50 },
  });

  it("that passes gives the job up, says so at GitHub once, and why", async () => {
    const world = new World({ policy: impatient });
    world.github.queueJob({ runSeconds: 300 });
    const second = world.github.queueJob();
    await world.run(200);
    expect(await world.store.findJob(second.id)).toMatchObject({
      state: "done",
      outcome: {
        kind: "given-up",
        because: "deadline-passed",
        detail: expect.stringContaining("limits.machines"),
      },
    });
    expect(world.github.givenUp.map((report) => report.jobId)).toEqual([second.id]);
    expect(await world.runUntil(() => world.compute.machines().length === 0)).toBe(true);
  });

  it("that passes for more jobs than a commit takes reports each of them once", async () => {
    const world = new World({ policy: impatient, changesPerCommit: 5 });
    world.github.queueJob({ runSeconds: 300 });
    await world.run(10);
    for (let count = 0; count < 20; count++) world.github.queueJob();
    await world.run(200);
    const reported = world.github.givenUp.map((report) => report.jobId);
    expect(reported).toHaveLength(20);
    expect(new Set(reported).size).toBe(20);
  });
});

describe("caps", () => {
  const two = [preset(), preset({ name: "gpu", labels: ["linux", "x64", "gpu"] })];

  it.each([
    ["in total", { machines: 3, perRepository: 50 }],
    ["of a repository", { machines: 50, perRepository: 3 }],
  ])("%s hold over two fleets that look at the same time", async (_which, limits) => {
    const world = new World({ policy: policy({ presets: two, limits }) });
    for (let count = 0; count < 6; count++) {
      world.github.queueJob();
      world.github.queueJob({ labels: ["self-hosted", "gpu"] });
    }
    world.concurrent = true;
    // Every look sees the same counters, until the commits tell.
    world.intercept = async (name, effect) => {
      const result = await effect();
      if (name === "store.counters") await new Promise((resolve) => setImmediate(resolve));
      return result;
    };
    await endsWithNothingLeft(world);
    const done = [...world.github.jobs.values()].filter((job) => job.conclusion === "success");
    expect(done).toHaveLength(12);
  });

  it.each(["its job is done", "the provider takes it"])(
    "give a place on to another fleet at once when %s",
    async (how) => {
      const world = new World({
        policy: policy({ presets: two, limits: { machines: 1, perRepository: 9 } }),
      });
      world.github.queueJob({ runSeconds: 60 });
      await world.runUntil(() => world.anyAgent((agent) => agent.runsAJob));
      world.github.queueJob({ labels: ["self-hosted", "gpu"] });
      await world.run(2);
      const [agent] = [...world.agents.values()];
      // Between two rounds of rebalance, which would look at every fleet.
      world.round = async () => {};
      if (how === "the provider takes it") {
        world.compute.finish(agent!.providerId);
        const { providerId } = agent!;
        await world.lifecycle.send({
          kind: "cloud",
          compute: "memory",
          providerId,
          what: "gone",
          at: world.now(),
        });
      }
      expect(await world.runUntil(() => world.compute.launchCount === 2, 80)).toBe(true);
    },
  );

  it("share a machine between repositories, none of which starves", async () => {
    const limits = { machines: 2, perRepository: 50 };
    // Runners of repositories: among the jobs of an organisation's runners it is GitHub who chooses.
    const world = new World({ policy: policy({ limits, registration: "repository" }) });
    for (let count = 0; count < 10; count++) world.github.queueJob({ runSeconds: 20 });
    const other = world.github.queueJob({ repository: repository({ name: "other" }) });
    await world.runUntil(() => other.status === "completed");
    const before = [...world.github.jobs.values()].filter((job) => job.status === "completed").length;
    expect(before).toBeLessThan(6);
    await endsWithNothingLeft(world);
  });

  it("are not passed by many looks at one fleet at the same time", async () => {
    const world = new World();
    for (let count = 0; count < 3; count++) world.github.queueJob();
    const { intercept } = world;
    world.intercept = async (name, effect) => (name === "work.send" ? undefined : effect());
    await world.step();
    world.intercept = intercept;
    await Promise.all(Array.from({ length: 10 }, () => scaleUp(world.ports, world.policy, "linux-x64")));
    expect(world.compute.launchCount).toBe(3);
    await endsWithNothingLeft(world);
  });
});

describe("machines that end before they are of use", () => {
  /** Every machine ends by itself as soon as it runs, as with a runner that cannot run on it. */
  async function runWithBrokenMachines(world: World, seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      await world.step();
      for (const agent of world.agents.values()) {
        if (agent.state === "off") continue;
        await world.report(agent.machineId, { step: "exited", exitCode: 1, ranJob: false });
        world.compute.finish(agent.providerId);
      }
    }
  }

  it("are replaced less and less often, which is said, until one works", async () => {
    const world = new World();
    const job = world.github.queueJob();
    await runWithBrokenMachines(world, 600);
    expect(world.compute.launchCount).toBeGreaterThan(4);
    expect(world.compute.launchCount).toBeLessThan(9);
    const why = await readWhy(world.ports, world.policy, job.id);
    expect(why?.job.waitsFor).toMatch(/^MACHINES_END_EARLY: Machines end before their runner listens\./);
    await endsWithNothingLeft(world);
    expect(job.conclusion).toBe("success");
  });

  it("a single one is replaced at once", async () => {
    const world = new World();
    const job = world.github.queueJob();
    await runWithBrokenMachines(world, 1);
    await world.runUntil(() => job.status === "completed", 60);
    expect(job.conclusion).toBe("success");
    expect(world.compute.launchCount).toBe(2);
  });

  it("are forgotten once a machine was of use", async () => {
    const world = new World();
    world.github.queueJob();
    await runWithBrokenMachines(world, 10);
    await endsWithNothingLeft(world);
    const launched = world.compute.launchCount;
    world.github.queueJob();
    await runWithBrokenMachines(world, 2);
    expect(world.compute.launchCount).toBe(launched + 2);
  });
});

describe("a store that takes few changes at once", () => {
  it("is given many in several commits", async () => {
    const world = new World({ changesPerCommit: 4 });
    for (let count = 0; count < 25; count++) world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(world.compute.launchCount).toBe(25);
  });
});
