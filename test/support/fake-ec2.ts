import type { AwsClient, AwsRequest } from "../../src/adapters/aws/client.ts";
import { AwsError } from "../../src/adapters/aws/errors.ts";

/** What EC2 answers to one call: an answer's content, or a refusal. */
export type Ec2Answer = string | { readonly status: number; readonly code: string; readonly message: string };

export interface FakeEc2 {
  readonly client: AwsClient;
  /** Every call, with its parameters as they were sent. */
  readonly calls: readonly { readonly action: string; readonly parameters: URLSearchParams }[];
  callsOf(action: string): readonly URLSearchParams[];
}

/**
 * A client whose calls are answered from a script, by action: the first answer first, the last one again and again. For
 * what stand-ins of AWS never answer.
 */
export function fakeEc2(script: Readonly<Record<string, readonly Ec2Answer[]>>): FakeEc2 {
  const calls: { action: string; parameters: URLSearchParams }[] = [];
  const send = async (request: AwsRequest) => {
    const { action, body } = request;
    const before = calls.filter((call) => call.action === action).length;
    calls.push({ action, parameters: parametersOf(request, body) });
    const answers = script[action] ?? [];
    const answer = answers[Math.min(before, answers.length - 1)];
    if (answer === undefined) throw new Error(`Nothing was planned for ${action}.`);
    if (typeof answer !== "string") {
      const { status, code, message } = answer;
      throw new AwsError(request, { status, awsCode: code, message, details: {} });
    }
    const isJson = answer.startsWith("{");
    const text = isJson ? answer : `<${action}Response>${answer}</${action}Response>`;
    return { status: 200, headers: {}, body: text };
  };
  return {
    client: { region: "eu-west-1", send },
    calls,
    callsOf: (action) => calls.filter((call) => call.action === action).map(({ parameters }) => parameters),
  };
}

function parametersOf({ service }: AwsRequest, body: string): URLSearchParams {
  return service === "ec2" ? new URLSearchParams(body) : new URLSearchParams(JSON.parse(body));
}

/** A launch template as it must be, read back. */
export function templateAnswer(changes: Readonly<Record<string, string>> = {}): string {
  const data: Record<string, string> = {
    instanceInitiatedShutdownBehavior: "terminate",
    metadataOptions: "<httpTokens>required</httpTokens><httpPutResponseHopLimit>1</httpPutResponseHopLimit>",
    userData: "IyEvYmluL3NoCg==",
    iamInstanceProfile: "<arn>arn:aws:iam::123456789012:instance-profile/mayfly</arn>",
    blockDeviceMappingSet:
      "<item><deviceName>/dev/xvda</deviceName><ebs><encrypted>true</encrypted><volumeSize>30</volumeSize></ebs></item>",
    ...changes,
  };
  const elements = Object.entries(data).map(([name, content]) => `<${name}>${content}</${name}>`);
  return `<launchTemplateVersionSet><item><launchTemplateData>${elements.join("")}</launchTemplateData></item></launchTemplateVersionSet>`;
}

interface FleetEntry {
  readonly type: string;
  readonly subnet: string;
}

export function fleetAnswer(
  instances: readonly (FleetEntry & { readonly ids: readonly string[] })[],
  errors: readonly (FleetEntry & { readonly code: string; readonly message?: string })[] = [],
): string {
  const override = ({ type, subnet }: FleetEntry): string =>
    `<launchTemplateAndOverrides><overrides><instanceType>${type}</instanceType><subnetId>${subnet}</subnetId></overrides></launchTemplateAndOverrides>`;
  const launched = instances.map(
    (entry) =>
      `<item>${override(entry)}<instanceType>${entry.type}</instanceType><instanceIds>${entry.ids
        .map((id) => `<item>${id}</item>`)
        .join("")}</instanceIds></item>`,
  );
  const refused = errors.map(
    (entry) =>
      `<item>${override(entry)}<errorCode>${entry.code}</errorCode><errorMessage>${entry.message ?? "No."}</errorMessage></item>`,
  );
  return `<fleetId>fleet-1</fleetId><errorSet>${refused.join("")}</errorSet><fleetInstanceSet>${launched.join("")}</fleetInstanceSet>`;
}

export function imageAnswer(
  images: readonly {
    readonly id: string;
    readonly architecture?: string;
    readonly device?: string;
    readonly sizeGib?: number;
    readonly created?: string;
  }[],
): string {
  const items = images.map(
    ({
      id,
      architecture = "x86_64",
      device = "/dev/xvda",
      sizeGib = 8,
      created = "2026-01-01T00:00:00.000Z",
    }) =>
      `<item><imageId>${id}</imageId><architecture>${architecture}</architecture><rootDeviceName>${device}</rootDeviceName>` +
      `<creationDate>${created}</creationDate><blockDeviceMapping><item><deviceName>${device}</deviceName>` +
      `<ebs><volumeSize>${sizeGib}</volumeSize></ebs></item></blockDeviceMapping></item>`,
  );
  return `<imagesSet>${items.join("")}</imagesSet>`;
}

export function instancesAnswer(
  instances: readonly {
    readonly id: string;
    readonly state?: string;
    readonly reason?: string;
    readonly tags?: Readonly<Record<string, string>>;
  }[],
  nextToken = "",
): string {
  const items = instances.map(({ id, state = "running", reason = "", tags = {} }) => {
    const tagSet = Object.entries(tags).map(
      ([key, value]) => `<item><key>${key}</key><value>${value}</value></item>`,
    );
    return (
      `<item><instanceId>${id}</instanceId><instanceState><name>${state}</name></instanceState>` +
      `<stateReason><code>${reason}</code><message>${reason}: what EC2 says</message></stateReason>` +
      `<instanceType>m7i.large</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone></placement>` +
      `<launchTime>2026-01-01T00:00:00.000Z</launchTime><instanceLifecycle>spot</instanceLifecycle>` +
      `<tagSet>${tagSet.join("")}</tagSet></item>`
    );
  });
  return `<reservationSet><item><instancesSet>${items.join("")}</instancesSet></item></reservationSet><nextToken>${nextToken}</nextToken>`;
}
