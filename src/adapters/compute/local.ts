import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, chown, constants, open } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { MayflyError } from "../../core/errors.ts";
import type { Instant, MachineId } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type {
  Compute,
  LaunchOutcome,
  LaunchRequest,
  ListedMachine,
  MachineToLaunch,
  TerminateOutcome,
} from "../../ports/compute.ts";
import type { Log } from "../../ports/log.ts";
import { firstClosedFolder } from "./local-access.ts";
import { runCommand, usualPath } from "./local-command.ts";
import { createMachineFolders, isFolder, type MachineFolders, type MachineRecord } from "./local-folders.ts";
import {
  createProcessScanner,
  machineDirectoryVariable,
  type ProcessScanner,
  processStartTime,
  signal,
} from "./local-processes.ts";
import { isMachineId } from "./machine-id.ts";
import { recoverOnce } from "./recovery.ts";

export interface LocalComputeOptions {
  /** Where the machines' folders are made. Absolute. One server at a time uses it. */
  readonly machinesDirectory: string;
  /** The agent, `src/agent/agent.sh`. Absolute. */
  readonly agentFile: string;
  /** The control plane's base address, as this box sees it. */
  readonly controlPlaneUrl: string;
  /**
   * The runner's folder per preset (it holds `bin/Runner.Listener` or `run.sh`). Absolute. Every machine gets a
   * copy, because the runner writes into its own folder.
   */
  readonly runnerDirectories: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Run machines as this user; the server must be root then. Without it, they run as the server's user. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** The `PATH` of agent and jobs. Without it, the system's usual folders. */
  readonly path?: string;
  /** More variables for agent and jobs. No secrets: jobs see them. */
  readonly environment?: Readonly<Record<string, string>>;
  /** From SIGTERM to SIGKILL when a machine is terminated. Without it, 10. */
  readonly stopGraceSeconds?: number;
  /** Called once when a machine has ended, by itself or not, and nothing of it is left. */
  readonly onGone?: (providerId: string) => void;
}

/**
 * A machine is a folder and one process group that runs the agent. Its provider id is its machine id.
 *
 * - Machines survive the server. With its first call, the next one finds them by their folders and, independently, by the environment
 *   of every process (Linux), which also finds what a job started in a session of its own.
 * - A machine whose agent has ended is cleaned up by itself: its stragglers are killed, its folder is removed, then
 *   `onGone` is called. It is listed until then.
 * - `terminate` sends SIGTERM to the agent's group, then SIGKILL to everything that was started for the machine,
 *   then removes the folder.
 * - Everything is on demand, in the one pool `local`. `cpu`, `memoryGib` and `image` are not enforced: machines
 *   share this box, and are separated by no more than their folders and, with `user`, by not being the server.
 * - Without /proc (not Linux), only the agent's process group is known.
 */
export function createLocalCompute(options: LocalComputeOptions): Compute {
  checkOptions(options);
  const machinesDirectory = resolve(options.machinesDirectory);
  const box: Box = {
    options,
    folders: createMachineFolders(machinesDirectory),
    scanner: createProcessScanner(machinesDirectory),
    launching: new Map(),
    destroying: new Map(),
    adopted: new Map(),
    stop: new AbortController(),
    prepare: createLimit(launchesAtOnce),
  };
  const ready = recoverOnce(() =>
    recover(box).catch((error: unknown) => {
      throw cannotUse(machinesDirectory, error);
    }),
  );
  return {
    name: "local",
    async launch(request) {
      await ready();
      const obstacle = await findObstacle(options, request.spec.preset);
      return Promise.all(request.machines.map((machine) => launchOnce(box, request, machine, obstacle)));
    },
    async list() {
      await ready();
      return list(box);
    },
    async terminate(providerIds) {
      await ready();
      return Promise.all(providerIds.map((providerId) => terminate(box, providerId)));
    },
    async close() {
      box.stop.abort();
      await Promise.allSettled([...box.launching.values(), ...box.destroying.values()]);
    },
  };
}

/** Copying a runner keeps a disk busy; more at once would only slow each of them down. */
const launchesAtOnce = 8;
const pool = "local";
const purchase = "on-demand";

