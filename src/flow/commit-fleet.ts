import type { CounterLimit } from "../core/counters.ts";
import { MayflyError } from "../core/errors.ts";
import type { Change, FleetId, Job, Ledger, Machine } from "../core/model.ts";
import { isSettled } from "../core/rerun.ts";
import type { Store } from "../ports/store.ts";

/** What a look at a ledger wants written, and what it answers when that was written. */
export interface Outcome<Result> {
  readonly changes: readonly Change[];
  readonly limits?: readonly CounterLimit[];
  readonly result: Result;
}

/** More conflicts in a row than this mean that something is wrong, not that a fleet is busy. */
const attemptsLimit = 50;

/**
 * Load, decide, commit; again from the start when somebody else committed in between. `decide` must not have
 * effects that may not be repeated, and commits nothing to the same fleet itself. No changes: nothing is committed.
 * A commit that would pass a limit calls `overLimit`, whose answer is returned.
 *
 * Those who use the same store object take turns: when a hundred machines claim at once, each would otherwise lose
 * to all the others, and they would decide thousands of times. Other processes are met by the fleet's version.
 */
export async function commitFleet<Result>(
  store: Store,
  fleet: FleetId,
  decide: (ledger: Ledger) => Outcome<Result> | Promise<Outcome<Result>>,
  overLimit?: (counter: string) => Result,
): Promise<Result> {
  return (await commitFrom(store, fleet, undefined, decide, overLimit)).result;
}

export interface Committed<Result> {
  readonly result: Result;
  /** The ledger as it is afterwards. It is made when it is asked for: it takes a copy of the lists. */
  readonly ledger: () => Ledger;
}

/**
 * The same, beginning with a ledger that was known a moment ago, and telling what it is afterwards: for one who commits
 * twice in a row. Where somebody else has committed in between, the first attempt fails and the ledger is loaded.
 * What does not change the version may be missing in it, so `decide` must not depend on the jobs that are new.
 */
export function commitFrom<Result>(
  store: Store,
  fleet: FleetId,
  known: Ledger | undefined,
  decide: (ledger: Ledger) => Outcome<Result> | Promise<Outcome<Result>>,
  overLimit?: (counter: string) => Result,
): Promise<Committed<Result>> {
  return inTurn(store, fleet, () => commitUntilWritten(store, fleet, known, decide, overLimit));
}

async function commitUntilWritten<Result>(
  store: Store,
  fleet: FleetId,
  known: Ledger | undefined,
  decide: (ledger: Ledger) => Outcome<Result> | Promise<Outcome<Result>>,
  overLimit: ((counter: string) => Result) | undefined,
): Promise<Committed<Result>> {
  for (let attempt = 1; attempt <= attemptsLimit; attempt++) {
    const ledger = attempt === 1 && known !== undefined ? known : await store.load(fleet);
    const { changes, limits, result } = await decide(ledger);
    if (changes.length === 0) return { result, ledger: () => ledger };
    const written = await store.commit(fleet, ledger.version, changes, limits);
    if (written.kind === "committed") return { result, ledger: () => ledgerAfter(ledger, changes) };
    if (written.kind === "over-limit" && overLimit !== undefined) {
      return { result: overLimit(written.counter), ledger: () => ledger };
    }
  }
  throw new MayflyError({
    kind: "retry",
    code: "LEDGER_CONTENDED",
    message: `The ledger of fleet ${fleet} changed ${attemptsLimit} times while it was being written.`,
    suggestion: "Nothing was lost; the next look at the fleet tries again.",
  });
}

/** What the store has after these changes were committed to what it had. */
export function ledgerAfter(ledger: Ledger, changes: readonly Change[]): Ledger {
  let { record } = ledger;
  const jobs = new Map<Job["id"], Job>();
  const machines = new Map<Machine["id"], Machine>();
  for (const change of changes) {
    if (change.put === "fleet") record = change.record;
    else if (change.put === "machine") machines.set(change.machine.id, change.machine);
    else jobs.set(change.job.id, change.job);
  }
  return {
    fleet: ledger.fleet,
    version: ledger.version + 1,
    record,
    jobs: withChanges(ledger.jobs, jobs, (job) => !isSettled(job)),
    machines: withChanges(ledger.machines, machines, (machine) => machine.state !== "ended"),
  };
}

/** A list of a thousand in which one entry changes is copied once, and one in which none does is kept. */
function withChanges<Entry extends { readonly id: string | number }>(
  entries: readonly Entry[],
  changed: Map<Entry["id"], Entry>,
  isActive: (entry: Entry) => boolean,
): readonly Entry[] {
  if (changed.size === 0) return entries;
  const after: Entry[] = [];
  for (const entry of entries) {
    const next = changed.get(entry.id) ?? entry;
    changed.delete(entry.id);
    if (isActive(next)) after.push(next);
  }
  return [...after, ...[...changed.values()].filter(isActive)];
}

/** The last in the line of each fleet that has one. */
const lines = new WeakMap<Store, Map<FleetId, Promise<void>>>();

function inTurn<Result>(store: Store, fleet: FleetId, work: () => Promise<Result>): Promise<Result> {
  const line = lines.get(store) ?? new Map<FleetId, Promise<void>>();
  lines.set(store, line);
  const before = line.get(fleet);
  const result = before === undefined ? work() : before.then(work);
  // Whoever fails says so to its own caller; the next one has its turn all the same.
  const leave = (): void => {
    if (line.get(fleet) === last) line.delete(fleet);
  };
  const last = result.then(leave, leave);
  line.set(fleet, last);
  return result;
}
