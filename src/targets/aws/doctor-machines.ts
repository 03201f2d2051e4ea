import { AwsError } from "../../adapters/aws/errors.ts";
import { clusterExists, roleExists } from "../../adapters/aws/inspection.ts";
import { createEc2Images } from "../../adapters/compute/ec2-images.ts";
import {
  inspectImage,
  inspectOfferings,
  inspectSubnets,
  inspectTemplateTags,
  inspectTypes,
  type SubnetFacts,
} from "../../adapters/compute/ec2-inspection.ts";
import { launchTemplateName } from "../../adapters/compute/ec2-launch-template.ts";
import { createEc2Templates } from "../../adapters/compute/ec2-templates.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { Finding } from "../../core/diagnosis.ts";
import { machineType } from "../../core/machine-types.ts";
import type { FleetSpec, Policy } from "../../core/model.ts";
import { routeJob } from "../../core/route.ts";
import { findingOf, look, type Trouble, trouble, warning } from "../doctor/look.ts";
import type { Examination } from "./doctor.ts";
import { examineQuotas, type Need } from "./doctor-quotas.ts";

/** What the function scaleup launches with; undefined where it could not be read. */
type Variables = Readonly<Record<string, string>> | undefined;

/** What the machines of each preset are made of: launch template, image, types, subnets; and what the account allows. */
export async function examineMachines(
  loaded: Pick<LoadedConfig, "config" | "policy">,
  examination: Examination,
  variables: Variables,
): Promise<readonly Finding[]> {
  const specs = presetSpecs(loaded.policy);
  const onEc2 = specs.filter(({ compute }) => compute === "ec2");
  const onFargate = specs.filter(({ compute }) => compute === "fargate");
  const subnets = subnetsIn(loaded, variables);
  const seen = await examineSubnets(examination, { subnets, variables, specs });
  const types = await processorsOf(examination, onEc2);
  const findings: Finding[] = [...types.findings];
  for (const spec of onEc2) {
    findings.push(...(await examinePreset(loaded, examination, spec)));
    if (types.processors !== undefined) {
      const zones = zonesOf(loaded, spec.preset, variables);
      findings.push(await examineTypes(examination, spec, { zones, known: types.processors }));
    }
  }
  return [
    ...findings,
    ...(await examineCluster(loaded, examination, { onFargate, variables })),
    ...seen,
    ...(await examineRoles(examination, { onEc2, onFargate })),
    ...(await examineQuotas(examination, loaded.policy.limits.machines, [
      ...onEc2.map((spec) => needOf(loaded.policy, spec, types.processors)),
      ...onFargate.map((spec) => needOf(loaded.policy, spec)),
    ])),
  ];
}

/** What a job that asks for nothing but the preset gets. */
function presetSpecs(policy: Policy): readonly FleetSpec[] {
  return policy.presets.flatMap(({ name }) => {
    const route = routeJob(["self-hosted", `mayfly/${name}`], policy);
    return route.kind === "routed" ? [route.record.spec] : [];
  });
}

/** What AWS did not tell of a type is taken from what is known here. */
function needOf(policy: Policy, spec: FleetSpec, told?: ReadonlyMap<string, number>): Need {
  const { compute, market, instanceTypes, preset } = spec;
  const processorsOf = (type: string): number =>
    told?.get(type) ?? machineType(policy, type, compute)?.cpu ?? 0;
  const machines = policy.presets.find(({ name }) => name === preset)?.max ?? 0;
  return {
    compute,
    market,
    machines,
    types: instanceTypes.map((name) => ({ name, processors: processorsOf(name) })),
  };
}

// ---------------------------------------------------------------------------------- template and image

async function examinePreset(
  { config, policy }: Pick<LoadedConfig, "config" | "policy">,
  { client, clock, deployment }: Examination,
  spec: FleetSpec,
): Promise<readonly Finding[]> {
  const template =
    config.compute[spec.preset]?.ec2.launchTemplate ?? launchTemplateName(deployment, spec.preset);
  let reference = spec.image;
  const ofTemplate = await look(`preset ${spec.preset}: launch template`, async () => {
    const tags = await inspectTemplateTags(client, template);
    if (tags === undefined) {
      const cure = "Deploy the infrastructure with this configuration: it makes one for each preset.";
      return trouble(`There is no launch template ${template}.`, cure);
    }
    const usable = await createEc2Templates({ client, clock })(template);
    reference ??= usable.imageId?.replace(/^resolve:/, "");
    if (tags.get("mayfly:deployment") !== deployment) {
      const cure = `Tag it: mayfly:deployment=${deployment}.`;
      return trouble(`${template} lacks the tag without which scaleup may not launch from it.`, cure);
    }
    return `${template} is there, and made as it must be.`;
  });
  const builds = policy.presets.some(({ name, buildsImages }) => name === spec.preset && buildsImages);
  // What is built is looked at when it is built: `mayfly images` tells of it.
  if (reference === undefined || builds) return [ofTemplate];
  const image = reference;
  const ofImage = await look(`preset ${spec.preset}: image`, async () => {
    const found = await createEc2Images({ client, clock })(image, spec.architecture).catch(unlessNotFound);
    if (found === undefined) {
      return trouble(
        `${image} is not there, or not shared with this account.`,
        "Correct `image` of the preset.",
      );
    }
    if (spec.diskGib !== undefined && spec.diskGib < found.rootSizeGib) {
      return warning(
        `${found.id} has ${found.rootSizeGib} GiB, and diskGib is ${spec.diskGib}: the disk gets what the image has.`,
        "Raise diskGib, so that the configuration says what is paid for.",
      );
    }
    const facts = await inspectImage(client, found.id, clock.now());
    if (facts !== undefined && facts.problems.length > 0) {
      const cure = "Name another one in `image` of the preset; docs/guides/images.md says how one is made.";
      return trouble(`Machines cannot run jobs on ${found.id}: ${facts.problems.join("; ")}.`, cure);
    }
    if (facts?.isDeprecated === true) {
      return warning(
        `${found.id} is deprecated by its owner.`,
        "Name a newer one, or one by `ssm:` or `name:`.",
      );
    }
    const kind =
      facts?.runnerVersion === undefined
        ? "not made by Mayfly's scripts: what is not in it is installed at each start, in a minute or two"
        : `with the runner ${facts.runnerVersion}`;
    return `${image === found.id ? `${found.id} is there` : `${image} is ${found.id}`}, ${kind}.`;
  });
  return [ofTemplate, ofImage];
}

