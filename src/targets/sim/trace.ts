/** What happened in a simulation: a fingerprint of all of it, and the last lines. */
export class Trace {
  readonly #listener: ((line: string) => void) | undefined;
  readonly #start: number;
  readonly #recent: string[] = [];
  #position = 0;
  #low = 0x811c9dc5;
  #high = 0x01000193;

  /** `listener` gets every line: for `--verbose`. */
  constructor(start: number, listener?: (line: string) => void) {
    this.#start = start;
    this.#listener = listener;
  }

  add(instant: number, text: string): void {
    const line = `${instant - this.#start} ${text}`;
    for (let index = 0; index < line.length; index++) {
      const code = line.charCodeAt(index);
      this.#low = Math.imul(this.#low ^ code, 0x01000193);
      this.#high = Math.imul(this.#high ^ code ^ (this.#low >>> 16), 0x5bd1e995);
    }
    this.#recent[this.#position] = line;
    this.#position = (this.#position + 1) % linesKept;
    this.#listener?.(readable(line));
  }

  /** The same for two runs only if every event of them was the same, in the same order, at the same instants. */
  get fingerprint(): string {
    return [this.#high, this.#low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /** The last 50 lines, oldest first. */
  recent(): readonly string[] {
    return [...this.#recent.slice(this.#position), ...this.#recent.slice(0, this.#position)].map(readable);
  }
}

const linesKept = 50;

/** `day hh:mm:ss.mmm` since the start of the simulation. */
export function elapsed(milliseconds: number): string {
  const day = Math.floor(milliseconds / 86_400_000);
  return `${day}+${new Date(milliseconds % 86_400_000).toISOString().slice(11, 23)}`;
}

function readable(line: string): string {
  const space = line.indexOf(" ");
  return `${elapsed(Number(line.slice(0, space)))}  ${line.slice(space + 1)}`;
}
