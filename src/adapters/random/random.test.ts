import { expect, test } from "vitest";
import { createSeededRandom } from "./seeded.ts";
import { createSystemRandom } from "./system.ts";

test("the same seed gives the same numbers, another seed gives others", () => {
  const draw = (seed: number): unknown => {
    const random = createSeededRandom(seed);
    return [Array.from(random.bytes(7)), random.fraction(), Array.from(random.bytes(4))];
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
});

test.each([
  ["seeded", createSeededRandom(7)],
  ["system", createSystemRandom()],
])("%s: fractions fill the range from 0 to 1 evenly, bytes have the length asked for", (_name, random) => {
  const buckets = new Array<number>(10).fill(0);
  for (let count = 0; count < 10_000; count++) {
    const bucket = Math.floor(random.fraction() * 10);
    buckets[bucket] = (buckets[bucket] ?? Number.NaN) + 1;
  }
  expect(buckets).toHaveLength(10);
  for (const count of buckets) expect(Math.abs(count - 1_000)).toBeLessThan(200);
  expect(random.bytes(33)).toHaveLength(33);
});
