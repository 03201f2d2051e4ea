import { expect, it } from "vitest";
import type { OwnImage } from "../../adapters/compute/ec2-own-images.ts";
import { pruneDecisions } from "./prune-images.ts";

const day = 86_400_000;
const now = Date.parse("2026-11-21T08:00:00Z");

function image(id: string, daysOld: number, overrides: Partial<OwnImage> = {}): OwnImage {
  return {
    id,
    name: id,
    createdAt: now - daysOld * day,
    architecture: "x86_64",
    tags: new Map([["mayfly:pipeline", "tools"]]),
    snapshots: [`snap-of-${id}`],
    ...overrides,
  };
}

function outcomes(images: readonly OwnImage[], inUse: readonly string[], keep = 2) {
  const rules = { olderThanDays: 30, keep };
  const decided = pruneDecisions(images, new Set(inUse), rules, now);
  return Object.fromEntries(decided.map((one) => [one.image.id, one.isDeleted ? "deleted" : one.because]));
}

it("deletes what is old, and not what is in use, young, or among the newest", () => {
  const images = [image("e", 100), image("c", 40), image("a", 1), image("d", 50), image("b", 20)];
  expect(outcomes(images, ["d"])).toEqual({
    a: "newest",
    b: "newest",
    c: "deleted",
    d: "in-use",
    e: "deleted",
  });
  expect(outcomes(images, [], 1)).toMatchObject({ a: "newest", b: "young" });
});

it("keeps the newest of each pipeline and each processor", () => {
  const other = new Map([["mayfly:pipeline", "other"]]);
  const images = [image("a", 90), image("b", 91, { architecture: "arm64" }), image("c", 92, { tags: other })];
  expect(outcomes(images, [], 1)).toEqual({ a: "newest", b: "newest", c: "newest" });
});

it("deletes nothing of which it is not known how old it is", () => {
  expect(outcomes([image("a", Number.NaN)], [], 0)).toEqual({ a: "of-unknown-age" });
});
