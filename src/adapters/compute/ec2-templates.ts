import { MayflyError } from "../../core/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AwsClient } from "../aws/client.ts";
import { callQuery, type XmlElement } from "../aws/query.ts";
import { itemsAt, textAt } from "./ec2-answers.ts";
import { templateParameter } from "./ec2-fleet.ts";
import { type ReadTemplate, templateProblems } from "./ec2-launch-template.ts";

/** What a launch has to know of its template: the devices that it maps, the root volume first. */
export interface UsableTemplate {
  readonly deviceNames: readonly string[];
  /** Of the root volume; undefined: as large as the image's. */
  readonly diskGib: number | undefined;
  /** The image that its machines start from where a launch names no other; as EC2 has it: `ami-…` or `resolve:ssm:…`. */
  readonly imageId: string | undefined;
}

/** A template is looked at again after so long, as it may have got a new version. */
const keptSeconds = 600;

/**
 * Looks at the newest version of a launch template before machines are launched from it. Rejects with a `MayflyError`
 * of kind `operator` when its machines would cost money for ever, could not claim or would be open to their jobs.
 */
export function createEc2Templates(options: {
  readonly client: AwsClient;
  readonly clock: Clock;
}): (launchTemplate: string) => Promise<UsableTemplate> {
  const kept = new Map<string, { readonly template: Promise<UsableTemplate>; readonly until: number }>();
  return (launchTemplate) => {
    const now = options.clock.now();
    const known = kept.get(launchTemplate);
    if (known !== undefined && known.until > now) return known.template;
    const template = look(options.client, launchTemplate);
    kept.set(launchTemplate, { template, until: now + keptSeconds * 1_000 });
    template.catch(() => kept.delete(launchTemplate));
    return template;
  };
}

async function look(client: AwsClient, launchTemplate: string): Promise<UsableTemplate> {
  const answer = await callQuery(client, {
    service: "ec2",
    action: "DescribeLaunchTemplateVersions",
    resource: `launch template ${launchTemplate}`,
    input: { ...templateParameter(launchTemplate), LaunchTemplateVersion: ["$Latest"] },
  });
  const [version] = itemsAt(answer, "launchTemplateVersionSet");
  const data = version?.launchTemplateData;
  const element = typeof data === "object" && !Array.isArray(data) ? (data as XmlElement) : {};
  const problems = templateProblems(readTemplate(element));
  if (problems.length > 0) throw unsafe(launchTemplate, problems);
  const devices = itemsAt(element, "blockDeviceMappingSet");
  const size = devices[0] === undefined ? undefined : textAt(devices[0], "ebs", "volumeSize");
  return {
    deviceNames: devices.flatMap((device) => textAt(device, "deviceName") ?? []),
    diskGib: size === undefined ? undefined : Number(size),
    imageId: textAt(element, "imageId"),
  };
}

function readTemplate(data: XmlElement): ReadTemplate {
  const hopLimit = textAt(data, "metadataOptions", "httpPutResponseHopLimit");
  const profile = textAt(data, "iamInstanceProfile", "arn") ?? textAt(data, "iamInstanceProfile", "name");
  return {
    shutdownBehavior: textAt(data, "instanceInitiatedShutdownBehavior"),
    httpTokens: textAt(data, "metadataOptions", "httpTokens"),
    hopLimit: hopLimit === undefined ? undefined : Number(hopLimit),
    hasUserData: textAt(data, "userData") !== undefined,
    hasInstanceProfile: profile !== undefined,
    devices: itemsAt(data, "blockDeviceMappingSet").map((device) => ({
      name: textAt(device, "deviceName") ?? "",
      encrypted: textAt(device, "ebs", "encrypted") === "true",
    })),
  };
}

function unsafe(launchTemplate: string, problems: readonly string[]): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "EC2_LAUNCH_TEMPLATE_UNUSABLE",
    message: `Machines are not launched from the launch template ${launchTemplate}: ${problems.join("; ")}.`,
    suggestion: "Deploy the infrastructure of this version again, which makes the template as it must be.",
  });
}
