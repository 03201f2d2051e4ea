import type { Machine, MachineName } from "../core/model.ts";
import type { Proof } from "../ports/identity.ts";
import type { Ports } from "../ports/ports.ts";

/** 401: it did not prove who it is. 404: no such machine is known. 503: not known yet, ask again. */
export interface Turned {
  readonly status: 401 | 404 | 503;
  readonly because: string;
}

/**
 * The machine that asks, once it has proved to be the one that it names.
 *
 * A machine that names itself by its provider's id was launched by somebody, and may ask before the answer to its
 * launch has been written down, or while that answer is lost and the sweep has yet to adopt it. So it is told to ask
 * again; its own boot limit ends it when nobody ever knows it. An id of ours was written down before the launch.
 */
export async function askingMachine(
  ports: Pick<Ports, "identity" | "store">,
  name: MachineName,
  proof: Proof,
): Promise<Machine | Turned> {
  const verdict = await ports.identity.verify(name, proof);
  if (verdict !== "proven") return { status: 401, because: verdict.unproven };
  if (typeof name === "string") {
    const machine = await ports.store.findMachine(name);
    return machine ?? { status: 404, because: "No machine of this id is known." };
  }
  const machine = await ports.store.findMachineByProviderId(name.compute, name.providerId);
  return machine ?? { status: 503, because: "No machine of this provider id is known yet." };
}
