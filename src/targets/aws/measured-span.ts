import type { Instant } from "../../core/model.ts";

export interface Span {
  /** Included. */
  readonly from: Instant;
  /** Excluded. */
  readonly until: Instant;
}

const minuteMilliseconds = 60_000;
/** Events arrive late: what is measured lies so far in the past. */
const lagMilliseconds = 60_000;
/** A process that was not called for long does not tell all of it at once. */
const longestMilliseconds = 15 * minuteMilliseconds;

/**
 * The whole minutes that have not been measured yet. Undefined: there is none. A process that starts measures one
 * minute, as another may have measured those before; one that is killed leaves a gap.
 */
export function nextSpan(before: Span | undefined, now: Instant): Span | undefined {
  const until = Math.floor((now - lagMilliseconds) / minuteMilliseconds) * minuteMilliseconds;
  const from = Math.max(before?.until ?? until - minuteMilliseconds, until - longestMilliseconds);
  return from < until ? { from, until } : undefined;
}
