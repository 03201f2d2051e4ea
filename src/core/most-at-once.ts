import type { Instant } from "./model.ts";

/** Without an end: it goes on. */
export interface Span {
  readonly from: Instant;
  readonly until: Instant | undefined;
}

/** So many steps of so many milliseconds, beginning here. */
export interface Steps {
  readonly from: Instant;
  readonly step: number;
  readonly count: number;
}

/** How many of the spans there were at once, at most, within each of the steps. */
export function mostAtOnce(spans: readonly Span[], { from, step, count }: Steps): readonly number[] {
  const changes: { readonly at: Instant; readonly by: 1 | -1 }[] = [];
  for (const span of spans) {
    changes.push({ at: span.from, by: 1 });
    if (span.until !== undefined) changes.push({ at: span.until, by: -1 });
  }
  // One that ends and one that begins at the same instant are not there together.
  changes.sort((left, right) => left.at - right.at || left.by - right.by);
  let current = 0;
  let next = 0;
  /** Makes all changes until this instant, and says how many there were at most on the way. */
  const go = (isDue: (at: Instant) => boolean): number => {
    let highest = current;
    for (let change = changes[next]; change !== undefined && isDue(change.at); change = changes[++next]) {
      current += change.by;
      highest = Math.max(highest, current);
    }
    return highest;
  };
  return Array.from({ length: count }, (_, index) => {
    const begin = from + index * step;
    go((at) => at <= begin);
    return go((at) => at < begin + step);
  });
}
