import { describe, expect, it } from "vitest";
import { fleetRecord, fleetSpec, job, policy, preset } from "../../test/builders.ts";
import { World } from "../../test/support/world.ts";
import { createManualClock } from "../adapters/clock/manual.ts";
import { createMemoryImages } from "../adapters/images/memory.ts";
import { createMemoryLog } from "../adapters/log/memory.ts";
import { createSeededRandom } from "../adapters/random/seeded.ts";
import { createMemoryStore } from "../adapters/store/memory.ts";
import { MayflyError } from "../core/errors.ts";
import { imageKey } from "../core/image.ts";
import type { ImageTrialStatus } from "../core/image-status.ts";
import type { LaunchRequest } from "../ports/compute.ts";
import { imageOf } from "./image.ts";
import { readImagesNow, readWhy } from "./status.ts";

const base = "ubuntu:22.04";
const built = { image: base, buildsImages: true } as const;
const rules = (overrides = {}) => policy({ presets: [preset({ ...built, ...overrides })] });

function launchesOf(world: World): LaunchRequest[] {
  const requests: LaunchRequest[] = [];
  const { launch } = world.compute;
  world.compute.launch = (request) => {
    requests.push(request);
    return launch(request);
  };
  return requests;
}

async function endsWithNothingLeft(world: World, limitSeconds = 3_600): Promise<void> {
  expect(await world.runUntilQuiet(limitSeconds)).toBe(true);
  expect(await world.leftOver()).toEqual([]);
}

describe("a fleet whose image is made first", () => {
  it("E13: waits for one build, however many jobs and fleets want it, and then starts from it", async () => {
    const classes = { small: { cpu: 1, memoryGib: 2 } };
    const world = new World({ policy: { ...rules(), classes } });
    const requests = launchesOf(world);
    for (let count = 0; count < 5; count++) world.github.queueJob();
    world.github.queueJob({ labels: ["linux", "x64", "class:small"] });
    await world.run(20);
    expect(requests).toEqual([]);
    const { record } = await world.store.load("linux-x64");
    expect(record?.blocked).toMatchObject({
      because: "image-building",
      detail: "The image of ubuntu:22.04 is being built, as it is needed for the first time.",
    });
    const [waiting] = await world.jobs();
    const why = await readWhy(world.ports, world.policy, waiting?.id ?? 0);
    expect(JSON.stringify(why)).toContain("is being built");
    await endsWithNothingLeft(world);
    expect(world.images.builds).toHaveLength(1);
    const [build] = world.images.builds;
    expect(requests.map(({ spec }) => spec.image)).toEqual([`built:${build?.tag}`, `built:${build?.tag}`]);
    // The next job finds it there.
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(world.images.builds).toHaveLength(1);
  });

  it("starts from what its builder does not build as it is", async () => {
    const world = new World({ policy: rules({ image: "ami-0123456789abcdef0" }) });
    const requests = launchesOf(world);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests.map(({ spec }) => spec.image)).toEqual(["ami-0123456789abcdef0"]);
    expect(world.images.builds).toEqual([]);
  });

  it("E12: whose build fails says why, builds again, and serves its jobs", async () => {
    const world = new World({ policy: rules() });
    world.images.failNext("The base has no package manager");
    const waiting = world.github.queueJob();
    await world.run(75);
    const { record } = await world.store.load("linux-x64");
    expect(record?.blocked).toMatchObject({
      because: "image-failed",
      detail:
        "The image of ubuntu:22.04 could not be built: The base has no package manager. Its log ends: the last line",
    });
    await endsWithNothingLeft(world);
    expect(waiting.conclusion).toBe("success");
    expect(world.images.builds.map(({ tag }) => tag)).toHaveLength(2);
  });

  it("whose builds all fail gives its jobs up, visibly, and makes none wait until the next try", async () => {
    const world = new World({ policy: rules() });
    world.images.failNext(...Array.from({ length: 5 }, () => "No such base"));
    world.github.queueJob();
    const isGivenUp = async () => (await world.jobs())[0]?.outcome?.kind === "given-up";
    expect(await world.runUntil(isGivenUp, 3_600)).toBe(true);
    const [lost] = await world.jobs();
    expect(lost?.outcome).toMatchObject({
      because: "image-failed",
      detail: expect.stringMatching(/5 times in a row: No such base\. Its log ends: the last line$/),
    });
    expect(world.compute.launchCount).toBe(0);
    const second = world.github.queueJob();
    await world.run(5);
    expect((await world.store.findJob(second.id))?.outcome).toMatchObject({ because: "image-failed" });
    await world.run(3_700);
    const third = world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(third.conclusion).toBe("success");
  });

  it("goes on with the image that it has while another is built, and when that fails", async () => {
    const world = new World({ policy: rules() });
    world.github.queueJob();
    await endsWithNothingLeft(world);
    const [first] = world.images.builds;
    world.images.recipe = "memory-2";
    world.images.failNext("Broken recipe");
    const requests = launchesOf(world);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    await world.run(60);
    world.github.queueJob();
    await endsWithNothingLeft(world);
    expect(requests.map(({ spec }) => spec.image)).toEqual([`built:${first?.tag}`, `built:${first?.tag}`]);
    expect(world.images.builds.length).toBeGreaterThan(1);
  });

  it("tries a new one with one machine at a time, and then starts all from it", async () => {
    const world = new World({ policy: rules() });
    world.github.queueJob();
    await endsWithNothingLeft(world);
    world.images.recipe = "memory-2";
    const requests = launchesOf(world);
    let tried: ImageTrialStatus | null | undefined;
    for (let round = 0; round < 6; round++) {
      for (let count = 0; count < 3; count++) world.github.queueJob();
      await endsWithNothingLeft(world);
      await world.run(120);
      if (round === 2) tried = (await readImagesNow(world.ports, world.policy))[0]?.trial;
    }
    const [first, second] = world.images.builds.map(({ tag }) => `built:${tag}`);
    expect(tried).toMatchObject({ reference: second, worked: 2, failed: 0 });
    const machines = requests.map(({ spec, machines: { length } }) => ({ image: spec.image, length }));
    expect(machines.slice(0, 3)).toEqual([
      { image: first, length: 3 },
      { image: second, length: 1 },
      { image: first, length: 2 },
    ]);
    expect(machines.at(-1)).toEqual({ image: second, length: 3 });
    expect((await world.store.images())[0]?.trial).toBeUndefined();
  });

  it("asks for the same image when a launch is repeated, whatever it would start from now", async () => {
    const world = new World({ policy: rules() });
    world.github.queueJob();
    await endsWithNothingLeft(world);
    const requests = launchesOf(world);
    world.compute.failCalls(1);
    world.github.queueJob();
    await world.run(5);
    world.policy = rules({ image: "debian:12" });
    await endsWithNothingLeft(world);
    const [build] = world.images.builds;
    expect(requests.length).toBeGreaterThan(1);
    expect(new Set(requests.map(({ spec }) => spec.image))).toEqual(new Set([`built:${build?.tag}`]));
  });

  it("is asked about by the next round when nobody else looks", async () => {
    const world = new World({ policy: rules() });
    const waiting = world.github.queueJob();
    await world.run(20);
    // Every poke is lost.
    for (const received of await world.work.receive({ limit: 10, visibilitySeconds: 1, waitSeconds: 0 })) {
      await world.work.delete(received.receipt);
    }
    await endsWithNothingLeft(world);
    expect(waiting.conclusion).toBe("success");
    expect(world.images.builds).toHaveLength(1);
  });
});

