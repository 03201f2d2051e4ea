import type { Instant, LaunchFailureKind, PoolRefusal, Purchase } from "./model.ts";

/**
 * How long to wait before try number `attempt + 1`, when `attempt` tries have failed (1 or more): doubling from
 * `baseSeconds`, never above `limitSeconds`. Jitter is the caller's, who has the randomness.
 */
export function backoffSeconds(attempt: number, baseSeconds: number, limitSeconds: number): number {
  const doublings = Math.min(Math.max(attempt, 1) - 1, 30);
  return Math.min(baseSeconds * 2 ** doublings, limitSeconds);
}

/** The name under which the refusal of a whole launch is remembered: every pool of that market said no. */
export const everyPool = "*";

export interface LaunchRefusal {
  readonly purchase: Purchase;
  readonly kind: LaunchFailureKind;
  readonly code: string;
  readonly message: string;
  /** Empty: the refusal is about the launch as a whole. */
  readonly pools: readonly string[];
}

/**
 * The capacity memory after a refused launch: each pool that refused, and the market as a whole, is skipped for a
 * while that doubles with every refusal in a row. A refusal that is much older than its own wait no longer counts
 * towards the row.
 */
export function rememberRefusal(
  refusals: readonly PoolRefusal[],
  refusal: LaunchRefusal,
  now: Instant,
  timing: { readonly capacityBackoffSeconds: number; readonly capacityBackoffLimitSeconds: number },
): readonly PoolRefusal[] {
  const kept = refusals.filter((entry) => entry.until + timing.capacityBackoffLimitSeconds * 1000 > now);
  const next = new Map(kept.map((entry) => [keyOf(entry.pool, entry.purchase), entry]));
  for (const pool of new Set([everyPool, ...refusal.pools])) {
    const key = keyOf(pool, refusal.purchase);
    const before = next.get(key);
    // Several machines of one launch are refused at the same instant: that is one refusal, not a row of them.
    if (before !== undefined && before.until > now) continue;
    const inARow = (before?.inARow ?? 0) + 1;
    const seconds = backoffSeconds(inARow, timing.capacityBackoffSeconds, timing.capacityBackoffLimitSeconds);
    next.set(key, {
      pool,
      purchase: refusal.purchase,
      kind: refusal.kind,
      code: refusal.code,
      message: refusal.message,
      at: now,
      until: now + seconds * 1000,
      inARow,
    });
  }
  return [...next.values()];
}

/** The capacity memory after a launch that worked: that market and that pool are good again. */
export function forgetRefusals(
  refusals: readonly PoolRefusal[],
  pool: string,
  purchase: Purchase,
): readonly PoolRefusal[] {
  return refusals.filter(
    (entry) => entry.purchase !== purchase || (entry.pool !== pool && entry.pool !== everyPool),
  );
}

/** The refusal that forbids this market at `now`, if one does. */
export function marketRefusal(
  refusals: readonly PoolRefusal[],
  purchase: Purchase,
  now: Instant,
): PoolRefusal | undefined {
  return refusals.find(
    (entry) => entry.pool === everyPool && entry.purchase === purchase && entry.until > now,
  );
}

/** Single pools that are skipped at `now`. */
export function poolsToAvoid(
  refusals: readonly PoolRefusal[],
  purchase: Purchase,
  now: Instant,
): readonly string[] {
  return refusals
    .filter((entry) => entry.pool !== everyPool && entry.purchase === purchase && entry.until > now)
    .map((entry) => entry.pool);
}

function keyOf(pool: string, purchase: Purchase): string {
  return `${purchase} ${pool}`;
}
