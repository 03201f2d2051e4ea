import { createHmac } from "node:crypto";
import type { MachineId, MachineName } from "../../core/model.ts";
import { equalInConstantTime, Secret } from "../../core/secret.ts";
import type { Identity, Proof } from "../../ports/identity.ts";

/**
 * Machines on this box: each is given a token that is derived from its id and one key, so nothing per machine is
 * stored and a repeated launch hands over the same token. Who has the token of one machine learns nothing about
 * another's.
 */
export function createDerivedTokenIdentity(key: Secret): Identity {
  const tokenOf = (machineId: MachineId): string =>
    createHmac("sha256", key.reveal()).update(`machine:${machineId}`).digest("base64url");
  return {
    issue: (machineId) => new Secret(tokenOf(machineId)),
    verify: (name, proof) => Promise.resolve(verify(tokenOf, name, proof)),
  };
}

function verify(
  tokenOf: (machineId: MachineId) => string,
  name: MachineName,
  proof: Proof,
): "proven" | { readonly unproven: string } {
  if (typeof name !== "string") {
    return { unproven: "Tokens are made for machine ids. Ask under the machine's id, not its provider's." };
  }
  const header = proof.headers.authorization;
  if (header === undefined || header === "") {
    return { unproven: "The request has no authorization header. Send `Bearer` and the machine's token." };
  }
  const token = /^Bearer +([\w-]+) *$/i.exec(header)?.[1];
  if (token === undefined) {
    return { unproven: "The authorization header is not `Bearer` followed by a token." };
  }
  if (equalInConstantTime(token, tokenOf(name))) return "proven";
  return { unproven: "The token does not belong to this machine." };
}