interface Box {
  readonly options: LocalComputeOptions;
  readonly folders: MachineFolders;
  readonly scanner: ProcessScanner;
  readonly launching: Map<MachineId, Promise<LaunchOutcome>>;
  readonly destroying: Map<MachineId, Promise<void>>;
  /** Machines of an earlier server, whose end nobody tells us. */
  readonly adopted: Map<MachineId, RunningProcess>;
  readonly stop: AbortController;
  readonly prepare: Limit;
}

type RunningProcess = NonNullable<MachineRecord["process"]>;

function checkOptions(options: LocalComputeOptions): void {
  const paths = [options.machinesDirectory, options.agentFile, ...Object.values(options.runnerDirectories)];
  const wrong = paths.find((path) => !isAbsolute(path));
  if (wrong !== undefined || !/^https?:\/\//.test(options.controlPlaneUrl)) {
    throw new MayflyError({
      kind: "operator",
      code: "COMPUTE_LOCAL_OPTIONS",
      message:
        wrong === undefined
          ? `The control plane's address "${options.controlPlaneUrl}" is not an http or https address.`
          : `The path "${wrong}" of the compute adapter local is not absolute.`,
      suggestion: "Correct the setting of the compute adapter local and start again.",
    });
  }
}

// -------------------------------------------------------------------------------------------------- launch

/** Two calls for one machine share one launch. */
function launchOnce(
  box: Box,
  request: LaunchRequest,
  machine: MachineToLaunch,
  obstacle: Obstacle | undefined,
): Promise<LaunchOutcome> {
  const underWay = box.launching.get(machine.id);
  if (underWay !== undefined) return underWay;
  const launch = launchOne(box, request, machine, obstacle)
    .catch((error: unknown) => refusedByError(machine.id, error))
    .finally(() => box.launching.delete(machine.id));
  box.launching.set(machine.id, launch);
  return launch;
}

async function launchOne(
  box: Box,
  request: LaunchRequest,
  machine: MachineToLaunch,
  obstacle: Obstacle | undefined,
): Promise<LaunchOutcome> {
  if (!isMachineId(machine.id)) {
    return refused(machine.id, "configuration", "MACHINE_ID", `"${machine.id}" is not a machine id.`);
  }
  const record: MachineRecord = {
    machineId: machine.id,
    fleet: request.fleet,
    preset: request.spec.preset,
    launchedAt: box.options.clock.now(),
  };
  if ((await box.folders.read(machine.id))?.process !== undefined) return launched(machine.id);
  if (obstacle !== undefined) return refused(machine.id, "configuration", obstacle.code, obstacle.message);
  // GitHub's runner does not start where its user may not list each folder above it. What is in them stays closed.
  const contents = { folders: ["runner", "home", "temporary"], mode: 0o755 };
  if ((await box.folders.create(record, contents)) === "exists") return answerForExisting(box, machine.id);
  try {
    return await box.prepare(() => startAgent(box, request, machine, record));
  } catch (error) {
    await killAll(box, machine.id);
    await box.folders.remove(machine.id);
    throw error;
  }
}

async function startAgent(
  box: Box,
  request: LaunchRequest,
  machine: MachineToLaunch,
  record: MachineRecord,
): Promise<LaunchOutcome> {
  const folder = box.folders.path(machine.id);
  const { user, runnerDirectories } = box.options;
  await copyFolder(runnerDirectories[record.preset] ?? "", join(folder, "runner"));
  const log = await open(join(folder, "agent.log"), "a", 0o600);
  try {
    if (user !== undefined) await giveTo(user, folder);
    const child = spawn("sh", [box.options.agentFile], {
      cwd: folder,
      // A session of its own, so that the machine outlives this server and is one group.
      detached: true,
      env: agentEnvironment(box.options, request, machine, folder, record),
      stdio: ["ignore", log.fd, log.fd],
      ...user,
    });
    child.once("exit", () => ended(box, machine.id));
    await started(child);
    child.unref();
    const pid = child.pid ?? 0;
    await box.folders.write({ ...record, process: { pid, startTime: await processStartTime(pid) } });
    return launched(machine.id);
  } finally {
    await log.close();
  }
}

