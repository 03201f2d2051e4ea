import { type AwsClient, createAwsClient } from "../adapters/aws/client.ts";
import { inspectCaller, roleExists, secretExists } from "../adapters/aws/inspection.ts";
import { createSystemClock } from "../adapters/clock/system.ts";
import { inspectSubnets, inspectVpcs, type VpcFacts } from "../adapters/compute/ec2-inspection.ts";
import { createSystemRandom } from "../adapters/random/system.ts";
import { awsCredentials, awsPlace } from "../config/aws.ts";
import { processEnvironment } from "../config/environment.ts";
import { MayflyError } from "../core/errors.ts";
import type { Terminal } from "./terminal.ts";

/** What is to be known of an account before anything is deployed there. */
export interface AccountView {
  readonly account: string;
  readonly vpcs: readonly VpcFacts[];
  /** Those of ours that exist, by their name without the deployment's. */
  readonly secrets: readonly string[];
  readonly roles: readonly string[];
  /** The zone of each subnet, and for each zone that which has a way out and the most free addresses. */
  subnetsOf(vpcId: string): Promise<{
    readonly zones: ReadonlyMap<string, string>;
    readonly best: Readonly<Record<string, string>>;
  }>;
}

/** Undefined, with a note why, where the account cannot be read: nothing of it is needed. */
export async function viewAccount(
  region: string,
  roles: readonly string[],
  terminal: Terminal,
): Promise<AccountView | undefined> {
  const environment = { ...processEnvironment(), AWS_REGION: region };
  const clock = createSystemClock();
  const client = createAwsClient({
    ...awsPlace(environment),
    credentials: () => awsCredentials(environment),
    clock,
    random: createSystemRandom(),
  });
  try {
    const { account } = await inspectCaller(client, clock);
    const vpcs = await inspectVpcs(client);
    const names = ["webhook-secret", "app-private-key", "status-token"];
    return {
      ...{ account, vpcs },
      secrets: await those(names, (name) => secretExists(client, `mayfly/${name}`)),
      roles: await those(roles, (role) => roleExists(client, role)),
      subnetsOf: (vpcId) => viewSubnets(client, vpcId),
    };
  } catch (error) {
    if (!(error instanceof MayflyError)) throw error;
    terminal.note(`The account is not looked at. ${error.message}`);
    return undefined;
  }
}

async function viewSubnets(client: AwsClient, vpcId: string): ReturnType<AccountView["subnetsOf"]> {
  const subnets = await inspectSubnets(client, { vpcId });
  const best: Record<string, string> = {};
  const usable = subnets
    .filter(({ defaultRoute, givesPublicAddresses }) => {
      return defaultRoute !== undefined && (givesPublicAddresses || !defaultRoute.startsWith("igw-"));
    })
    .sort((left, right) => left.zone.localeCompare(right.zone) || right.freeAddresses - left.freeAddresses);
  for (const { zone, id } of usable) best[zone] ??= id;
  return { zones: new Map(subnets.map(({ id, zone }) => [id, zone])), best };
}

async function those(
  names: readonly string[],
  isThere: (name: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const found = await Promise.all(names.map(isThere));
  return names.filter((_, place) => found[place]);
}
