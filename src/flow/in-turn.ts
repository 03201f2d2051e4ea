import type { Instant } from "../core/model.ts";

/**
 * Where the time of a round may not be enough for all: every minute begins with another one, so that each has its turn.
 * Without `until` there is time for all, in their order.
 */
export function inTurn<Entry>(
  entries: readonly Entry[],
  now: Instant,
  until: Instant | undefined,
): readonly Entry[] {
  if (until === undefined || entries.length === 0) return entries;
  // A prime, so that two rounds in a row begin far from each other.
  const first = (Math.floor(now / 60_000) * 7919) % entries.length;
  return [...entries.slice(first), ...entries.slice(0, first)];
}
