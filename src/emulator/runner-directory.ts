import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const sources = [
  "expressions",
  "runner/connection",
  "runner/job",
  "runner/listener",
  "runner/processes",
  "runner/step",
];

/**
 * Writes a runner directory that can stand where GitHub's runner stands: `bin/Runner.Listener` and `run.sh` take
 * the same arguments, and connect to the emulator. It is plain JavaScript without packages, started with the
 * Node that runs now, so that hundreds of runners can be started. Returns the absolute path.
 */
export function writeRunnerDirectory(path: string): string {
  const directory = resolve(path);
  const here = dirname(fileURLToPath(import.meta.url));
  const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
  for (const source of sources) {
    const target = join(directory, "lib", `${source}.js`);
    mkdirSync(dirname(target), { recursive: true });
    const text = readFileSync(join(here, `${source}${extension}`), "utf8");
    writeFileSync(target, extension === ".ts" ? toJavaScript(text) : text);
  }
  writeFileSync(join(directory, "lib", "package.json"), '{ "type": "module" }\n');
  const listener = join(directory, "lib", "runner", "listener.js");
  writeExecutable(join(directory, "bin", "Runner.Listener"), [
    `exec ${quote(process.execPath)} ${quote(listener)} "$@"`,
  ]);
  writeExecutable(join(directory, "run.sh"), [
    `exec ${quote(join(directory, "bin", "Runner.Listener"))} run "$@"`,
  ]);
  return directory;
}

function toJavaScript(text: string): string {
  return stripTypeScriptTypes(text).replace(/(from "\.[^"]*)\.ts"/g, '$1.js"');
}

function writeExecutable(path: string, lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${["#!/bin/sh", ...lines].join("\n")}\n`);
  chmodSync(path, 0o755);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