/** Nothing of the server's own environment reaches a machine. */
function agentEnvironment(
  options: LocalComputeOptions,
  request: LaunchRequest,
  machine: MachineToLaunch,
  folder: string,
  record: MachineRecord,
): NodeJS.ProcessEnv {
  return {
    PATH: options.path ?? usualPath,
    HOME: join(folder, "home"),
    LANG: "C.UTF-8",
    TMPDIR: join(folder, "temporary"),
    ...options.environment,
    // The marks by which the processes of this machine are found, whatever becomes of them.
    [machineDirectoryVariable]: folder,
    MAYFLY_MACHINE_ID: machine.id,
    MAYFLY_FLEET: record.fleet,
    MAYFLY_PRESET: record.preset,
    MAYFLY_LAUNCHED_AT: String(record.launchedAt),
    MAYFLY_URL: options.controlPlaneUrl,
    MAYFLY_IDENTITY: "token",
    ...(machine.credential === undefined ? {} : { MAYFLY_CREDENTIAL: machine.credential.reveal() }),
    MAYFLY_RUNNER_DIRECTORY: join(folder, "runner"),
    MAYFLY_BOOT_TIMEOUT_SECONDS: String(request.bootTimeoutSeconds),
    MAYFLY_JOB_TIMEOUT_SECONDS: String(request.jobTimeoutSeconds),
    MAYFLY_SPOT_NOTICE: `file:${join(folder, "interruption-notice")}`,
    MAYFLY_LOG: join(folder, "agent.log"),
    MAYFLY_POWER_OFF: "exit",
  };
}

/** The record stays with the server's user: whoever could write it could name any process to be killed. */
async function giveTo(user: { readonly uid: number; readonly gid: number }, folder: string): Promise<void> {
  for (const name of ["home", "temporary", "agent.log"]) await chown(join(folder, name), user.uid, user.gid);
  await runCommand("chown", ["-R", `${user.uid}:${user.gid}`, join(folder, "runner")]);
}

async function started(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) {
    const [error] = (await once(child, "error")) as [Error];
    throw error;
  }
}

/** Shares the blocks of the files where the file system can. */
async function copyFolder(from: string, to: string): Promise<void> {
  try {
    await runCommand("cp", ["-a", "--reflink=auto", `${from}/.`, to]);
  } catch (error) {
    // Other systems know neither option and say so.
    if (!(error instanceof Error) || !/unrecogni[sz]ed|illegal|invalid option|usage/i.test(error.message))
      throw error;
    await runCommand("cp", ["-R", "-p", "-P", `${from}/.`, to]);
  }
}

/** The folder is there, but nobody in this process makes it. */
async function answerForExisting(box: Box, machineId: MachineId): Promise<LaunchOutcome> {
  const record = await box.folders.read(machineId);
  if (record?.process !== undefined || (await processesOf(box, machineId)).length > 0)
    return launched(machineId);
  const message = `Something that is no machine is at ${box.folders.path(machineId)}. Remove it.`;
  return refused(machineId, "configuration", "FOLDER_TAKEN", message);
}

interface Obstacle {
  readonly code: string;
  readonly message: string;
}

/** What would make every launch of this preset fail, said before anything is made. */
async function findObstacle(options: LocalComputeOptions, preset: string): Promise<Obstacle | undefined> {
  const runner = options.runnerDirectories[preset];
  if (runner === undefined) {
    return {
      code: "NO_RUNNER",
      message: `No runner directory is configured for the preset ${preset}. Add one.`,
    };
  }
  if (!(await isFolder(runner))) {
    return {
      code: "NO_RUNNER",
      message: `The runner directory ${runner} of the preset ${preset} is not there.`,
    };
  }
  if (!(await mayRead(options.agentFile))) {
    return { code: "NO_AGENT", message: `The agent ${options.agentFile} is not there or cannot be read.` };
  }
  const closed = await closedFolder(options);
  if (closed !== undefined) {
    const message = `The user ${options.user?.uid} of the machines may not list ${closed}, as GitHub's runner must. Run \`chmod o+rx ${closed}\`.`;
    return { code: "FOLDER_CLOSED", message };
  }
  const path = options.path ?? usualPath;
  for (const program of ["sh", "curl"]) {
    const places = path.split(":").map((folder) => join(folder, program));
    const found = await Promise.all(places.map((place) => mayRead(place, constants.X_OK)));
    if (!found.includes(true)) {
      return {
        code: "NO_PROGRAM",
        message: `There is no ${program} in ${path}. The agent needs it: install it.`,
      };
    }
  }
  return undefined;
}

