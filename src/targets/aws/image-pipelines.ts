import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { nameInDeployment, pipelineOfBase } from "../../adapters/images/image-builder-names.ts";
import type { Config, ImagePipelineSettings } from "../../config/config.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Architecture, Policy } from "../../core/model.ts";
import { type RunnerRelease, readAgentFile, withoutComments, writtenToHome } from "./user-data.ts";

/** What the infrastructure has to know of an image, to make its pipeline of EC2 Image Builder. */
export interface ImagePipeline {
  /** As in `image: { pipeline: <name> }`. */
  readonly pipeline: string;
  readonly architecture: Architecture;
  /** Of everything in AWS that belongs to it, behind `<deployment>-image-`. */
  readonly name: string;
  /** What its images are called, before the time of the build. */
  readonly imageName: string;
  /** The image of AWS that it is made of, for example `amazon-linux-2023-x86`: the newest at the time of each build. */
  readonly parent: string;
  readonly rootDeviceName: string;
  readonly diskGib: number;
  /** What the builder is: large enough to compile, and no more. */
  readonly instanceTypes: readonly string[];
  /** Of component and recipe, which nobody may change under one version: each text has its own. */
  readonly version: string;
  /** Changes with everything that makes another image. */
  readonly recipe: string;
  /** The document of Image Builder's component. */
  readonly component: string;
}

/** A pipeline of the configuration, for machines of one processor. */
export type WantedPipeline = Pick<ImagePipeline, "pipeline" | "architecture">;

/** Each pipeline, once for each processor that a preset on EC2 wants it for. */
export function wantedPipelines({
  config,
  policy,
}: {
  readonly config: Pick<Config, "pipelines">;
  readonly policy: Policy;
}): readonly WantedPipeline[] {
  const wanted = new Map<string, WantedPipeline>();
  for (const { compute, image = "", architecture } of policy.presets) {
    const pipeline = pipelineOfBase(image) ?? "";
    if (compute !== "ec2" || config.pipelines[pipeline] === undefined) continue;
    wanted.set(`${pipeline} ${architecture}`, { pipeline, architecture });
  }
  return [...wanted.values()];
}

/** What the infrastructure makes of those that are wanted. */
export function imagePipelines(
  loaded: { readonly config: Pick<Config, "pipelines">; readonly policy: Policy },
  mayflyVersion: string,
): readonly ImagePipeline[] {
  return wantedPipelines(loaded).flatMap((wanted) => {
    const settings = loaded.config.pipelines[wanted.pipeline];
    return settings === undefined ? [] : [pipelineOf(wanted, settings, mayflyVersion)];
  });
}

/** By the pipeline's name: its recipe is the same for every processor. */
export function pipelineRecipes(pipelines: readonly ImagePipeline[]): Readonly<Record<string, string>> {
  return Object.fromEntries(pipelines.map(({ pipeline, recipe }) => [pipeline, recipe]));
}

/** How AWS calls its own images. */
const systems = {
  "amazon-linux-2023": { parent: "amazon-linux-2023", rootDeviceName: "/dev/xvda" },
  "ubuntu-24.04": { parent: "ubuntu-server-24-lts", rootDeviceName: "/dev/sda1" },
} as const;

function pipelineOf(
  { pipeline, architecture }: WantedPipeline,
  settings: ImagePipelineSettings,
  mayflyVersion: string,
): ImagePipeline {
  const { parent, rootDeviceName } = systems[settings.system];
  const component = componentOf(settings, mayflyVersion);
  const { version: runner } = JSON.parse(readAgentFile("runner-release.json")) as RunnerRelease;
  const content = JSON.stringify([parent, rootDeviceName, settings.diskGib, component]);
  const hash = createHash("sha256").update(content).digest("hex");
  return {
    pipeline,
    architecture,
    name: nameInDeployment({ pipeline, architecture }),
    imageName: `mayfly-${mayflyVersion}-runner${runner}-${pipeline}-${architecture}`,
    parent: `${parent}-${architecture === "arm64" ? "arm64" : "x86"}`,
    rootDeviceName,
    diskGib: settings.diskGib,
    instanceTypes: architecture === "arm64" ? ["m7g.large", "m6g.large"] : ["m7i.large", "m6i.large"],
    // A part of a version is less than 2 to the 30th.
    version: `1.0.${Number.parseInt(hash.slice(0, 7), 16)}`,
    recipe: `${runner}-${hash.slice(0, 16)}`,
    component,
  };
}

/** Image Builder's own limit for a document that stands in its recipe. */
const componentLimit = 16_000;

/**
 * One step that unpacks the scripts and runs them: the same that Packer copies. The document is YAML, of which a block of
 * text takes every line as it is.
 */
function componentOf(
  { diskGib, dockerImages, without }: ImagePipelineSettings,
  mayflyVersion: string,
): string {
  const variables = {
    MAYFLY_VERSION: mayflyVersion,
    MAYFLY_IMAGE_BUILDER: "image-builder",
    MAYFLY_DISK_GIB: String(diskGib),
    MAYFLY_DOCKER_IMAGES: dockerImages.join(" "),
    MAYFLY_WITHOUT: without.join(" "),
  };
  const values = Object.entries(variables).map(([name, value]) => `${name}='${value}'`);
  const packed = gzipSync(scriptFiles().join("\n"), { level: 9 }).toString("base64");
  const build = [
    "set -eu",
    "home=$(mktemp -d /var/tmp/mayfly-scripts.XXXXXX)",
    `rest=$(printf %s '${packed}' | base64 -d | gzip -dc)`,
    'eval "$rest"',
    "write_files",
    `${values.join(" ")} bash "$home/build.sh"`,
    'rm -rf "$home"',
  ];
  const validate = [
    "set -eu",
    "test -s /opt/mayfly/manifest.json",
    "test -x /opt/mayfly/runner/bin/Runner.Listener",
  ];
  const document = [
    "name: mayfly",
    "schemaVersion: 1.0",
    "phases:",
    ...phase("build", 5_400, build),
    ...phase("validate", 300, validate),
  ].join("\n");
  if (document.length <= componentLimit) return document;
  throw new MayflyError({
    kind: "operator",
    code: "IMAGE_COMPONENT_TOO_LARGE",
    message: `What EC2 Image Builder is to run has ${document.length} characters; it takes ${componentLimit}.`,
    suggestion: "Name fewer container images in dockerImages.",
  });
}

function phase(name: string, timeoutSeconds: number, lines: readonly string[]): readonly string[] {
  return [
    `  - name: ${name}`,
    "    steps:",
    `      - name: ${name}`,
    "        action: ExecuteBash",
    `        timeoutSeconds: ${timeoutSeconds}`,
    "        inputs:",
    "          commands:",
    "            - |",
    ...lines.map((line) => `              ${line}`),
  ];
}

const scriptsFolder = new URL("../../../infra/images/scripts/", import.meta.url);

/** Shell that writes the scripts, and what of the agent's they run, into `$home`. */
function scriptFiles(): readonly string[] {
  const files = readdirSync(scriptsFolder)
    .sort()
    .map((file) => [file, readFileSync(new URL(file, scriptsFolder), "utf8")] as const);
  const ofAgent = ["install.sh", "runner-release.json"].map((file) => [file, readAgentFile(file)] as const);
  const written = [...files, ...ofAgent].flatMap(([file, text]) =>
    writtenToHome(file, file.endsWith(".json") ? text : withoutComments(text)),
  );
  return ["write_files() {", ...written, "}"];
}
