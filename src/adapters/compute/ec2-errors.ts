import type { LaunchFailureKind } from "../../core/model.ts";

/** What a refusal of EC2 is about: one pool (type, zone, market), all of the account, or the request itself. */
export type Ec2Subject = "pool" | "account" | "request";

export interface Ec2Meaning {
  readonly failure: LaunchFailureKind;
  readonly subject: Ec2Subject;
  /** What an operator does, where EC2's own sentence does not say it. */
  readonly hint?: string;
}

/**
 * What EC2's codes mean for a launch. They come as the refusal of a whole call, and in the `Errors` of a fleet that
 * was answered with 200, where they are about one override each.
 */
const meanings: Readonly<Record<string, Ec2Meaning>> = {
  ...all({ failure: "capacity", subject: "pool" }, [
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientCapacityOnHost",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientFreeAddressesInSubnet",
    "ReservationCapacityExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "Unsupported",
    "UnsupportedOperation",
    "Server.InsufficientInstanceCapacity",
  ]),
  ...all({ failure: "quota", subject: "account" }, [
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxFleetCountExceeded",
    "TargetCapacityLimitExceededException",
    "MaxSpotFleetRequestCountExceeded",
    "ResourceLimitExceeded",
    "ResourceCountExceeded",
    "VolumeLimitExceeded",
    "MaxIOPSLimitExceeded",
    "NetworkInterfaceLimitExceeded",
    "AddressLimitExceeded",
    "Client.VolumeLimitExceeded",
  ]),
  ...all({ failure: "throttle", subject: "account" }, [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "EC2ThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
  ]),
  ...all({ failure: "transient", subject: "request" }, [
    "InternalError",
    "InternalFailure",
    "Unavailable",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "Server.InternalError",
  ]),
  ...all({ failure: "configuration", subject: "request" }, [
    "UnauthorizedOperation",
    "AuthFailure",
    "OptInRequired",
    "Blocked",
    "InvalidFleetConfig",
    "InvalidFleetConfiguration",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "MissingParameter",
    "InvalidAMIID.NotFound",
    "InvalidAMIID.Malformed",
    "InvalidAMIID.Unavailable",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.Malformed",
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidLaunchTemplateName.MalformedException",
    "InvalidSubnetID.NotFound",
    "InvalidGroup.NotFound",
    "InvalidSecurityGroupID.NotFound",
    "InvalidKeyPair.NotFound",
    "InvalidUserData.Malformed",
    "InvalidBlockDeviceMapping",
    "InvalidInstanceType",
    "InvalidIamInstanceProfile.NotFound",
  ]),
  PendingVerification: {
    failure: "configuration",
    subject: "account",
    hint: "AWS verifies the account for this region first; that may take four hours.",
  },
  "AuthFailure.ServiceLinkedRoleCreationNotPermitted": {
    failure: "configuration",
    subject: "account",
    hint: "Create the role of EC2 Spot once: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
  },
};

/** A type that a zone does not have is said in words only, under codes that otherwise mean a wrong request. */
const poolSentence = /not supported in (your requested|the) availability zone|no .*capacity available/i;

/** Of an unknown code nothing is known: it may pass, and it buys nothing dearer. */
const unknown: Ec2Meaning = { failure: "transient", subject: "request" };

/** The one place where EC2's refusals of launches become ours. */
export function meaningOfEc2Code(code: string, message = ""): Ec2Meaning {
  if (poolSentence.test(message)) return { failure: "capacity", subject: "pool" };
  const known = Object.hasOwn(meanings, code) ? meanings[code] : undefined;
  if (known !== undefined) return known;
  // `InvalidSomething.NotFound`: a name in the request leads nowhere.
  if (/^Invalid\w+(\.\w+)?$/.test(code)) return { failure: "configuration", subject: "request" };
  return unknown;
}

/**
 * The failure that speaks for a launch of which several pools said why they gave nothing. What may pass by itself
 * comes first, so that nothing dearer is bought on its account; a mistake comes last, as other pools are not concerned.
 */
const precedence: readonly LaunchFailureKind[] = [
  "throttle",
  "transient",
  "quota",
  "capacity",
  "configuration",
];

export function speaksFirst(left: LaunchFailureKind, right: LaunchFailureKind): number {
  return precedence.indexOf(left) - precedence.indexOf(right);
}

/**
 * Why an instance is no more (`StateReason` of a terminated one), as a sentence; undefined where it was ended as
 * machines are ended: by itself, or by us.
 */
export function whyEc2Ended(code: string, message: string): string | undefined {
  if (ordinaryEnds.has(code) || code === "") return undefined;
  const said = message.replace(/^[\w.]+:\s*/, "").replace(/\.?$/, "");
  const hint = /^Client\.(InternalError|InvalidSnapshot|KMS|InvalidKMS)/.test(code)
    ? " Often the key of an encrypted volume cannot be used by EC2."
    : "";
  return `EC2 ended it (${code}): ${said}.${hint}`;
}

const ordinaryEnds: ReadonlySet<string> = new Set([
  ...["Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate"],
]);

/** Its spot capacity was taken back. */
export function wasTakenBack(code: string): boolean {
  return code === "Server.SpotInstanceTermination" || code === "Server.SpotInstanceShutdown";
}

function all(meaning: Ec2Meaning, codes: readonly string[]): Record<string, Ec2Meaning> {
  return Object.fromEntries(codes.map((code) => [code, meaning]));
}
