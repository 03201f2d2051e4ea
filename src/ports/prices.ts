import type { FleetSpec, Purchase } from "../core/model.ts";

/** What machines cost where they run. Used for the budget, for status and for cost; never for correctness. */
export interface Prices {
  /** US dollars per hour for one machine of this kind, or undefined where nothing is known. */
  pricePerHourUsd(spec: FleetSpec, purchase: Purchase, pool?: string): Promise<number | undefined>;
}
