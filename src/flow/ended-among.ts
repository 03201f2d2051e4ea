import type { Instance } from "../core/launch.ts";
import type { Ports } from "../ports/ports.ts";

/**
 * The provider ids among these that machines had which have ended. A provider lists what is gone for a while, and
 * repeats it when a launch is repeated; it is given to no second machine.
 */
export async function endedAmong(
  ports: Pick<Ports, "store">,
  compute: string,
  instances: readonly Instance[],
): Promise<ReadonlySet<string>> {
  const found = await Promise.all(
    instances.map(({ providerId }) => ports.store.findMachineByProviderId(compute, providerId)),
  );
  return new Set(found.flatMap((machine) => (machine?.state === "ended" ? [machine.providerId ?? ""] : [])));
}
