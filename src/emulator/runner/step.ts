import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endProcesses } from "./processes.ts";

export type Variables = Record<string, string>;

/** Where the steps of a job run, and the mark by which their processes are found. */
export interface StepFolder {
  readonly workspace: string;
  readonly temporary: string;
  readonly trackingId: string;
}

export interface Script {
  readonly script: string;
  readonly shell: string | undefined;
  readonly directory: string;
  readonly variables: Variables;
  readonly timeoutMinutes: number | undefined;
  readonly stop: AbortSignal;
}

export interface StepResult {
  readonly isSuccess: boolean;
  readonly log: string;
  /** What the step wrote to GITHUB_ENV, GITHUB_OUTPUT and GITHUB_PATH. */
  readonly variables: Variables;
  readonly outputs: Variables;
  readonly paths: readonly string[];
}

const logLimitCharacters = 64 * 1024;
const graceMilliseconds = 2500;
/** How long output is still read after a step ended whose children keep its output open. */
const lastWordsMilliseconds = 500;
const printsLog = process.env.ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT !== undefined;
let scripts = 0;

/** Runs a script to its end, or until it is stopped or its time is over; then it and its children are ended. */
export async function runScript(folder: StepFolder, step: Script): Promise<StepResult> {
  const number = ++scripts;
  const files = commandFiles(folder, number);
  mkdirSync(step.directory, { recursive: true });
  const command = commandFor(step, join(folder.temporary, `step-${number}`));
  const log: string[] = [];
  const code = await new Promise<number>((resolve) => {
    const child = spawn(command.program, command.parameters, {
      cwd: step.directory,
      env: { ...step.variables, ...files.variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    collect(child, log);
    const end = (): void => endGently(folder.trackingId);
    const timeout =
      step.timeoutMinutes === undefined ? undefined : setTimeout(end, step.timeoutMinutes * 60_000);
    step.stop.addEventListener("abort", end);
    const finish = (result: number): void => {
      clearTimeout(timeout);
      step.stop.removeEventListener("abort", end);
      resolve(result);
    };
    child.once("error", (error) => {
      log.push(`${error.message}\n`);
      finish(127);
    });
    child.once("close", (status) => finish(status ?? 143));
    child.once("exit", (status) => setTimeout(finish, lastWordsMilliseconds, status ?? 143));
    if (step.stop.aborted) end();
  });
  return {
    isSuccess: code === 0,
    log: log.join("").slice(0, logLimitCharacters),
    variables: readAssignments(files.paths.environment),
    outputs: readAssignments(files.paths.output),
    paths: read(files.paths.path).split("\n").filter(Boolean).reverse(),
  };
}

/** Without `shell`, GitHub uses bash where there is one, and sh otherwise. */
function commandFor(step: Script, file: string): { program: string; parameters: readonly string[] } {
  const known: Readonly<Record<string, string>> = {
    "": existsSync("/bin/bash") || existsSync("/usr/bin/bash") ? "bash -e {0}" : "sh -e {0}",
    bash: "bash --noprofile --norc -eo pipefail {0}",
    sh: "sh -e {0}",
    python: "python3 {0}",
    pwsh: "pwsh -command . '{0}'",
  };
  const template = known[step.shell ?? ""] ?? step.shell ?? "sh -e {0}";
  const path = step.shell === "python" ? `${file}.py` : `${file}.sh`;
  writeFileSync(path, step.script.endsWith("\n") ? step.script : `${step.script}\n`);
  const [program = "sh", ...parameters] = template.split(/\s+/).map((word) => word.replace("{0}", path));
  return { program, parameters };
}

function collect(child: ChildProcess, log: string[]): void {
  let characters = 0;
  const add = (chunk: Buffer): void => {
    if (printsLog) process.stdout.write(chunk);
    if (characters > logLimitCharacters) return;
    const text = chunk.toString();
    characters += text.length;
    log.push(text);
  };
  child.stdout?.on("data", add);
  child.stderr?.on("data", add);
}

function endGently(trackingId: string): void {
  endProcesses(trackingId, "SIGTERM");
  setTimeout(() => endProcesses(trackingId, "SIGKILL"), graceMilliseconds);
}

function commandFiles(
  folder: StepFolder,
  number: number,
): {
  readonly paths: { readonly environment: string; readonly output: string; readonly path: string };
  readonly variables: Variables;
} {
  const file = (kind: string): string => {
    const path = join(folder.temporary, `${kind}-${number}`);
    writeFileSync(path, "");
    return path;
  };
  const paths = { environment: file("env"), output: file("output"), path: file("path") };
  const variables = {
    GITHUB_ENV: paths.environment,
    GITHUB_OUTPUT: paths.output,
    GITHUB_PATH: paths.path,
    GITHUB_STATE: file("state"),
    GITHUB_STEP_SUMMARY: file("summary"),
  };
  return { paths, variables };
}

/** `name=value` on one line, or `name<<MARK` followed by lines until `MARK`. */
function readAssignments(path: string): Variables {
  const found: Variables = {};
  const lines = read(path).split("\n");
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const [, heredoc, mark] = /^([^=<]+)<<(.+)$/.exec(line) ?? [];
    if (heredoc !== undefined && mark !== undefined) {
      const end = lines.indexOf(mark);
      found[heredoc] = lines.splice(0, end < 0 ? lines.length : end).join("\n");
      lines.shift();
      continue;
    }
    const split = line.indexOf("=");
    if (split > 0) found[line.slice(0, split)] = line.slice(split + 1);
  }
  return found;
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
