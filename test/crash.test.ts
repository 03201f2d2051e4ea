import { describe, expect, it } from "vitest";
import { createSeededRandom } from "../src/adapters/random/seeded.ts";
import { MayflyError } from "../src/core/errors.ts";
import type { Change } from "../src/core/model.ts";
import type { Random } from "../src/ports/random.ts";
import type { Store } from "../src/ports/store.ts";
import { policy, preset, repository } from "./builders.ts";
import type { Sending } from "./support/fake-github.ts";
import { World } from "./support/world.ts";

/**
 * A story is told once for every call that the flow makes through a port, and each time another call goes wrong:
 * the process dies there and starts again, or the call fails, before its effect or after it. Whatever happened, in
 * the end every job has run, nothing exists that costs money, and nothing was done that must never be done.
 */
interface Story {
  readonly name: string;
  readonly make?: () => World;
  readonly tell: (world: World) => Promise<void>;
  /** Machines that the story itself needs beside one per job. */
  readonly replacements?: number;
  /** The same when a call goes wrong: a delivery that tells of a job too late makes a machine too many. */
  readonly replacementsInAnAccident?: number;
  /** Jobs that are run again because they were lost with their machines. */
  readonly reruns?: number;
  /** Jobs that need not succeed, because the story takes their machine or cancels them. */
  readonly spoiled?: number;
}

const stories: readonly Story[] = [
  {
    name: "one job",
    tell: async (world) => {
      world.github.queueJob();
    },
  },
  {
    name: "three jobs of two repositories, every delivery twice and in disorder",
    tell: async (world) => {
      world.network = doubledAndReversed;
      world.github.queueJob();
      world.github.queueJob({ repository: repository({ name: "other" }) });
      await world.run(5);
      world.github.queueJob({ runSeconds: 5 });
    },
  },
  {
    name: "runners of repositories, one job cancelled while its machine boots",
    make: () => new World({ policy: policy({ registration: "repository" }) }),
    tell: async (world) => {
      const first = world.github.queueJob();
      await world.run(2);
      world.github.cancel(first);
      world.github.queueJob({ repository: repository({ name: "other" }) });
    },
    spoiled: 1,
    replacements: 1,
  },
  {
    name: "three jobs whose image is built first, and fails to be once",
    make: () =>
      new World({
        policy: policy({ presets: [preset({ image: "ubuntu:22.04", buildsImages: true })] }),
        marks: "launch",
      }),
    tell: async (world) => {
      world.images.failNext("No space left");
      for (let count = 0; count < 3; count++) world.github.queueJob();
    },
  },
  {
    name: "spot refused in one pool, then on-demand",
    make: () =>
      new World({ policy: policy({ presets: [preset({ market: "spot-preferred" })] }), pools: ["a", "b"] }),
    tell: async (world) => {
      const refusal = { failure: "capacity", code: "NO_CAPACITY" } as const;
      world.compute.refuseNext("a", [refusal, refusal]);
      world.compute.refuseNext("b", [refusal]);
      world.github.queueJob();
      world.github.queueJob();
    },
  },
  {
    name: "two machines of one launch that bear only its token, every delivery twice and in disorder",
    make: () => new World({ marks: "launch" }),
    tell: async (world) => {
      world.network = doubledAndReversed;
      for (let count = 0; count < 2; count++) world.github.queueJob();
      await world.run(5);
      world.github.queueJob({ runSeconds: 5 });
    },
  },
  {
    name: "most of such a launch refused for spot, then on-demand",
    make: () =>
      new World({ policy: policy({ presets: [preset({ market: "spot-preferred" })] }), marks: "launch" }),
    tell: async (world) => {
      const refusal = { failure: "capacity", code: "NO_CAPACITY" } as const;
      world.compute.refuseNext("memory", [undefined, refusal, refusal]);
      for (let count = 0; count < 3; count++) world.github.queueJob();
    },
  },
  {
    name: "an idle runner is taken away, a busy machine too",
    tell: async (world) => {
      world.github.queueJob({ runSeconds: 60 });
      await world.runUntil(() => world.anyAgent((agent) => agent.runsAJob));
      for (const agent of world.agents.values()) if (agent.runsAJob) world.compute.finish(agent.providerId);
      world.github.queueJob();
    },
    spoiled: 1,
  },
  {
    name: "a spot machine is taken back, and its job is run again",
    make: () =>
      new World({ policy: policy({ presets: [preset({ market: "spot-preferred" })] }), pools: ["a", "b"] }),
    tell: async (world) => {
      world.github.queueJob({ runSeconds: 90 });
      // Of a machine whose launch was never answered nobody can tell that it was taken back.
      await world.runUntil(async () =>
        (await world.machines()).some(
          (machine) => machine.jobId !== undefined && machine.providerId !== undefined,
        ),
      );
      for (const { providerId } of world.agents.values()) {
        const at = world.now();
        await world.lifecycle.send({
          kind: "cloud",
          compute: "memory",
          providerId,
          what: "interruption-notice",
          at,
        });
        world.compute.finish(providerId);
      }
    },
    spoiled: 1,
    reruns: 1,
    replacementsInAnAccident: 1,
  },
  {
    name: "every delivery is lost at first",
    replacementsInAnAccident: 1,
    tell: async (world) => {
      world.network = lostAtFirst();
      world.github.queueJob({ runSeconds: 5 });
      await world.run(3);
      world.github.queueJob();
    },
  },
];

