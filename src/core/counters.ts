import type { Machine } from "./model.ts";

/**
 * Counters make caps hold across fleets: a machine occupies one place in each of its counters from the moment
 * it is requested until it has ended. The store keeps the sums and refuses a commit that would pass a limit, in
 * the same transaction that writes the machine.
 */
export interface CounterLimit {
  readonly counter: string;
  readonly max: number;
}

export const totalCounter = "machines";

export function presetCounter(preset: string): string {
  return `preset:${preset}`;
}

/** Counts machines that are bound to a job of this repository, `owner/name`. */
export function repositoryCounter(repository: string): string {
  return `repository:${repository.toLowerCase()}`;
}

/** The counters in which this machine occupies a place. None once it has ended. */
export function countersOf(machine: Machine): readonly string[] {
  if (machine.state === "ended") return [];
  const counters = [totalCounter, presetCounter(machine.preset)];
  if (machine.binding !== undefined) counters.push(repositoryCounter(machine.binding.repository));
  return counters;
}
