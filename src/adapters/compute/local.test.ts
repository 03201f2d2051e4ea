import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { launchRequest, providerIdOf, until, untilAbsent } from "../../../test/conformance/compute.ts";
import {
  runAnswer,
  type StubControlPlane,
  startStubControlPlane,
} from "../../../test/support/stub-control-plane.ts";
import type { Compute } from "../../ports/compute.ts";
import { createSystemClock } from "../clock/system.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createLocalCompute, type LocalComputeOptions } from "./local.ts";

const agentFile = fileURLToPath(new URL("../../agent/agent.sh", import.meta.url));
const isRoot = process.getuid?.() === 0;

let root: string;
let controlPlane: StubControlPlane;
let gone: string[];
let opened: Compute[];
let bystanders: ChildProcess[];

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "mayfly-local-"));
  controlPlane = await startStubControlPlane({ claims: [runAnswer()] });
  [gone, opened, bystanders] = [[], [], []];
});

afterEach(async () => {
  const [compute = open()] = opened.slice(-1);
  for (const { providerId } of await compute.list()) {
    await compute.terminate([providerId]);
    await untilAbsent(compute, providerId);
  }
  for (const one of opened) await one.close();
  for (const one of bystanders) one.kill("SIGKILL");
  await controlPlane.close();
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});

describe("one machine, from launch to gone", () => {
  it("claims, runs its listener in its own copy of the runner, and leaves nothing behind", async () => {
    await listener(
      'env > "$HOME/../../seen"; pwd >> "$HOME/../../seen"; touch written-by-the-runner; exit 0',
    );
    const compute = open();
    const providerId = providerIdOf((await compute.launch(launchRequest(["machine-1"])))[0]);
    await until(() => gone.includes(providerId));
    expect(controlPlane.steps()).toContain("exited");
    expect(controlPlane.requests[0]?.authorization).toMatch(/^Bearer credential-/);
    expect(readdirSync(machines())).toEqual(["seen"]);
    const seen = readFileSync(join(machines(), "seen"), "utf8");
    expect(seen).toContain(`HOME=${machines()}/machine-1/home\n`);
    expect(seen).toContain(`${machines()}/machine-1/runner\n`);
    // The server's own environment, of which this variable of the test runner is a part, stays with the server.
    expect(process.env.VITEST).toBeDefined();
    expect(seen).not.toContain("VITEST");
    expect(existsSync(join(root, "runner/written-by-the-runner"))).toBe(false);
    expect(processesOf("machine-1")).toEqual([]);
  });

  it("keeps its log from other users", async () => {
    await listener("sleep 600");
    await open().launch(launchRequest(["machine-1"]));
    expect(statSync(join(machines(), "machine-1/agent.log")).mode & 0o777).toBe(0o600);
  });
});

describe("what a job leaves running", () => {
  // A daemon as it is written by the book: a session of its own, no open files, an unrelated parent.
  const daemon = 'setsid sh -c "exec sleep 600 <&- >&- 2>&-" & sleep 0.2';

  it("is killed when the machine ends by itself", async () => {
    await listener(`${daemon}; touch "$HOME/../../daemon-runs"; exit 0`);
    await open().launch(launchRequest(["machine-1"]));
    await until(() => gone.includes("machine-1"));
    expect(existsSync(join(machines(), "daemon-runs"))).toBe(true);
    expect(processesOf("machine-1")).toEqual([]);
  });

  it("is killed when the machine is terminated, though it ignores SIGTERM", async () => {
    await listener(`setsid sh -c 'trap "" TERM; touch "$HOME/deaf"; while :; do sleep 1; done' & sleep 600`);
    const compute = open({ stopGraceSeconds: 1 });
    await compute.launch(launchRequest(["machine-1"]));
    await until(() => existsSync(join(machines(), "machine-1/home/deaf")));
    await compute.terminate(["machine-1"]);
    await untilAbsent(compute, "machine-1");
    expect(processesOf("machine-1")).toEqual([]);
  });

  it("is listed and can be terminated even when its folder is gone", async () => {
    await listener("sleep 600");
    const first = open();
    await first.launch(launchRequest(["machine-1"]));
    await until(() => processesOf("machine-1").some((one) => one.includes("sleep\x00600")));
    await first.close();
    rmSync(join(machines(), "machine-1"), { recursive: true, force: true, maxRetries: 5 });
    const second = open();
    expect(await second.list()).toMatchObject([
      { machineId: "machine-1", fleet: "fleet-a", preset: "linux-x64" },
    ]);
    await second.terminate(["machine-1"]);
    await untilAbsent(second, "machine-1");
    expect(processesOf("machine-1")).toEqual([]);
  });
});

