/**
 * What is due when: a heap of items ordered by their instant, and by the order of `add` where instants are
 * equal, so that two schedules that were filled in the same way empty in the same way.
 */
export class Schedule<Item> {
  readonly #heap: Entry<Item>[] = [];
  #added = 0;

  /** Remembers `item` for the instant `at` (milliseconds since the epoch). */
  add(at: number, item: Item): void {
    const entry: Entry<Item> = { at, order: this.#added++, item };
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1, entry);
  }

  /** The instant of the earliest item, or undefined when nothing is planned. */
  nextAt(): number | undefined {
    return this.#heap[0]?.at;
  }

  /** Removes and returns the earliest item whose instant is not after `now`. */
  takeDue(now: number): { readonly at: number; readonly item: Item } | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = this.#heap.pop();
    if (last !== undefined && last !== first) this.#sink(last);
    return first;
  }

  /** Puts the entry where it belongs on the way from the leaf `start` to the top. */
  #rise(start: number, entry: Entry<Item>): void {
    const heap = this.#heap;
    let index = start;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isEarlier(entry, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = entry;
  }

  /** Puts the entry where it belongs on the way down from the top, which is free. */
  #sink(entry: Entry<Item>): void {
    const heap = this.#heap;
    const { length } = heap;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = below + 1 < length ? heap[below + 1] : undefined;
      if (right !== undefined && isEarlier(right, child)) {
        child = right;
        below += 1;
      }
      if (!isEarlier(child, entry)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = entry;
  }
}

interface Entry<Item> {
  readonly at: number;
  readonly order: number;
  readonly item: Item;
}

function isEarlier<Item>(one: Entry<Item>, other: Entry<Item>): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
