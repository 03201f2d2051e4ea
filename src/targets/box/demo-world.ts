import { generateKeyPair, randomBytes, randomInt } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { stringify } from "yaml";
import { createSystemRandom } from "../../adapters/random/system.ts";
import { MayflyError } from "../../core/errors.ts";
import { type FaultPreset, faultPresets, noFaults } from "../../emulator/model-faults.ts";
import type { Job } from "../../emulator/model-state.ts";
import { GithubRefusal } from "../../emulator/refusal.ts";
import { startWorkflow } from "../../emulator/routes-workflows.ts";
import { writeRunnerDirectory } from "../../emulator/runner-directory.ts";
import { type GithubEmulator, startGithubEmulator } from "../../emulator/server.ts";
import { workflowProblem } from "./workflow-problem.ts";

/** A GitHub that is emulated, and a config that makes a box serve it. Everything lives in one folder. */
export interface DemoWorld {
  readonly folder: string;
  readonly configPath: string;
  readonly emulator: GithubEmulator;
  /** Starts runs until at least `jobs` jobs were planned; with a workflow file, one run of it and no more. */
  startRuns(options: { readonly jobs: number; readonly workflowPath?: string }): Promise<void>;
  /** The jobs of these runs that GitHub gave to runners, or will. */
  jobs(): readonly Job[];
  /** Whether every run of these has ended. */
  ended(): boolean;
  close(): Promise<void>;
}

const account = "octo-org";
const repositories = ["storefront", "payments", "docs"];
const presetName = "linux-x64";
const presetLabels = ["self-hosted", "linux", "x64"];
/** GitHub expands a matrix to 256 jobs at most. */
const matrixLimit = 256;

