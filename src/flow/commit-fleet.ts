import type { CounterLimit } from "../core/counters.ts";
import { MayflyError } from "../core/errors.ts";
import type { Change, FleetId, Ledger } from "../core/model.ts";
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
 * effects that may not be repeated. No changes: nothing is committed. A commit that would pass a limit calls
 * `overLimit`, whose answer is returned.
 */
export async function commitFleet<Result>(
  store: Store,
  fleet: FleetId,
  decide: (ledger: Ledger) => Outcome<Result> | Promise<Outcome<Result>>,
  overLimit?: (counter: string) => Result,
): Promise<Result> {
  for (let attempt = 1; attempt <= attemptsLimit; attempt++) {
    const ledger = await store.load(fleet);
    const outcome = await decide(ledger);
    if (outcome.changes.length === 0) return outcome.result;
    const written = await store.commit(fleet, ledger.version, outcome.changes, outcome.limits);
    if (written.kind === "committed") return outcome.result;
    if (written.kind === "over-limit" && overLimit !== undefined) return overLimit(written.counter);
  }
  throw new MayflyError({
    kind: "retry",
    code: "LEDGER_CONTENDED",
    message: `The ledger of fleet ${fleet} changed ${attemptsLimit} times while it was being written.`,
    suggestion: "Nothing was lost; the next look at the fleet tries again.",
  });
}
