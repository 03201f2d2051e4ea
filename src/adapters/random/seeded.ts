import { createHash } from "node:crypto";
import type { Random } from "../../ports/random.ts";

/**
 * The same numbers for the same seed, in the same order, on every machine. For tests and the simulator: anybody
 * who knows the seed can predict them, so they must never protect anything.
 */
export function createSeededRandom(seed: number | string): Random {
  const next = smallFastCounter(seed);
  return {
    bytes(count) {
      const bytes = new Uint8Array(count);
      for (let index = 0; index < count; index += 4) {
        const word = next();
        for (let part = 0; part < 4 && index + part < count; part++) {
          bytes[index + part] = (word >>> (8 * part)) & 0xff;
        }
      }
      return bytes;
    },
    fraction: () => next() / 2 ** 32,
  };
}

/** The generator sfc32: 128 bits of state, no multiplication, passes the usual statistical tests. */
function smallFastCounter(seed: number | string): () => number {
  const digest = createHash("sha256").update(String(seed)).digest();
  let [a, b, c] = [digest.readInt32LE(0), digest.readInt32LE(4), digest.readInt32LE(8)];
  let counter = 1;
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
}
