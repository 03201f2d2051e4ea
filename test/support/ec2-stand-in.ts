import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { callQuery, type QueryInput, type XmlElement } from "../../src/adapters/aws/query.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import {
  type LaunchTemplateData,
  launchTemplateData,
} from "../../src/adapters/compute/ec2-launch-template.ts";

/** What a deployment has of EC2 before anything is launched: subnets by zone, and a launch template. */
export interface Ec2Place {
  readonly subnets: Readonly<Record<string, string>>;
  readonly imageId: string;
  readonly launchTemplate: string;
}

export function callEc2(client: AwsClient, action: string, input: QueryInput): Promise<XmlElement> {
  return callQuery(client, { service: "ec2", action, resource: "the stand-in", input });
}

let places = 0;

/** Makes what the infrastructure makes. `change` spoils the launch template, for tests. */
export async function prepareEc2(
  client: AwsClient,
  change: (data: LaunchTemplateData) => object = (data) => data,
): Promise<Ec2Place> {
  const subnets = itemsAt(await callEc2(client, "DescribeSubnets", {}), "subnetSet");
  const byZone = subnets.map((subnet) => [textAt(subnet, "availabilityZone"), textAt(subnet, "subnetId")]);
  const imageId = await linuxImage(client);
  places += 1;
  const launchTemplate = `stand-in-${process.pid}-${places}`;
  const data = launchTemplateData({
    imageId,
    rootDeviceName: "/dev/xvda",
    diskGib: 30,
    instanceProfileArn: "arn:aws:iam::123456789012:instance-profile/mayfly",
    securityGroupIds: [],
    userData: Buffer.from("#!/bin/sh\n").toString("base64"),
  });
  await callEc2(client, "CreateLaunchTemplate", {
    LaunchTemplateName: launchTemplate,
    LaunchTemplateData: asParameters(change(data) as LaunchTemplateData),
  });
  return { subnets: Object.fromEntries(byZone), imageId, launchTemplate };
}

/** An image that the stand-in has anyway. */
export async function linuxImage(client: AwsClient): Promise<string> {
  const images = await callEc2(client, "DescribeImages", { Owner: ["amazon"], Filter: [linux, x86] });
  return textAt(itemsAt(images, "imagesSet")[0] ?? {}, "imageId") ?? "";
}

const linux = { Name: "name", Value: ["al2023-ami-2023*"] };
const x86 = { Name: "architecture", Value: ["x86_64"] };

/** The query protocol spells lists in the singular. */
export function asParameters(data: Partial<LaunchTemplateData>): QueryInput {
  const { BlockDeviceMappings, SecurityGroupIds, ...rest } = data;
  return {
    ...rest,
    BlockDeviceMapping: BlockDeviceMappings,
    SecurityGroupId: SecurityGroupIds,
  };
}

/** The subnets that the stand-in has anyway, one for each zone. */
export async function subnetsByZone(client: AwsClient): Promise<Readonly<Record<string, string>>> {
  const subnets = itemsAt(await callEc2(client, "DescribeSubnets", {}), "subnetSet");
  return Object.fromEntries(
    subnets.map((subnet) => [textAt(subnet, "availabilityZone"), textAt(subnet, "subnetId")]),
  );
}
