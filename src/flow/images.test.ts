import { describe, expect, it } from "vitest";
import { policy, preset } from "../../test/builders.ts";
import { World } from "../../test/support/world.ts";
import { imageKey } from "../core/image.ts";
import type { Policy } from "../core/model.ts";
import { orderImage, readImageLog } from "./images.ts";
import { readImagesNow, readStatus, readWhy } from "./status.ts";

const base = "ubuntu:22.04";
const built = { image: base, buildsImages: true } as const;
const rules: Policy = { ...policy({ presets: [preset(built)] }), imagesAllowed: ["debian:*"] };

async function imagesOf(world: World) {
  return readImagesNow(world.ports, world.policy);
}

const order = (world: World, anew = false, name = base) =>
  orderImage(world.ports, world.policy, { base: name, anew });

describe("an operator's order", () => {
  it("is built though no fleet wants it, and is followed to its end", async () => {
    const world = new World({ policy: rules });
    expect(await order(world, false, "debian:12")).toEqual({
      ...{ kind: "building", base: "debian:12", architecture: "x86_64" },
    });
    expect(await order(world, true, "debian:12")).toMatchObject({ kind: "building" });
    await world.run(70);
    expect(world.images.builds).toHaveLength(1);
    const [build] = world.images.builds;
    expect(await imagesOf(world)).toMatchObject([
      { base: "debian:12", state: "ready", reference: `built:${build?.tag}`, attempts: 0, fleets: [] },
    ]);
    expect(await order(world, false, "debian:12")).toMatchObject({ kind: "ready" });
    expect(world.images.builds).toHaveLength(1);
    expect(world.failures).toEqual([]);
  });

  it("for a new one leaves the old one to serve meanwhile, also when the new one fails", async () => {
    const world = new World({ policy: rules });
    await order(world);
    await world.run(70);
    const [first] = await imagesOf(world);
    world.images.failNext("The registry is full");
    expect(await order(world, true)).toMatchObject({ kind: "building" });
    expect(await imagesOf(world)).toMatchObject([
      { state: "building", alias: null, reference: first?.reference },
    ]);
    const served = world.github.queueJob();
    await world.run(90);
    expect(served.conclusion).toBe("success");
    expect(await imagesOf(world)).toMatchObject([
      { state: "failed", reason: "The registry is full", reference: first?.reference, attempts: 1 },
    ]);
    // Nobody waits for its pause: it is asked for again at once.
    expect(await order(world)).toMatchObject({ kind: "building" });
    await world.run(70);
    expect(await imagesOf(world)).toMatchObject([{ state: "ready", reason: null }]);
  });

  it("whose poke is lost is found by the next round", async () => {
    const world = new World({ policy: rules });
    const { work } = world.ports;
    await orderImage({ ...world.ports, work: { send: async () => {} } }, rules, { base, anew: false });
    expect(world.ports.work).toBe(work);
    await world.run(200);
    expect(await imagesOf(world)).toMatchObject([{ state: "ready" }]);
    expect(world.images.builds).toHaveLength(1);
  });

  it("is refused for what no job may ask for, and where none are built", async () => {
    const world = new World({ policy: rules });
    expect(await order(world, false, "alpine:3")).toMatchObject({
      kind: "refused",
      because: "The image alpine:3 matches no entry of images.allow.",
    });
    expect(await world.store.images()).toEqual([]);
    const without = new World();
    expect(await order(without)).toMatchObject({ kind: "refused", because: "No images are built here." });
    const both = policy({
      presets: [preset(built), preset({ ...built, name: "arm", architecture: "arm64" })],
    });
    const ask = (architecture?: "arm64") =>
      orderImage(world.ports, both, { base, anew: false, ...(architecture && { architecture }) });
    expect(await ask()).toMatchObject({ because: "Images are built for x86_64 and arm64." });
    expect(await ask("arm64")).toMatchObject({ kind: "building", architecture: "arm64" });
  });
});

describe("the status of images", () => {
  it("says who waits, and in the word of other systems", async () => {
    const world = new World({ policy: rules });
    const { id } = world.github.queueJob();
    world.github.queueJob();
    await world.run(10);
    const options = { version: "1", problems: [], listLimit: 10 };
    const status = await readStatus(world.ports, rules, options);
    expect(status.images).toMatchObject([
      {
        ...{ base, architecture: "x86_64", state: "building", alias: "IMAGE_CREATING", reference: null },
        ...{ fleets: [{ fleet: "linux-x64", queued: 2 }], waitingJobs: 2, attempts: 1 },
      },
    ]);
    expect(status.fleets[0]?.blocked).toMatchObject({ because: "image-building", alias: "IMAGE_CREATING" });
    expect((await readWhy(world.ports, rules, id))?.image).toMatchObject({ base, state: "building" });
  });

  it("has what a scan found, and goes without where that cannot be read", async () => {
    const world = new World({ policy: rules });
    await order(world);
    await world.run(70);
    expect(await imagesOf(world)).toMatchObject([{ scan: null }]);
    const scan = { at: null, findings: { critical: 2 } };
    world.images.scans.set(`built:${world.images.builds[0]?.tag}`, scan);
    expect(await imagesOf(world)).toMatchObject([{ scan }]);
    const images = { ...world.images, findings: () => Promise.reject(new Error("refused")) };
    expect(await readImagesNow({ ...world.ports, images }, rules)).toMatchObject([{ scan: null }]);
    expect(world.log.text()).toContain("could not be read");
  });

  it("costs nothing where no preset has images built", async () => {
    const world = new World();
    const images = () => Promise.reject(new Error("It must not be asked."));
    const ports = { ...world.ports, store: { ...world.store, images } };
    expect(await readImagesNow(ports, world.policy)).toEqual([]);
  });
});

it("the log of the last build can be read, and it is said when there is none", async () => {
  const world = new World({ policy: rules });
  expect(await readImageLog(world.ports, rules, { base, lines: 5 })).toMatchObject({
    because: "No build of ubuntu:22.04 for x86_64 was begun.",
  });
  world.images.failNext("no space left");
  await order(world);
  await world.run(70);
  expect(await readImageLog(world.ports, rules, { base, lines: 1 })).toEqual({
    ...{ base, architecture: "x86_64", build: "build-1", lines: ["no space left"] },
  });
  expect((await world.store.load(imageKey(base, "x86_64"))).record?.image?.state).toBe("failed");
});
