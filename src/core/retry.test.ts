import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { start } from "../../test/builders.ts";
import type { PoolRefusal } from "./model.ts";
import {
  backoffSeconds,
  everyPool,
  forgetEarlyEnds,
  forgetRefusals,
  type LaunchRefusal,
  marketRefusal,
  poolsToAvoid,
  rememberEarlyEnd,
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
    expect(marketRefusal(memory, "spot", start + 59_999)).toMatchObject({ pool: "*", code: "NO" });
    expect(marketRefusal(memory, "spot", start + 60_000)).toBeUndefined();
    expect(marketRefusal(memory, "on-demand", start)).toBeUndefined();
    expect(poolsToAvoid(memory, "spot", start + 59_999)).toEqual(["a", "b"]);
    expect(poolsToAvoid(memory, "spot", start + 60_000)).toEqual([]);
    expect(poolsToAvoid(memory, "on-demand", start)).toEqual([]);
  });

  it("counts refusals of the same moment once, and in a row doubles the wait", () => {
    let memory = rememberRefusal([], refusal, start, timing);
    memory = rememberRefusal(memory, { ...refusal, code: "AGAIN" }, start + 1, timing);
    expect(memory.map(({ code, inARow }) => [code, inARow])).toEqual([
      ["NO", 1],
      ["NO", 1],
      ["NO", 1],
    ]);
    memory = rememberRefusal(memory, refusal, start + 60_000, timing);
    expect(marketRefusal(memory, "spot", start + 60_000)).toMatchObject({
      inARow: 2,
      until: start + 180_000,
    });
  });

  it("tries the market again as soon as one of its pools may be asked again", () => {
    const memory = rememberRefusal([], { ...refusal, pools: ["a"] }, start, timing);
    const again = rememberRefusal(memory, { ...refusal, pools: ["b"] }, start + 60_000, timing);
    const third = rememberRefusal(again, { ...refusal, pools: ["a"] }, start + 119_999, timing);
    expect(third.map(({ pool, until }) => [pool, until - start])).toEqual([
      [everyPool, 120_000],
      ["a", 239_999],
      ["b", 120_000],
    ]);
  });

  const waits = (pool: string, seconds: number, facts: Partial<PoolRefusal> = {}): PoolRefusal => {
    const until = start + seconds * 1_000;
    return {
      pool,
      purchase: "spot",
      kind: "capacity",
      code: "",
      message: "",
      at: 0,
      until,
      inARow: 1,
      ...facts,
    };
  };
  it.each<[string, Partial<LaunchRefusal>, PoolRefusal[], number]>([
    ["as long as it says itself", {}, [], 120],
    ["until its first pool may be asked", {}, [waits("a", 90), waits("b", 30), waits("c", 60)], 30],
    ["as long as it says itself, though its pools wait longer", {}, [waits("a", 500)], 120],
    ["whatever the pools of another", {}, [waits("a", 30, { purchase: "on-demand" })], 120],
    ["whatever pools may be asked already", {}, [waits("a", 0)], 120],
    ["whatever is said of machines that end early", {}, [waits("early-ends", 30)], 120],
    ["whatever its pools, where it is not full", { kind: "quota" }, [waits("a", 30)], 120],
  ])("a market waits %s", (_how, facts, pools, seconds) => {
    const others = [...pools, waits(everyPool, 100, { purchase: "on-demand" })];
    const memory = rememberRefusal(
      [waits(everyPool, 0), ...others],
      { ...refusal, pools: [], ...facts },
      start,
      timing,
    );
    const [market, ...rest] = memory;
    expect(market).toMatchObject({ pool: everyPool, inARow: 2, until: start + seconds * 1_000 });
    expect(rest).toEqual(others);
  });

  it("soon asks again where it was not answered, however often the market had been full before", () => {
    let memory: readonly PoolRefusal[] = [];
    let now = start;
    for (let refused = 1; refused <= 5; refused++) {
      memory = rememberRefusal(memory, refusal, now, timing);
      now = marketRefusal(memory, "spot", now)?.until ?? Number.NaN;
    }
    expect(now).toBe(start + (1 + 2 + 4 + 8 + 16) * 60_000);
    const throttled = rememberRefusal(memory, { ...refusal, kind: "throttle", pools: [] }, now, timing);
    expect(marketRefusal(throttled, "spot", now)?.until).toBe(now + 60_000);
    const again = rememberRefusal(
      throttled,
      { ...refusal, kind: "throttle", pools: [] },
      now + 60_000,
      timing,
    );
    expect(marketRefusal(again, "spot", now + 60_000)?.until).toBe(now + 180_000);
  });

  it.each(["transient", "throttle"] as const)(
    "does not let an answer that was lost hide that a market is full: %s",
    (kind) => {
      const lost = { ...refusal, kind, code: "LOST", pools: [] } as const;
      const memory = rememberRefusal([], lost, start, timing);
      const full = rememberRefusal(memory, refusal, start + 1, timing);
      expect(marketRefusal(full, "spot", start + 1)).toMatchObject({
        kind: "capacity",
        code: "NO",
        inARow: 1,
      });
      expect(marketRefusal(rememberRefusal(full, lost, start + 2, timing), "spot", start + 2)).toMatchObject({
        kind: "capacity",
      });
    },
  );

  it("forgets what is long past, and what has worked since", () => {
    const memory = rememberRefusal([], refusal, start, timing);
    const again = rememberRefusal(memory, refusal, start + 60_000 + 1_799_999, timing);
    expect(again.map((entry) => entry.inARow)).toEqual([2, 2, 2]);
    const later = rememberRefusal(memory, { ...refusal, pools: [] }, start + 60_000 + 1_800_000, timing);
    expect(later).toMatchObject([{ pool: everyPool, inARow: 1 }]);
    expect(forgetRefusals(memory, "a", "spot").map((entry) => entry.pool)).toEqual(["b"]);
    expect(forgetRefusals(memory, "a", "on-demand")).toHaveLength(3);
  });
});

