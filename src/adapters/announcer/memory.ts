import type { Announcement } from "../../core/announcement.ts";
import type { Announcer } from "../../ports/announcer.ts";

/** Remembers what it was told. For tests. */
export interface MemoryAnnouncer extends Announcer {
  readonly told: readonly Announcement[];
}

export function createMemoryAnnouncer(): MemoryAnnouncer {
  const told: Announcement[] = [];
  return { told, tell: (announcements) => void told.push(...announcements), flush: async () => {} };
}
