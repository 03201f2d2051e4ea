/**
 * Randomness, as an argument: the system's generator in production, a seeded one in the simulator.
 */
export interface Random {
  /** `count` bytes that nobody can predict. Used for machine ids and credentials. */
  bytes(count: number): Uint8Array;
  /** A number from 0 (included) to 1 (excluded). Used for jitter; never for a secret. */
  fraction(): number;
}