describe("the memory of machines that end before they are of use", () => {
  const broken = { purchase: "spot", detail: "No route to GitHub" } as const;
  const once = () => rememberEarlyEnd([], broken, start, timing);
  const twice = () => rememberEarlyEnd(once(), broken, start + 1, timing);
  const waits = (memory: readonly PoolRefusal[], now: number) => marketRefusal(memory, "spot", now)?.until;

  it("replaces the first at once, and waits longer and longer from the second in a row on", () => {
    const second = twice();
    expect(waits(once(), start)).toBeUndefined();
    expect(waits(second, start + 1)).toBe(start + 60_001);
    expect(waits(second, start + 60_001)).toBeUndefined();
    const third = rememberEarlyEnd(second, broken, start + 60_001, timing);
    expect(waits(third, start + 60_001)).toBe(start + 180_001);
  });

  it("says what is wrong, with what the last machine said, in a form that is kept across versions", () => {
    expect(twice()).toStrictEqual([
      {
        pool: "early-ends",
        purchase: "spot",
        kind: "configuration",
        code: "MACHINES_END_EARLY",
        message: "Machines end before their runner listens. The last one: No route to GitHub.",
        at: start + 1,
        until: start + 60_001,
        inARow: 2,
      },
    ]);
    const sentences = rememberEarlyEnd([], { ...broken, detail: "Curl failed. No route." }, start, timing);
    expect(sentences[0]?.message).toMatch(/one: Curl failed\. No route\.$/);
  });

  it("counts those that end while there is a wait as one", () => {
    const second = twice();
    expect(rememberEarlyEnd(second, broken, start + 60_000, timing)).toBe(second);
    expect(rememberEarlyEnd(second, broken, start + 60_001, timing)).not.toBe(second);
  });

  it("begins a new row when the last is long past", () => {
    const until = start + 60_001;
    expect(rememberEarlyEnd(twice(), broken, until + 1_799_999, timing)[0]?.inARow).toBe(3);
    expect(rememberEarlyEnd(twice(), broken, until + 1_800_000, timing)[0]?.inARow).toBe(1);
  });

  it("is of one market, and beside the refusals of pools", () => {
    const onDemand = { ...broken, purchase: "on-demand" } as const;
    const other = rememberEarlyEnd(twice(), onDemand, start + 2, timing);
    expect(other.map(({ purchase, inARow }) => [purchase, inARow])).toEqual([
      ["spot", 2],
      ["on-demand", 1],
    ]);
    const refused = rememberRefusal([], refusal, start, timing);
    const both = rememberEarlyEnd(refused, broken, start, timing);
    expect(both.slice(0, 3)).toEqual(refused);
    expect(both[3]).toMatchObject({ pool: "early-ends", inARow: 1 });
    expect(poolsToAvoid([...refused, ...twice()], "spot", start)).toEqual(["a", "b"]);
  });

  it("is forgotten once a runner of that market listened, and nothing else is", () => {
    const refused = rememberRefusal([], refusal, start, timing);
    const onDemand = rememberEarlyEnd([], { ...broken, purchase: "on-demand" }, start, timing);
    const all = [...refused, ...twice(), ...onDemand];
    expect(forgetEarlyEnds(all, "spot")).toEqual([...refused, ...onDemand]);
    expect(forgetEarlyEnds(refused, "spot")).toBe(refused);
  });
});
