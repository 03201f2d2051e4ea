import type { Instant, Machine, MachineId } from "./model.ts";

/**
 * An image that is to take the place of one that serves: it gets one machine at a time, until enough of them were of use,
 * or too many were not. So that what breaks all machines alike is not its fault, as many machines of the other image are
 * watched beside it, and none of its own is launched before one of those is known.
 */
export interface ImageTrial {
  readonly tag: string;
  readonly reference: string;
  readonly recipe: string;
  readonly builtAt: Instant;
  /** The oldest first. */
  readonly machines: readonly WatchedMachine[];
}

/** A machine by whose fate the trial is judged. It is noted before it is launched, and may never be. */
export interface WatchedMachine {
  readonly id: MachineId;
  /** It starts from the new image; the others from the one that serves. */
  readonly isNew: boolean;
  readonly since: Instant;
  /** Its runner listened, or it never came to that. Absent: not known yet. */
  readonly worked?: boolean;
}

/** `unclear`: what ended it says nothing of its image. */
export type MachineFate = "worked" | "failed" | "unclear";

/** A machine that was noted and does not exist so long afterwards was not needed. */
const unusedSeconds = 120;
/** So many machines that worked make it trusted; so many that did not, and more than that, end it. */
const enough = 3;

/** What became of a watched machine, by its entry in the ledger or the history; undefined while that is open. */
export function fateOf(
  machine: Machine | undefined,
  { since }: Pick<WatchedMachine, "since">,
  now: Instant,
): MachineFate | undefined {
  if (machine === undefined) return since + unusedSeconds * 1000 <= now ? "unclear" : undefined;
  const { times, jobId, reason, interruptedAt } = machine;
  if (times.online !== undefined || times.started !== undefined || jobId !== undefined) return "worked";
  if (reason === undefined) return undefined;
  if (interruptedAt !== undefined) return "unclear";
  return reason === "boot-timeout" || reason === "lost" ? "failed" : "unclear";
}

/** The trial with what is known of its machines now. Those that say nothing are forgotten. */
export function trialAfter(trial: ImageTrial, fates: ReadonlyMap<MachineId, MachineFate>): ImageTrial {
  const machines = trial.machines.flatMap((machine): WatchedMachine[] => {
    const fate = fates.get(machine.id);
    if (fate === undefined || machine.worked !== undefined) return [machine];
    return fate === "unclear" ? [] : [{ ...machine, worked: fate === "worked" }];
  });
  return { ...trial, machines };
}

/** `broken`: its machines fail, and more often than those of the image that serves. Undefined: that is not clear yet. */
export function verdictOf({ machines }: ImageTrial): "trusted" | "broken" | undefined {
  const own = countsOf(machines, { isNew: true });
  const others = countsOf(machines, { isNew: false });
  if (own.worked >= enough && own.worked > own.failed) return "trusted";
  const isWorse = own.failed * (others.worked + others.failed) > others.failed * (own.worked + own.failed);
  const isAlone = others.worked + others.failed === 0;
  return own.failed >= enough && own.failed > own.worked && (isWorse || isAlone) ? "broken" : undefined;
}

/** Which machines are to be watched next, if any are launched now. */
export function toWatch({ machines }: ImageTrial): readonly Pick<WatchedMachine, "isNew">[] {
  const known = (isNew: boolean): number =>
    machines.filter((machine) => machine.isNew === isNew && machine.worked !== undefined).length;
  return [true, false]
    .filter((isNew) => !machines.some((machine) => machine.isNew === isNew && machine.worked === undefined))
    .filter((isNew) => known(isNew) <= known(!isNew))
    .map((isNew) => ({ isNew }));
}

/** Of the machines of the one image, or of the other: how many worked, and how many did not. The others are open. */
export function countsOf(
  machines: readonly WatchedMachine[],
  { isNew }: Pick<WatchedMachine, "isNew">,
): { readonly worked: number; readonly failed: number } {
  const own = machines.filter((machine) => machine.isNew === isNew);
  return {
    worked: own.filter(({ worked }) => worked === true).length,
    failed: own.filter(({ worked }) => worked === false).length,
  };
}