const accidents = ["died before", "died after", "failed before", "failed after"] as const;
type Accident = (typeof accidents)[number];

describe.each(stories)("$name", (story) => {
  it("goes well when nothing goes wrong", async () => {
    const world = await play(story);
    expect(await problemsOf(story, world)).toEqual([]);
    expect(world.failures).toEqual([]);
  });

  it("goes well in whatever order things happen that happen together", async () => {
    const problems: string[] = [];
    for (let seed = 1; seed <= 60; seed++) {
      const world = await play(story, (made) => stirred(made, seed));
      for (const problem of await problemsOf(story, world)) problems.push(`seed ${seed}: ${problem}`);
    }
    expect(problems).toEqual([]);
  });

  it("keeps what a newer version of Mayfly wrote into the same entries", async () => {
    const lost: string[] = [];
    const world = await play(story, (made) => {
      made.ports = { ...made.ports, store: besideNewer(made.ports.store, lost) };
    });
    expect(lost).toEqual([]);
    expect(await problemsOf(story, world)).toEqual([]);
    // It is there to the end.
    const { jobs } = await world.store.history(0, 10);
    expect(jobs.map((job) => "novelty" in job)).toEqual(jobs.map(() => true));
    expect(jobs.length).toBeGreaterThan(0);
  });

  it.each(accidents)("goes well whichever call %s its effect", async (accident) => {
    const calls = await countCalls(story);
    expect(calls).toBeGreaterThan(20);
    const problems: string[] = [];
    for (let at = 1; at <= calls; at++) {
      let struck: string | undefined;
      const world = await play(story, (made) => {
        letGoWrong(made, at, accident, (name) => {
          struck = name;
        });
      });
      for (const problem of await problemsOf(story, world, story.replacementsInAnAccident)) {
        problems.push(`call ${at} (${struck ?? "never made"}): ${problem}`);
      }
    }
    expect(problems).toEqual([]);
  });
});

describe("many accidents, everything at the same time", () => {
  const two = [
    preset({ market: "spot-preferred" }),
    preset({ name: "gpu", labels: ["linux", "x64", "gpu"], warm: 1 }),
  ];
  const rules = policy({
    presets: two,
    limits: { machines: 6, perRepository: 4 },
    registration: "repository",
  });

  it.each([0.02, 0.2])(
    "one call in %f goes wrong for ten minutes; then everything ends well",
    async (part) => {
      const problems: string[] = [];
      for (let seed = 1; seed <= 40; seed++) {
        const world = new World({ policy: rules, changesPerCommit: 7 });
        const random = createSeededRandom(seed);
        stirred(world, seed);
        strewn(world, seed, part);
        for (let second = 0; second < 600; second++) {
          if (random.fraction() < 0.02) world.github.queueJob(anyJob(random));
          if (random.fraction() < 0.005) takeAnyMachine(world, random);
          await world.step();
        }
        stirred(world, seed);
        world.network = (sendings) => sendings;
        world.policy = { ...rules, presets: [two[0]!, { ...two[1]!, warm: 0 }] };
        await world.runUntilQuiet(5_000);
        // The test tests something: many pieces of work failed, and many jobs ran.
        if (part > 0.1) expect(world.failures.length).toBeGreaterThan(10);
        expect(world.github.jobs.size).toBeGreaterThan(3);
        for (const problem of await world.leftOver()) problems.push(`seed ${seed}: ${problem}`);
      }
      expect(problems).toEqual([]);
    },
  );
});

function anyJob(random: Random): Parameters<World["github"]["queueJob"]>[0] {
  return {
    repository: repository({ name: random.fraction() < 0.5 ? "app" : "other" }),
    labels: random.fraction() < 0.3 ? ["self-hosted", "gpu"] : ["self-hosted", "linux", "x64"],
    runSeconds: Math.ceil(random.fraction() * 60),
  };
}

/** The provider takes a machine back, whatever it does. */
function takeAnyMachine(world: World, random: Random): void {
  const machines = world.compute.machines();
  const machine = machines[Math.floor(random.fraction() * machines.length)];
  if (machine !== undefined) world.compute.finish(machine.providerId);
}

/** Besides, any call may fail, before its effect or after it, and deliveries may be lost. */
function strewn(world: World, seed: number, part: number): void {
  const random = createSeededRandom(`accidents ${seed}`);
  const { intercept } = world;
  world.intercept = async (name, effect) => {
    const fate = random.fraction() / part;
    if (fate < 0.5) throw failure();
    const result = await intercept(name, effect);
    if (fate < 1) throw failure();
    return result;
  };
  world.network = (sendings) => sendings.filter(() => random.fraction() >= part);
}

