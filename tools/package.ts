import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeFunctions } from "../src/cli/aws-package.ts";
import { numberText } from "../src/cli/phrases.ts";
import { processTerminal } from "../src/cli/terminal.ts";
import { loadConfig } from "../src/config/load.ts";
import { functions } from "../src/targets/aws/functions.ts";
import { build } from "./build.ts";
import { softwareBill } from "./release/software-bill.ts";
import { terraformArchive } from "./release/terraform-archive.ts";

/*
 * `npm run package`: all that a release consists of, in dist/release/<version>. The same sources give the same bytes, in
 * whatever folder and whenever: what is shipped can be made again, and compared, by those who did not make it.
 */

const root = fileURLToPath(new URL("..", import.meta.url));

/** What `npm run package -- --json` prints. */
export interface ReleaseDocument {
  readonly version: string;
  readonly folder: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

export interface ReleaseOptions {
  /** Emptied first. */
  readonly folder: string;
  /** When the sources were as they are now: ISO 8601, in UTC. Undefined: the bill of materials has no date. */
  readonly sourceDate?: string;
  readonly progress: (step: string) => void;
}

/** Writes a release. Throws when a source does not compile, or when npm cannot do its part. */
export async function packageRelease(options: ReleaseOptions): Promise<ReleaseDocument> {
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  const staging = await mkdtemp(join(tmpdir(), "mayfly-release-"));
  try {
    await rm(options.folder, { recursive: true, force: true });
    await mkdir(options.folder, { recursive: true });
    await writeParts({ ...options, manifest, staging, prefix: `mayfly-${manifest.version}` });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const files = await describeFiles(options.folder);
  const sums = files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
  await writeFile(join(options.folder, "SHA256SUMS"), sums);
  return { version: manifest.version, folder: options.folder, files };
}

interface Manifest {
  readonly version: string;
  readonly files: readonly string[];
}

interface Parts extends ReleaseOptions {
  readonly manifest: Manifest;
  readonly staging: string;
  /** Of the files whose names alone would not say what they are of. */
  readonly prefix: string;
}

async function writeParts({ folder, sourceDate, progress, manifest, staging, prefix }: Parts): Promise<void> {
  progress("The sources are compiled and bundled …");
  const packed = join(staging, "package");
  await build(join(packed, "dist"));
  progress("The package of the command line is made …");
  await stagePackage(manifest, packed);
  npm(packed, "pack", "--ignore-scripts", "--pack-destination", folder);
  progress("The functions are zipped …");
  await writeZips(join(packed, "dist", "aws"), join(staging, "functions"), folder, manifest.version);
  progress("Template, module and bill of materials are written …");
  const template = join(root, "infra/aws/cloudformation/template.yaml");
  await copyFile(template, join(folder, `${prefix}-cloudformation.yaml`));
  const archive = await terraformArchive(join(root, "infra/aws/terraform"), join(root, "LICENSE"));
  await writeFile(join(folder, `${prefix}-terraform.tar.gz`), archive);
  const bill = softwareBill(JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")), sourceDate);
  await writeFile(join(folder, `${prefix}.cdx.json`), `${JSON.stringify(bill, undefined, 2)}\n`);
}

/**
 * What npm is to pack, apart from this folder, which may have been built at any time and has releases in it. Permissions are
 * ours, or those of the checkout would be packed.
 */
async function stagePackage(manifest: Manifest, packed: string): Promise<void> {
  for (const name of ["package.json", ...manifest.files.filter((entry) => !/^!|^dist$/.test(entry))]) {
    await cp(join(root, name), join(packed, name), { recursive: true });
  }
  for (const entry of await readdir(packed, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) await chmod(join(entry.parentPath, entry.name), 0o644);
  }
  await chmod(join(packed, "dist/cli/main.js"), 0o755);
}

/** With the configuration of the example, as the template has its presets. */
async function writeZips(
  bundlesFolder: string,
  made: string,
  folder: string,
  version: string,
): Promise<void> {
  const example = await loadConfig({ path: join(root, "examples/aws.yaml"), environment: {} });
  await writeFunctions(example, { bundlesFolder, folder: made, version });
  for (const name of [...functions.map((one) => `${one.name}.zip`), "machines.json", "images.json"]) {
    await copyFile(join(made, name), join(folder, name));
  }
}

function npm(cwd: string, ...words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync("npm", words, { cwd, encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`npm ${words.join(" ")} failed.\n${stdout}${stderr}`);
  return stdout;
}

async function describeFiles(folder: string): Promise<ReleaseDocument["files"]> {
  const names = (await readdir(folder)).sort();
  return Promise.all(
    names.map(async (name) => {
      const sha256 = createHash("sha256")
        .update(await readFile(join(folder, name)))
        .digest("hex");
      return { name, bytes: (await stat(join(folder, name))).size, sha256 };
    }),
  );
}

/**
 * When the last commit was made, or what the convention of reproducible builds says instead; undefined outside a
 * checkout.
 */
function sourceDateOf(environment: NodeJS.ProcessEnv): string | undefined {
  const git = () => spawnSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" }).stdout;
  const seconds = Number.parseInt(environment.SOURCE_DATE_EPOCH ?? git() ?? "", 10);
  return Number.isNaN(seconds) ? undefined : new Date(seconds * 1_000).toISOString();
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: "boolean" }, out: { type: "string" } } });
  const terminal = processTerminal();
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  const sourceDate = sourceDateOf(process.env);
  const document = await packageRelease({
    folder: resolve(values.out ?? join(root, "dist", "release", version)),
    ...(sourceDate !== undefined && { sourceDate }),
    progress: terminal.progress,
  });
  terminal.progress("");
  if (values.json === true) terminal.printJson(document);
  else {
    for (const { name, bytes, sha256 } of document.files) {
      terminal.print(`${sha256.slice(0, 12)}  ${numberText(bytes).padStart(9)} bytes  ${name}`);
    }
    terminal.print(`Release ${document.version} is in ${document.folder}.`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
