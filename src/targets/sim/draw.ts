import type { Random } from "../../ports/random.ts";

/** True with this probability. Draws nothing when it is impossible. */
export function chance(random: Random, fraction: number): boolean {
  return fraction > 0 && random.fraction() < fraction;
}

export function between(random: Random, low: number, high: number): number {
  return low + random.fraction() * (high - low);
}

export function wholeBetween(random: Random, low: number, high: number): number {
  return Math.floor(between(random, low, high + 1));
}

export function oneOf<Value>(random: Random, values: readonly [Value, ...Value[]]): Value {
  return values[Math.floor(random.fraction() * values.length)] ?? values[0];
}

/** Spread over magnitudes: as often between 1 and 10 as between 10 and 100. */
export function magnitude(random: Random, low: number, high: number): number {
  return Math.exp(between(random, Math.log(low), Math.log(high)));
}

/** The time until the next of events that happen independently of each other, on average every `mean`. */
export function waiting(random: Random, mean: number): number {
  return -Math.log(1 - random.fraction()) * mean;
}

/** Around `median`; `spread` 0.1 is narrow, 1 gives a tail of ten times the median. */
export function skewed(random: Random, median: number, spread: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random.fraction())) * Math.cos(2 * Math.PI * random.fraction());
  return median * Math.exp(normal * spread);
}
