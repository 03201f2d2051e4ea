import type { Architecture } from "../../core/model.ts";

/*
 * What belongs to a pipeline of EC2 Image Builder bears one name in AWS, from which its deployment, its processor and its
 * own name can be read again. It is made of small letters, digits and dashes: in the ARNs of Image Builder, and only
 * there, a dash stands for everything else.
 */

export interface PipelinePlace {
  readonly deployment: string;
  /** As in `image: { pipeline: <name> }`. */
  readonly pipeline: string;
  readonly architecture: Architecture;
}

/** What the names of everything that belongs to a pipeline of this deployment begin with. */
export function beforePipelines(deployment: string): string {
  return `${deployment}-image-`;
}

export function pipelineName({ deployment, ...place }: PipelinePlace): string {
  return `${beforePipelines(deployment)}${nameInDeployment(place)}`;
}

/** Behind the deployment's name and the word between. */
export function nameInDeployment({ pipeline, architecture }: Omit<PipelinePlace, "deployment">): string {
  return `${processors[architecture]}-${pipeline}`;
}

/** The place that this is the name of; undefined when it is none of ours. */
export function pipelinePlace(name: string): PipelinePlace | undefined {
  const [, deployment, processor, pipeline] = /^(.+?)-image-(x86-64|arm64)-(.+)$/.exec(name) ?? [];
  if (deployment === undefined || pipeline === undefined) return undefined;
  return { deployment, pipeline, architecture: processor === "arm64" ? "arm64" : "x86_64" };
}

/** A pipeline in the words of the core: the base of the image that it makes. Undefined: this names none. */
export function pipelineOfBase(base: string): string | undefined {
  return /^pipeline:(.+)$/.exec(base)?.[1];
}

/** The parts of `arn:aws:imagebuilder:<region>:<account>:image/<name>/<version>/<build>`. */
export function imageOfArn(
  arn: string,
): { readonly name: string; readonly version: string; readonly build: string } | undefined {
  const [, name = "", version = "", build = ""] =
    /^arn:[^:]+:imagebuilder:[^:]*:\d*:image\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(arn) ?? [];
  return name === "" ? undefined : { name, version, build };
}

const processors: Readonly<Record<Architecture, string>> = { x86_64: "x86-64", arm64: "arm64" };
