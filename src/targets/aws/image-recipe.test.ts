import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { programPath } from "../../../test/support/search-path.ts";
import { imageRecipe } from "./image-recipe.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function script(): string {
  const { phases } = JSON.parse(imageRecipe().buildspec);
  expect(Object.keys(phases)).toEqual(["build"]);
  const [only, ...more] = phases.build.commands;
  expect(more).toEqual([]);
  return only;
}

/**
 * The script with stand-ins of `docker` and `aws` that note their arguments, one in a line. `fails`: the command that does.
 * `pushed`: when another build has pushed the tag.
 */
function run(
  variables: Readonly<Record<string, string>>,
  fails = "",
  pushed: "never" | "before" | "meanwhile" = "never",
) {
  const folder = mkdtempSync(join(tmpdir(), "mayfly-recipe-"));
  folders.push(folder);
  for (const name of ["docker", "aws"]) {
    const fail = `case "$1" in "${fails || "nothing"}") exit 1 ;; esac`;
    const isThere = { never: "false", before: "true", meanwhile: `grep -qx push "${folder}/calls"` }[pushed];
    const manifest = `[ "$1" != manifest ] || { ${isThere}; exit; }`;
    const body = `#!/bin/sh\nprintf '%s\\n' "${name}" "$@" >>"${folder}/calls"\nfor last; do :; done\n[ "$1" != build ] || cp "$last/Dockerfile" "$last/install.sh" "${folder}"\n${manifest}\n${fail}\n`;
    writeFileSync(join(folder, name), body, { mode: 0o755 });
  }
  const { status } = spawnSync("sh", ["-c", script()], {
    env: { PATH: `${folder}:/usr/bin:/bin`, TMPDIR: folder, ...variables },
    stdio: "ignore",
  });
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  return { status, calls: read("calls").split("\n"), read, folder };
}

const variables = { BASE_IMAGE: "ubuntu:22.04", REPOSITORY: "registry.example.com/mayfly", TAG: "0123" };

it("builds the base with the installer, and pushes it under its tag", () => {
  const { status, calls, read } = run(variables);
  expect(status).toBe(0);
  const text = calls.join(" ");
  expect(text).toContain("login --username AWS --password-stdin registry.example.com ");
  expect(text).toContain("build --pull --build-arg BASE=ubuntu:22.04 ");
  expect(text).toContain("docker push registry.example.com/mayfly:0123");
  expect(read("Dockerfile")).toMatch(/^ARG BASE\nFROM \$\{BASE\}\nUSER 0\n/);
  expect(read("Dockerfile")).toMatch(/MAYFLY_RUNNER_SHA256_X86_64='[0-9a-f]{64}'/);
  execFileSync("sh", ["-n"], { input: read("install.sh") });
});

it("E10: a base is one argument, whatever it holds", () => {
  const evil = "a --network=host $(touch pwned); `id`";
  const { calls } = run({ ...variables, BASE_IMAGE: evil });
  expect(calls).toContain(`BASE=${evil}`);
});

it.each(["login", "build", "push"])("E12: fails when %s fails", (step) => {
  const { status, calls } = run(variables, step);
  expect(status).not.toBe(0);
  if (step !== "push") expect(calls).not.toContain("push");
});

it("E12: what another build of the same order has pushed is not pushed again, and is a success", () => {
  const before = run(variables, "", "before");
  expect(before.status).toBe(0);
  expect(before.calls).not.toContain("build");
  const meanwhile = run(variables, "push", "meanwhile");
  expect(meanwhile.status).toBe(0);
  expect(meanwhile.calls).toContain("push");
});

it.skipIf(programPath("shellcheck") === undefined)("passes shellcheck", () => {
  // The variables come from CodeBuild.
  const options = ["--shell=sh", "--exclude=SC2154,SC2016", "-"];
  execFileSync("shellcheck", options, { input: `#!/bin/sh\n${script()}\n` });
});

it("has a version that changes with it", () => {
  expect(imageRecipe().version).toMatch(/^\d+\.\d+\.\d+-[0-9a-f]{16}$/);
  expect(imageRecipe("https://mirror.example.com").version).not.toBe(imageRecipe().version);
});
