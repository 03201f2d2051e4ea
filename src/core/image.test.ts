import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  buildLimitSeconds,
  type Image,
  type ImageEvent,
  imageAfter,
  imageAnswer,
  imageKey,
  imageTag,
  newImage,
  servesSeconds,
} from "./image.ts";

const recipe = "runner-1";
const start = 1_000_000;
const minute = 60_000;
const none = newImage("ubuntu:22.04", "x86_64");

const wanted = (image: Image | typeof none, now = start) =>
  imageAfter(image, { kind: "wanted", recipe }, now);
const building = wanted(none);
const tag = building.build?.tag ?? "";
const ready = imageAfter(building, { kind: "succeeded", tag, reference: "repository:1" }, start + minute);
const failed = imageAfter(
  building,
  { kind: "failed", tag, reason: "No such image", log: "last line" },
  start + minute,
);

describe("an image in whose place another is made", () => {
  const anew = imageAfter(ready, { kind: "wanted", recipe: "runner-2" }, start + 2 * minute);
  const made = { kind: "succeeded", tag: anew.build?.tag ?? "", reference: "repository:2" } as const;
  const tried = imageAfter(anew, made, start + 3 * minute);
  const now = start + 4 * minute;
  const noted = (ids: readonly string[], isNew: boolean, image = tried) =>
    imageAfter(image, { kind: "watched", machines: ids.map((id) => ({ id, isNew })) }, now);
  const seen = (image: Image, fate: "worked" | "failed", ids: readonly string[]) =>
    imageAfter(image, { kind: "seen", fates: new Map(ids.map((id) => [id, fate])) }, now);
  const three = ["a", "b", "c"];

  it("goes on to serve while the new one is on trial, which is as fresh as an image can be", () => {
    expect(tried).toMatchObject({ state: "ready", trial: { reference: "repository:2", machines: [] } });
    expect(imageAnswer(tried)).toEqual({ kind: "ready", reference: "repository:1" });
    expect(imageAfter(tried, { kind: "wanted", recipe: "runner-2" }, now)).toBe(tried);
    expect(imageAfter(tried, { kind: "wanted", recipe: "runner-3" }, now)).toMatchObject({
      state: "building",
      trial: { reference: "repository:2" },
    });
  });

  it("makes room for the new one when three of its machines have worked", () => {
    expect(noted([], true)).toBe(tried);
    const two = seen(noted(three, true), "worked", ["a", "b"]);
    expect(two).toMatchObject({ trial: { machines: [{ worked: true }, { worked: true }, { id: "c" }] } });
    const trusted = seen(two, "worked", ["c"]);
    expect(trusted.trial).toBeUndefined();
    expect(imageAnswer(trusted)).toEqual({ kind: "ready", reference: "repository:2" });
  });

  it("goes on when they have not, and the same is not built again before an hour has passed", () => {
    const back = seen(noted(three, true), "failed", three);
    expect(back).toMatchObject({ state: "failed", failure: { rolledBack: true, recipe: "runner-2" } });
    expect(back.trial).toBeUndefined();
    expect(imageAnswer(back)).toEqual({ kind: "ready", reference: "repository:1" });
    expect(imageAfter(back, made, now)).toBe(back);
    const wantedAt = (at: number) => imageAfter(back, { kind: "wanted", recipe: "runner-2" }, at);
    expect(wantedAt(now + 60 * minute - 1)).toBe(back);
    expect(wantedAt(now + 60 * minute)).toMatchObject({ state: "building" });
  });

  it("is rolled back to while a third is built already, which goes on", () => {
    const third = imageAfter(tried, { kind: "wanted", recipe: "runner-3" }, now);
    const back = seen(noted(three, true, third), "failed", three);
    expect(back).toMatchObject({ state: "building", build: { recipe: "runner-3" } });
    expect(back.trial).toBeUndefined();
  });

  it("is left for the new one when it is too old to serve, tried or not", () => {
    const late = start + servesSeconds * 1_000 + minute;
    expect(imageAfter(tried, { kind: "wanted", recipe: "runner-2" }, late)).toMatchObject({
      usable: { reference: "repository:2" },
    });
  });
});

