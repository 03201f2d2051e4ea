import { MayflyError } from "../../core/errors.ts";
import type { Purchase } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";

/**
 * Fargate starts so many tasks at once and so many more each second, on demand and on spot apart, in an account and
 * region (ECS developer guide, "Throttling quotas").
 */
const burst = 100;
const perSecond = 20;
/** A launch waits no longer; it is asked for again instead. */
const waitLimitSeconds = 8;

export interface LaunchRate {
  /** Resolves when so many tasks may be started. Rejects with `wait` where that would take too long. */
  take(count: number, purchase: Purchase): Promise<void>;
}

/** Keeps one process within the rate. What several together start above it, Fargate refuses as throttled. */
export function createLaunchRate(clock: Clock): LaunchRate {
  const buckets = new Map<Purchase, { readonly left: number; readonly at: number }>();
  return {
    async take(count, purchase) {
      const now = clock.now();
      const { left, at } = buckets.get(purchase) ?? { left: burst, at: now };
      const refilled = Math.min(burst, left + ((now - at) / 1_000) * perSecond);
      const after = refilled - count;
      const seconds = Math.max(0, -after / perSecond);
      if (seconds > waitLimitSeconds) throw tooMany(now + seconds * 1_000);
      // Taken before it is waited for, so that who comes next waits longer.
      buckets.set(purchase, { left: after, at: now });
      if (seconds > 0) await clock.sleep(seconds * 1_000);
    },
  };
}

function tooMany(retryAt: number): MayflyError {
  return new MayflyError({
    kind: "wait",
    code: "FARGATE_THROTTLED",
    message: `Fargate starts ${perSecond} tasks a second after the first ${burst}, and more were asked for.`,
    suggestion: "Nothing; they are asked for again.",
    retryAt,
  });
}
