import { MayflyError } from "../../core/errors.ts";
import type { ImageBuilder, ImageOrder, ImageProgress } from "../../ports/images.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { getJson, putJson } from "../aws/json.ts";
import { endOfLog, readLogLines } from "./build-log.ts";
import { imageOfArn, nameInDeployment, pipelineOfBase } from "./image-builder-names.ts";

export interface ImageBuilderOptions {
  readonly client: AwsClient;
  readonly log: Log;
  /** What the ARN of every pipeline of this deployment begins with: `arn:…:image-pipeline/<deployment>-image-`. */
  readonly pipelineArns: string;
  /** What is built by each pipeline, by its name: changes with everything that makes another image of it. */
  readonly recipes: Readonly<Record<string, string>>;
}

/**
 * Images are built by pipelines of EC2 Image Builder, which the infrastructure makes: one for each name and processor.
 * The base is `pipeline:<name>`, the id of a build is the ARN of the image that is being made, and the reference of an
 * image is the id of its AMI in the client's region.
 *
 * The tag is Image Builder's token. It is not known for how long that is remembered; a repetition after that is a second
 * build, whose image nobody asks for and which `mayfly images prune` removes.
 */
export function createEc2ImageBuilder(options: ImageBuilderOptions): ImageBuilder {
  return {
    methodOf(base) {
      const recipe = options.recipes[pipelineOfBase(base) ?? ""];
      return recipe === undefined ? undefined : { recipe, limitSeconds: buildLimitSeconds };
    },
    start: (order) => startPipeline(options, order),
    look: ({ id }) => lookAt(options, id),
    log: ({ id, lines }) => readLog(options, id, lines),
    // Inspector scans machines that run, not images.
    findings: async () => undefined,
  };
}

/** A build takes 20 to 40 minutes, and copies to other regions come after it. */
const buildLimitSeconds = 2 * 60 * 60;

async function startPipeline(
  { client, pipelineArns }: ImageBuilderOptions,
  { base, architecture, tag }: ImageOrder,
): Promise<{ readonly id: string }> {
  const arn = `${pipelineArns}${nameInDeployment({ pipeline: pipelineOfBase(base) ?? "", architecture })}`;
  const answer = await putJson<{ readonly imageBuildVersionArn?: string }>(client, {
    service: "imagebuilder",
    action: "StartImagePipelineExecution",
    resource: `pipeline ${arn}`,
    path: "/StartImagePipelineExecution",
    input: { imagePipelineArn: arn, clientToken: tag },
  });
  const id = answer.imageBuildVersionArn;
  if (id !== undefined) return { id };
  throw new MayflyError({
    kind: "retry",
    code: "IMAGE_BUILD_UNNAMED",
    message: `EC2 Image Builder began a build of ${base} and did not say which.`,
    suggestion: "Nothing; it is asked again with the same token.",
  });
}

interface Answer {
  readonly image?: {
    readonly state?: { readonly status?: string; readonly reason?: string };
    readonly outputResources?: {
      readonly amis?: readonly { readonly region?: string; readonly image?: string }[];
    };
  };
}

async function lookAt(options: ImageBuilderOptions, id: string): Promise<ImageProgress> {
  const image = await readImage(options.client, id);
  if (image === undefined) return { kind: "failed", reason: `EC2 Image Builder knows no image ${id}.` };
  const { status = "PENDING", reason } = image.state ?? {};
  if (unfinished.has(status)) return { kind: "running" };
  if (status === "AVAILABLE") return succeeded(options.client, id, image);
  const said = `EC2 Image Builder says ${status}${reason ? `: ${reason}` : ""}`;
  const log = await lastLines(options, id);
  return { kind: "failed", reason: said, ...(log !== undefined && { log }) };
}

/** The last is that of an image whose AMIs are there, and which other services have yet to take. */
const unfinished = new Set(["PENDING", "CREATING", "BUILDING", "TESTING", "DISTRIBUTING", "INTEGRATING"]);

function succeeded({ region }: AwsClient, id: string, image: NonNullable<Answer["image"]>): ImageProgress {
  const ami = image.outputResources?.amis?.find((one) => one.region === region)?.image;
  if (ami !== undefined) return { kind: "succeeded", reference: ami };
  return { kind: "failed", reason: `The image ${id} has no AMI in ${region}: look at its distribution.` };
}

async function readImage(client: AwsClient, id: string): Promise<Answer["image"] | undefined> {
  const call = { service: "imagebuilder", action: "GetImage", resource: `image ${id}` } as const;
  const path = `/GetImage?imageBuildVersionArn=${encodeURIComponent(id)}`;
  try {
    const { image } = await getJson<Answer>(client, { ...call, path });
    return image;
  } catch (error) {
    if (error instanceof AwsError && error.code === "AWS_NOT_FOUND") return undefined;
    throw error;
  }
}

/** What the log says is a help: without it, the reason stands alone. */
async function lastLines(options: ImageBuilderOptions, id: string): Promise<string | undefined> {
  try {
    return await endOfLog((lines) => readLog(options, id, lines));
  } catch (error) {
    options.log.warn("The log of an image's build could not be read.", { stage: "scaleup", error });
    return undefined;
  }
}

/** Image Builder's own log: a group for each name, a stream for each build. */
async function readLog(
  { client }: ImageBuilderOptions,
  id: string,
  lines: number,
): Promise<readonly string[]> {
  const image = imageOfArn(id);
  if (image === undefined) return [];
  return readLogLines(client, imageLogGroup(image.name), `${image.version}/${image.build}`, lines);
}

function imageLogGroup(name: string): string {
  return `/aws/imagebuilder/${name}`;
}
