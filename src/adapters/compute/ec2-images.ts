import { MayflyError } from "../../core/errors.ts";
import type { Architecture } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AwsClient } from "../aws/client.ts";
import { callJson } from "../aws/json.ts";
import { callQuery, type QueryInput, type XmlElement } from "../aws/query.ts";
import { itemsAt, textAt } from "./ec2-answers.ts";

/** An image that machines can be launched from. */
export interface Ec2Image {
  readonly id: string;
  readonly architecture: Architecture;
  /** Where its root volume is attached: what a launch template says of another device leaves this one as it is. */
  readonly rootDeviceName: string;
  /** A smaller root volume is refused. */
  readonly rootSizeGib: number;
}

export interface Ec2ImagesOptions {
  readonly client: AwsClient;
  readonly clock: Clock;
}

/** A new image goes live within this time, and a warm function asks no more often. */
const keptSeconds = 300;

/**
 * Images by reference:
 *
 * | reference                | the image                                                                        |
 * |--------------------------|----------------------------------------------------------------------------------|
 * | `ami-…`                  | this one                                                                         |
 * | `ssm:<parameter>`        | the one whose id is the value of this parameter                                  |
 * | `pipeline:<name>`        | the newest of this account's own that has the tag `mayfly:pipeline` with this name |
 * | `name:<owner>/<pattern>` | the newest of this owner whose name matches; `self`, `amazon` or an account's id |
 *
 * The newest one is always looked for among those of one owner: anybody may publish an image under any name.
 * Rejects with a `MayflyError` of kind `operator` when there is none for the architecture. Failures are not kept.
 */
export function createEc2Images(
  options: Ec2ImagesOptions,
): (reference: string, architecture: Architecture) => Promise<Ec2Image> {
  const kept = new Map<string, { readonly image: Promise<Ec2Image>; readonly until: number }>();
  return (reference, architecture) => {
    const key = `${architecture} ${reference}`;
    const now = options.clock.now();
    const known = kept.get(key);
    if (known !== undefined && known.until > now) return known.image;
    const image = find(options.client, reference, architecture);
    kept.set(key, { image, until: now + keptSeconds * 1_000 });
    image.catch(() => kept.delete(key));
    return image;
  };
}

async function find(client: AwsClient, reference: string, architecture: Architecture): Promise<Ec2Image> {
  const found = await describe(client, reference, await searchOf(client, reference, architecture));
  const newest = [...found].sort((left, right) => (left.created < right.created ? 1 : -1))[0];
  if (newest === undefined) throw unusable(reference, `there is no such image for ${architecture}`);
  if (newest.image.architecture !== architecture) {
    throw unusable(
      reference,
      `${newest.image.id} is made for ${newest.image.architecture}, not ${architecture}`,
    );
  }
  return newest.image;
}

async function searchOf(
  client: AwsClient,
  reference: string,
  architecture: Architecture,
): Promise<QueryInput> {
  if (/^ami-[0-9a-f]{8,17}$/.test(reference)) return { ImageId: [reference] };
  const [, kind = "", rest = ""] = /^(ssm|pipeline|name):(.+)$/.exec(reference) ?? [];
  const available = [
    { Name: "state", Value: ["available"] },
    { Name: "architecture", Value: [architecture] },
  ];
  switch (kind) {
    case "ssm":
      return { ImageId: [await readParameter(client, reference, rest)] };
    case "pipeline":
      return { Owner: ["self"], Filter: [{ Name: "tag:mayfly:pipeline", Value: [rest] }, ...available] };
    case "name": {
      const [, owner, pattern] = /^(self|amazon|\d{12})\/(.+)$/.exec(rest) ?? [];
      if (owner === undefined || pattern === undefined) {
        throw unusable(
          reference,
          "it is not `name:<owner>/<pattern>`, with self, amazon or an account's id as owner",
        );
      }
      return { Owner: [owner], Filter: [{ Name: "name", Value: [pattern] }, ...available] };
    }
    default:
      throw unusable(reference, "it is none of `ami-…`, `ssm:…`, `pipeline:…` and `name:…`");
  }
}

async function readParameter(client: AwsClient, reference: string, name: string): Promise<string> {
  const call = { service: "ssm", action: "GetParameter", resource: `parameter ${name}` } as const;
  const { Parameter } = await callJson<{ readonly Parameter?: { readonly Value?: string } }>(client, {
    ...call,
    input: { Name: name },
  });
  const value = Parameter?.Value ?? "";
  if (!/^ami-[0-9a-f]{8,17}$/.test(value))
    throw unusable(reference, "the parameter's value is no image's id");
  return value;
}

async function describe(
  client: AwsClient,
  reference: string,
  input: QueryInput,
): Promise<readonly { readonly image: Ec2Image; readonly created: string }[]> {
  const call = { service: "ec2", action: "DescribeImages", resource: `image ${reference}` } as const;
  const answer = await callQuery(client, { ...call, input });
  return itemsAt(answer, "imagesSet").map((item) => ({
    image: readImage(item),
    created: textAt(item, "creationDate") ?? "",
  }));
}

function readImage(item: XmlElement): Ec2Image {
  const rootDeviceName = textAt(item, "rootDeviceName") ?? "/dev/xvda";
  const root = itemsAt(item, "blockDeviceMapping").find(
    (device) => textAt(device, "deviceName") === rootDeviceName,
  );
  return {
    id: textAt(item, "imageId") ?? "",
    architecture: textAt(item, "architecture") === "arm64" ? "arm64" : "x86_64",
    rootDeviceName,
    rootSizeGib: Number((root && textAt(root, "ebs", "volumeSize")) ?? 0),
  };
}

function unusable(reference: string, problem: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "EC2_IMAGE_UNUSABLE",
    message: `Machines cannot be launched from the image ${reference}: ${problem}.`,
    suggestion: "Correct `image` of the preset, the label mapping or the job.",
  });
}
