import { MayflyError } from "../../core/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { ImageBuilder, ImageOrder, ImageProgress } from "../../ports/images.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { callJson } from "../aws/json.ts";
import { endOfLog, readLogLines } from "./build-log.ts";
import { createEcrFindings } from "./ecr-findings.ts";

export interface CodeBuildOptions {
  readonly client: AwsClient;
  readonly clock: Clock;
  readonly log: Log;
  /** The name of a project whose role may push to the repository, and nothing else. */
  readonly project: string;
  /** `<account>.dkr.ecr.<region>.amazonaws.com/<name>` */
  readonly repository: string;
  /** What a build does: it reads BASE_IMAGE, REPOSITORY and TAG. Its event has them too, and ARCHITECTURE. */
  readonly buildspec: string;
  /** Changes with everything that makes another image of the same base. */
  readonly recipe: string;
}

/**
 * Images are built by CodeBuild and pushed to one repository of ECR. The tag is CodeBuild's token, which it remembers for
 * five minutes: a repetition after that is a second build, which finds what the first has pushed under that tag.
 *
 * The base is handed over as a variable, never as a part of a command.
 */
export function createCodeBuildImages(options: CodeBuildOptions): ImageBuilder {
  return {
    methodOf: () => ({ recipe: options.recipe, limitSeconds: buildLimitSeconds }),
    start: (order) => startBuild(options, order),
    look: (build) => lookAt(options, build),
    async log({ id, lines }) {
      const build = await readBuild(options, id);
      return build === undefined ? [] : readLog(options, build, lines);
    },
    findings: createEcrFindings(options.client, options.clock),
  };
}

/** More than the 30 minutes after which the project ends a build. */
const buildLimitSeconds = 45 * 60;

interface Build {
  readonly id?: string;
  readonly buildStatus?: string;
  readonly phases?: readonly {
    readonly phaseType?: string;
    readonly phaseStatus?: string;
    readonly contexts?: readonly { readonly message?: string }[];
  }[];
  readonly logs?: { readonly groupName?: string; readonly streamName?: string };
}

async function startBuild(
  { client, project, repository, buildspec }: CodeBuildOptions,
  { base, architecture, tag }: ImageOrder,
): Promise<{ readonly id: string }> {
  const variables = { BASE_IMAGE: base, REPOSITORY: repository, TAG: tag, ARCHITECTURE: architecture };
  const answer = await callJson<{ readonly build?: Build }>(client, {
    service: "codebuild",
    action: "StartBuild",
    resource: `project ${project}`,
    input: {
      projectName: project,
      idempotencyToken: tag,
      buildspecOverride: buildspec,
      ...(architecture === "arm64" && {
        environmentTypeOverride: "ARM_CONTAINER",
        imageOverride: "aws/codebuild/amazonlinux-aarch64-standard:3.0",
      }),
      environmentVariablesOverride: Object.entries(variables).map(([name, value]) => ({
        name,
        value,
        type: "PLAINTEXT",
      })),
    },
  });
  const id = answer.build?.id;
  if (id !== undefined) return { id };
  throw new MayflyError({
    kind: "retry",
    code: "IMAGE_BUILD_UNNAMED",
    message: `CodeBuild began a build of ${base} and did not say which.`,
    suggestion: "Nothing; it is asked again with the same token.",
  });
}

async function lookAt(
  options: CodeBuildOptions,
  { id, tag }: { readonly id: string; readonly tag: string },
): Promise<ImageProgress> {
  const { repository } = options;
  const build = await readBuild(options, id);
  if (build === undefined) return { kind: "failed", reason: `CodeBuild knows no build ${id}.` };
  if (build.buildStatus === "IN_PROGRESS") return { kind: "running" };
  if (build.buildStatus === "SUCCEEDED") return { kind: "succeeded", reference: `${repository}:${tag}` };
  const log = await lastLines(options, build);
  return { kind: "failed", reason: reasonOf(build), ...(log !== undefined && { log }) };
}

async function readBuild({ client, project }: CodeBuildOptions, id: string): Promise<Build | undefined> {
  const { builds = [] } = await callJson<{ readonly builds?: readonly Build[] }>(client, {
    service: "codebuild",
    action: "BatchGetBuilds",
    resource: `project ${project}`,
    input: { ids: [id] },
  });
  return builds[0];
}

/** The phase that failed, and what CodeBuild says of it. */
function reasonOf({ buildStatus = "FAILED", phases = [] }: Build): string {
  const failed = phases.find(({ phaseStatus }) => phaseStatus !== undefined && phaseStatus !== "SUCCEEDED");
  const said = failed?.contexts?.map(({ message = "" }) => message).filter(Boolean)[0];
  return `CodeBuild says ${buildStatus}${failed ? ` in the phase ${failed.phaseType}` : ""}${said ? `: ${said}` : ""}`;
}

/** The end of the build's log. What it says is a help: without it, the reason stands alone. */
async function lastLines(options: CodeBuildOptions, build: Build): Promise<string | undefined> {
  try {
    return await endOfLog((lines) => readLog(options, build, lines));
  } catch (error) {
    options.log.warn("The log of an image's build could not be read.", { stage: "scaleup", error });
    return undefined;
  }
}

async function readLog(
  { client }: CodeBuildOptions,
  { logs }: Build,
  lines: number,
): Promise<readonly string[]> {
  const { groupName, streamName } = logs ?? {};
  // A build that waits for its container has none yet.
  if (groupName === undefined || streamName === undefined) return [];
  return readLogLines(client, groupName, streamName, lines);
}
