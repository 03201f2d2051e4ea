import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { processEnvironment } from "../../src/config/environment.ts";

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export type Variables = Readonly<Record<string, string | undefined>>;

/** `mayfly …` as a process of its own, with an environment that holds nothing but what is given. */
export interface MayflyProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves with the exit status, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

export function startMayfly(
  words: readonly string[],
  variables: Variables = {},
  options: { readonly folder?: string; readonly file?: string } = {},
): MayflyProcess {
  const { PATH, HOME, TMPDIR } = processEnvironment();
  const child = spawn(process.execPath, [options.file ?? mainFile, ...words], {
    env: { PATH, HOME, TMPDIR, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.folder !== undefined && { cwd: options.folder }),
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return { pid: child.pid ?? 0, child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** A running `mayfly serve`. */
export interface ServerProcess extends MayflyProcess {
  readonly url: string;
  /** The body of a GET as JSON. */
  get(path: string): Promise<unknown>;
  /** Ends it as an operator would, and resolves when it has ended. Rejects if it does not end well. */
  stop(): Promise<void>;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
}

const startLimitMilliseconds = 30_000;

/** Starts `mayfly serve` and resolves when it answers. Rejects with what it said if it ends before. */
export async function startServer(configPath: string, variables: Variables = {}): Promise<ServerProcess> {
  const started = startMayfly(["serve", "--config", configPath], variables, { folder: dirname(configPath) });
  const url = `http://${await listenAddress(configPath)}`;
  let isOver = false;
  started.ended.then(() => {
    isOver = true;
  });
  const giveUpAt = Date.now() + startLimitMilliseconds;
  while (!(await answers(`${url}/healthz`))) {
    if (isOver || Date.now() > giveUpAt) {
      started.child.kill("SIGKILL");
      throw new Error(`The server did not start: ${started.stderr()}${started.stdout().slice(-2000)}`);
    }
    await pause();
  }
  return {
    ...started,
    url,
    async get(path) {
      const answer = await fetch(`${url}${path}`);
      if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}: ${await answer.text()}`);
      return answer.json();
    },
    async stop() {
      started.child.kill("SIGTERM");
      const status = await started.ended;
      if (status !== 0) throw new Error(`The server ended with ${status}: ${started.stderr()}`);
    },
    async kill() {
      started.child.kill("SIGKILL");
      await started.ended;
    },
  };
}

async function listenAddress(configPath: string): Promise<string> {
  const document = parse(await readFile(configPath, "utf8")) as {
    readonly server: { readonly listen: string };
  };
  return document.server.listen;
}

/** Where the server of this configuration keeps its data, when it does not say so. */
export function dataDirectoryOf(configPath: string): string {
  return join(dirname(configPath), "data");
}

/** Resolves when the condition holds. Rejects with the sentence when it does not within so many seconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  limitSeconds: number,
  sentence: () => string,
): Promise<void> {
  const giveUpAt = Date.now() + limitSeconds * 1000;
  while (!(await condition())) {
    if (Date.now() > giveUpAt) throw new Error(`After ${limitSeconds} seconds: ${sentence()}`);
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch (error) {
    // Nobody listens yet.
    if (error instanceof TypeError) return false;
    throw error;
  }
}
