import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { policyDocument, type TaskParts } from "../config/policy-document.ts";
import { MayflyError } from "../core/errors.ts";
import { functions } from "../targets/aws/functions.ts";
import { imagePipelines, pipelineRecipes } from "../targets/aws/image-pipelines.ts";
import { imageRecipe } from "../targets/aws/image-recipe.ts";
import { machineTemplates } from "../targets/aws/machine-templates.ts";
import { taskScript } from "../targets/aws/task-script.ts";
import { configPath } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { countText } from "./phrases.ts";
import type { Terminal } from "./terminal.ts";
import { zipOf } from "./zip.ts";

export interface AwsPackageOptions {
  readonly config?: string;
  readonly out: string;
  readonly version: string;
  readonly json?: boolean;
}

/** What `mayfly aws package --json` prints. Fields are only ever added. */
export interface AwsPackageDocument {
  readonly folder: string;
  readonly functions: readonly { readonly name: string; readonly folder: string; readonly zip: string }[];
}

/** The same folder for the sources and for what is built of them: the functions are only ever built. */
const bundlesFolder = fileURLToPath(new URL("../../dist/aws/", import.meta.url));

/**
 * `mayfly aws package`: for each function a folder and a zip of it, with its code and the configuration as it was checked
 * and resolved now; and `machines.json` and `images.json`, from which the infrastructure makes the launch templates and
 * the pipelines of images.
 */
export async function awsPackageCommand(options: AwsPackageOptions, terminal: Terminal): Promise<ExitCode> {
  const loaded = await loadConfig({ path: configPath(options) });
  const folder = resolve(options.out);
  await writeFunctions(loaded, { bundlesFolder, folder, version: options.version });
  const document: AwsPackageDocument = {
    folder,
    functions: functions.map(({ name }) => ({
      name,
      folder: join(folder, name),
      zip: join(folder, `${name}.zip`),
    })),
  };
  if (options.json === true) terminal.printJson(document);
  else terminal.print(`${countText(functions.length, "function")} written to ${folder}.`);
  return exitCodes.ok;
}

/** What is there of an earlier time is replaced. */
export async function writeFunctions(
  loaded: Pick<LoadedConfig, "config" | "policy">,
  where: { readonly bundlesFolder: string; readonly folder: string; readonly version: string },
): Promise<void> {
  refuseOtherComputes(loaded.policy.presets);
  const onFargate = loaded.policy.presets.some(({ compute }) => compute === "fargate");
  const pipelines = imagePipelines(loaded, where.version);
  const document = policyDocument(loaded, where.version, {
    ...(onFargate && { tasks: taskParts() }),
    ...(pipelines.length > 0 && { pipelines: pipelineRecipes(pipelines) }),
  });
  const policy = `${JSON.stringify(document)}\n`;
  for (const { name } of functions) {
    await writeFunction(join(where.bundlesFolder, name), join(where.folder, name), policy);
  }
  const machines = `${JSON.stringify(machineTemplates(loaded), undefined, 2)}\n`;
  await writeFile(join(where.folder, "machines.json"), machines);
  await writeFile(join(where.folder, "images.json"), `${JSON.stringify(pipelines, undefined, 2)}\n`);
}

function taskParts(): TaskParts {
  return { script: taskScript(), recipe: imageRecipe() };
}

function refuseOtherComputes(presets: readonly { readonly name: string; readonly compute: string }[]): void {
  const other = presets.find(({ compute }) => compute !== "ec2" && compute !== "fargate");
  if (other === undefined) return;
  throw new MayflyError({
    kind: "operator",
    code: "COMPUTE_NOT_ON_AWS",
    message: `The preset ${other.name} has compute ${other.compute}, which functions on AWS cannot launch.`,
    suggestion: "Use compute ec2 or fargate, or run a box with `mayfly serve`.",
  });
}

async function writeFunction(bundle: string, folder: string, policy: string): Promise<void> {
  const code = await readBundle(bundle);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const files = [
    { name: "index.js", content: code },
    { name: "policy.json", content: Buffer.from(policy) },
  ];
  for (const { name, content } of files) await writeFile(join(folder, name), content);
  await writeFile(`${folder}.zip`, zipOf(files));
}

async function readBundle(bundle: string): Promise<Buffer> {
  try {
    return await readFile(join(bundle, "index.js"));
  } catch (error) {
    throw new MayflyError({
      kind: "operator",
      code: "FUNCTIONS_NOT_BUILT",
      message: `There is no function at ${bundle}, where a build puts it.`,
      suggestion: "Run `npm run build` in a checkout; an installed package has its functions.",
      cause: error,
    });
  }
}
