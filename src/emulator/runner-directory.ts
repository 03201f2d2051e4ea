import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Writes a runner directory that can stand where GitHub's runner stands: `bin/Runner.Listener` and `run.sh` take
 * the same arguments, and connect to the emulator. Both start the listener beside this file with the Node that
 * runs now, so the directory is of use on this machine only. Returns its absolute path.
 */
export function writeRunnerDirectory(path: string): string {
  const directory = resolve(path);
  const binary = join(directory, "bin", "Runner.Listener");
  const node = `${quote(process.execPath)} --disable-warning=ExperimentalWarning`;
  writeScript(binary, `exec ${node} ${quote(listenerPath())} "$@"`);
  writeScript(join(directory, "run.sh"), `exec ${quote(binary)} run "$@"`);
  return directory;
}

function listenerPath(): string {
  const here = fileURLToPath(import.meta.url);
  return join(dirname(here), "runner", here.endsWith(".ts") ? "listener.ts" : "listener.js");
}

function writeScript(path: string, command: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${command}\n`);
  chmodSync(path, 0o755);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
