import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { substitute } from "../expressions.ts";
import type { JobMessage } from "../job-message.ts";
import type { PlannedStep } from "../planned-job.ts";
import type { JobConclusion, JobEnd, RunnerConnection } from "./connection.ts";
import { endProcesses } from "./processes.ts";
import { runScript, type StepFolder, type StepResult, type Variables } from "./step.ts";

export interface JobSurroundings {
  /** Relative to the current directory. */
  readonly workFolder: string;
  readonly runnerName: string;
  /** The job was cancelled: steps with `always()` still run. */
  readonly cancel: AbortSignal;
  /** The runner was told to stop: nothing runs any more. */
  readonly stop: AbortSignal;
}

/** Everything that changes while the steps of one job run. */
interface JobState {
  readonly message: JobMessage;
  readonly connection: RunnerConnection;
  readonly surroundings: JobSurroundings;
  readonly folder: StepFolder;
  readonly variables: Variables;
  readonly pathAdditions: string[];
  readonly stepContext: Record<string, unknown>;
  conclusion: JobConclusion;
}

/**
 * Runs the steps of a job in a fresh folder and tells how it ended. `run` steps run for real; `uses` steps are
 * shown as skipped, because actions come from GitHub. Processes that a step left behind are ended with the job.
 */
export async function runJob(
  connection: RunnerConnection,
  message: JobMessage,
  surroundings: JobSurroundings,
): Promise<JobEnd> {
  const state = prepare(connection, message, surroundings);
  connection.updateStep(message.jobId, {
    number: 1,
    name: "Set up job",
    status: "completed",
    conclusion: "success",
  });
  await runHook(state, "ACTIONS_RUNNER_HOOK_JOB_STARTED");
  let number = 2;
  for (const step of message.planned.steps) await runStep(state, step, number++);
  await runHook(state, "ACTIONS_RUNNER_HOOK_JOB_COMPLETED");
  connection.updateStep(message.jobId, {
    number,
    name: "Complete job",
    status: "completed",
    conclusion: "success",
  });
  endProcesses(state.folder.trackingId, "SIGKILL");
  return { conclusion: conclusionOf(state), outputs: outputsOf(state) };
}

/** Who cancels a job says so to GitHub. A runner that is told to stop makes its job fail. */
function conclusionOf({ surroundings, conclusion }: JobState): JobConclusion {
  if (surroundings.cancel.aborted) return "cancelled";
  return surroundings.stop.aborted ? "failure" : conclusion;
}

function outputsOf(state: JobState): Readonly<Record<string, string>> {
  const planned = Object.entries(state.message.planned.outputs ?? {});
  return Object.fromEntries(planned.map(([name, text]) => [name, fill(state, text, state.variables)]));
}

function prepare(connection: RunnerConnection, message: JobMessage, surroundings: JobSurroundings): JobState {
  const root = resolve(surroundings.workFolder);
  const name = basename(message.repository);
  const workspace = join(root, name, name);
  const temporary = join(root, "_temp");
  rmSync(workspace, { recursive: true, force: true });
  for (const folder of [workspace, temporary]) mkdirSync(folder, { recursive: true });
  const event = join(temporary, "event.json");
  writeFileSync(event, JSON.stringify({ ref: `refs/heads/${message.branch}`, after: message.sha }));
  const trackingId = `github_${message.jobId}_${process.pid}`;
  return {
    message,
    connection,
    surroundings,
    folder: { workspace, temporary, trackingId },
    variables: jobVariables(message, surroundings.runnerName, { workspace, temporary, event, trackingId }),
    pathAdditions: [],
    stepContext: {},
    conclusion: "success",
  };
}

async function runStep(state: JobState, step: PlannedStep, number: number): Promise<void> {
  const { message, connection } = state;
  const variables = stepVariables(state, step);
  const name = fill(state, step.name, variables);
  const report = (conclusion: JobConclusion, log: string): void =>
    connection.updateStep(message.jobId, { number, name, status: "completed", conclusion, log });
  if (!isWanted(state, step)) {
    report("skipped", "");
    remember(state, step, "skipped", {});
    return;
  }
  if (step.run === undefined) {
    const line = `Skipped: uses ${step.uses}`;
    process.stdout.write(`  ${line}\n`);
    report("skipped", `${line}\n`);
    remember(state, step, "skipped", {});
    return;
  }
  connection.updateStep(message.jobId, { number, name, status: "in_progress" });
  const { planned } = message;
  const directory = step.workingDirectory ?? planned.defaultWorkingDirectory;
  const result = await runScript(state.folder, {
    script: fill(state, step.run, variables),
    shell: step.shell ?? planned.defaultShell,
    directory: resolve(state.folder.workspace, fill(state, directory ?? ".", variables)),
    variables,
    timeoutMinutes: step.timeoutMinutes,
    stop: step.condition === "always" ? state.surroundings.stop : anyOf(state.surroundings),
  });
  settle(state, step, result);
  report(isEnded(state) && !result.isSuccess ? "cancelled" : outcomeOf(step, result), result.log);
}

/** A step that was interrupted ends the job as cancelled; a failed one fails it unless it may fail. */
function settle(state: JobState, step: PlannedStep, result: StepResult): void {
  Object.assign(state.variables, result.variables);
  state.pathAdditions.unshift(...result.paths);
  if (!result.isSuccess && !step.continueOnError) state.conclusion = "failure";
  remember(state, step, result.isSuccess ? "success" : "failure", result.outputs);
}

