import type { MachineId, MachineName } from "../core/model.ts";
import type { Secret } from "../core/secret.ts";

/**
 * Who asks? A claim proves which machine it comes from; how depends on where the machine runs (design §5).
 */
export interface Identity {
  /**
   * What a machine must be given at its launch to prove later that it is this machine. Absent where the platform
   * proves it. Repeating it for the same machine gives the same credential, so that a launch can be repeated.
   */
  issue(machineId: MachineId): Secret | undefined;

  /**
   * Whether this request comes from the machine that it names. Compared in constant time. `unproven` carries a
   * sentence that never contains what would have been right. A kind of name that this proof says nothing about is
   * unproven. Whether such a machine is known is not asked here.
   */
  verify(name: MachineName, proof: Proof): Promise<"proven" | { readonly unproven: string }>;
}

export interface Proof {
  /** Request headers, names in lower case. Anybody may send any of them. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Who signed the request, as the HTTP front has verified it; never something that a client can set. */
  readonly caller?: string;
}
