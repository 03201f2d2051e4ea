import type { Machine, Policy } from "./model.ts";

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

/**
 * Whether fleets may be held back by a cap whose places these machines, which have ended, gave free. They may have been
 * when the cap was nearly reached: others end at the same time, so that what is counted is no longer what was full.
 */
export function gaveFreeWhatWasScarce(
  ended: readonly Machine[],
  policy: Policy,
  counters: Readonly<Record<string, number>>,
): boolean {
  return ended
    .flatMap((machine) => capsOf(machine, policy))
    .some(({ counter, max }) => {
      const slack = Math.max(leastSlack, max * slackFraction);
      return (counters[counter] ?? 0) + ended.length + slack >= max;
    });
}

const leastSlack = 5;
const slackFraction = 0.1;

/** The caps under which a machine fell before it ended. */
function capsOf({ preset, binding }: Machine, { presets, limits }: Policy): readonly CounterLimit[] {
  const { max } = presets.find((entry) => entry.name === preset) ?? {};
  return [
    { counter: totalCounter, max: limits.machines },
    ...(max === undefined ? [] : [{ counter: presetCounter(preset), max }]),
    ...(binding === undefined
      ? []
      : [{ counter: repositoryCounter(binding.repository), max: limits.perRepository }]),
  ];
}
