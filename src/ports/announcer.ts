import type { Announcement } from "../core/announcement.ts";

/**
 * Tells others what has happened, for whatever they want to do about it. Nothing of Mayfly depends on it.
 *
 * Contract, for every adapter:
 * - What is told may be lost, which is logged; it may be told twice, or in another order.
 * - It holds nobody up: `tell` neither waits nor throws.
 */
export interface Announcer {
  /** Notes these, in this order, to be told soon. */
  tell(announcements: readonly Announcement[]): void;

  /** Waits until all that was noted is told or lost. Never rejects. For those whose process may stand still after it. */
  flush(): Promise<void>;
}