it("what a job says in its environment about when a machine was launched is only believed where it may be so", async () => {
  const compute = open();
  const said = { "machine-1": "never", "machine-2": "8640000000000001", "machine-3": "-1", "machine-4": "1" };
  for (const [machineId, launchedAt] of Object.entries(said)) {
    const env = {
      MAYFLY_MACHINE_DIRECTORY: join(machines(), machineId),
      MAYFLY_MACHINE_ID: machineId,
      MAYFLY_LAUNCHED_AT: launchedAt,
    };
    bystanders.push(spawn("/bin/sleep", ["600"], { env, stdio: "ignore" }));
  }
  await until(() => Object.keys(said).every((machineId) => processesOf(machineId).length > 0));
  const listed = (await compute.list()).map((one) => [one.machineId, one.launchedAt]).sort();
  expect(listed).toEqual([
    ["machine-1", 0],
    ["machine-2", 0],
    ["machine-3", 0],
    ["machine-4", 1],
  ]);
});

describe("after the server was killed", () => {
  it("the next one takes over what runs and cleans up what ended meanwhile", async () => {
    await listener('while [ ! -e "$HOME/finish" ]; do sleep 0.05; done');
    await launchInServerThatIsKilled(["machine-1", "machine-2"]);
    await writeFile(join(machines(), "machine-1/home/finish"), "");
    await until(() => processesOf("machine-1").length === 0);
    const compute = open();
    await compute.list();
    await until(() => gone.length > 0);
    expect(gone).toEqual(["machine-1"]);
    expect((await compute.list()).map((one) => one.machineId)).toEqual(["machine-2"]);
    await writeFile(join(machines(), "machine-2/home/finish"), "");
    await until(() => gone.includes("machine-2"));
    expect(readdirSync(machines())).toEqual([]);
  });

  it("a machine whose process was never written down is adopted, not launched twice", async () => {
    await listener("sleep 600");
    await launchInServerThatIsKilled(["machine-1"]);
    const file = join(machines(), "machine-1/machine.json");
    const { process: agent, ...withoutProcess } = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify(withoutProcess));
    const compute = open();
    expect((await compute.launch(launchRequest(["machine-1"])))[0]?.kind).toBe("launched");
    expect(JSON.parse(await readFile(file, "utf8")).process).toEqual(agent);
  });

  it("a folder that was made for a process that never started is removed", async () => {
    await mkdir(join(machines(), "machine-1/home"), { recursive: true });
    await mkdir(join(machines(), ".rubbish-1"));
    await mkdir(join(machines(), "somebody-elses"));
    const record = { machineId: "machine-1", fleet: "fleet-a", preset: "linux-x64", launchedAt: 1 };
    await writeFile(join(machines(), "machine-1/machine.json"), JSON.stringify(record));
    const compute = open();
    await compute.list();
    await until(() => gone.includes("machine-1"));
    expect(readdirSync(machines())).toEqual(["somebody-elses"]);
  });

  it("a process that received the number of an ended agent is left alone", async () => {
    const bystander = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
    bystanders.push(bystander);
    await mkdir(join(machines(), "machine-1"), { recursive: true });
    const agent = { pid: bystander.pid, startTime: "1" };
    const record = { machineId: "machine-1", fleet: "fleet-a", preset: "p", launchedAt: 1, process: agent };
    await writeFile(join(machines(), "machine-1/machine.json"), JSON.stringify(record));
    const compute = open();
    await compute.terminate(["machine-1"]);
    await untilAbsent(compute, "machine-1");
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    expect(existsSync(`/proc/${bystander.pid}/stat`)).toBe(true);
  });
});

describe("a launch that cannot work", () => {
  it.each<[string, Partial<LocalComputeOptions>, string]>([
    ["a preset without a runner directory", { runnerDirectories: {} }, "No runner directory is configured"],
    ["a runner directory that is missing", { runnerDirectories: { "linux-x64": "/nowhere" } }, "/nowhere"],
    ["a missing agent", { agentFile: "/nowhere/agent.sh" }, "/nowhere/agent.sh"],
    ["a path without sh", { path: "/nowhere" }, "no sh in /nowhere"],
  ])("%s is refused as a matter of configuration", async (_, options, sentence) => {
    await listener("exit 0");
    const compute = open(options);
    const [outcome] = await compute.launch(launchRequest(["machine-1"]));
    expect(outcome).toMatchObject({ kind: "refused", failure: "configuration" });
    expect((outcome as { message: string }).message).toContain(sentence);
    expect(await compute.list()).toEqual([]);
  });

  it("a machine id that leads out of the folder is refused", async () => {
    await listener("exit 0");
    const [outcome] = await open().launch(launchRequest(["../machine-1"]));
    expect(outcome).toMatchObject({ kind: "refused", failure: "configuration", code: "MACHINE_ID" });
  });

  it.runIf(isRoot && canMount())("a full disk is refused and leaves nothing", async () => {
    await listener("exit 0");
    await writeFile(join(root, "runner/large"), Buffer.alloc(1_000_000));
    await mkdir(machines());
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=200k", "tmpfs", machines()]);
    try {
      const compute = open();
      const [outcome] = await compute.launch(launchRequest(["machine-1"]));
      expect(outcome).toMatchObject({ kind: "refused", failure: "configuration", code: "ENOSPC" });
      expect(readdirSync(machines())).toEqual([]);
    } finally {
      execFileSync("umount", [machines()]);
    }
  });

  it("a path that is not absolute fails at construction", () => {
    expect(() => open({ machinesDirectory: "machines" })).toThrow(/not absolute/);
    expect(() => open({ controlPlaneUrl: "localhost:80" })).toThrow(/not an http or https address/);
  });
});

