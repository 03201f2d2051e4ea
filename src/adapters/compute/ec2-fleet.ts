import type { Purchase } from "../../core/model.ts";
import type { QueryInput, XmlElement } from "../aws/query.ts";
import { itemsAt, textAt, textsAt } from "./ec2-answers.ts";

/** Where a machine can be launched: a type in a zone, for one market. */
export interface Ec2Pool {
  readonly instanceType: string;
  readonly zone: string;
  readonly subnetId: string;
}

/** `m7i.large/eu-west-1a/spot`: what a pool is called in the ledger. */
export function poolName(instanceType: string, zone: string, purchase: Purchase): string {
  return `${instanceType}/${zone}/${purchase}`;
}

export interface FleetInput {
  /** EC2's client token: what was launched with it is launched once. At most 64 characters. */
  readonly token: string;
  readonly count: number;
  readonly purchase: Purchase;
  /** Id or name. */
  readonly launchTemplate: string;
  readonly pools: readonly Ec2Pool[];
  /** On demand, the types are tried in the order of the pools; otherwise the cheapest first. */
  readonly inOrder: boolean;
  readonly imageId: string | undefined;
  readonly devices: readonly BlockDevice[];
  readonly tags: Readonly<Record<string, string>>;
}

/** A volume as this launch wants it, where that differs from the launch template; without a size, no volume. */
export interface BlockDevice {
  readonly name: string;
  readonly sizeGib?: number;
}

/**
 * The request of one fleet of type `instant`: answered when everything was tried, with what was launched and why the
 * rest was not. Equal inputs give equal requests, or EC2 would not know a repetition.
 */
export function createFleetInput(input: FleetInput): QueryInput {
  const { token, count, purchase, pools, imageId, devices } = input;
  const isSpot = purchase === "spot";
  const types = [...new Set(pools.map(({ instanceType }) => instanceType))];
  const tags = Object.entries(input.tags).map(([Key, Value]) => ({ Key, Value }));
  return {
    ClientToken: token,
    Type: "instant",
    TargetCapacitySpecification: { TotalTargetCapacity: count, DefaultTargetCapacityType: purchase },
    SpotOptions: isSpot
      ? { AllocationStrategy: "price-capacity-optimized", InstanceInterruptionBehavior: "terminate" }
      : undefined,
    OnDemandOptions: isSpot
      ? undefined
      : { AllocationStrategy: input.inOrder ? "prioritized" : "lowest-price" },
    LaunchTemplateConfigs: [
      {
        LaunchTemplateSpecification: { ...templateParameter(input.launchTemplate), Version: "$Latest" },
        Overrides: pools.map(({ instanceType, subnetId }) => ({
          InstanceType: instanceType,
          SubnetId: subnetId,
          Priority: input.inOrder && !isSpot ? types.indexOf(instanceType) : undefined,
          ImageId: imageId,
          BlockDeviceMapping: devices.length === 0 ? undefined : devices.map(deviceParameter),
        })),
      },
    ],
    TagSpecification: ["instance", "volume"].map((ResourceType) => ({ ResourceType, Tag: tags })),
  };
}

export function templateParameter(launchTemplate: string): QueryInput {
  return /^lt-[0-9a-f]{8,17}$/.test(launchTemplate)
    ? { LaunchTemplateId: launchTemplate }
    : { LaunchTemplateName: launchTemplate };
}

/** Of an override's volume nothing is taken from the launch template, so everything is said again. */
function deviceParameter({ name, sizeGib }: BlockDevice): QueryInput {
  if (sizeGib === undefined) return { DeviceName: name, NoDevice: "" };
  const Ebs = { VolumeSize: sizeGib, VolumeType: "gp3", Encrypted: true, DeleteOnTermination: true };
  return { DeviceName: name, Ebs };
}

export interface FleetAnswer {
  readonly fleetId: string | undefined;
  readonly instances: readonly FleetInstance[];
  readonly errors: readonly FleetError[];
}

export interface FleetInstance {
  readonly providerId: string;
  readonly instanceType: string;
  readonly subnetId: string | undefined;
}

/** One override that gave nothing. It says nothing of how many machines are missing. */
export interface FleetError {
  readonly code: string;
  readonly message: string;
  readonly instanceType: string | undefined;
  readonly subnetId: string | undefined;
}

/** What CreateFleet answers, and each fleet of what DescribeFleets answers. */
export function readFleet(answer: XmlElement): FleetAnswer {
  return {
    fleetId: textAt(answer, "fleetId"),
    instances: itemsAt(answer, "fleetInstanceSet").flatMap((item) => {
      const subnetId = textAt(item, "launchTemplateAndOverrides", "overrides", "subnetId");
      const instanceType = textAt(item, "instanceType") ?? "";
      return textsAt(item, "instanceIds").map((providerId) => ({ providerId, instanceType, subnetId }));
    }),
    errors: itemsAt(answer, "errorSet").map((item) => ({
      code: textAt(item, "errorCode") ?? "Unknown",
      message: textAt(item, "errorMessage") ?? "EC2 gives no reason",
      instanceType: textAt(item, "launchTemplateAndOverrides", "overrides", "instanceType"),
      subnetId: textAt(item, "launchTemplateAndOverrides", "overrides", "subnetId"),
    })),
  };
}
