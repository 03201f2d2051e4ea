import { hash, timingSafeEqual } from "node:crypto";

const inspect = Symbol.for("nodejs.util.inspect.custom");

/**
 * A value that must never be seen: it prints, serialises and inspects as `[secret]`, so that a log line, a
 * status document or an error text cannot carry it by accident. Only `reveal` gives the text, which makes
 * every place that does so easy to find.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself. Call it only where the value leaves for its one receiver. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspect](): string {
    return "[secret]";
  }
}

/**
 * Whether two byte strings are equal, in a time that depends on neither. Both are hashed first, so that
 * strings of different lengths are compared in the same time as strings of equal length.
 */
export function equalInConstantTime(left: Uint8Array | string, right: Uint8Array | string): boolean {
  return timingSafeEqual(digest(left), digest(right));
}

function digest(value: Uint8Array | string): Buffer {
  return hash("sha256", value, "buffer");
}
