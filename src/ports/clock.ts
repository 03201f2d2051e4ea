/**
 * Time, as an argument. The box and the clouds use the system's clock, the simulator a virtual one.
 *
 * All instants are milliseconds since the Unix epoch (UTC). `now` never goes backwards within one process
 * by more than the system's clock itself does; nothing in the core depends on it being monotonic.
 */
export interface Clock {
  now(): number;
  /** Resolves after at least `milliseconds`, or at once when `signal` aborts. Never rejects. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}