describe("an image that is looked at", () => {
  async function place() {
    const clock = createManualClock();
    const store = createMemoryStore();
    const images = createMemoryImages({ clock });
    const record = fleetRecord({ id: "linux-x64", spec: fleetSpec({ image: base }) });
    await store.addJob(record, job({ fleet: "linux-x64" }));
    const random = createSeededRandom("images");
    return { ports: { clock, store, images, log: createMemoryLog(), random }, images, clock, store };
  }

  it("by many at the same time is built once", async () => {
    const { ports, images } = await place();
    const answers = await Promise.all(Array.from({ length: 8 }, () => imageOf(ports, rules(), "linux-x64")));
    expect(new Set(answers.map((answer) => answer?.kind))).toEqual(new Set(["building"]));
    expect(images.builds).toHaveLength(1);
  });

  it("whose builder cannot be reached is ordered again with the same tag, not at once", async () => {
    const { ports, images, clock, store } = await place();
    const unreachable = new MayflyError({ kind: "retry", code: "X", message: "No.", suggestion: "Later." });
    const tags: string[] = [];
    const broken = {
      ...images,
      start: async ({ tag }: { readonly tag: string }) => {
        tags.push(tag);
        throw unreachable;
      },
    };
    await imageOf({ ...ports, images: broken }, rules(), "linux-x64");
    await imageOf({ ...ports, images: broken }, rules(), "linux-x64");
    expect(tags).toHaveLength(1);
    await clock.advance(15_000);
    await imageOf(ports, rules(), "linux-x64");
    expect(images.builds.map(({ tag }) => tag)).toEqual(tags);
    const { record } = await store.load(imageKey(base, "x86_64"));
    expect(record?.image).toMatchObject({ state: "building", build: { id: "build-1" } });
  });

  it("that the builder refuses has failed, and says so", async () => {
    const { ports, images } = await place();
    const refused = new MayflyError({
      kind: "operator",
      code: "X",
      message: "Not allowed.",
      suggestion: "Allow it.",
    });
    const broken = { ...images, start: () => Promise.reject(refused) };
    expect(await imageOf({ ...ports, images: broken }, rules(), "linux-x64")).toMatchObject({
      kind: "failed",
      detail: "The image of ubuntu:22.04 could not be built: Not allowed.",
    });
  });

  it("is none where presets start from what they name, or nobody builds", async () => {
    const { ports } = await place();
    expect(await imageOf(ports, policy({ presets: [preset({ image: base })] }), "linux-x64")).toBeUndefined();
    const { images: _, ...withoutBuilder } = ports;
    expect(await imageOf(withoutBuilder, rules(), "linux-x64")).toBeUndefined();
  });
});
