/** What happened in a simulation: a fingerprint of all of it, and the last lines. */
export class Trace {
  readonly #listener: ((line: string) => void) | undefined;
  readonly #start: number;
  readonly #instants: number[] = new Array<number>(linesKept).fill(0);
  readonly #texts: string[] = new Array<string>(linesKept).fill("");
  #count = 0;
  #low = 0x811c9dc5;
  #high = 0x01000193;

  /** `listener` gets every line: for `--verbose`. */
  constructor(start: number, listener?: (line: string) => void) {
    this.#start = start;
    this.#listener = listener;
  }

  add(instant: number, text: string): void {
    const elapsedMilliseconds = instant - this.#start;
    let low = Math.imul(this.#low ^ (elapsedMilliseconds | 0), 0x01000193);
    let high = Math.imul(this.#high ^ Math.floor(elapsedMilliseconds / 2 ** 32) ^ (low >>> 16), 0x5bd1e995);
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      low = Math.imul(low ^ code, 0x01000193);
      high = Math.imul(high ^ code ^ (low >>> 16), 0x5bd1e995);
    }
    // The end of a line is part of it: "a", "b" is another trace than "ab".
    this.#low = Math.imul(low ^ 0xa, 0x01000193);
    this.#high = high;
    const place = this.#count % linesKept;
    this.#instants[place] = elapsedMilliseconds;
    this.#texts[place] = text;
    this.#count += 1;
    this.#listener?.(readable(elapsedMilliseconds, text));
  }

  /** The same for two runs only if every event of them was the same, in the same order, at the same instants. */
  get fingerprint(): string {
    return [this.#high, this.#low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /** The last 50 lines, oldest first. */
  recent(): readonly string[] {
    const kept = Math.min(this.#count, linesKept);
    return Array.from({ length: kept }, (_, index) => {
      const place = (this.#count - kept + index) % linesKept;
      return readable(this.#instants[place] ?? 0, this.#texts[place] ?? "");
    });
  }
}

/** For a simulation whose trace nobody reads. */
export class SilentTrace extends Trace {
  override add(): void {}
}

const linesKept = 50;

/** `day hh:mm:ss.mmm` since the start of the simulation. */
export function elapsed(milliseconds: number): string {
  const day = Math.floor(milliseconds / 86_400_000);
  return `${day}+${new Date(milliseconds % 86_400_000).toISOString().slice(11, 23)}`;
}

function readable(milliseconds: number, text: string): string {
  return `${elapsed(milliseconds)}  ${text}`;
}
