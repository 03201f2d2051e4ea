import { spawn } from "node:child_process";
import { MayflyError } from "../core/errors.ts";
import type { MachineStatus } from "../core/status.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface RunnersShellOptions extends ConnectionOptions {
  readonly json?: boolean;
  /** The name of the deployment, which is that of its cluster. */
  readonly deployment: string;
  /** What runs in a task. */
  readonly command: string;
  /** In place of the region of the environment. */
  readonly region?: string;
}

/** What `mayfly runners shell --json` prints. Fields are only ever added. */
export interface ShellDocument {
  readonly machine: string;
  readonly compute: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
}

/**
 * `mayfly runners shell <id>`: a shell on the machine, by the programs of its provider. What is missing for it is said
 * before, with its cure. With `--json` nothing is run: the document is what would be.
 */
export async function runnersShellCommand(
  id: string,
  options: RunnersShellOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const client = await connect(options);
  const { body } = await client.get(`/api/machines/${encodeURIComponent(id)}`, "state");
  const machine = body as MachineStatus;
  const providerId = providerIdOf(machine);
  const command = shellCommand(machine.compute, providerId, options);
  const document: ShellDocument = { machine: machine.id, compute: machine.compute, command };
  if (options.json === true) {
    terminal.printJson(document);
    return exitCodes.ok;
  }
  if (command[0] !== "aws") {
    terminal.print(`On the host of the server: ${command.join(" ")}`);
    return exitCodes.ok;
  }
  await checkPrograms();
  if (machine.compute === "fargate") await checkTask(machine, providerId, options);
  else await checkInstance(machine, providerId, options);
  terminal.note(
    "Who has this shell can read what the job does. The machine ends with its job, whoever looks at it.",
  );
  return (await runInTerminal(command)) === 0 ? exitCodes.ok : exitCodes.failed;
}

/** Never an option: what stands here came over the network. */
function providerIdOf({ id, state, providerId }: MachineStatus): string {
  if (state === "ended")
    throw noShell(`Machine ${id} has ended.`, "See `mayfly runners list` for the others.");
  if (providerId === null) {
    throw noShell(
      `Machine ${id} was asked for, and its provider has not answered yet.`,
      "Try again in a moment.",
    );
  }
  if (/^[A-Za-z0-9][\w.-]*$/.test(providerId)) return providerId;
  throw noShell(
    `The provider's name of machine ${id} is none that a shell could be opened on.`,
    "Look at the log of the server.",
  );
}

export function shellCommand(
  compute: string,
  providerId: string,
  { deployment, command, region }: Pick<RunnersShellOptions, "deployment" | "command" | "region">,
): readonly string[] {
  const place = region === undefined ? [] : ["--region", region];
  switch (compute) {
    case "fargate":
      return [
        ...["aws", "ecs", "execute-command", ...place, "--cluster", deployment, "--task", providerId],
        ...["--container", "runner", "--interactive", "--command", command],
      ];
    case "ec2":
      return ["aws", "ssm", "start-session", ...place, "--target", providerId];
    case "docker":
      return ["docker", "exec", "-it", providerId, command];
    default:
      throw new UsageError(
        `A machine with compute ${compute} has no shell of its own: it is processes on the host of the server.`,
        "Look at them there, for example with ps.",
      );
  }
}

async function checkPrograms(): Promise<void> {
  const needed = {
    aws: "Install the AWS CLI, version 2: docs.aws.amazon.com/cli.",
    "session-manager-plugin":
      "Install it beside the AWS CLI: docs.aws.amazon.com/systems-manager, Session Manager plugin.",
  };
  for (const [program, cure] of Object.entries(needed)) {
    const found = await capture([program, "--version"]);
    if (found === undefined)
      throw noShell(`There is no ${program} on this machine, and a shell needs it.`, cure);
  }
}

