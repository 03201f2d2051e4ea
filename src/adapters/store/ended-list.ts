import type { Instant } from "../../core/model.ts";
import { inOrder } from "./rules.ts";

/** Ended entries in the order of their ends; entries that end at the same instant in the order of their ids. */
export interface EndedList<Entry> {
  /** Does nothing with an entry that has not ended. */
  add(entry: Entry): void;
  /** Does nothing with an entry that is not in the list. */
  remove(entry: Entry): void;
  /** Entries that ended at or after `since` and before `before`, newest first. */
  newest(since: Instant, limit: number, before?: Instant): readonly Entry[];
  /** Entries that ended before this, oldest first. */
  endedBefore(before: Instant): readonly Entry[];
}

export function createEndedList<Entry extends { readonly id: string | number }>(
  endOf: (entry: Entry) => Instant | undefined,
): EndedList<Entry> {
  const entries: Entry[] = [];

  /** How many entries are before the place of this end and id. */
  function place(end: Instant, id: string | number): number {
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = entries[middle] as Entry;
      const order = (endOf(entry) ?? 0) - end || inOrder(entry.id, id);
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How many entries ended before this. */
  function countBefore(end: Instant): number {
    const first = entries.findIndex((entry) => (endOf(entry) ?? 0) >= end);
    return first === -1 ? entries.length : first;
  }

  return {
    add(entry) {
      const end = endOf(entry);
      if (end !== undefined) entries.splice(place(end, entry.id), 0, entry);
    },
    remove(entry) {
      const end = endOf(entry);
      if (end === undefined) return;
      const index = place(end, entry.id);
      if (entries[index]?.id === entry.id) entries.splice(index, 1);
    },
    newest(since, limit, before) {
      const found: Entry[] = [];
      const end = before === undefined ? entries.length : countBefore(before);
      for (let index = end - 1; index >= 0 && found.length < limit; index -= 1) {
        const entry = entries[index] as Entry;
        if ((endOf(entry) ?? 0) < since) break;
        found.push(entry);
      }
      return found;
    },
    endedBefore: (before) => entries.slice(0, countBefore(before)),
  };
}
