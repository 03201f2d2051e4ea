import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createSystemRandom } from "../adapters/random/system.ts";
import { MayflyError } from "../core/errors.ts";
import { type FaultPreset, faultPresets } from "../emulator/model-faults.ts";
import type { Run } from "../emulator/model-state.ts";
import { GithubRefusal } from "../emulator/refusal.ts";
import { startWorkflow } from "../emulator/routes-workflows.ts";
import { writeRunnerDirectory } from "../emulator/runner-directory.ts";
import { type GithubEmulator, startGithubEmulator } from "../emulator/server.ts";
import { workflowProblem } from "../targets/box/workflow-problem.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { countText } from "./phrases.ts";
import { renderFields } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface EmulateGithubOptions {
  readonly json?: boolean;
  readonly port?: number;
  readonly webhookUrl: string;
  readonly folder?: string;
  readonly workflow?: string;
  readonly repository: string;
  readonly faults: FaultPreset;
}

/** What `mayfly emulate github --json` prints once, when it listens. Fields are only ever added. */
export interface EmulateGithubDocument {
  readonly url: string;
  readonly appId: number;
  readonly installationId: number;
  readonly repository: string;
  readonly webhookUrl: string;
  readonly privateKeyFile: string;
  readonly webhookSecretFile: string;
  /** Stands where GitHub's runner would: for `local.runnerDirectory` of a preset. */
  readonly runnerDirectory: string;
  readonly configFile: string;
  readonly run: { readonly id: number; readonly jobs: number } | null;
}

/** `mayfly emulate github`: a GitHub for development on this machine, until Ctrl-C. */
export async function emulateGithubCommand(
  options: EmulateGithubOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const repository = splitRepository(options.repository);
  const workflow = options.workflow === undefined ? undefined : await readWorkflow(options.workflow);
  const stopped = nextStopSignal();
  const folder = await openFolder(options.folder);
  const keys = await writeKeys(folder.path);
  const emulator = await startGithubEmulator({
    appPublicKey: keys.publicKey,
    random: createSystemRandom(),
    webhook: { url: options.webhookUrl, secret: keys.webhookSecret },
    faults: faultPresets[options.faults],
    ...(options.port !== undefined && { port: options.port }),
    app: { ownerLogin: repository.owner },
  }).catch((error: unknown) => {
    throw portProblem(error, options.port);
  });
  try {
    const { model } = emulator;
    model.addRepository(Date.now(), repository);
    const installation = model.addInstallation(Date.now(), { account: repository.owner });
    const document = {
      url: emulator.url,
      appId: model.state.app.id,
      installationId: installation.id,
      repository: options.repository,
      webhookUrl: options.webhookUrl,
      privateKeyFile: keys.privateKeyFile,
      webhookSecretFile: keys.webhookSecretFile,
      runnerDirectory: writeRunnerDirectory(join(folder.path, "runner")),
      configFile: join(folder.path, "mayfly.yaml"),
    };
    await writeFile(document.configFile, configText(document), { mode: 0o600 });
    const run = workflow === undefined ? undefined : startRun(emulator, repository, workflow);
    emulator.wake();
    const jobs = run === undefined ? 0 : model.jobsOf(run, "latest").length;
    present({ ...document, run: run === undefined ? null : { id: run.id, jobs } }, options, terminal);
    await stopped;
  } finally {
    await emulator.close();
    await folder.remove();
  }
  return exitCodes.ok;
}

function present(document: EmulateGithubDocument, options: EmulateGithubOptions, terminal: Terminal): void {
  if (options.json === true) {
    terminal.printJson(document);
    return;
  }
  const { run } = document;
  const fields = renderFields(
    [
      ["address", document.url],
      ["App id", String(document.appId)],
      ["repository", `${document.repository}, installation ${document.installationId}`],
      ["webhook", document.webhookUrl],
      ["private key", document.privateKeyFile],
      ["secret", document.webhookSecretFile],
      ["runner", document.runnerDirectory],
      ["faults", options.faults],
      ["run", run === null ? undefined : `${run.id} with ${countText(run.jobs, "job")}`],
    ],
    terminal.screen,
  );
  const late = run === null ? "" : "\nA server that starts after the run finds it within half a minute.";
  terminal.print(
    `An emulated GitHub runs. Ctrl-C ends it.\n\n${fields}\n\nServe its jobs: mayfly serve --config ${document.configFile}${late}`,
  );
}

