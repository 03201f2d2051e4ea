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
 * towards the row, nor does one that said nothing of the market count with those that did.
 */
export function rememberRefusal(
  refusals: readonly PoolRefusal[],
  refusal: LaunchRefusal,
  now: Instant,
  timing: Backoff,
): readonly PoolRefusal[] {
  const next = rememberPools(refusals, { ...refusal, pools: [everyPool, ...refusal.pools] }, now, timing);
  return refusal.kind === "capacity" ? triedWithItsPools(next, refusal.purchase, now) : next;
}

/**
 * The market is tried again as soon as one of its pools may be asked again. Else it would be tried while the pools that
 * have room are still avoided, and each such try would double the wait of the market once more.
 */
function triedWithItsPools(
  refusals: readonly PoolRefusal[],
  purchase: Purchase,
  now: Instant,
): readonly PoolRefusal[] {
  const waiting = refusals.filter((entry) => entry.purchase === purchase && entry.until > now);
  const first = Math.min(...waiting.filter(({ pool }) => pool !== earlyEnds).map(({ until }) => until));
  return refusals.map((entry) => {
    const isMarket = entry.pool === everyPool && entry.purchase === purchase;
    return isMarket ? { ...entry, until: first } : entry;
  });
}

/**
 * The capacity memory after a machine that the provider takes back, or recommends to move away from: its pool is
 * short, and the next machine there would meet the same. It says nothing of other pools.
 */
export function rememberInterruption(
  refusals: readonly PoolRefusal[],
  taken: { readonly purchase: Purchase; readonly pool: string; readonly detail: string },
  now: Instant,
  timing: Backoff,
): readonly PoolRefusal[] {
  const { purchase, pool, detail } = taken;
  const refusal = {
    purchase,
    kind: "capacity",
    code: "INTERRUPTED",
    message: detail,
    pools: [pool],
  } as const;
  return rememberPools(refusals, refusal, now, timing);
}

interface Backoff {
  readonly capacityBackoffSeconds: number;
  readonly capacityBackoffLimitSeconds: number;
}

/** The memory after pools that refused while the market as a whole did not. */
export function rememberPools(
  refusals: readonly PoolRefusal[],
  refusal: LaunchRefusal,
  now: Instant,
  timing: Backoff,
): readonly PoolRefusal[] {
  const kept = refusals.filter((entry) => entry.until + timing.capacityBackoffLimitSeconds * 1000 > now);
  const next = new Map(kept.map((entry) => [keyOf(entry.pool, entry.purchase), entry]));
  for (const pool of new Set(refusal.pools)) {
    const key = keyOf(pool, refusal.purchase);
    const before = next.get(key);
    // Several machines of one launch are refused at the same instant: that is one refusal, not a row of them.
    if (before !== undefined && before.until > now) {
      const { kind, code, message } = refusal;
      if (isUnanswered(before.kind) && !isUnanswered(kind)) next.set(key, { ...before, kind, code, message });
      continue;
    }
    // After many that were full, one that was not answered is the first of its own row: it is soon asked again.
    const goesOn = before !== undefined && isUnanswered(before.kind) === isUnanswered(refusal.kind);
    const inARow = goesOn ? before.inARow + 1 : 1;
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

/** A refusal that says nothing of the market: the same launch, asked again, may tell that it is full. */
function isUnanswered(kind: LaunchFailureKind): boolean {
  return kind === "throttle" || kind === "transient";
}

/** The name under which it is remembered that machines ended before they were of use. No pool has it. */
const earlyEnds = "early-ends";

/**
 * The memory after a machine that ended by itself before its runner listened: its image, its runner or its network
 * is broken, and the next one would end in the same way. The first is replaced at once, as anything may happen to one
 * machine; from the second in a row on there is a wait, that doubles. Launches that work do not end the row.
 */
export function rememberEarlyEnd(
  refusals: readonly PoolRefusal[],
  ended: { readonly purchase: Purchase; readonly detail: string },
  now: Instant,
  timing: Backoff,
): readonly PoolRefusal[] {
  const isRow = (entry: PoolRefusal): boolean =>
    entry.pool === earlyEnds && entry.purchase === ended.purchase;
  const row = refusals.find(isRow);
  if (row !== undefined && row.until > now) return refusals;
  const { capacityBackoffSeconds: base, capacityBackoffLimitSeconds: limit } = timing;
  const goesOn = row !== undefined && row.until + limit * 1000 > now;
  const inARow = goesOn ? row.inARow + 1 : 1;
  const seconds = inARow === 1 ? 0 : backoffSeconds(inARow - 1, base, limit);
  const entry: PoolRefusal = {
    pool: earlyEnds,
    purchase: ended.purchase,
    kind: "configuration",
    code: "MACHINES_END_EARLY",
    message: `Machines end before their runner listens. The last one: ${ended.detail.replace(/\.?$/, ".")}`,
    at: now,
    until: now + seconds * 1000,
    inARow,
  };
  return [...refusals.filter((other) => !isRow(other)), entry];
}

/** The memory after a runner that listened: machines of this market are good again. The same list if they were. */
export function forgetEarlyEnds(
  refusals: readonly PoolRefusal[],
  purchase: Purchase,
): readonly PoolRefusal[] {
  const kept = refusals.filter((entry) => entry.pool !== earlyEnds || entry.purchase !== purchase);
  return kept.length === refusals.length ? refusals : kept;
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
    ({ pool, ...entry }) =>
      (pool === everyPool || pool === earlyEnds) && entry.purchase === purchase && entry.until > now,
  );
}

/** Single pools that are skipped at `now`. */
export function poolsToAvoid(
  refusals: readonly PoolRefusal[],
  purchase: Purchase,
  now: Instant,
): readonly string[] {
  return refusals
    .filter(({ pool }) => pool !== everyPool && pool !== earlyEnds)
    .filter((entry) => entry.purchase === purchase && entry.until > now)
    .map((entry) => entry.pool);
}

function keyOf(pool: string, purchase: Purchase): string {
  return `${purchase} ${pool}`;
}
