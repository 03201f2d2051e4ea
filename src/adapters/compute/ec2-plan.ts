import type { Architecture, LaunchFailureKind } from "../../core/model.ts";
import type { LaunchRequest } from "../../ports/compute.ts";
import type { BlockDevice, Ec2Pool } from "./ec2-fleet.ts";
import { poolName } from "./ec2-fleet.ts";
import type { Ec2Image } from "./ec2-images.ts";
import type { UsableTemplate } from "./ec2-templates.ts";
import { architectureOfType } from "./ec2-types.ts";

/** What a launch is made from, beside its request. */
export interface Planner {
  readonly images: (reference: string, architecture: Architecture) => Promise<Ec2Image>;
  readonly templates: (launchTemplate: string) => Promise<UsableTemplate>;
  readonly templateOf: (preset: string) => string;
  /** By zone. */
  readonly subnetsOf: (preset: string) => Readonly<Record<string, string>>;
}

export interface LaunchPlan {
  readonly launchTemplate: string;
  readonly pools: readonly Ec2Pool[];
  readonly inOrder: boolean;
  readonly imageId: string | undefined;
  readonly devices: readonly BlockDevice[];
}

export interface Refusal {
  readonly failure: LaunchFailureKind;
  readonly code: string;
  readonly message: string;
  readonly pools?: readonly string[];
}

/** EC2 takes no more overrides than this in fleets that stay; ours do not, and need no more. */
const poolsLimit = 300;

/** What to ask of EC2 for this launch, or why it is not asked at all. */
export async function planLaunch(planner: Planner, request: LaunchRequest): Promise<LaunchPlan | Refusal> {
  const { spec, avoidPools, purchase } = request;
  const mistake = mistakeOf(request);
  if (mistake !== undefined) return mistake;
  const zones = Object.entries(planner.subnetsOf(spec.preset));
  const all = spec.instanceTypes.flatMap((instanceType) =>
    zones.map(([zone, subnetId]): Ec2Pool => ({ instanceType, zone, subnetId })),
  );
  const avoided = new Set(avoidPools);
  const pools = all.filter(({ instanceType, zone }) => !avoided.has(poolName(instanceType, zone, purchase)));
  if (pools.length === 0) {
    const message = `Every pool of ${spec.instanceTypes.length} types in ${zones.length} zones refused a short while ago.`;
    return { failure: "capacity", code: "ALL_POOLS_AVOIDED", message };
  }
  const launchTemplate = planner.templateOf(spec.preset);
  const [template, image] = await Promise.all([
    planner.templates(launchTemplate),
    spec.image === undefined ? undefined : planner.images(spec.image, spec.architecture),
  ]);
  return {
    launchTemplate,
    pools: pools.slice(0, poolsLimit),
    inOrder: spec.typesAlike !== true,
    imageId: image?.id,
    devices: devicesOf(template, image, spec.diskGib),
  };
}

/** What EC2 would launch without a word, and be the wrong machine. */
function mistakeOf({ spec }: LaunchRequest): Refusal | undefined {
  const configuration = (code: string, message: string): Refusal => ({
    failure: "configuration",
    code,
    message,
  });
  if (spec.operatingSystem !== "linux") {
    return configuration("WRONG_SYSTEM", `Machines on EC2 run Linux here, not ${spec.operatingSystem}.`);
  }
  if (spec.instanceTypes.length === 0) {
    return configuration(
      "NO_INSTANCE_TYPE",
      `The preset ${spec.preset} names no instance types and no size.`,
    );
  }
  const wrong = spec.instanceTypes.filter((type) => architectureOfType(type) !== spec.architecture);
  if (wrong.length === 0) return undefined;
  const message = `${wrong.join(", ")} has another processor than ${spec.architecture}, which the preset ${spec.preset} asks for.`;
  return configuration("WRONG_ARCHITECTURE", message);
}

/**
 * The volumes of this launch, where they differ from the template's. The template may speak of another device than the
 * image's root: then that one is left out, and the root is made as the template would have it.
 */
function devicesOf(
  template: UsableTemplate,
  image: Ec2Image | undefined,
  diskGib: number | undefined,
): readonly BlockDevice[] {
  const [templateRoot = "/dev/xvda", ...more] = template.deviceNames;
  const root = image?.rootDeviceName ?? templateRoot;
  const smallest = image?.rootSizeGib ?? 0;
  const sizeGib = Math.max(Math.ceil(diskGib ?? template.diskGib ?? 0), smallest);
  const isTemplates = root === templateRoot && sizeGib === template.diskGib;
  if (isTemplates || sizeGib === 0) return [];
  if (root === templateRoot || more.includes(root)) return [{ name: root, sizeGib }];
  return [{ name: root, sizeGib }, { name: templateRoot }];
}
