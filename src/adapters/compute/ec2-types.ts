import type { Architecture } from "../../core/model.ts";

/**
 * The processor of an instance type, from its name: AWS marks its own processors with a `g` after the generation
 * (`c7g`, `m6gd`, `t4g`, `x2gd`, `g5g`), and the first of them was the family `a1`.
 */
export function architectureOfType(instanceType: string): Architecture {
  const [family = ""] = instanceType.split(".");
  const [, attributes = ""] = /^[a-z-]+\d+([a-z]*)/.exec(family) ?? [];
  return family === "a1" || attributes.includes("g") ? "arm64" : "x86_64";
}