export async function createDemoWorld(options: {
  readonly faults: FaultPreset;
  readonly machines?: number;
  /** Another runner than the emulator's own. */
  readonly runnerDirectory?: string;
}): Promise<DemoWorld> {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-demo-"));
  const { publicKey, privateKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const webhookSecret = randomBytes(32).toString("hex");
  const port = await freePort();
  const emulator = await startGithubEmulator({
    appPublicKey: publicKey,
    random: createSystemRandom(),
    webhook: { url: `http://127.0.0.1:${port}/webhook`, secret: webhookSecret },
    limits: demoLimits,
    faults: faultPresets[options.faults] ?? noFaults,
    runsOn: toPreset,
  });
  const now = Date.now();
  emulator.model.addOrganization(account);
  for (const name of repositories) emulator.model.addRepository(now, { owner: account, name });
  emulator.model.addInstallation(now, { account });

  const configPath = join(folder, "mayfly.yaml");
  await writeFile(join(folder, "webhook-secret"), webhookSecret, { mode: 0o600 });
  await writeFile(join(folder, "app.pem"), privateKey, { mode: 0o600 });
  const machines = options.machines ?? Math.max(4, availableParallelism() * 4);
  const runnerDirectory = options.runnerDirectory ?? writeRunnerDirectory(join(folder, "runner"));
  await writeFile(configPath, stringify(demoConfig({ runnerDirectory, port, machines, emulator })));
  return worldOf(folder, configPath, emulator);
}

function worldOf(folder: string, configPath: string, emulator: GithubEmulator): DemoWorld {
  const runIds: number[] = [];
  return {
    folder,
    configPath,
    emulator,
    async startRuns({ jobs, workflowPath }) {
      const workflows =
        workflowPath === undefined ? sampleWorkflows(jobs) : [await readWorkflow(workflowPath)];
      for (const [index, workflow] of workflows.entries()) {
        const name = repositories[index % repositories.length] ?? "docs";
        runIds.push(startRun(emulator, name, workflow));
      }
      emulator.wake();
    },
    jobs: () =>
      runIds
        .flatMap((id) => emulator.model.jobsOf(emulator.model.findRun(id), "latest"))
        .filter((job) => job.conclusion !== "skipped"),
    ended: () => runIds.every((id) => emulator.model.findRun(id).status === "completed"),
    async close() {
      await emulator.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function startRun(emulator: GithubEmulator, repositoryName: string, workflow: Workflow): number {
  const repository = emulator.model.findRepository(account, repositoryName);
  try {
    return startWorkflow(emulator.context, { repository, ...workflow }).id;
  } catch (error) {
    if (error instanceof GithubRefusal) throw workflowProblem(workflow.path, error.message, error);
    throw error;
  }
}

async function readWorkflow(path: string): Promise<Workflow> {
  try {
    return { path: `.github/workflows/${basename(path)}`, text: await readFile(path, "utf8") };
  } catch (error) {
    throw workflowProblem(path, error instanceof Error ? error.message : String(error), error);
  }
}

/** GitHub's numbers, shortened where a demo would otherwise wait for minutes to see a repair. */
const demoLimits = {
  pickUpTimeoutSeconds: 15,
  jobLockSeconds: 20,
  disconnectNoticeSeconds: 5,
  cancelTimeoutSeconds: 10,
  neverConnectedRemovalSeconds: 120,
  // As on a GitHub Enterprise Server. GitHub itself allows about 150 registrations a minute.
  rateLimitsEnabled: false,
};

function demoConfig(options: {
  readonly runnerDirectory: string;
  readonly port: number;
  readonly machines: number;
  readonly emulator: GithubEmulator;
}): unknown {
  return {
    github: {
      server: options.emulator.url,
      appId: options.emulator.model.state.app.id,
      scope: "organization",
    },
    server: { listen: `127.0.0.1:${options.port}`, dataDirectory: "data", logLevel: "warn" },
    secrets: { webhookSecret: { file: "webhook-secret" }, appPrivateKey: { file: "app.pem" } },
    presets: {
      [presetName]: {
        labels: ["linux", "x64"],
        architecture: "x86_64",
        compute: "local",
        local: { runnerDirectory: options.runnerDirectory },
        max: options.machines,
        bootTimeoutMinutes: 1,
        idleTimeoutMinutes: 1,
        jobTimeoutMinutes: 10,
      },
    },
    limits: { machines: options.machines, perRepository: options.machines },
    timing: { launchRetrySeconds: 5, idleGraceSeconds: 5, listingDelaySeconds: 5, jobCheckSeconds: 10 },
    schedule: { rebalanceSeconds: 5, scaledownSeconds: 5 },
  };
}

/** Whatever a workflow asks for runs on the demo's one preset, on this box. */
function toPreset(labels: readonly string[]): readonly string[] {
  const ours = labels.some((label) => /^(self-hosted|mayfly\/.*)$/i.test(label));
  return ours ? labels : presetLabels;
}

interface Workflow {
  readonly path: string;
  readonly text: string;
}

/** As many jobs as asked for, in runs of a few repositories: a build, a test matrix that needs it, a report. */
function sampleWorkflows(jobs: number): readonly Workflow[] {
  const samples: Workflow[] = [];
  let left = jobs;
  while (left > 0) {
    const share = Math.ceil(jobs / repositories.length);
    const size = Math.min(left, share, matrixLimit);
    samples.push(sampleWorkflow(samples.length + 1, size));
    left -= size;
  }
  return samples;
}

function sampleWorkflow(number: number, jobs: number): Workflow {
  const step = (name: string, run: string) => ({ name, run });
  const build = {
    "runs-on": presetLabels,
    steps: [
      step("Compile", "echo compiling; sleep 0.5; echo ok > result.txt"),
      step("Check", "grep -q ok result.txt"),
    ],
  };
  const test = {
    "runs-on": presetLabels,
    strategy: {
      "fail-fast": false,
      matrix: { shard: Array.from({ length: Math.max(1, jobs - 1) }, (_, at) => at + 1) },
    },
    steps: [
      { uses: "actions/checkout@v4" },
      step(
        "Test",
        `echo "shard \${{ matrix.shard }}"; sleep 0.$(( \${{ matrix.shard }} % 9 + 1 )); echo passed`,
      ),
    ],
  };
  const document = { name: `CI ${number}`, on: "push", jobs: jobs === 1 ? { build } : { build, test } };
  return { path: `.github/workflows/ci-${number}.yml`, text: stringify(document) };
}

/**
 * A port that nobody listens on. The box must know its port before it starts, as its machines look for it there.
 * Below those that systems give to outgoing connections, one of which could take it while the box is down.
 */
async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = 20_000 + randomInt(12_000);
    if (await isFree(port)) return port;
  }
  throw new MayflyError({
    kind: "operator",
    code: "NO_FREE_PORT",
    message: "No free port was found on the loopback address.",
    suggestion: "Find out which programs hold so many ports between 20000 and 32000, and end some.",
  });
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
