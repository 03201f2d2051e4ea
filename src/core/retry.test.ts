import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { start } from "../../test/builders.ts";
import {
  backoffSeconds,
  everyPool,
  forgetRefusals,
  type LaunchRefusal,
  marketRefusal,
  poolsToAvoid,
  rememberInterruption,
  rememberRefusal,
} from "./retry.ts";

const timing = { capacityBackoffSeconds: 60, capacityBackoffLimitSeconds: 1_800 };
const refusal: LaunchRefusal = {
  purchase: "spot",
  kind: "capacity",
  code: "NO",
  message: "No.",
  pools: ["a", "b"],
};

it("waits double so long with every failure, up to the limit", () => {
  expect([0, 1, 2, 3, 6, 7, 1e9].map((attempt) => backoffSeconds(attempt, 60, 1_800))).toEqual([
    60, 60, 120, 240, 1_800, 1_800, 1_800,
  ]);
  fc.assert(
    fc.property(fc.nat(), fc.nat({ max: 1_000 }), fc.nat({ max: 10_000 }), (attempt, base, limit) => {
      const seconds = backoffSeconds(attempt, base, limit);
      expect(seconds).toBeLessThanOrEqual(limit);
      expect(seconds).toBeLessThanOrEqual(backoffSeconds(attempt + 1, base, limit));
    }),
  );
});

describe("the memory of refusals", () => {
  it("skips the pool from which a machine is taken back, and no other, for longer each time", () => {
    const taken = { purchase: "spot", pool: "a", detail: "It is taken back." } as const;
    const once = rememberInterruption([], taken, start, timing);
    expect(poolsToAvoid(once, "spot", start + 59_999)).toEqual(["a"]);
    expect(poolsToAvoid(once, "spot", start + 60_000)).toEqual([]);
    expect(marketRefusal(once, "spot", start)).toBeUndefined();
    const twice = rememberInterruption(once, taken, start + 60_000, timing);
    expect(poolsToAvoid(twice, "spot", start + 179_999)).toEqual(["a"]);
  });

  it("skips the market and each pool for a while", () => {
    const memory = rememberRefusal([], refusal, start, timing);
    expect(marketRefusal(memory, "spot", start + 59_999)).toMatchObject({ pool: everyPool, code: "NO" });
    expect(marketRefusal(memory, "spot", start + 60_000)).toBeUndefined();
    expect(marketRefusal(memory, "on-demand", start)).toBeUndefined();
    expect(poolsToAvoid(memory, "spot", start)).toEqual(["a", "b"]);
    expect(poolsToAvoid(memory, "on-demand", start)).toEqual([]);
  });

  it("counts refusals of the same moment once, and in a row doubles the wait", () => {
    let memory = rememberRefusal([], refusal, start, timing);
    memory = rememberRefusal(memory, refusal, start + 1, timing);
    expect(memory.map((entry) => entry.inARow)).toEqual([1, 1, 1]);
    memory = rememberRefusal(memory, refusal, start + 60_000, timing);
    expect(marketRefusal(memory, "spot", start + 60_000)).toMatchObject({
      inARow: 2,
      until: start + 180_000,
    });
  });

  it("forgets what is long past, and what has worked since", () => {
    const memory = rememberRefusal([], refusal, start, timing);
    const later = rememberRefusal(memory, { ...refusal, pools: [] }, start + 60_000 + 1_800_000, timing);
    expect(later).toMatchObject([{ pool: everyPool, inARow: 1 }]);
    expect(forgetRefusals(memory, "a", "spot").map((entry) => entry.pool)).toEqual(["b"]);
    expect(forgetRefusals(memory, "a", "on-demand")).toHaveLength(3);
  });
});
