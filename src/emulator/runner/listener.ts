import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import type { JobMessage } from "../job-message.ts";
import { type RunnerConfig, RunnerConnection, readConfig } from "./connection.ts";
import { runJob } from "./job.ts";

/**
 * The emulator's runner. To whoever starts it, it behaves like the listener of GitHub's runner:
 *
 *   Runner.Listener run --jitconfig X        or with ACTIONS_RUNNER_INPUT_JITCONFIG in the environment
 *
 *   connect ──▶ wait for a job ──▶ run its steps ──▶ report ──▶ exit 0
 *      │             └─ removed by the server ──▶ "The runner no longer exists on the server" ──▶ exit 0
 *      └─ no or bad configuration, or a folder above the runner that it may not list ──▶ exit 1;
 *         another session of the same runner for 4 minutes ──▶ exit 5
 *
 * SIGTERM and SIGINT end the steps of a running job, which is reported as failed.
 */
const version = "2.337.0";
const exitCodes = { done: 0, terminated: 1, sessionConflict: 5 } as const;
const jobResults = { success: 0, failure: 2, cancelled: 3, skipped: 4 } as const;
const patienceMilliseconds = 240_000;

async function main(): Promise<number> {
  const closed = firstClosedFolder(process.cwd());
  if (closed !== undefined) {
    print(`An error occurred: ${closed} and every folder above the runner must be open to its user.`);
    return exitCodes.terminated;
  }
  const encoded = takeConfig(process.argv.slice(2));
  const config = encoded === undefined ? undefined : readConfig(encoded);
  if (config === undefined) {
    print("Not configured. Start the runner with a valid --jitconfig.");
    return exitCodes.terminated;
  }
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
  const connection = new RunnerConnection(config);
  print("\n√ Connected to GitHub\n");
  print(`Current runner version: '${version}'`);
  print(`${now()}: Listening for Jobs`);
  const message = await waitForJob(connection, stop.signal);
  if (typeof message === "number") return message;
  return work(connection, message, config, stop.signal);
}

/** The job, or the exit status when there will be none. */
async function waitForJob(connection: RunnerConnection, stop: AbortSignal): Promise<JobMessage | number> {
  let troubleSince: number | undefined;
  while (!stop.aborted) {
    const answer = await connection.acquire(stop);
    if (answer.kind === "job") return answer.message;
    if (answer.kind === "gone") {
      print("The runner no longer exists on the server");
      return exitCodes.done;
    }
    if (answer.kind === "nothing") {
      troubleSince = undefined;
      continue;
    }
    troubleSince ??= Date.now();
    if (Date.now() - troubleSince > patienceMilliseconds) {
      print(`${now()}: ${answer.reason}. Giving up.`);
      return answer.kind === "conflict" ? exitCodes.sessionConflict : exitCodes.terminated;
    }
    await pause(answer.kind === "conflict" ? 5000 : 1000, stop);
  }
  print("Exiting...");
  return exitCodes.done;
}

async function work(
  connection: RunnerConnection,
  message: JobMessage,
  config: RunnerConfig,
  stop: AbortSignal,
): Promise<number> {
  const { workFolder, runnerName } = config;
  const cancel = new AbortController();
  const started = await connection.startJob(message.jobId, () => cancel.abort());
  if (!started) {
    print(`${now()}: The job was given to another runner or cancelled.`);
    return exitCodes.done;
  }
  print(`${now()}: Running job: ${message.planned.name}`);
  const end = await runJob(connection, message, { workFolder, runnerName, cancel: cancel.signal, stop });
  const isReported = await connection.finishJob(message.jobId, end);
  const { conclusion } = end;
  print(`${now()}: Job ${message.planned.name} completed with result: ${resultNames[conclusion]}`);
  if (!isReported) print(`${now()}: The result could not be reported.`);
  if (process.env.ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED === "true") return 100 + jobResults[conclusion];
  return exitCodes.done;
}

const resultNames = {
  success: "Succeeded",
  failure: "Failed",
  cancelled: "Canceled",
  skipped: "Skipped",
} as const;

/** The folder nearest to the runner that it may not list. */
function firstClosedFolder(folder: string): string | undefined {
  try {
    readdirSync(folder);
  } catch {
    return folder;
  }
  return dirname(folder) === folder ? undefined : firstClosedFolder(dirname(folder));
}

/** The configuration, removed from the environment so that no step can see it. */
function takeConfig(parameters: readonly string[]): string | undefined {
  const fromEnvironment = process.env.ACTIONS_RUNNER_INPUT_JITCONFIG;
  delete process.env.ACTIONS_RUNNER_INPUT_JITCONFIG;
  const position = parameters.indexOf("--jitconfig");
  return position < 0 ? fromEnvironment : parameters[position + 1];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19).replace("T", " ")}Z`;
}

async function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timeout = setTimeout(resolve, milliseconds);
    stop.addEventListener("abort", () => {
      clearTimeout(timeout);
      resolve();
    });
  });
}

process.exit(await main());
