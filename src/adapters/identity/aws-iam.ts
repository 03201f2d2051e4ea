import { MayflyError } from "../../core/errors.ts";
import type { MachineName } from "../../core/model.ts";
import type { Identity, Proof } from "../../ports/identity.ts";

export interface AwsIamIdentityOptions {
  /** The roles that machines have, at least one; who has another role is no machine. */
  readonly roles: readonly MachineRole[];
}

export interface MachineRole {
  /** The compute adapter whose machines have it. */
  readonly compute: string;
  /** `arn:aws:iam::<account>:role/<path and name>`; `aws-cn` and `aws-us-gov` as well. */
  readonly arn: string;
}

/**
 * Machines on AWS: each signs its requests with the role that it runs under, and the IAM authorizer in front tells
 * whose signature it verified (`arn:aws:sts::<account>:assumed-role/<role>/<session>`). EC2 names the session of an
 * instance after the instance, and nobody else may assume the role, so the session's name is the proof: it must be
 * the very provider id that the machine calls itself. No machine is given a credential.
 */
export function createAwsIamIdentity(options: AwsIamIdentityOptions): Identity {
  const roles = options.roles.map(({ compute, arn }) => ({ compute, ...readRole(arn) }));
  return {
    issue: () => undefined,
    verify: (name, proof) => Promise.resolve(verify(roles, name, proof)),
  };
}

interface Role {
  readonly partition: string;
  readonly account: string;
  readonly role: string;
}

type Verdict = Awaited<ReturnType<Identity["verify"]>>;

function verify(
  roles: readonly (Role & { readonly compute: string })[],
  name: MachineName,
  { caller }: Proof,
): Verdict {
  if (caller === undefined || caller === "") {
    return { unproven: "The request is not signed, or it did not come through the IAM authorizer." };
  }
  const session = readSession(caller);
  if (session === undefined) return { unproven: "The request is signed by something else than a role." };
  const role = roles.find(
    ({ partition, account, role }) =>
      partition === session.partition && account === session.account && role === session.role,
  );
  if (role === undefined) return { unproven: "The request is signed by a role that machines do not have." };
  if (typeof name === "string") {
    return { unproven: "A signature says nothing of a machine's id; name the machine as its provider does." };
  }
  if (name.compute === role.compute && name.providerId === session.name) return "proven";
  return { unproven: "The request is signed by another machine than it names." };
}

function readSession(caller: string): (Role & { readonly name: string }) | undefined {
  const parts = /^arn:(aws[a-z-]*):sts::(\d{12}):assumed-role\/([\w+=,.@-]+)\/([\w+=,.@-]+)$/.exec(caller);
  const [, partition, account, role, name] = parts ?? [];
  if (partition === undefined || account === undefined || role === undefined || name === undefined) {
    return undefined;
  }
  return { partition, account, role, name };
}

/** The path of a role is not in the ARN of its sessions; its name alone is unique in an account. */
function readRole(arn: string): Role {
  const parts = /^arn:(aws[a-z-]*):iam::(\d{12}):role\/(?:[!-~]+\/)?([\w+=,.@-]+)$/.exec(arn);
  const [, partition, account, role] = parts ?? [];
  if (partition !== undefined && account !== undefined && role !== undefined) {
    return { partition, account, role };
  }
  throw new MayflyError({
    kind: "operator",
    code: "MACHINE_ROLE_INVALID",
    message: `${arn} is not the ARN of a role, so no machine could prove who it is.`,
    suggestion: "Name the role of the machines as arn:aws:iam::<account>:role/<name>.",
  });
}
