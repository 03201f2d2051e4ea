import type { Purchase } from "../../core/model.ts";
import type { ListedMachine } from "../../ports/compute.ts";
import type { AwsClient } from "../aws/client.ts";
import { callQuery, type QueryInput, type XmlElement } from "../aws/query.ts";
import { itemsAt, tagsOf, textAt } from "./ec2-answers.ts";
import { wasTakenBack, whyEc2Ended } from "./ec2-errors.ts";

export interface Ec2Instance {
  readonly providerId: string;
  readonly instanceType: string;
  readonly zone: string;
  readonly purchase: Purchase;
}

/** Every instance of this deployment in any state. Those that are terminated are listed for about an hour. */
export async function listMachines(client: AwsClient, deployment: string): Promise<readonly ListedMachine[]> {
  const instances = await describeInstances(client, [
    { Name: "tag:mayfly:deployment", Value: [deployment] },
    { Name: "tag-key", Value: ["mayfly:launch"] },
  ]);
  return instances.map(readMachine);
}

/** What is left of one launch: instances that are there, or about to be. */
export async function instancesOfLaunch(
  client: AwsClient,
  deployment: string,
  token: string,
): Promise<readonly Ec2Instance[]> {
  const instances = await describeInstances(client, [
    { Name: "tag:mayfly:deployment", Value: [deployment] },
    { Name: "tag:mayfly:launch", Value: [token] },
    { Name: "instance-state-name", Value: ["pending", "running", "stopping", "stopped"] },
  ]);
  return instances.map((instance) => ({
    providerId: textAt(instance, "instanceId") ?? "",
    instanceType: textAt(instance, "instanceType") ?? "",
    zone: textAt(instance, "placement", "availabilityZone") ?? "unknown",
    purchase: purchaseOf(instance),
  }));
}

/** Those of these that are not terminated. EC2 need not know any of them. */
export async function instancesThere(
  client: AwsClient,
  providerIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const instances = await describeInstances(client, [
    { Name: "instance-id", Value: providerIds },
    { Name: "instance-state-name", Value: ["pending", "running", "shutting-down", "stopping", "stopped"] },
  ]);
  return new Set(instances.map((instance) => textAt(instance, "instanceId") ?? ""));
}

async function describeInstances(
  client: AwsClient,
  Filter: readonly QueryInput[],
): Promise<readonly XmlElement[]> {
  const instances: XmlElement[] = [];
  let NextToken: string | undefined;
  do {
    const call = { service: "ec2", action: "DescribeInstances", resource: "our instances" } as const;
    const page = await callQuery(client, { ...call, input: { Filter, MaxResults: 1_000, NextToken } });
    for (const reservation of itemsAt(page, "reservationSet")) {
      instances.push(...itemsAt(reservation, "instancesSet"));
    }
    NextToken = textAt(page, "nextToken");
  } while (NextToken !== undefined);
  return instances;
}

function readMachine(instance: XmlElement): ListedMachine {
  const tags = tagsOf(instance);
  const launchToken = tags.get("mayfly:launch");
  const machineId = tags.get("mayfly:machine");
  const ended = endOf(instance);
  return {
    providerId: textAt(instance, "instanceId") ?? "",
    fleet: tags.get("mayfly:fleet") ?? "",
    preset: tags.get("mayfly:preset") ?? "",
    launchedAt: Date.parse(textAt(instance, "launchTime") ?? "") || 0,
    purchase: purchaseOf(instance),
    ...(machineId !== undefined && { machineId }),
    ...(launchToken !== undefined && { launchToken }),
    ...(ended !== undefined && { ended }),
  };
}

function purchaseOf(instance: XmlElement): Purchase {
  return textAt(instance, "instanceLifecycle") === "spot" ? "spot" : "on-demand";
}

function endOf(instance: XmlElement): ListedMachine["ended"] {
  if (textAt(instance, "instanceState", "name") !== "terminated") return undefined;
  const code = textAt(instance, "stateReason", "code") ?? "";
  const detail = whyEc2Ended(code, textAt(instance, "stateReason", "message") ?? "");
  return { detail: detail ?? "EC2 says that the instance is terminated.", takenBack: wasTakenBack(code) };
}
