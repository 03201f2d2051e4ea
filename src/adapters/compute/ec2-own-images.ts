import type { Instant } from "../../core/model.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callQuery, type QueryInput, type XmlElement } from "../aws/query.ts";
import { itemsAt, tagsOf, textAt } from "./ec2-answers.ts";

/** An image of this account. */
export interface OwnImage {
  readonly id: string;
  readonly name: string;
  /** NaN where EC2 does not say it. */
  readonly createdAt: Instant;
  readonly architecture: string;
  readonly tags: ReadonlyMap<string, string>;
  /** Of its volumes. */
  readonly snapshots: readonly string[];
}

/** The images of this account that bear the tag of this deployment. */
export async function ownEc2Images(client: AwsClient, deployment: string): Promise<readonly OwnImage[]> {
  const ours = { Name: "tag:mayfly:deployment", Value: [deployment] };
  const items = await everyPage(client, "DescribeImages", "imagesSet", { Owner: ["self"], Filter: [ours] });
  return items.map((item) => ({
    id: textAt(item, "imageId") ?? "",
    name: textAt(item, "name") ?? "",
    createdAt: Date.parse(textAt(item, "creationDate") ?? ""),
    architecture: textAt(item, "architecture") ?? "",
    tags: tagsOf(item),
    snapshots: itemsAt(item, "blockDeviceMapping").flatMap(
      (device) => textAt(device, "ebs", "snapshotId") ?? [],
    ),
  }));
}

/**
 * What the account starts machines from, or has started: images of instances that are not gone, and of the newest and the
 * default version of each launch template, whoever made it. References are as a launch template has them: ids, or
 * `resolve:ssm:<parameter>`.
 */
export async function imageReferencesInUse(client: AwsClient): Promise<ReadonlySet<string>> {
  const states = ["pending", "running", "shutting-down", "stopping", "stopped"];
  const reservations = await everyPage(client, "DescribeInstances", "reservationSet", {
    Filter: [{ Name: "instance-state-name", Value: states }],
  });
  const versions = await everyPage(client, "DescribeLaunchTemplateVersions", "launchTemplateVersionSet", {
    LaunchTemplateVersion: ["$Latest", "$Default"],
    // As many as one answer may hold; without it there are fifteen in each.
    MaxResults: 200,
  });
  return new Set([
    ...reservations
      .flatMap((one) => itemsAt(one, "instancesSet"))
      .flatMap((one) => textAt(one, "imageId") ?? []),
    ...versions.flatMap((one) => textAt(one, "launchTemplateData", "imageId") ?? []),
  ]);
}

/** What became of the snapshots of an image that was removed. */
export interface RemovedImage {
  readonly snapshots: readonly string[];
  /** Another image is made of them too. */
  readonly kept: readonly string[];
}

/** Deregisters the image, then deletes its snapshots. What is gone already is no failure. */
export async function removeEc2Image(client: AwsClient, image: OwnImage): Promise<RemovedImage> {
  await unlessGone(call(client, "DeregisterImage", image.id, { ImageId: image.id }));
  const snapshots: string[] = [];
  const kept: string[] = [];
  for (const snapshot of image.snapshots) {
    try {
      await unlessGone(call(client, "DeleteSnapshot", snapshot, { SnapshotId: snapshot }));
      snapshots.push(snapshot);
    } catch (error) {
      if (!(error instanceof AwsError) || error.awsCode !== "InvalidSnapshot.InUse") throw error;
      kept.push(snapshot);
    }
  }
  return { snapshots, kept };
}

async function unlessGone(done: Promise<XmlElement>): Promise<void> {
  try {
    await done;
  } catch (error) {
    const isGone =
      error instanceof AwsError &&
      /^(InvalidAMIID|InvalidSnapshot)\.(NotFound|Unavailable)$/.test(error.awsCode);
    if (!isGone) throw error;
  }
}

/** All of it: who deletes must not miss what is in use. */
async function everyPage(
  client: AwsClient,
  action: string,
  place: string,
  input: QueryInput,
): Promise<readonly XmlElement[]> {
  const items: XmlElement[] = [];
  for (let next: string | undefined; ; ) {
    const answer = await call(client, action, "*", { ...input, NextToken: next });
    items.push(...itemsAt(answer, place));
    next = textAt(answer, "nextToken");
    if (next === undefined) return items;
  }
}

function call(client: AwsClient, action: string, resource: string, input: QueryInput): Promise<XmlElement> {
  return callQuery(client, { service: "ec2", action, resource, input });
}
