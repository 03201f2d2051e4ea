import type { MachineId } from "../core/model.ts";
import type { Random } from "../ports/random.ts";

/** No vowels, so that no words come out; no letters that are mistaken for digits. */
const alphabet = "23456789bcdfghjkmnpqrstvwxyz";
const suffixLength = 12;
const presetLengthLimit = 40;

/**
 * A new machine's id, which is also its runner's name: `<preset>-<12 random characters>`. 57 bits of randomness
 * make it unique without asking anybody; the preset makes it legible at GitHub.
 */
export function machineIdFor(preset: string, random: Random): MachineId {
  const bytes = random.bytes(suffixLength);
  const suffix = Array.from(bytes, (byte) => alphabet[byte % alphabet.length]).join("");
  const prefix = preset
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, presetLengthLimit);
  return `${prefix}-${suffix}`;
}
