import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type EmulatedGithub, emulatedGithub } from "../../test/support/emulated-github.ts";
import type { Job } from "./model-state.ts";
import { writeRunnerDirectory } from "./runner-directory.ts";

let github: EmulatedGithub;
let folder: string;
let log: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "mayfly-runner-"));
  log = "";
  github = await emulatedGithub({
    limits: { jobLockSeconds: 1, disconnectNoticeSeconds: 0.2 },
    onStepLog: (_job, text) => {
      log += text;
    },
  });
});

afterEach(async () => {
  await github.close();
  rmSync(folder, { recursive: true, force: true });
  expect(github.problems).toEqual([]);
});

interface Started {
  readonly process: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

/** Starts a runner as a machine would: its own folder, the JIT configuration in its environment. */
async function startRunner(variables: NodeJS.ProcessEnv = {}, name = "runner-1"): Promise<Started> {
  const token = await github.installationToken();
  const request = { name, runner_group_id: 1, labels: ["linux"] };
  const path = "/orgs/octo-org/actions/runners/generate-jitconfig";
  const { body } = await github.call("POST", path, token, request);
  return spawnRunner({ ACTIONS_RUNNER_INPUT_JITCONFIG: body.encoded_jit_config, ...variables });
}

function spawnRunner(variables: NodeJS.ProcessEnv, parameters: readonly string[] = []): Started {
  const directory = writeRunnerDirectory(join(folder, "runner"));
  const child = spawn(join(directory, "bin", "Runner.Listener"), ["run", ...parameters], {
    cwd: folder,
    env: { ...process.env, ...variables },
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  child.stderr.on("data", (chunk) => {
    text += chunk;
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { process: child, output: () => text, exit };
}

async function startRun(steps: string): Promise<Job> {
  const indented = steps.replaceAll(/^/gm, "      ");
  const workflow = `jobs:\n  build:\n    runs-on: linux\n    env: { GREETING: hello }\n    steps:\n${indented}`;
  const made = await github.call("POST", "/_emulator/runs", "", { repository: "octo-org/demo", workflow });
  expect(made.body.message).toBeUndefined();
  return github.emulator.model.findJob(made.body.jobs[0].id);
}

test("runs the steps for real: folders, files between steps, expressions, skipped actions", async () => {
  const job = await startRun(`
- uses: actions/checkout@v4
- id: one
  run: |
    echo "NAME=value with = sign" >> "$GITHUB_ENV"
    printf 'LINES<<END\\nfirst\\nsecond\\nEND\\n' >> "$GITHUB_ENV"
    echo "answer=42" >> "$GITHUB_OUTPUT"
    mkdir tools && printf '#!/bin/sh\\necho tool runs' > tools/tool && chmod +x tools/tool
    echo "$PWD/tools" >> "$GITHUB_PATH"
- run: |
    echo "$GREETING $NAME/$LINES/\${{ steps.one.outputs.answer }}/\${{ github.repository }}"
    tool
    env
- working-directory: deep/er
  run: pwd
- if: failure()
  run: echo never
- shell: python
  run: print("from", "python")
`);
  const runner = await startRunner({ SECRET_OF_THE_MACHINE: "42" });
  expect(await runner.exit).toBe(0);
  expect([job.status, job.conclusion]).toEqual(["completed", "success"]);
  expect(log).toContain("hello value with = sign/first\nsecond/42/octo-org/demo\ntool runs\n");
  expect(log).toContain("/_work/demo/demo/deep/er");
  expect(log).toContain("from python");
  expect(log).toMatch(/^CI=true$/m);
  expect(log).toMatch(/^RUNNER_NAME=runner-1$/m);
  expect(log).not.toMatch(/JITCONFIG|SECRET_OF_THE_MACHINE/);
  expect(runner.output()).toContain("Skipped: uses actions/checkout@v4");
  expect(runner.output()).toContain("Job build completed with result: Succeeded");
  const conclusions = job.steps.map((step) => step.conclusion);
  expect(conclusions).toEqual([
    "success",
    "skipped",
    "success",
    "success",
    "success",
    "skipped",
    "success",
    "success",
  ]);
  expect(github.emulator.model.state.runners.size).toBe(0);
});

test("a job hands its outputs to those that need it", async () => {
  const workflow = `
jobs:
  plan:
    runs-on: linux
    outputs: { version: "v\${{ steps.version.outputs.number }}" }
    steps: [{ id: version, run: 'echo "number=7" >> "$GITHUB_OUTPUT"' }]
  use:
    needs: plan
    runs-on: linux
    steps: [{ run: "echo \${{ needs.plan.result }} \${{ needs.plan.outputs.version }}" }]
`;
  await github.call("POST", "/_emulator/runs", "", { repository: "octo-org/demo", workflow });
  for (const name of ["runner-1", "runner-2"]) expect(await (await startRunner({}, name)).exit).toBe(0);
  expect(log).toBe("success v7\n");
});

test("a failed step fails the job; what may fail does not; always() and failure() still run", async () => {
  const job = await startRun(`
- run: exit 1
  continue-on-error: true
- run: "false; echo not reached"
- run: echo skipped step
- if: failure()
  run: echo after failure
- if: always()
  run: echo at the end
`);
  const runner = await startRunner({ ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED: "true" });
  expect(await runner.exit).toBe(102);
  expect(job.conclusion).toBe("failure");
  expect(log).toBe("after failure\nat the end\n");
});

test("hooks run before and after the job; one that fails at the start fails it", async () => {
  const started = join(folder, "started.sh");
  const completed = join(folder, "completed.sh");
  writeFileSync(started, `echo "$GITHUB_RUN_ID" > ${join(folder, "started.txt")}; exit 1`);
  writeFileSync(completed, `echo done > ${join(folder, "completed.txt")}`);
  const job = await startRun("- run: echo not reached");
  const runner = await startRunner({
    ACTIONS_RUNNER_HOOK_JOB_STARTED: started,
    ACTIONS_RUNNER_HOOK_JOB_COMPLETED: completed,
  });
  expect(await runner.exit).toBe(0);
  expect([job.conclusion, log]).toEqual(["failure", ""]);
  expect(readFileSync(join(folder, "started.txt"), "utf8").trim()).toBe(String(job.runId));
  expect(existsSync(join(folder, "completed.txt"))).toBe(true);
});

const longStep = (file: string): string => `
- run: |
    sh -c 'trap "" TERM; echo $$ > ${file}; sleep 60' &
    sleep 60
- run: echo not reached
- if: always()
  run: echo cleaned up
`;

describe("a job that has to end early", () => {
  test("is cancelled from outside: its processes end, always() still runs", async () => {
    const file = join(folder, "pid");
    const job = await startRun(longStep(file));
    const runner = await startRunner();
    await github.until(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
    github.emulator.model.cancelRun(Date.now(), job.runId);
    github.emulator.wake();
    expect(await runner.exit).toBe(0);
    expect([job.conclusion, log]).toEqual(["cancelled", "cleaned up\n"]);
    expect(isAlive(Number(readFileSync(file, "utf8")))).toBe(false);
  });

  test("ends with SIGTERM for the runner, and is reported as failed", async () => {
    const file = join(folder, "pid");
    const job = await startRun(longStep(file));
    const runner = await startRunner();
    await github.until(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
    runner.process.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
    expect([job.conclusion, log]).toEqual(["failure", ""]);
    expect(isAlive(Number(readFileSync(file, "utf8")))).toBe(false);
  });

  test("fails some time after its runner was killed", async () => {
    const job = await startRun("- run: sleep 60");
    const runner = await startRunner();
    await github.until(() => job.status === "in_progress");
    runner.process.kill("SIGKILL");
    await runner.exit;
    expect(job.status).toBe("in_progress");
    await github.until(() => job.status === "completed");
    expect([job.conclusion, github.emulator.model.state.runners.size]).toEqual(["failure", 0]);
  });
});

describe("a runner without a job", () => {
  test("ends with status 0 when it was removed", async () => {
    const runner = await startRunner();
    const { model } = github.emulator;
    await github.until(() => [...model.state.runners.values()].some((entry) => entry.online));
    const token = await github.installationToken();
    await github.call("DELETE", "/orgs/octo-org/actions/runners/1", token);
    expect(await runner.exit).toBe(0);
    expect(runner.output()).toContain("The runner no longer exists on the server");
  });

  test("ends with status 0 on SIGTERM, and is offline soon after", async () => {
    const runner = await startRunner();
    const { model } = github.emulator;
    await github.until(() => [...model.state.runners.values()].some((entry) => entry.online));
    runner.process.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
    await github.until(() => [...model.state.runners.values()].every((entry) => !entry.online));
  });

  test("ends with status 1 without a configuration it can read", async () => {
    expect(await spawnRunner({}).exit).toBe(1);
    expect(await spawnRunner({}, ["--jitconfig", "nonsense"]).exit).toBe(1);
  });
});

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return !readFileSync(`/proc/${processId}/stat`, "utf8").includes(") Z");
  } catch {
    return false;
  }
}