function outcomeOf(step: PlannedStep, result: StepResult): JobConclusion {
  return result.isSuccess || step.continueOnError ? "success" : "failure";
}

function remember(
  state: JobState,
  step: PlannedStep,
  outcome: JobConclusion,
  outputs: Readonly<Record<string, string>>,
): void {
  if (step.id === undefined) return;
  const conclusion = outcome === "failure" && step.continueOnError ? "success" : outcome;
  state.stepContext[step.id] = { outcome, conclusion, outputs };
}

function isWanted(state: JobState, step: PlannedStep): boolean {
  if (state.surroundings.stop.aborted || step.condition === "never") return false;
  if (step.condition === "always") return true;
  if (state.surroundings.cancel.aborted) return false;
  return (state.conclusion === "failure") === (step.condition === "failure");
}

function isEnded(state: JobState): boolean {
  return state.surroundings.stop.aborted || state.surroundings.cancel.aborted;
}

function anyOf(surroundings: JobSurroundings): AbortSignal {
  return AbortSignal.any([surroundings.stop, surroundings.cancel]);
}

/** A hook of the machine's owner. One that fails before the job fails the job. */
async function runHook(state: JobState, variable: string): Promise<void> {
  const file = process.env[variable];
  if (file === undefined || file === "") return;
  const result = await runScript(state.folder, {
    script: `. '${file.replaceAll("'", "'\\''")}'`,
    shell: undefined,
    directory: state.folder.workspace,
    variables: withPath(state, state.variables),
    timeoutMinutes: undefined,
    stop: state.surroundings.stop,
  });
  if (result.isSuccess) return;
  process.stdout.write(`  The hook ${variable} failed.\n`);
  state.conclusion = "failure";
}

function stepVariables(state: JobState, step: PlannedStep): Variables {
  const variables: Variables = withPath(state, state.variables);
  for (const source of [state.message.planned.environmentVariables, step.environmentVariables]) {
    for (const [name, value] of Object.entries(source)) {
      variables[name] = fill(state, value, variables);
    }
  }
  return variables;
}

function withPath(state: JobState, variables: Variables): Variables {
  return { ...variables, PATH: [...state.pathAdditions, variables.PATH].join(":") };
}

/** Replaces expressions. What cannot be evaluated here is empty, as an unknown property is on GitHub. */
function fill(state: JobState, text: string, variables: Variables): string {
  if (!text.includes("${{")) return text;
  const { message, stepContext, folder } = state;
  const contexts = {
    env: variables,
    github: githubContext(message, folder),
    runner: {
      os: operatingSystem(),
      arch: architecture(),
      temp: folder.temporary,
      name: state.surroundings.runnerName,
    },
    matrix: message.planned.matrix,
    needs: message.needs,
    steps: stepContext,
    job: { status: state.conclusion },
    secrets: {},
    vars: {},
    inputs: {},
    strategy: {},
  };
  return substitute(text, contexts, () => "");
}

function githubContext(message: JobMessage, folder: StepFolder): Readonly<Record<string, unknown>> {
  return {
    workspace: folder.workspace,
    repository: message.repository,
    repository_owner: message.repository.split("/")[0],
    run_id: message.runId,
    run_number: message.runNumber,
    run_attempt: message.attempt,
    job: message.planned.key,
    workflow: message.workflow,
    event_name: message.event,
    ref: `refs/heads/${message.branch}`,
    ref_name: message.branch,
    ref_type: "branch",
    sha: message.sha,
    actor: message.actor,
    event: {},
    token: "",
  };
}

function jobVariables(
  message: JobMessage,
  runnerName: string,
  places: { workspace: string; temporary: string; event: string; trackingId: string },
): Variables {
  const variables: Variables = {
    PATH: process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin",
    HOME: process.env.HOME ?? homedir(),
    LANG: process.env.LANG ?? "C.UTF-8",
    TMPDIR: process.env.TMPDIR ?? tmpdir(),
    CI: "true",
    GITHUB_ACTIONS: "true",
    GITHUB_WORKSPACE: places.workspace,
    GITHUB_EVENT_PATH: places.event,
    GITHUB_SERVER_URL: "https://github.example",
    RUNNER_OS: operatingSystem(),
    RUNNER_ARCH: architecture(),
    RUNNER_NAME: runnerName,
    RUNNER_ENVIRONMENT: "self-hosted",
    RUNNER_TEMP: places.temporary,
    RUNNER_TOOL_CACHE: join(places.temporary, "tools"),
    RUNNER_WORKSPACE: join(places.workspace, ".."),
    RUNNER_TRACKING_ID: places.trackingId,
  };
  const context = githubContext(message, { ...places });
  for (const [name, value] of Object.entries(context)) {
    if (typeof value === "object" || name === "token") continue;
    variables[`GITHUB_${name.toUpperCase()}`] = String(value);
  }
  if (existsSync("/bin/sh")) variables.SHELL = "/bin/sh";
  return variables;
}

function operatingSystem(): string {
  return process.platform === "darwin" ? "macOS" : "Linux";
}

function architecture(): string {
  return process.arch === "arm64" ? "ARM64" : "X64";
}