/** What keeps the machines' user from its machines or from the agent: no runner would start. */
async function closedFolder({
  user,
  machinesDirectory,
  agentFile,
}: LocalComputeOptions): Promise<string | undefined> {
  if (user === undefined) return undefined;
  return (
    (await firstClosedFolder(user, join(machinesDirectory, "machine"))) ??
    (await firstClosedFolder(user, agentFile))
  );
}

async function mayRead(path: string, mode = constants.R_OK): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

function launched(machineId: MachineId): LaunchOutcome {
  return { kind: "launched", machineId, providerId: machineId, pool, purchase };
}

function refused(
  machineId: MachineId,
  failure: "configuration" | "transient",
  code: string,
  message: string,
): LaunchOutcome {
  return { kind: "refused", machineId, failure, code, message, pools: [] };
}

/** A box that is short of processes or files recovers by itself; everything else needs the operator. */
function refusedByError(machineId: MachineId, error: unknown): LaunchOutcome {
  const message = error instanceof Error ? error.message : String(error);
  const code = /no space left/i.test(message)
    ? "ENOSPC"
    : ((error as NodeJS.ErrnoException).code ?? "LAUNCH_FAILED");
  const passes = ["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"].includes(code);
  return refused(machineId, passes ? "transient" : "configuration", code, message);
}

// ----------------------------------------------------------------------------------------------------- list

async function list(box: Box): Promise<readonly ListedMachine[]> {
  // Folders first: a machine that is launched in between is found by its processes, with the same marks.
  const records = await box.folders.list();
  const listed = new Map<MachineId, ListedMachine>();
  for (const { machineId, fleet, preset, launchedAt } of records) {
    listed.set(machineId, { providerId: machineId, machineId, fleet, preset, launchedAt, purchase });
  }
  for (const { machineDirectory, environment } of await box.scanner.scan()) {
    const machineId = environment.get("MAYFLY_MACHINE_ID") ?? "";
    if (!isMachineId(machineId) || box.folders.path(machineId) !== machineDirectory) continue;
    if (listed.has(machineId)) continue;
    listed.set(machineId, {
      providerId: machineId,
      machineId,
      fleet: environment.get("MAYFLY_FLEET") ?? "",
      preset: environment.get("MAYFLY_PRESET") ?? "",
      launchedAt: instantIn(environment.get("MAYFLY_LAUNCHED_AT"), box.options.clock.now()),
      purchase,
    });
  }
  return [...listed.values()];
}

/** A job may start processes with any environment. What is no instant, or is none yet, would be none for whoever reads it. */
function instantIn(text = "", now: Instant): Instant {
  const instant = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  return instant <= now ? instant : 0;
}

// ---------------------------------------------------------------------------------------------------- the end

async function terminate(box: Box, providerId: string): Promise<TerminateOutcome> {
  if (!isMachineId(providerId)) return { providerId, kind: "absent" };
  const isThere =
    box.destroying.has(providerId) ||
    box.launching.has(providerId) ||
    (await box.folders.read(providerId)) !== undefined ||
    (await processesOf(box, providerId)).length > 0;
  if (isThere) destroy(box, providerId, "gently");
  return { providerId, kind: isThere ? "terminating" : "absent" };
}

/** The agent has ended by itself. After `close` that is the business of the next server. */
function ended(box: Box, machineId: MachineId): void {
  if (!box.stop.signal.aborted) destroy(box, machineId, "at once");
}

function destroy(box: Box, machineId: MachineId, how: "gently" | "at once"): void {
  if (box.destroying.has(machineId)) return;
  const work = destroyNow(box, machineId, how)
    .catch((error: unknown) => {
      const fields = { stage: "scaledown", machineId, error };
      box.options.log.warn("A machine could not be destroyed; it stays listed and is tried again.", fields);
    })
    .finally(() => box.destroying.delete(machineId));
  box.destroying.set(machineId, work);
}

async function destroyNow(box: Box, machineId: MachineId, how: "gently" | "at once"): Promise<void> {
  await box.launching.get(machineId);
  const agent = (await box.folders.read(machineId))?.process;
  if (how === "gently" && agent !== undefined && (await isAlive(agent))) {
    signal(-agent.pid, "SIGTERM");
    await waitForEnd(box, agent);
  }
  await killAll(box, machineId);
  await box.folders.remove(machineId);
  box.adopted.delete(machineId);
  box.options.onGone?.(machineId);
}