interface EcsTask {
  readonly enableExecuteCommand?: boolean;
  readonly lastStatus?: string;
  readonly containers?: readonly {
    readonly managedAgents?: readonly { readonly name?: string; readonly lastStatus?: string }[];
  }[];
}

async function checkTask(machine: MachineStatus, task: string, options: RunnersShellOptions): Promise<void> {
  const { deployment } = options;
  const asked = ["ecs", "describe-tasks", "--cluster", deployment, "--tasks", task];
  const { tasks = [] } = await askAws<{ readonly tasks?: readonly EcsTask[] }>(asked, options);
  const [found] = tasks;
  if (found === undefined) {
    const next =
      "Check the region and the account of your AWS CLI, and name the deployment with --deployment.";
    throw noShell(`The cluster ${deployment} has no task ${task}.`, next);
  }
  if (found.enableExecuteCommand !== true) {
    const next = `Set fargate.shell: true for the preset ${machine.preset} and deploy with FargateShell=yes; machines that are launched then have one.`;
    throw noShell(`Machine ${machine.id} was launched without a shell.`, next);
  }
  const agents = (found.containers ?? []).flatMap(({ managedAgents = [] }) => managedAgents);
  const agent = agents.find(({ name }) => name === "ExecuteCommandAgent");
  if (agent?.lastStatus === "RUNNING") return;
  const next =
    "A task that has just started needs a few seconds. If it stays so, deploy with FargateShell=yes, so that the role of tasks may use ssmmessages, and see that its subnet reaches AWS.";
  throw noShell(
    `The agent of ECS Exec is ${agent?.lastStatus ?? "not there"} in machine ${machine.id}.`,
    next,
  );
}

async function checkInstance(
  machine: MachineStatus,
  instance: string,
  options: RunnersShellOptions,
): Promise<void> {
  const asked = ["ssm", "describe-instance-information", "--filters", `Key=InstanceIds,Values=${instance}`];
  const { InstanceInformationList: known = [] } = await askAws<{
    readonly InstanceInformationList?: readonly { readonly PingStatus?: string }[];
  }>(asked, options);
  if (known[0]?.PingStatus === "Online") return;
  const next =
    "Its image has to have the SSM agent, and the role of machines the policy AmazonSSMManagedInstanceCore, which Mayfly's infrastructure does not give it.";
  throw noShell(`Systems Manager does not reach ${instance}, which is machine ${machine.id}.`, next);
}

/** What the AWS CLI answers. Its own words where it fails. */
async function askAws<Answer>(words: readonly string[], { region }: RunnersShellOptions): Promise<Answer> {
  const place = region === undefined ? [] : ["--region", region];
  const answer = await capture(["aws", ...words, ...place, "--output", "json"]);
  if (answer?.exitCode === 0) {
    const parsed = parseJson(answer.stdout);
    if (parsed !== undefined) return parsed as Answer;
  }
  const said = answer?.stderr.trim() || "it did not say why";
  const next =
    "See that `aws sts get-caller-identity` works, with the account and the region of the deployment.";
  throw noShell(`The AWS CLI could not say what the machine allows: ${said}.`, next);
}

interface Captured {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Undefined: there is no such program. */
function capture([program = "", ...words]: readonly string[]): Promise<Captured | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.on("error", (error) =>
      "code" in error && error.code === "ENOENT" ? resolve(undefined) : reject(error),
    );
    child.on("close", (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
}

/** In this terminal; Ctrl-C is for what runs there. */
async function runInTerminal([program = "", ...words]: readonly string[]): Promise<number | null> {
  const leaveToChild = (): void => {};
  process.on("SIGINT", leaveToChild);
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(program, words, { stdio: "inherit" });
      child.on("error", reject);
      child.on("close", resolve);
    });
  } finally {
    process.off("SIGINT", leaveToChild);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The caller says that the answer was none.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function noShell(message: string, suggestion: string): MayflyError {
  return new MayflyError({ kind: "operator", code: "SHELL_NOT_POSSIBLE", message, suggestion });
}
