/**
 * What is due when: a heap of items ordered by their instant, and by the order of `add` where instants are
 * equal, so that two schedules that were filled in the same way empty in the same way.
 */
export class Schedule<Item> {
  readonly #heap: Entry<Item>[] = [];
  #added = 0;

  /** Remembers `item` for the instant `at` (milliseconds since the epoch). */
  add(at: number, item: Item): void {
    this.#heap.push({ at, order: this.#added++, item });
    this.#rise(this.#heap.length - 1);
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
    if (last !== undefined && last !== first) {
      this.#heap[0] = last;
      this.#sink(0);
    }
    return first;
  }

  #rise(start: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#swapWhenEarlier(index, parent)) return;
      index = parent;
    }
  }

  #sink(start: number): void {
    let index = start;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      const child = this.#isEarlier(right, left) ? right : left;
      if (!this.#swapWhenEarlier(child, index)) return;
      index = child;
    }
  }

  #swapWhenEarlier(lower: number, upper: number): boolean {
    if (!this.#isEarlier(lower, upper)) return false;
    const [below, above] = [this.#heap[lower], this.#heap[upper]];
    if (below === undefined || above === undefined) return false;
    this.#heap[lower] = above;
    this.#heap[upper] = below;
    return true;
  }

  #isEarlier(left: number, right: number): boolean {
    const [one, other] = [this.#heap[left], this.#heap[right]];
    if (one === undefined || other === undefined) return false;
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }
}

interface Entry<Item> {
  readonly at: number;
  readonly order: number;
  readonly item: Item;
}
