import type { Preset } from "../../core/model.ts";
import type { Prices } from "../../ports/prices.ts";

/** The prices that the config gives: one per preset, whatever the market and the pool. */
export function createFixedPrices(presets: readonly Pick<Preset, "name" | "pricePerHourUsd">[]): Prices {
  const byPreset = new Map(presets.map((preset) => [preset.name, preset.pricePerHourUsd]));
  return { pricePerHourUsd: (spec) => Promise.resolve(byPreset.get(spec.preset)) };
}
