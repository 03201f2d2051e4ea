import type { MachineId } from "../../core/model.ts";

/** Machine ids become names of folders and containers, so what is none is refused before it is used. */
export function isMachineId(text: string): text is MachineId {
  return /^[a-z0-9][a-z0-9-]{0,63}$/.test(text);
}