/** EC2 has a code of its own for each kind of thing that is not there. */
function unlessNotFound(error: unknown): undefined {
  if (error instanceof AwsError && /NotFound/.test(error.awsCode)) return undefined;
  throw error;
}

// ------------------------------------------------------------------------------------------------ types

async function processorsOf(
  { client }: Examination,
  specs: readonly FleetSpec[],
): Promise<{ readonly processors?: ReadonlyMap<string, number>; readonly findings: readonly Finding[] }> {
  const names = [...new Set(specs.flatMap(({ instanceTypes }) => instanceTypes))];
  if (names.length === 0) return { processors: new Map(), findings: [] };
  try {
    return { processors: await inspectTypes(client, names), findings: [] };
  } catch (error) {
    return { findings: [findingOf("machine types", error)] };
  }
}

function examineTypes(
  { client }: Examination,
  spec: FleetSpec,
  { zones, known }: { readonly zones: readonly string[]; readonly known: ReadonlyMap<string, number> },
): Promise<Finding> {
  const { preset, instanceTypes } = spec;
  return look(`preset ${preset}: machine types`, async () => {
    const cure = "Name others in instanceTypes of the preset, or leave them out and give cpu and ram.";
    const offered = await inspectOfferings(client, instanceTypes);
    const inZones = instanceTypes.map((type) => ({
      type,
      zones: zones.filter((zone) => offered.get(type)?.has(zone)),
      isKnown: known.has(type),
    }));
    const usable = inZones.filter(
      ({ isKnown, zones: some }) => isKnown && (some.length > 0 || zones.length === 0),
    );
    if (usable.length === 0) {
      return trouble(`None of ${instanceTypes.join(", ")} is offered where its subnets are.`, cure);
    }
    const nowhere = inZones.filter((each) => !usable.includes(each)).map(({ type }) => type);
    if (nowhere.length > 0) return warning(`${nowhere.join(", ")}: not offered where its subnets are.`, cure);
    const bare = zones.filter((zone) => usable.every(({ zones: some }) => !some.includes(zone)));
    if (bare.length > 0) return warning(`None of its types is offered in ${bare.join(", ")}.`, cure);
    const places = zones.length === 0 ? "this region" : zones.join(", ");
    return `${usable.map(({ type }) => type).join(", ")}: offered in ${places}.`;
  });
}

// ---------------------------------------------------------------------------------------------- subnets

interface SubnetPlan {
  /** Subnet by zone where that is known, as in the variables of the functions; else by itself. */
  readonly subnets: readonly { readonly id: string; readonly zone: string | undefined }[];
  readonly variables: Variables;
  readonly specs: readonly FleetSpec[];
}

function subnetsIn({ config, policy }: Pick<LoadedConfig, "config" | "policy">, variables: Variables) {
  const common = Object.entries(zonesIn(variables));
  const own = policy.presets.flatMap(({ name }) => Object.entries(config.compute[name]?.ec2.subnets ?? {}));
  const ofTasks = policy.presets.flatMap(({ name }) => config.compute[name]?.fargate.subnets ?? []);
  const all = [
    ...[...common, ...own].map(([zone, id]) => ({ id, zone })),
    ...ofTasks.map((id) => ({ id, zone: undefined })),
  ];
  return all.filter(({ id }, place) => all.findIndex((other) => other.id === id) === place);
}

function zonesIn(variables: Variables): Readonly<Record<string, string>> {
  // The infrastructure writes it, and a function that finds something else here says so itself.
  return JSON.parse(variables?.MAYFLY_SUBNETS ?? "{}");
}

function zonesOf({ config }: Pick<LoadedConfig, "config">, preset: string, variables: Variables) {
  return Object.keys(config.compute[preset]?.ec2.subnets ?? zonesIn(variables));
}

