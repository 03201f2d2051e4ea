import {
  createEventBridgeAnnouncer,
  type EventBridgeOptions,
} from "../../adapters/announcer/event-bridge.ts";
import { announceChanges } from "../../adapters/store/announcing.ts";
import type { Announcer } from "../../ports/announcer.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Store } from "../../ports/store.ts";

/** Of this process: a function has one store. */
let announcer: Announcer | undefined;

/** The store, whose changes are published on a bus of EventBridge. */
export function announcedStore(store: Store, options: EventBridgeOptions & { readonly clock: Clock }): Store {
  announcer = createEventBridgeAnnouncer(options);
  return announceChanges(store, announcer, options.clock);
}

/**
 * The handler, after which everything that happened is told: Lambda stops the process as soon as there is an answer, and
 * what is under way then is lost, or is told whenever the next event comes.
 */
export function announcing<Arguments extends unknown[], Answer>(
  handler: (...values: Arguments) => Promise<Answer>,
): (...values: Arguments) => Promise<Answer> {
  return async (...values) => {
    try {
      return await handler(...values);
    } finally {
      await announcer?.flush();
    }
  };
}