/** A configuration that works with this emulator and with nothing else. */
function configText(document: Omit<EmulateGithubDocument, "run">): string {
  const listen = new URL(document.webhookUrl);
  return `# Written by \`mayfly emulate github\`, for that process only.
github:
  server: ${document.url}
  apiUrl: ${document.url}/api/v3
  appId: ${document.appId}
server:
  listen: ${listen.hostname}:${listen.port === "" ? "80" : listen.port}
  dataDirectory: data
secrets:
  webhookSecret: { file: ${JSON.stringify(document.webhookSecretFile)} }
  appPrivateKey: { file: ${JSON.stringify(document.privateKeyFile)} }
presets:
  emulated:
    labels: [linux, x64, ubuntu-latest]
    architecture: x86_64
    compute: local
    local: { runnerDirectory: ${JSON.stringify(document.runnerDirectory)} }
    max: 4
schedule:
  rebalanceSeconds: 5   # a run that was started before the server is found soon
  scaledownSeconds: 5
`;
}

interface Keys {
  readonly publicKey: string;
  readonly webhookSecret: string;
  readonly privateKeyFile: string;
  readonly webhookSecretFile: string;
}

/** New secrets for this run, in files that only this user may read. */
async function writeKeys(folder: string): Promise<Keys> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const webhookSecret = randomBytes(24).toString("hex");
  const privateKeyFile = join(folder, "app.private-key.pem");
  const webhookSecretFile = join(folder, "webhook-secret");
  for (const [path, text] of [
    [privateKeyFile, privateKey],
    [webhookSecretFile, `${webhookSecret}\n`],
  ] as const) {
    // An older file keeps its mode when it is written again, so it goes first.
    await rm(path, { force: true });
    await writeFile(path, text, { mode: 0o600, flag: "wx" });
  }
  return { publicKey, webhookSecret, privateKeyFile, webhookSecretFile };
}

/** The given folder, which stays, or a temporary one, which goes with the emulator. */
async function openFolder(
  given: string | undefined,
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  if (given === undefined) {
    const path = await mkdtemp(join(tmpdir(), "mayfly-emulated-github-"));
    return { path, remove: () => rm(path, { recursive: true, force: true }) };
  }
  const path = resolve(given);
  await mkdir(path, { recursive: true, mode: 0o700 });
  return { path, remove: async () => {} };
}

interface WorkflowFile {
  readonly path: string;
  readonly text: string;
}

async function readWorkflow(path: string): Promise<WorkflowFile> {
  try {
    return { path, text: await readFile(path, "utf8") };
  } catch (error) {
    throw workflowProblem(path, error instanceof Error ? error.message : String(error), error);
  }
}

function startRun(
  emulator: GithubEmulator,
  repository: { readonly owner: string; readonly name: string },
  workflow: WorkflowFile,
): Run {
  try {
    return startWorkflow(emulator.context, {
      repository: emulator.model.addRepository(Date.now(), repository),
      text: workflow.text,
      path: workflow.path,
    });
  } catch (error) {
    if (error instanceof GithubRefusal) throw workflowProblem(workflow.path, error.message, error);
    throw error;
  }
}

function portProblem(error: unknown, port: number | undefined): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "EADDRINUSE" && code !== "EACCES") return error;
  return new MayflyError({
    kind: "operator",
    code: "PORT_TAKEN",
    message: `The emulator cannot listen on port ${port}: ${code === "EACCES" ? "it is not allowed" : "something else does"}.`,
    suggestion: "Choose another one with --port, or leave it out: then any free port is taken.",
    cause: error,
  });
}

function splitRepository(text: string): { readonly owner: string; readonly name: string } {
  const [owner, name, ...rest] = text.split("/");
  if (owner !== undefined && owner !== "" && name !== undefined && name !== "" && rest.length === 0) {
    return { owner, name };
  }
  throw new UsageError(`${text} is not a repository.`, "Write it as owner/name, for example octo-org/demo.");
}

function nextStopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => resolve());
  });
}
