import type { Machine } from "./model.ts";

/**
 * Which machine of a launch is which, where one call starts many that nobody can tell apart.
 *
 * ```
 *   scaleup                 provider                            ledger
 *      │── launch, token T ───▶│ i-1 i-2 i-3, marked T             │ m-1 m-2 m-3, requested, token T
 *      │        (lost)  ✗──────│                                   │
 *   sweep ── list ────────────▶│ i-1 i-2 i-3, marked T ───────────▶│ m-1 = i-1, m-2 = i-2, m-3 = i-3
 *   scaleup, again, token T ──▶│ the same answer ─────────────────▶│ all three are known: nothing is left to give
 * ```
 *
 * The ledger decides, once: an instance is given to the first machine of its launch that has none, in a commit. Two
 * looks that would give it to two machines are two commits to one version, and the second of them looks again.
 */
export interface Instance {
  readonly providerId: string;
}

/** Machines of this launch that no instance was given to: those that are wanted, then those that retire already. */
export function awaitingMachines(machines: readonly Machine[], launchToken: string): readonly Machine[] {
  const awaiting = machines.filter(
    (machine) => machine.launchToken === launchToken && machine.providerId === undefined,
  );
  const isWanted = (machine: Machine): boolean => machine.state === "requested";
  return [...awaiting.filter(isWanted), ...awaiting.filter((machine) => !isWanted(machine))];
}

/** Instances of this launch that no machine of the ledger has. */
export function newInstances<Entry extends Instance>(
  machines: readonly Machine[],
  instances: readonly Entry[],
): readonly Entry[] {
  const given = new Set(machines.map((machine) => machine.providerId));
  return instances.filter((instance) => !given.has(instance.providerId));
}

/** Gives the new instances of a launch to its machines. What is left over is nobody's. */
export function giveInstances<Entry extends Instance>(
  machines: readonly Machine[],
  launchToken: string,
  instances: readonly Entry[],
): readonly { readonly machine: Machine; readonly instance: Entry }[] {
  const awaiting = awaitingMachines(machines, launchToken);
  return newInstances(machines, instances).flatMap((instance, index) => {
    const machine = awaiting[index];
    return machine === undefined ? [] : [{ machine, instance }];
  });
}