/** The process is gone: whatever it still tries has no effect. */
class Death extends Error {}

async function play(story: Story, prepare: (world: World) => void = () => {}): Promise<World> {
  const world = story.make?.() ?? new World();
  prepare(world);
  await story.tell(world);
  await world.runUntilQuiet();
  return world;
}

/** Everything at the same time, every call taking its own, random time. */
function stirred(world: World, seed: number): void {
  const random = createSeededRandom(seed);
  world.concurrent = true;
  world.intercept = async (_name, effect) => {
    for (let turns = Math.floor(random.fraction() * 12); turns > 0; turns--) await Promise.resolve();
    const result = await effect();
    for (let turns = Math.floor(random.fraction() * 12); turns > 0; turns--) await Promise.resolve();
    return result;
  };
}

async function countCalls(story: Story): Promise<number> {
  let calls = 0;
  await play(story, (world) => {
    world.intercept = (_name, effect) => {
      calls += 1;
      return effect();
    };
  });
  return calls;
}

function letGoWrong(world: World, at: number, accident: Accident, note: (name: string) => void): void {
  let calls = 0;
  let dead = false;
  world.intercept = async (name, effect) => {
    if (dead) throw new Death("The process is dead.");
    calls += 1;
    if (calls !== at) return effect();
    note(name);
    if (accident.endsWith("after")) await effect();
    if (accident.startsWith("failed")) throw failure();
    dead = true;
    throw new Death("The process dies.");
  };
  world.onPieceEnded = () => {
    dead = false;
  };
}

function failure(): MayflyError {
  const message = "Whether it happened is not known.";
  return new MayflyError({ kind: "retry", code: "ACCIDENT", message, suggestion: "Do it again." });
}

async function problemsOf(story: Story, world: World, more = 0): Promise<readonly string[]> {
  const problems = [...(await world.leftOver())];
  const jobs = [...world.github.jobs.values()];
  const spoiled = jobs.filter((job) => job.conclusion !== "success").length;
  if (spoiled > (story.spoiled ?? 0)) problems.push(`${spoiled} jobs did not succeed`);
  const again = jobs.filter((job) => job.runAttempt > 1).length;
  if (again !== (story.reruns ?? 0)) problems.push(`${again} jobs were run again`);
  const allowed = jobs.length + (story.replacements ?? 0) + more;
  const { launchCount } = world.compute;
  if (launchCount > allowed) problems.push(`${launchCount} machines were launched for ${jobs.length} jobs`);
  return problems;
}

const novelty = { novelty: { of: "a newer version" } };

/**
 * While functions are replaced, two versions work on one ledger. Here a newer one, which knows a field that this one does
 * not, has always just written all entries of a fleet when this one loads it; `lost` names what this one then wrote
 * without that field.
 */
function besideNewer(store: Store, lost: string[]): Store {
  const written = new Set<string>();
  return {
    ...store,
    load: async (fleet) => {
      const { version, record, jobs, machines } = await store.load(fleet);
      const changes: readonly Change[] = [
        ...(record === undefined ? [] : [{ put: "fleet", record: { ...record, ...novelty } } as const]),
        ...jobs.map((job) => ({ put: "job", job: { ...job, ...novelty } }) as const),
        ...machines.map((machine) => ({ put: "machine", machine: { ...machine, ...novelty } }) as const),
      ];
      if (changes.length > 0) await store.commit(fleet, version, changes);
      for (const change of changes) written.add(nameOf(fleet, change));
      return store.load(fleet);
    },
    commit: async (fleet, version, changes, limits) => {
      const result = await store.commit(fleet, version, changes, limits);
      if (result.kind !== "committed") return result;
      for (const change of changes) {
        const entry =
          change.put === "fleet" ? change.record : change.put === "job" ? change.job : change.machine;
        const name = nameOf(fleet, change);
        if (written.has(name) && !("novelty" in entry)) lost.push(name);
      }
      return result;
    },
  };
}

function nameOf(fleet: string, change: Change): string {
  if (change.put === "fleet") return `fleet ${fleet}`;
  return change.put === "job" ? `job ${change.job.id}` : `machine ${change.machine.id}`;
}

/** What GitHub sends for the first time does not arrive; what it is asked to send again does. */
function lostAtFirst(): World["network"] {
  const seen = new Set<string>();
  return (sendings) =>
    sendings.filter(({ guid }) => {
      const again = seen.has(guid);
      seen.add(guid);
      return again;
    });
}

/** Every delivery comes twice, and what is under way together arrives in the wrong order. */
function doubledAndReversed(sendings: readonly Sending[]): readonly Sending[] {
  return [...sendings, ...sendings].reverse();
}