describe("an image", () => {
  it("is built when it is first wanted, once, however many want it", () => {
    expect(building).toMatchObject({ state: "building", attempts: 1, build: { recipe, startedAt: start } });
    expect(wanted(building, start + 1)).toBe(building);
    expect(imageAnswer(building)).toEqual({
      kind: "building",
      detail: "The image of ubuntu:22.04 is being built, as it is needed for the first time.",
      nextAttemptAt: start,
      isFinal: false,
    });
  });

  it("whose build begins long after it was wanted is waited for from then on", () => {
    const late = start + buildLimitSeconds * 1_000;
    const begun = imageAfter(building, { kind: "started", tag, id: "build-1" }, late);
    expect(wanted(begun, late)).toBe(begun);
    expect(wanted(begun, late + buildLimitSeconds * 1_000 - 1)).toBe(begun);
    expect(wanted(begun, late + buildLimitSeconds * 1_000)).toMatchObject({ state: "failed" });
  });

  it("that is built serves", () => {
    expect(ready).toMatchObject({ state: "ready", attempts: 0 });
    expect(ready).not.toHaveProperty("build");
    expect(imageAnswer(ready)).toEqual({ kind: "ready", reference: "repository:1" });
    expect(wanted(ready, start + 2 * minute)).toBe(ready);
  });

  it("whose build is said to have ended has its builder asked at once, and is believed to be nothing yet", () => {
    const { build: asked } = imageAfter(building, { kind: "running", tag }, start);
    const running = imageAfter(building, { kind: "running", tag }, start);
    expect(asked?.lookAt).toBeGreaterThan(start + 1_000);
    const told = imageAfter(running, { kind: "told", tag }, start + 1_000);
    expect(told).toEqual({ ...running, build: { ...asked, lookAt: start + 1_000 } });
    expect(imageAfter(told, { kind: "told", tag }, start + 2_000)).toBe(told);
    expect(imageAfter(running, { kind: "told", tag: "another" }, start)).toBe(running);
    expect(imageAfter(ready, { kind: "told", tag }, start)).toBe(ready);
  });

  it("E15: serves while another is built, but not when it is so old that its repository may drop it", () => {
    const old = start + minute + servesSeconds * 1000;
    expect(imageAnswer(wanted(ready, old - 1))).toMatchObject({ kind: "ready" });
    const again = wanted(ready, old);
    expect(again).toMatchObject({ state: "building" });
    expect(imageAnswer(again)).toMatchObject({ kind: "building" });
    // Also when it is wanted while the other is being built, or that has failed.
    expect(imageAnswer(wanted(wanted(ready, old - 1), old))).toMatchObject({ kind: "building" });
    const other = wanted(ready, old - 1);
    const event = { kind: "failed", tag: other.build?.tag ?? "", reason: "No." } as const;
    expect(imageAnswer(wanted(imageAfter(other, event, old - 1), old))).toMatchObject({ kind: "failed" });
  });

  it("that is ordered is built anew, whatever there is, and the old one serves", () => {
    const order = (image: Image | typeof none) =>
      imageAfter(image, { kind: "ordered", recipe }, start + 2 * minute);
    expect(order(none)).toMatchObject({ state: "building", attempts: 1 });
    expect(order(building)).toBe(building);
    const anew = order(ready);
    expect(anew).toMatchObject({ state: "building", attempts: 1 });
    expect(imageAnswer(anew)).toEqual({ kind: "ready", reference: "repository:1" });
    const again = order({ ...failed, attempts: 5 });
    expect(again).toMatchObject({ state: "building", attempts: 1 });
    expect(again).not.toHaveProperty("failure");
  });

  it("knows whose log is its last one, also when that build has ended", () => {
    const started = imageAfter(building, { kind: "started", tag, id: "build-7" }, start);
    expect(started).toMatchObject({ lastBuildId: "build-7", build: { id: "build-7" } });
    expect(imageAfter(started, { kind: "started", tag, id: "build-7" }, start + 1)).toBe(started);
    const ended = imageAfter(started, { kind: "failed", tag, reason: "no" }, start);
    expect(ended.lastBuildId).toBe("build-7");
    expect(wanted(ended, start + 5 * minute).lastBuildId).toBe("build-7");
  });

  it("E12: that could not be built says why, with its log, and is built again after a pause", () => {
    expect(imageAnswer(failed)).toEqual({
      kind: "failed",
      detail: "The image of ubuntu:22.04 could not be built: No such image. Its log ends: last line",
      nextAttemptAt: start + 2 * minute,
      isFinal: false,
    });
    expect(wanted(failed, start + 2 * minute - 1)).toBe(failed);
    const again = wanted(failed, start + 2 * minute);
    expect(again).toMatchObject({ state: "building", attempts: 2 });
    expect(again.build?.tag).not.toBe(tag);
    expect(imageAnswer(again)).toMatchObject({
      detail: "The image of ubuntu:22.04 is being built for the 2nd time: No such image.",
      nextAttemptAt: start + 2 * minute,
      isFinal: false,
    });
    const times = [1, 3, 4].map((attempts) => imageAnswer({ ...again, attempts }));
    expect(times).toMatchObject(
      ["1st", "3rd", "4th"].map((nth) => ({ detail: expect.stringContaining(`for the ${nth} time: `) })),
    );
  });

  it("that could not be built says so in one sentence, whether or not the reason is one, and without a log", () => {
    const event = { kind: "failed", tag, reason: "It was refused." } as const;
    const silent = imageAfter(building, event, start);
    expect(imageAnswer(silent)).toMatchObject({
      detail: "The image of ubuntu:22.04 could not be built: It was refused.",
    });
    expect(imageAnswer(wanted(silent, start + minute))).toMatchObject({
      detail: "The image of ubuntu:22.04 is being built for the 2nd time: It was refused.",
    });
  });

  it("has failed at the limit of its own builder", () => {
    const image = imageAfter(none, { kind: "wanted", recipe, limitSeconds: 7200 }, start);
    const at = (seconds: number) =>
      imageAfter(image, { kind: "wanted", recipe, limitSeconds: 60 }, start + seconds * 1000);
    expect(at(7199).state).toBe("building");
    expect(at(7200).failure?.reason).toBe("It did not end within 120 minutes.");
  });

  it("that nobody has wanted is none, and nothing can be told of it", () => {
    const event = { kind: "running", tag } as const;
    expect(() => imageAfter(none, event, start)).toThrow(/nobody has wanted/);
  });

  it("keeps what it says of itself", () => {
    expect(ready.usable).toEqual({ reference: "repository:1", recipe, builtAt: start + minute });
    expect(imageKey("ubuntu:22.04", "x86_64")).toMatch(/^image\/[0-9a-f]{32}$/);
  });

  it("that fails again and again is given up, for an hour", () => {
    let image: Image = building;
    const waits: number[] = [];
    for (let now = start; ; ) {
      image = imageAfter(image, { kind: "failed", tag: image.build?.tag ?? "", reason: "No" }, now);
      const { retryAt = 0, isFinal } = image.failure ?? {};
      waits.push((retryAt - now) / minute);
      if (isFinal === true) break;
      now = retryAt;
      image = wanted(image, now);
    }
    expect(waits).toEqual([1, 2, 4, 8, 60]);
    expect(imageAnswer(image)).toMatchObject({
      isFinal: true,
      detail: expect.stringContaining("5 times in a row"),
    });
    expect(wanted(image, image.failure?.retryAt)).toMatchObject({ state: "building", attempts: 1 });
  });

  it("that failed is built at once by another recipe, which may be what it needed", () => {
    const other = imageAfter(failed, { kind: "wanted", recipe: "runner-2" }, start + minute + 1);
    expect(other).toMatchObject({ state: "building", build: { recipe: "runner-2" } });
  });

  it("of which nothing is heard for too long has failed, and may still succeed late", () => {
    const late = start + buildLimitSeconds * 1000;
    expect(wanted(building, late - 1)).toBe(building);
    const silent = wanted(building, late);
    expect(silent).toMatchObject({
      state: "failed",
      failure: { tag, reason: expect.stringContaining("45 minutes") },
    });
    const after = imageAfter(silent, { kind: "succeeded", tag, reference: "repository:1" }, late + 1);
    expect(imageAnswer(after)).toMatchObject({ kind: "ready" });
  });

  it("E15: is built again after a week, and by another recipe, and serves meanwhile", () => {
    const week = 7 * 24 * 60 * minute;
    expect(wanted(ready, start + minute + week - 1)).toBe(ready);
    for (const image of [
      wanted(ready, start + minute + week),
      imageAfter(ready, { kind: "wanted", recipe: "runner-2" }, start + 2 * minute),
    ]) {
      expect(image.state).toBe("building");
      expect(imageAnswer(image)).toEqual({ kind: "ready", reference: "repository:1" });
      const spoilt = imageAfter(
        image,
        { kind: "failed", tag: image.build?.tag ?? "", reason: "No" },
        start + week,
      );
      expect(imageAnswer(spoilt)).toEqual({ kind: "ready", reference: "repository:1" });
    }
  });

  it("learns its build's id, and when to ask about it", () => {
    const started = imageAfter(building, { kind: "started", tag, id: "b-1" }, start + 5_000);
    expect(started.build).toMatchObject({ id: "b-1", lookAt: start + 20_000 });
    expect(imageAfter(started, { kind: "started", tag, id: "b-1" }, start + 6_000)).toBe(started);
    const looked = imageAfter(started, { kind: "running", tag }, start + 20_000);
    expect(looked.build?.lookAt).toBe(start + 35_000);
  });

  it("is not changed by what is said of another build", () => {
    for (const image of [building, ready, failed]) {
      const events: ImageEvent[] = [
        { kind: "started", tag: "another", id: "b" },
        { kind: "running", tag: "another" },
        { kind: "succeeded", tag: "another", reference: "wrong" },
        { kind: "failed", tag: "another", reason: "wrong" },
      ];
      for (const event of events) expect(imageAfter(image, event, start + minute)).toBe(image);
    }
  });
});

