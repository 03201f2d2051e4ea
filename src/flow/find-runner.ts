import { scopeName, scopeOf } from "../core/demand.ts";
import type { Machine, Policy, Scope } from "../core/model.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";

type Ports = Pick<AllPorts, "github">;

/**
 * Where a machine's runner is registered. `none`: GitHub knows none of this name, so no job runs on the machine.
 * `unknown`: it may be where we cannot look.
 */
export type FoundRunner =
  | { readonly kind: "found"; readonly scope: Scope; readonly runnerId: number }
  | { readonly kind: "none" }
  | { readonly kind: "unknown" };

/** Of an orphan nothing is known but its name, which is its runner's: it is looked for everywhere. If it has one. */
export async function findItsRunner(ports: Ports, policy: Policy, machine: Machine): Promise<FoundRunner> {
  if (machine.nameless === true) return { kind: "unknown" };
  const scope = machine.registration?.scope ?? machine.binding?.scope;
  if (scope === undefined) return findAnywhere(ports, policy, machine);
  const runnerId = machine.registration?.runnerId ?? (await ports.github.findRunner(scope, machine.id))?.id;
  return runnerId === undefined ? { kind: "none" } : { kind: "found", scope, runnerId };
}

async function findAnywhere(ports: Ports, policy: Policy, machine: Machine): Promise<FoundRunner> {
  const { repositories, complete } = await ports.github.listRepositories();
  const scopes = new Map<string, Scope>();
  for (const repository of repositories) {
    const scope = scopeOf({ repository, installationId: repository.installationId }, policy);
    scopes.set(scopeName(scope).toLowerCase(), scope);
  }
  for (const scope of scopes.values()) {
    const runner = await ports.github.findRunner(scope, machine.id);
    if (runner !== undefined) return { kind: "found", scope, runnerId: runner.id };
  }
  return { kind: complete ? "none" : "unknown" };
}