it.runIf(isRoot)(
  "runs agent and job as another user, who can change neither record nor siblings",
  async () => {
    await chmod(root, 0o755);
    await listener(
      'id -u > "$HOME/who"; (echo x > ../machine.json) 2>/dev/null || echo kept >> "$HOME/who"; sleep 600',
    );
    await open({ user: { uid: 65_534, gid: 65_534 } }).launch(launchRequest(["machine-1"]));
    const who = join(machines(), "machine-1/home/who");
    await until(() => existsSync(who) && readFileSync(who, "utf8") === "65534\nkept\n");
  },
);

it.runIf(isRoot)(
  "every folder above the runner's can be read by its user, as the runner demands",
  async () => {
    await chmod(root, 0o755);
    await listener(
      'folder=$PWD; while ls "$folder" > "$HOME/list" && [ "$folder" != / ]; do folder=$(dirname "$folder"); done; echo "$folder" > "$HOME/top"; sleep 600',
    );
    await open({ user: { uid: 65_534, gid: 65_534 } }).launch(launchRequest(["machine-1"]));
    const top = join(machines(), "machine-1/home/top");
    await until(() => existsSync(top) && readFileSync(top, "utf8") !== "");
    expect(readFileSync(top, "utf8")).toBe("/\n");
  },
);

it.each([0o700, 0o711])(
  "refuses to launch for a user who could not read a folder above (%o)",
  async (mode) => {
    await listener("exit 0");
    await chmod(root, mode);
    const user = { uid: 65_534, gid: 65_534 };
    const [outcome] = await open({ user }).launch(launchRequest(["machine-1"]));
    expect(outcome).toMatchObject({ kind: "refused", failure: "configuration", code: "FOLDER_CLOSED" });
    expect(outcome).toMatchObject({ message: expect.stringContaining(`chmod o+rx ${root}`) });
  },
);

// ------------------------------------------------------------------------------------------------- harness

function machines(): string {
  return join(root, "machines");
}

function open(overrides: Partial<LocalComputeOptions> = {}): Compute {
  const compute = createLocalCompute({
    machinesDirectory: machines(),
    agentFile,
    controlPlaneUrl: controlPlane.url,
    runnerDirectories: { "linux-x64": join(root, "runner") },
    clock: createSystemClock(),
    log: createMemoryLog(),
    environment: { MAYFLY_SECOND_MILLISECONDS: "50" },
    onGone: (providerId) => gone.push(providerId),
    ...overrides,
  });
  opened.push(compute);
  return compute;
}

async function listener(script: string): Promise<void> {
  const file = join(root, "runner/bin/Runner.Listener");
  await mkdir(join(root, "runner/bin"), { recursive: true });
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

/** A server of its own process that launches and then dies without a chance to do anything more. */
async function launchInServerThatIsKilled(machineIds: readonly string[]): Promise<void> {
  const source = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
  const program = `
    const { createLocalCompute } = await import(${source("local.ts")});
    const { createSystemClock } = await import(${source("../clock/system.ts")});
    const { createMemoryLog } = await import(${source("../log/memory.ts")});
    const { request, options } = JSON.parse(process.argv[1]);
    const { Secret } = await import(${source("../../core/secret.ts")});
    const compute = createLocalCompute({ ...options, clock: createSystemClock(), log: createMemoryLog() });
    const machines = request.machines.map(({ id }) => ({ id, credential: new Secret("credential-of-" + id) }));
    const outcomes = await compute.launch({ ...request, machines });
    if (outcomes.some((one) => one.kind !== "launched")) throw new Error(JSON.stringify(outcomes));
    process.kill(process.pid, "SIGKILL");`;
  const options = {
    machinesDirectory: machines(),
    agentFile,
    controlPlaneUrl: controlPlane.url,
    runnerDirectories: { "linux-x64": join(root, "runner") },
    environment: { MAYFLY_SECOND_MILLISECONDS: "50" },
  };
  const parameter = JSON.stringify({ options, request: launchRequest(machineIds) });
  const server = spawn(process.execPath, ["--input-type=module", "-e", program, parameter], {
    stdio: "inherit",
  });
  const signal = await new Promise((resolve) => server.on("close", (_, by) => resolve(by)));
  expect(signal).toBe("SIGKILL");
  await until(() => machineIds.every((id) => processesOf(id).some((one) => one.includes("Runner.Listener"))));
}

/** Arguments of the processes of one machine, found without the code that is tested. */
function processesOf(machineId: string): readonly string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (!environment.includes(`MAYFLY_MACHINE_DIRECTORY=${machines()}/${machineId}\0`)) continue;
      found.push(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    } catch {
      // The process has ended since the folder was listed.
    }
  }
  return found;
}

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "mayfly-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", folder], { stdio: "ignore" });
    execFileSync("umount", [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
