import { announcementsOf, type KnownStates, statesOf } from "../../core/announcement.ts";
import type { Change, FleetId } from "../../core/model.ts";
import type { Announcer } from "../../ports/announcer.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Store } from "../../ports/store.ts";

/** Of so many fleets it is remembered what was seen last. */
const fleetsRemembered = 500;

/**
 * The same store, whose commits are told to others once they are written: every job and every machine that has another
 * state than before. Whether a state is another one is judged by what this process has seen of the fleet last, as whoever
 * commits has loaded it; a commit of which nobody knows whether it was written is not told.
 */
export function announceChanges(store: Store, announcer: Announcer, clock: Clock): Store {
  const seen = new Map<FleetId, KnownStates>();
  const none: KnownStates = new Map();

  function remember(fleet: FleetId, states: KnownStates): void {
    if (!seen.has(fleet) && seen.size >= fleetsRemembered) seen.clear();
    seen.set(fleet, states);
  }

  function tell(fleet: FleetId, changes: readonly Change[]): void {
    const known = seen.get(fleet) ?? none;
    announcer.tell(announcementsOf(changes, known, clock.now()));
    const jobs = changes.flatMap((change) => (change.put === "job" ? [change.job] : []));
    const machines = changes.flatMap((change) => (change.put === "machine" ? [change.machine] : []));
    remember(fleet, new Map([...known, ...statesOf({ jobs, machines })]));
  }

  return {
    ...store,
    async load(fleet) {
      const ledger = await store.load(fleet);
      remember(fleet, statesOf(ledger));
      return ledger;
    },
    async commit(fleet, version, changes, limits) {
      const result = await store.commit(fleet, version, changes, limits);
      if (result.kind === "committed") tell(fleet, changes);
      return result;
    },
    async addJob(record, job) {
      const result = await store.addJob(record, job);
      if (result === "added") tell(record.id, [{ put: "job", job }]);
      return result;
    },
  };
}
