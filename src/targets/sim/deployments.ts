import type { Market, Policy, Preset } from "../../core/model.ts";
import type { Random } from "../../ports/random.ts";
import { chance, oneOf, wholeBetween } from "./draw.ts";

/** The limits that a preset may be given later on. */
export const longestJobSeconds = 6 * 3_600;

/** What somebody makes of a configuration: the same presets, with other limits, markets and scopes. */
export function changedPolicy(random: Random, policy: Policy, original: Policy): Policy {
  const [first, ...others] = original.presets;
  // The first one is always there, so that there is something to do.
  const kept = others.filter(() => !chance(random, 0.15));
  const presets = [...(first === undefined ? [] : [first]), ...kept].map((preset) => {
    const current = policy.presets.find(({ name }) => name === preset.name) ?? preset;
    return changedPreset(random, current);
  });
  const limits = chance(random, 0.3)
    ? { ...policy.limits, machines: oneOf(random, [400, wholeBetween(random, 4, 30)]) }
    : policy.limits;
  const registration = chance(random, 0.3)
    ? oneOf<Policy["registration"]>(random, ["organization", "repository"])
    : policy.registration;
  return { ...policy, presets, limits, registration };
}

function changedPreset(random: Random, preset: Preset): Preset {
  return {
    ...preset,
    ...(chance(random, 0.3) && {
      market: oneOf<Market>(random, ["spot-preferred", "on-demand-only", "spot-only"]),
    }),
    ...(chance(random, 0.3) && { max: oneOf(random, [400, wholeBetween(random, 2, 20)]) }),
    ...(chance(random, 0.3) && { warm: wholeBetween(random, 0, 3) }),
    ...(chance(random, 0.3) && { jobTimeoutSeconds: oneOf(random, [1_800, 3_600, longestJobSeconds]) }),
    ...(chance(random, 0.3) && { bootTimeoutSeconds: oneOf(random, [300, 600]) }),
    ...(chance(random, 0.3) && { idleTimeoutSeconds: oneOf(random, [300, 600, 1_800]) }),
    ...(preset.buildsImages === true &&
      chance(random, 0.3) && { image: oneOf(random, ["ubuntu:24.04", "ubuntu:22.04", "debian:12"]) }),
  };
}
