import { gaveFreeWhatWasScarce } from "../core/counters.ts";
import type { FleetId, Instant, Machine, Policy } from "../core/model.ts";
import type { Ports } from "../ports/ports.ts";

const delayLimitSeconds = 900;

/** Asks for another look at a fleet. Many pokes that wait for the same look are one. */
export async function poke(
  ports: Pick<Ports, "work">,
  stage: "scaleup" | "scaledown",
  fleet: FleetId,
  delaySeconds = 0,
): Promise<void> {
  await ports.work.send(
    { stage, fleet },
    { key: `${stage}:${fleet}`, delaySeconds: Math.min(Math.max(delaySeconds, 0), delayLimitSeconds) },
  );
}

/** Asks for another look at an instant. One that is far away is split: every look asks for the next. */
export async function pokeAt(
  ports: Pick<Ports, "work" | "clock">,
  stage: "scaleup" | "scaledown",
  fleet: FleetId,
  at: Instant,
): Promise<void> {
  await poke(ports, stage, fleet, Math.ceil((at - ports.clock.now()) / 1000));
}

/** Asks for every look there is: when nothing is known of what was asked for and not done. */
export async function pokeEverything(ports: Pick<Ports, "work" | "store">): Promise<void> {
  for (const fleet of await ports.store.activeFleets()) {
    await poke(ports, "scaleup", fleet);
    await poke(ports, "scaledown", fleet);
  }
}

/**
 * These machines have ended: fleets that a cap has held back may go on. Where no cap was near, nobody is asked; one
 * that is missed looks again by itself.
 */
export async function pokeHeldBack(
  ports: Pick<Ports, "work" | "store">,
  policy: Policy,
  ended: readonly Machine[],
): Promise<void> {
  if (ended.length === 0) return;
  if (!gaveFreeWhatWasScarce(ended, policy, await ports.store.counters())) return;
  for (const fleet of await ports.store.activeFleets()) await poke(ports, "scaleup", fleet);
}