async function examineSubnets(
  { client }: Examination,
  { subnets, variables, specs }: SubnetPlan,
): Promise<readonly Finding[]> {
  if (subnets.length === 0) {
    const says = "Which subnets machines start in is not known, as the function scaleup cannot be read.";
    return [{ about: "subnets", verdict: "unknown", says, cure: "Deploy first, and look again." }];
  }
  const found = new Map<string, SubnetFacts>();
  try {
    const ids = subnets.map(({ id }) => id);
    for (const facts of await inspectSubnets(client, { ids })) found.set(facts.id, facts);
  } catch (error) {
    return [findingOf("subnets", error)];
  }
  const tasksOnly = specs.every(({ compute }) => compute === "fargate");
  const tasksGetAddresses = tasksOnly && variables?.MAYFLY_TASK_PUBLIC_ADDRESSES !== "no";
  return subnets.map(({ id, zone }): Finding => {
    const about = `subnet ${id}`;
    const seen = subnetVerdict(found.get(id), { zone, getsAddress: tasksGetAddresses });
    if (typeof seen === "string") return { about, verdict: "ok", says: seen, cure: null };
    return { about, verdict: seen.verdict ?? "problem", says: seen.says, cure: seen.cure };
  });
}

/** With fewer free addresses than these, a burst of jobs finds none. */
const fewAddresses = 16;

function subnetVerdict(
  subnet: SubnetFacts | undefined,
  { zone, getsAddress }: { readonly zone: string | undefined; readonly getsAddress: boolean },
): string | Trouble {
  if (subnet === undefined) {
    return trouble("There is no such subnet in this region.", "Name another one, and deploy again.");
  }
  const { defaultRoute, givesPublicAddresses, freeAddresses } = subnet;
  if (zone !== undefined && zone !== subnet.zone) {
    return trouble(`It is in ${subnet.zone}, and not in ${zone}.`, "Correct its zone, and deploy again.");
  }
  if (defaultRoute === undefined) {
    return trouble(
      "Its route table has no default route: machines cannot reach GitHub.",
      "Take a subnet with a route to an internet gateway or a NAT gateway.",
    );
  }
  if (defaultRoute.startsWith("igw-") && !givesPublicAddresses && !getsAddress) {
    return trouble(
      "Its way out is an internet gateway, and machines get no public address: they cannot reach GitHub.",
      `aws ec2 modify-subnet-attribute --subnet-id ${subnet.id} --map-public-ip-on-launch, or take one with a NAT gateway.`,
    );
  }
  if (freeAddresses === 0) return trouble("It has no free address.", "Take a larger subnet, or one more.");
  const addresses = `${freeAddresses} free ${freeAddresses === 1 ? "address" : "addresses"}`;
  if (freeAddresses < fewAddresses)
    return warning(`It has ${addresses}.`, "Take a larger subnet, or one more.");
  return `It is in ${subnet.zone}, and has ${addresses} and a way out.`;
}

// ---------------------------------------------------------------------------------------------- Fargate

async function examineCluster(
  { policy }: Pick<LoadedConfig, "policy">,
  { client, deployment }: Examination,
  { onFargate, variables }: { readonly onFargate: readonly FleetSpec[]; readonly variables: Variables },
): Promise<readonly Finding[]> {
  if (onFargate.length === 0 || variables === undefined) return [];
  const cluster = variables.MAYFLY_CLUSTER ?? deployment;
  const finding = await look(`cluster ${cluster}`, async () => {
    const cure = "Deploy with Fargate=yes (Terraform: fargate = true; CDK: --context fargate=true).";
    if (variables.MAYFLY_CLUSTER === undefined) {
      return trouble("What presets on Fargate need was not deployed.", cure);
    }
    if (!(await clusterExists(client, cluster))) return trouble("It is not there.", cure);
    const builds = onFargate.some(({ preset }) =>
      policy.presets.some(({ name, buildsImages }) => name === preset && buildsImages),
    );
    if (builds && !variables.MAYFLY_IMAGE_PROJECT) {
      return trouble("What builds images for its tasks was not deployed.", cure);
    }
    return "It is there.";
  });
  return [finding];
}

// ------------------------------------------------------------------------------------------------ roles

function examineRoles(
  { client }: Examination,
  { onEc2, onFargate }: { readonly onEc2: readonly FleetSpec[]; readonly onFargate: readonly FleetSpec[] },
): Promise<readonly Finding[]> {
  const onSpot = onEc2.some(({ market }) => market !== "on-demand-only");
  const roles = [
    ...(onSpot ? [{ role: "AWSServiceRoleForEC2Spot", service: "spot.amazonaws.com" }] : []),
    ...(onFargate.length > 0 ? [{ role: "AWSServiceRoleForECS", service: "ecs.amazonaws.com" }] : []),
  ];
  return Promise.all(
    roles.map(({ role, service }) =>
      look(`role ${role}`, async () => {
        if (await roleExists(client, role)) return "It is there.";
        const cure = `Once for each account: aws iam create-service-linked-role --aws-service-name ${service}`;
        return trouble("It is not there, and the functions may not make it.", cure);
      }),
    ),
  );
}
