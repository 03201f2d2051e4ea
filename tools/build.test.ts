import { spawnSync } from "node:child_process";
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { build } from "./build.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

let folder: string;
/** A project that has the package installed, and nothing of this repository around it. */
let project: string;
let mayfly: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-build-"));
  const packed = join(folder, "package");
  await build(join(packed, "dist"));
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  await writeFile(join(packed, "package.json"), JSON.stringify(manifest));
  for (const name of manifest.files.filter((entry: string) => entry !== "dist")) {
    await cp(join(root, name), join(packed, name), { recursive: true }).catch(
      (error: NodeJS.ErrnoException) => {
        // npm leaves out what does not exist, too.
        if (error.code !== "ENOENT") throw error;
      },
    );
  }
  run("npm", ["pack", "--pack-destination", folder], packed);
  project = join(folder, "project");
  await mkdir(project);
  await install(join(folder, `mayfly-${manifest.version}.tgz`), Object.keys(manifest.dependencies));
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** With npm, where its cache has the dependencies; else by hand, with the dependencies of this repository. */
async function install(tarball: string, dependencies: readonly string[]): Promise<void> {
  await writeFile(join(project, "package.json"), '{ "name": "somebody", "private": true }');
  const words = ["install", "--offline", "--no-audit", "--no-fund", tarball];
  const { status } = spawnSync("npm", words, { cwd: project, encoding: "utf8" });
  mayfly = join(project, "node_modules", ".bin", "mayfly");
  if (status === 0) return;
  const modules = join(project, "node_modules");
  await rm(modules, { recursive: true, force: true });
  await mkdir(join(modules, ".bin"), { recursive: true });
  run("tar", ["-xzf", tarball, "-C", modules], project);
  run("mv", ["package", "mayfly"], modules);
  await symlink(join("..", "mayfly", "dist", "cli", "main.js"), mayfly);
  for (const name of dependencies) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
}

function run(file: string, words: readonly string[], cwd: string): { status: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync(file, words, { cwd, encoding: "utf8" });
  if (error !== undefined) throw error;
  return { status, output: `${stdout}${stderr}` };
}

test("the installed command runs by itself", () => {
  const { status, output } = run(mayfly, ["--help"], project);
  expect(output).toContain("Usage: mayfly [options] [command]");
  expect(status).toBe(0);
});

test("it checks a configuration, with the example that its sentences speak of", async () => {
  await copyFile(
    join(project, "node_modules", "mayfly", "examples", "mayfly.yaml"),
    join(project, "mayfly.yaml"),
  );
  expect(run(mayfly, ["config", "check"], project)).toEqual({ status: 0, output: "mayfly.yaml is valid.\n" });
});

test("the package holds what is read at run time, and no sources or tests", async () => {
  const installed = join(project, "node_modules", "mayfly");
  for (const file of [
    "dist/agent/agent.sh",
    "dist/dashboard/index.html",
    "dist/emulator/runner/listener.js",
  ]) {
    expect((await stat(join(installed, file))).size, file).toBeGreaterThan(0);
  }
  const found = run(
    "find",
    [installed, "-name", "*.ts", "-not", "-path", "*/node_modules/mayfly/node_modules/*"],
    project,
  );
  expect(found.output).toBe("");
});

test("the demo of the built package runs a job from its queueing to its end", () => {
  const { status, output } = run(mayfly, ["demo", "--jobs", "1", "--json"], project);
  expect(status, output).toBe(0);
  expect(output).toContain('"completed":1');
});
