import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callQuery, type QueryInput, type XmlElement } from "../aws/query.ts";
import { itemsAt, tagsOf, textAt } from "./ec2-answers.ts";
import { templateParameter } from "./ec2-fleet.ts";

/*
 * What EC2 has for machines, for whoever looks for a fault. Everything here only reads.
 */

export interface SubnetFacts {
  readonly id: string;
  readonly zone: string;
  readonly freeAddresses: number;
  /** Whether what starts in it gets a public address by itself. */
  readonly givesPublicAddresses: boolean;
  /** Where its default route goes, for example `igw-0abc` or `nat-0abc`; undefined: it has none. */
  readonly defaultRoute: string | undefined;
}

export interface ImageFacts {
  /** Why machines cannot be started from it, or jobs not run on it; empty when they can, as far as EC2 knows. */
  readonly problems: readonly string[];
  /** Whose owner has said that it should not be used any more. */
  readonly isDeprecated: boolean;
  /** Of the runner that Mayfly's scripts put into it; undefined: they did not make it. */
  readonly runnerVersion: string | undefined;
}

/** What EC2 knows of an image: what it has within, only a machine that starts from it finds out. */
export async function inspectImage(
  client: AwsClient,
  id: string,
  now: number,
): Promise<ImageFacts | undefined> {
  const [image] = await list(client, "DescribeImages", "imagesSet", { ImageId: [id] });
  if (image === undefined) return undefined;
  const says = (name: string, value: string): boolean => (textAt(image, name) ?? value) === value;
  const problems = [
    ...(says("imageState", "available") ? [] : [`it is ${textAt(image, "imageState")}`]),
    ...(says("platform", "linux") ? [] : ["it is no Linux"]),
    ...(says("virtualizationType", "hvm") ? [] : ["it is no HVM image, which today's machine types need"]),
    ...(says("rootDeviceType", "ebs") ? [] : ["its root volume is not on EBS, so it could not be encrypted"]),
    ...(says("enaSupport", "true")
      ? []
      : ["it lacks ENA, without which today's machine types have no network"]),
  ];
  const deprecated = Date.parse(textAt(image, "deprecationTime") ?? "");
  return { problems, isDeprecated: deprecated < now, runnerVersion: tagsOf(image).get("mayfly:runner") };
}

export interface VpcFacts {
  readonly id: string;
  readonly isDefault: boolean;
  readonly name: string | undefined;
  readonly range: string;
}

export async function inspectVpcs(client: AwsClient): Promise<readonly VpcFacts[]> {
  const vpcs = await list(client, "DescribeVpcs", "vpcSet", {});
  return vpcs.map((vpc) => ({
    id: textAt(vpc, "vpcId") ?? "",
    isDefault: textAt(vpc, "isDefault") === "true",
    name: tagsOf(vpc).get("Name"),
    range: textAt(vpc, "cidrBlock") ?? "",
  }));
}

/** Those of these subnets that exist, or all of a VPC. */
export async function inspectSubnets(
  client: AwsClient,
  which: { readonly ids: readonly string[] } | { readonly vpcId: string },
): Promise<readonly SubnetFacts[]> {
  const wanted = "ids" in which ? filter("subnet-id", which.ids) : filter("vpc-id", [which.vpcId]);
  const subnets = await list(client, "DescribeSubnets", "subnetSet", wanted);
  const vpcs = [...new Set(subnets.flatMap((subnet) => textAt(subnet, "vpcId") ?? []))];
  const tables =
    vpcs.length === 0
      ? []
      : await list(client, "DescribeRouteTables", "routeTableSet", filter("vpc-id", vpcs));
  return subnets.map((subnet) => ({
    id: textAt(subnet, "subnetId") ?? "",
    zone: textAt(subnet, "availabilityZone") ?? "",
    freeAddresses: Number(textAt(subnet, "availableIpAddressCount") ?? 0),
    givesPublicAddresses: textAt(subnet, "mapPublicIpOnLaunch") === "true",
    defaultRoute: defaultRouteOf(subnet, tables),
  }));
}

/** A subnet has the table that names it, or else the main one of its VPC. */
function defaultRouteOf(subnet: XmlElement, tables: readonly XmlElement[]): string | undefined {
  const ofVpc = tables.filter((table) => textAt(table, "vpcId") === textAt(subnet, "vpcId"));
  const associated = (isIt: (association: XmlElement) => boolean) =>
    ofVpc.find((table) => itemsAt(table, "associationSet").some(isIt));
  const table =
    associated((each) => textAt(each, "subnetId") === textAt(subnet, "subnetId")) ??
    associated((each) => textAt(each, "main") === "true");
  const route = table && itemsAt(table, "routeSet").find(isDefaultRoute);
  return route && (targets.map((name) => textAt(route, name)).find(Boolean) ?? "somewhere");
}

const targets = ["gatewayId", "natGatewayId", "transitGatewayId", "networkInterfaceId", "instanceId"];

function isDefaultRoute(route: XmlElement): boolean {
  return textAt(route, "destinationCidrBlock") === "0.0.0.0/0" && textAt(route, "state") !== "blackhole";
}

/** How many processors (vCPU) each of these types has; those that this region does not know are left out. */
export async function inspectTypes(
  client: AwsClient,
  types: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const found = await list(
    client,
    "DescribeInstanceTypes",
    "instanceTypeSet",
    filter("instance-type", types),
  );
  return new Map(
    found.map((type) => [
      textAt(type, "instanceType") ?? "",
      Number(textAt(type, "vCpuInfo", "defaultVCpus") ?? 0),
    ]),
  );
}

/** In which zones each of these types is offered. */
export async function inspectOfferings(
  client: AwsClient,
  types: readonly string[],
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = await list(client, "DescribeInstanceTypeOfferings", "instanceTypeOfferingSet", {
    LocationType: "availability-zone",
    ...filter("instance-type", types),
  });
  const zones = new Map<string, Set<string>>(types.map((type) => [type, new Set()]));
  for (const offering of found)
    zones.get(textAt(offering, "instanceType") ?? "")?.add(textAt(offering, "location") ?? "");
  return zones;
}

/** The tags of a launch template; undefined where there is none of this name. */
export async function inspectTemplateTags(
  client: AwsClient,
  launchTemplate: string,
): Promise<ReadonlyMap<string, string> | undefined> {
  const named = Object.entries(templateParameter(launchTemplate));
  const input = Object.fromEntries(named.map(([name, value]) => [name, [value]]));
  try {
    const [template] = await list(client, "DescribeLaunchTemplates", "launchTemplates", input);
    return template && tagsOf(template);
  } catch (error) {
    if (error instanceof AwsError && /NotFound/.test(error.awsCode)) return undefined;
    throw error;
  }
}

function filter(name: string, values: readonly string[]): QueryInput {
  // EC2 takes 200 values at most.
  return { Filter: [{ Name: name, Value: values.slice(0, 200) }] };
}

const pagesLimit = 20;

async function list(
  client: AwsClient,
  action: string,
  place: string,
  input: QueryInput,
): Promise<readonly XmlElement[]> {
  const items: XmlElement[] = [];
  let next: string | undefined;
  for (let page = 1; page <= pagesLimit; page += 1) {
    const call = { service: "ec2", action, resource: "*" } as const;
    const answer = await callQuery(client, { ...call, input: { ...input, NextToken: next } });
    items.push(...itemsAt(answer, place));
    next = textAt(answer, "nextToken");
    if (next === undefined) break;
  }
  return items;
}
