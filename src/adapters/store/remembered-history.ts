import type { Instant, Job, JobId, Machine, MachineId } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Store } from "../../ports/store.ts";
import { createEndedList, type EndedList } from "./ended-list.ts";
import { jobEndedAt, machineEndedAt } from "./rules.ts";

/** An index lags behind, by less than a second as a rule. */
const overlapMilliseconds = 60_000;
/** Some of what has ended is put in its place long after its end, and is missed until all is read again. */
const keptMilliseconds = 300_000;

/**
 * The same store for one who asks for the same part of the history again and again, as a status page does. What was read
 * is remembered, and only what has ended since then is read; all of it again after five minutes. What is asked for with
 * a limit or an end is read as ever.
 */
export function rememberHistory(store: Store, clock: Clock): Store {
  let known: Known | undefined;

  async function wholeSince(since: Instant): Promise<Known> {
    const now = clock.now();
    const isKnown = known !== undefined && known.since <= since && known.wholeAt + keptMilliseconds > now;
    const next = known !== undefined && isKnown ? known : noneSince(since, now);
    const from = isKnown ? Math.max(since, next.readAt - overlapMilliseconds) : since;
    const { jobs, machines } = await store.history(from, Number.MAX_SAFE_INTEGER);
    for (const job of jobs) next.jobs.put(job);
    for (const machine of machines) next.machines.put(machine);
    known = { ...next, readAt: now };
    return known;
  }

  return {
    ...store,
    async history(since, limit, before) {
      if (limit < Number.MAX_SAFE_INTEGER || before !== undefined) return store.history(since, limit, before);
      const { jobs, machines } = await wholeSince(since);
      return { jobs: jobs.since(since), machines: machines.since(since) };
    },
  };
}

interface Known {
  readonly since: Instant;
  readonly wholeAt: Instant;
  readonly readAt: Instant;
  readonly jobs: Remembered<Job>;
  readonly machines: Remembered<Machine>;
}

function noneSince(since: Instant, now: Instant): Known {
  return {
    ...{ since, wholeAt: now, readAt: now },
    jobs: createRemembered<JobId, Job>(jobEndedAt),
    machines: createRemembered<MachineId, Machine>(machineEndedAt),
  };
}

interface Remembered<Entry> {
  put(entry: Entry): void;
  /** Newest first. */
  since(since: Instant): readonly Entry[];
}

function createRemembered<Id extends string | number, Entry extends { readonly id: Id }>(
  endOf: (entry: Entry) => Instant | undefined,
): Remembered<Entry> {
  const list: EndedList<Entry> = createEndedList(endOf);
  const byId = new Map<Id, Entry>();
  return {
    put(entry) {
      const before = byId.get(entry.id);
      if (before !== undefined) list.remove(before);
      byId.set(entry.id, entry);
      list.add(entry);
    },
    since: (since) => list.newest(since, Number.MAX_SAFE_INTEGER),
  };
}
