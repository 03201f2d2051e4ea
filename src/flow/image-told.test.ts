import { describe, expect, it } from "vitest";
import { policy, preset } from "../../test/builders.ts";
import { World } from "../../test/support/world.ts";
import { imageKey } from "../core/image.ts";

const base = "ubuntu:22.04";
const rules = policy({ presets: [preset({ image: base, buildsImages: true })] });

/** A build that runs, of which nobody is going to ask for a quarter of an hour. */
async function building(): Promise<{ readonly world: World; readonly tag: string }> {
  const world = new World({ policy: rules });
  world.github.queueJob();
  await world.run(20);
  const key = imageKey(base, "x86_64");
  const { version, record } = await world.store.load(key);
  if (record?.image?.build === undefined) throw new Error("Nothing is being built.");
  const build = { ...record.image.build, lookAt: world.clock.now() + 900_000 };
  await world.store.commit(key, version, [
    { put: "fleet", record: { ...record, image: { ...record.image, build } } },
  ]);
  return { world, tag: build.tag };
}

const told = (world: World, tag: string) =>
  world.lifecycle.send({ kind: "image", base, architecture: "x86_64", tag, at: world.clock.now() });

describe("a build that is said to have ended", () => {
  it("E12: and has made its image, lets machines start from it at once", async () => {
    const { world, tag } = await building();
    await world.run(50);
    expect(world.compute.launchCount).toBe(0);
    await told(world, tag);
    await world.run(2);
    expect(world.compute.launchCount).toBe(1);
    expect(world.images.builds).toHaveLength(1);
  });

  it("E12: and has failed, says so at once", async () => {
    const { world, tag } = await building();
    await world.run(50);
    const look = world.images.look;
    Object.assign(world.images, {
      look: async () => ({ kind: "failed", reason: "No such base", log: "manifest unknown" }),
    });
    await told(world, tag);
    await world.run(2);
    const { record } = await world.store.load("linux-x64");
    expect(record?.blocked).toMatchObject({
      because: "image-failed",
      detail: expect.stringContaining("No such base. Its log ends: manifest unknown"),
    });
    Object.assign(world.images, { look });
  });

  it("and is named as its builder names it, is found too", async () => {
    const { world } = await building();
    await world.run(50);
    const event = { kind: "image", base, architecture: "x86_64", at: 0 } as const;
    await world.lifecycle.send({ ...event, buildId: "another" });
    await world.lifecycle.send(event);
    await world.run(2);
    expect(world.compute.launchCount).toBe(0);
    await world.lifecycle.send({ ...event, buildId: "build-1" });
    await world.run(2);
    expect(world.compute.launchCount).toBe(1);
  });

  it("while it runs, or that nobody waits for, changes nothing but when it is looked", async () => {
    const { world, tag } = await building();
    await told(world, tag);
    await told(world, "another");
    await world.lifecycle.send({ kind: "image", base: "debian:12", architecture: "arm64", tag, at: 0 });
    await world.run(2);
    expect(world.compute.launchCount).toBe(0);
    const { record } = await world.store.load(imageKey(base, "x86_64"));
    expect(record?.image).toMatchObject({ state: "building", build: { tag } });
    expect((await world.store.load(imageKey("debian:12", "arm64"))).record).toBeUndefined();
    expect(await world.runUntilQuiet(3_600)).toBe(true);
    expect(world.images.builds).toHaveLength(1);
  });
});
