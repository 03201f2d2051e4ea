import { spawnSync } from "node:child_process";
import { chmod, copyFile, mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleFunctions } from "./bundle-functions.ts";

/*
 * Makes dist/ from src/: plain JavaScript, beside it every file that is read at run time, and the functions for AWS.
 * Node runs the sources as they are in development, but it strips no types below node_modules.
 */

const root = fileURLToPath(new URL("..", import.meta.url));

/** Builds into this folder, which is emptied first. Throws when a source does not compile. */
export async function build(outputFolder: string): Promise<void> {
  await rm(outputFolder, { recursive: true, force: true });
  compile(outputFolder);
  await copyAssets(join(root, "src"), outputFolder);
  await chmod(join(outputFolder, "cli", "main.js"), 0o755);
  await bundleFunctions(join(outputFolder, "aws"));
}

function compile(outputFolder: string): void {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const words = [compiler, "--project", join(root, "tsconfig.build.json"), "--outDir", outputFolder];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`The sources do not compile.\n${stdout}${stderr}`);
}

/** Everything that is no TypeScript: the agent's script, the files of the page. */
async function copyAssets(from: string, to: string): Promise<void> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile() || entry.name.endsWith(".ts")) continue;
    const source = join(entry.parentPath, entry.name);
    const target = join(to, relative(from, source));
    await mkdir(dirname(target), { recursive: true });
    const taken = await stat(target).then(
      () => true,
      () => false,
    );
    if (taken) throw new Error(`${source} would replace what was compiled from a source of the same name.`);
    await copyFile(source, target);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build(resolve(root, process.argv[2] ?? "dist"));
}