test("E14: no two bases have one tag or one name, however they are spelled", () => {
  const bases = ["foo/bar:1", "foo-bar:1", "foo.bar-1", "foo/bar-1"];
  expect(new Set(bases.map((base) => imageKey(base, "x86_64"))).size).toBe(bases.length);
  const tags = bases.map((base) => imageTag({ base, architecture: "x86_64" }, recipe, start));
  expect(new Set([...tags, imageTag({ base: "foo/bar:1", architecture: "arm64" }, recipe, start)]).size).toBe(
    5,
  );
  for (const one of tags) expect(one).toMatch(/^[0-9a-f]{32}$/);
});

const eventOf = fc.record({
  kind: fc.constantFrom("wanted", "started", "running", "succeeded", "failed"),
  /** About the build that runs, the one that failed last, or another. */
  about: fc.constantFrom("build", "failure", "another"),
  recipe: fc.constantFrom("runner-1", "runner-2"),
  minutes: fc.nat({ max: 90 }),
});

test("whatever happens in whatever order: one build at a time, what served serves on, and nothing is stuck", () => {
  fc.assert(
    fc.property(fc.array(eventOf, { maxLength: 60 }), (drawn) => {
      let image: Image = building;
      let now = start;
      for (const { kind, about, recipe: next, minutes } of drawn) {
        now += minutes * minute;
        const before = image;
        const about_ = { build: image.build?.tag, failure: image.failure?.tag, another: "x" }[about] ?? "x";
        const event = {
          kind,
          tag: about_,
          recipe: next,
          id: "b",
          reference: "r",
          reason: "No",
        } as ImageEvent;
        image = imageAfter(image, event, now);
        // The state says what is there.
        expect(image.state === "building").toBe(image.build !== undefined);
        if (image.state === "ready") expect(image.usable).toBeDefined();
        if (image.state === "failed") expect(image.failure).toBeDefined();
        // A build is replaced only when it has ended, or was silent for too long.
        if (before.build !== undefined && image.build !== undefined)
          expect(image.build.tag).toBe(before.build.tag);
        if (before.usable !== undefined) expect(image.usable).toBeDefined();
        expect(image.attempts).toBeLessThanOrEqual(5);
      }
      // With a builder that works from now on, whoever wants it gets it.
      for (let look = 0; look < 3 && imageAnswer(image).kind !== "ready"; look++) {
        now += 61 * minute;
        image = wanted(image, now);
        if (image.build !== undefined) {
          image = imageAfter(image, { kind: "succeeded", tag: image.build.tag, reference: "r" }, now);
        }
      }
      expect(imageAnswer(image).kind).toBe("ready");
    }),
    { numRuns: 500 },
  );
});