async function waitForEnd(box: Box, agent: RunningProcess): Promise<void> {
  const { clock, stopGraceSeconds = 10 } = box.options;
  const until = clock.now() + stopGraceSeconds * 1_000;
  let pause = 20;
  while (clock.now() < until && (await isAlive(agent))) {
    await clock.sleep(pause);
    pause = Math.min(pause * 2, 250);
  }
}

/** Kills until nothing is found any more, because what is found may have started something since. */
async function killAll(box: Box, machineId: MachineId): Promise<void> {
  const agent = (await box.folders.read(machineId))?.process;
  for (let round = 0; round < 100; round++) {
    const agentLives = agent !== undefined && (await isAlive(agent));
    if (agentLives) signal(-agent.pid, "SIGKILL");
    const found = await processesOf(box, machineId);
    for (const { pid } of found) signal(pid, "SIGKILL");
    if (!agentLives && found.length === 0) return;
    await box.options.clock.sleep(Math.min(10 + 10 * round, 250));
  }
  throw new MayflyError({
    kind: "operator",
    code: "COMPUTE_LOCAL_UNKILLABLE",
    message: `Processes of the machine ${machineId} do not end, not even by SIGKILL.`,
    suggestion: `Look for what they wait for (ps -o pid,stat,wchan,args), for example a disk that is gone.`,
  });
}

async function processesOf(box: Box, machineId: MachineId) {
  const folder = box.folders.path(machineId);
  return (await box.scanner.scan()).filter((one) => one.machineDirectory === folder);
}

async function isAlive(agent: RunningProcess): Promise<boolean> {
  if (agent.startTime !== undefined) return (await processStartTime(agent.pid)) === agent.startTime;
  try {
    return process.kill(agent.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

// ------------------------------------------------------------------------------------------- after a restart

/** Takes over what an earlier server left: running machines are watched, the others are cleaned up. */
async function recover(box: Box): Promise<void> {
  await box.folders.sweep();
  for (const record of await box.folders.list()) {
    const agent = record.process ?? (await findAgent(box, record));
    if (agent !== undefined && (await isAlive(agent))) box.adopted.set(record.machineId, agent);
    else destroy(box, record.machineId, "at once");
  }
  if (box.adopted.size > 0) {
    watchAdopted(box).catch((error: unknown) => {
      const fields = { stage: "lifecycle", error };
      box.options.log.error("Machines of an earlier server are no longer watched.", fields);
    });
  }
}

/** The earlier server may have died after it had started the agent and before it could write that down. */
async function findAgent(box: Box, record: MachineRecord): Promise<RunningProcess | undefined> {
  const started = await Promise.all(
    (await processesOf(box, record.machineId)).map(async ({ pid }) => {
      return { pid, startTime: await processStartTime(pid) };
    }),
  );
  const [agent] = started
    .filter((one) => one.startTime !== undefined)
    .sort((one, other) => Number(one.startTime) - Number(other.startTime));
  if (agent !== undefined) await box.folders.write({ ...record, process: agent });
  return agent;
}

async function watchAdopted(box: Box): Promise<void> {
  while (!box.stop.signal.aborted && box.adopted.size > 0) {
    for (const [machineId, agent] of box.adopted) {
      if (!(await isAlive(agent)) && !box.stop.signal.aborted) destroy(box, machineId, "at once");
    }
    await box.options.clock.sleep(1_000, box.stop.signal);
  }
}

function cannotUse(machinesDirectory: string, error: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "COMPUTE_LOCAL_DIRECTORY",
    message: `The machines directory ${machinesDirectory} cannot be used: ${error instanceof Error ? error.message : error}`,
    suggestion: "Make it a folder that the server's user may read and write, on a disk with room.",
    cause: error,
  });
}

// ----------------------------------------------------------------------------------------------------- limit

type Limit = <Value>(work: () => Promise<Value>) => Promise<Value>;

/** At most `count` pieces of work at a time, the others in the order in which they came. */
function createLimit(count: number): Limit {
  const waiting: (() => void)[] = [];
  let free = count;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
