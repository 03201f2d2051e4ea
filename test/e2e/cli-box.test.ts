import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { processEnvironment } from "../../src/config/environment.ts";
import type { JobStatus, MachineStatus } from "../../src/core/status.ts";

/*
 * The commands against each other: an emulated GitHub, a server with the configuration that it wrote, and what the
 * other commands say of both. It shows that the CLI and the API mean the same.
 */

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const workflow = `
name: CI
on: push
jobs:
  build: { runs-on: [self-hosted, linux, x64], steps: [{ run: sleep 60 }] }
  gpu: { runs-on: [self-hosted, gpu], steps: [{ run: 'true' }] }
`;

const children: ChildProcess[] = [];
let folder: string;
let environment: Record<string, string | undefined>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-cli-box-"));
  const { PATH, HOME } = processEnvironment();
  environment = { PATH, HOME, MAYFLY_CONFIG: join(folder, "mayfly.yaml") };
  const webhookUrl = `http://127.0.0.1:${await freePort()}/webhook`;
  const words = ["emulate", "github", "--folder", folder, "--webhook-url", webhookUrl, "--json"];
  const emulated = JSON.parse(await startUntil(words, /^\{[\s\S]*\n\}\n$/)) as { readonly url: string };
  await startUntil(["serve"], /The box is ready/);
  const body = JSON.stringify({ repository: "octo-org/demo", workflow });
  const answer = await fetch(`${emulated.url}/_emulator/runs`, { method: "POST", body });
  expect(answer.status, await answer.text()).toBe(201);
}, 60_000);

afterAll(async () => {
  // The server first: it says goodbye to GitHub.
  for (const child of children.reverse()) {
    const ended = new Promise((resolve) => child.once("close", resolve));
    if (child.exitCode === null && child.kill("SIGTERM")) await ended;
  }
  await rm(folder, { recursive: true, force: true });
});

test("status, the lists and why tell of the job that runs and of the one that was refused", async () => {
  await expect.poll(() => jobs("active")[0]?.state, { timeout: 20_000, interval: 300 }).toBe("running");
  expect(mayfly("status").stdout).toContain("jobs        0 queued, 1 running");
  const [running] = jobs("active");
  const [refused] = jobs("recent");
  expect(running).toMatchObject({ workflow: "CI", name: "build", repository: "octo-org/demo" });
  expect(refused).toMatchObject({ name: "gpu", outcome: "refused", because: "no-preset" });
  expect(mayfly("why", running!.url).stdout).toContain(`The job runs on ${running!.machine}.`);
  expect(mayfly("jobs", "show", String(refused!.id)).stdout).toContain("state       refused: no-preset");
  expect(machines("active")).toMatchObject([{ id: running!.machine, state: "busy", jobId: running!.id }]);
  expect(mayfly("why", "1")).toMatchObject({ status: 1, stdout: "" });
});

test("a machine that is ended by force takes its job with it, and both say so", async () => {
  const [machine] = machines("active");
  const { status, stdout, stderr } = mayfly("runners", "terminate", machine!.id, "--force", "--yes");
  expect(status, stderr).toBe(0);
  expect(stderr).toContain("The job CI / build (octo-org/demo, job ");
  expect(stdout).toContain("is being terminated, with whatever runs on it.");
  await expect
    .poll(() => machines("recent"), { timeout: 20_000 })
    .toMatchObject([{ id: machine!.id, state: "ended", reason: "operator" }]);
  expect(machines("active")).toEqual([]);
  expect(mayfly("runners", "terminate", machine!.id).stdout).toBe(
    `Machine ${machine!.id} has ended already.\n`,
  );
});

test("trace export asks the server, which has the ledger open", () => {
  const { status, stdout, stderr } = mayfly(
    "trace",
    "export",
    "--days",
    "1",
    "--output",
    "out.jsonl",
    "--json",
  );
  expect(status, stderr).toBe(0);
  // Whether GitHub has told of the end of the job that ran is a matter of time; the other one was refused.
  expect(JSON.parse(stdout)).toMatchObject({ source: "server", neverRan: 1 });
});

function jobs(state: string): readonly JobStatus[] {
  return JSON.parse(mayfly("jobs", "list", "--state", state, "--json").stdout).jobs;
}

function machines(state: string): readonly MachineStatus[] {
  return JSON.parse(mayfly("runners", "list", "--state", state, "--json").stdout).machines;
}

function mayfly(...words: string[]) {
  return spawnSync(process.execPath, [mainFile, ...words], {
    cwd: folder,
    env: environment,
    encoding: "utf8",
  });
}

/** Starts a command that goes on, and resolves with its standard output when it has said this. */
function startUntil(words: readonly string[], said: RegExp): Promise<string> {
  const child = spawn(process.execPath, [mainFile, ...words], { cwd: folder, env: environment });
  children.push(child);
  let output = "";
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk) => {
      output += chunk;
      if (said.test(output)) resolve(output);
    });
    child.on("close", () => reject(new Error(`${words.join(" ")} ended.\n${output}${errors}`)));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return address.port;
}
