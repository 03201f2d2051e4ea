import { readFile } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { pack } from "tar-stream";
import { MayflyError } from "../../core/errors.ts";
import type { Architecture, MachineId } from "../../core/model.ts";
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
import { createDockerEngine, type DockerEngine, type EngineAnswer } from "./docker-engine.ts";
import { classifyEngineAnswer, type EngineFailure } from "./docker-errors.ts";
import { isMachineId } from "./machine-id.ts";
import { recoverOnce } from "./recovery.ts";

export interface DockerComputeOptions {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. */
  readonly engine: string;
  /** The agent, `src/agent/agent.sh`. Absolute. */
  readonly agentFile: string;
  /** The control plane's base address, as a container sees it. */
  readonly controlPlaneUrl: string;
  /** For presets that name no image. It needs a POSIX shell, curl and the runner. */
  readonly image?: string;
  /** Where the runner is in the image. */
  readonly runnerDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Two servers on one engine need different names, or each would end the other's machines. Without it, `mayfly`. */
  readonly instance?: string;
  /** User of agent, runner and job, by name or number. Without it, the image's own. */
  readonly user?: string;
  /** Name of the engine's network, `bridge` or `host`. Without it, `bridge`. */
  readonly network?: string;
  /** Processes and threads of one machine at most. Without it, 4096. 0: no limit. */
  readonly pidsLimit?: number;
  /** More variables for agent and jobs. No secrets: jobs see them, and so does whoever may ask the engine. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What is different for machines of a preset, by its name. */
  readonly presets?: Readonly<Record<string, DockerPreset>>;
  /** Called once when a container has ended, by itself or not, and has been removed. */
  readonly onGone?: (providerId: string) => void;
}

export interface DockerPreset {
  readonly runnerDirectory?: string;
  readonly user?: string;
  readonly network?: string;
}

/**
 * A machine is a container. Its name is the machine id, which makes a launch idempotent; its provider id is the
 * container's id.
 *
 * - Nothing of the host is mounted. The agent and the credential are copied in before the container starts; the
 *   agent deletes the credential's file before anything else runs, so that no description of the container and no
 *   process shows it.
 * - `cpu` and `memoryGib` are limits. `diskGib` is not enforced: engines cannot on most file systems.
 * - A container that has ended is removed with its volumes, then `onGone` is called. It is listed until then.
 * - Machines outlive the server; the next one watches them from its first call on.
 * - Everything is on demand, in the one pool `docker`.
 */
export function createDockerCompute(options: DockerComputeOptions): Compute {
  checkOptions(options);
  const host: Host = {
    options,
    engine: createDockerEngine(options.engine),
    launching: new Map(),
    removing: new Map(),
    watched: new Set(),
    pulling: new Map(),
    stop: new AbortController(),
    architecture: undefined,
  };
  const ready = recoverOnce(() => recover(host));
  return {
    name: "docker",
    async launch(request) {
      await ready();
      const agent = await readAgent(options.agentFile);
      return Promise.all(request.machines.map((machine) => launchOnce(host, request, machine, agent)));
    },
    async list() {
      await ready();
      return list(host);
    },
    async terminate(providerIds) {
      await ready();
      return Promise.all(providerIds.map((providerId) => terminate(host, providerId)));
    },
    async close() {
      await Promise.allSettled([...host.launching.values(), ...host.removing.values()]);
      host.stop.abort();
      host.engine.close();
    },
  };
}

const pool = "docker";
const purchase = "on-demand";
const labels = {
  machine: "mayfly.machine",
  fleet: "mayfly.fleet",
  preset: "mayfly.preset",
  instance: "mayfly.instance",
};

/**
 * What engines allow by default and no job needs: raw sockets, devices, capabilities in files, another root. The
 * rest lets root of a container install packages. Dropping everything and adding the rest again would be worse:
 * Podman gives what is added explicitly to users who are not root, too.
 */
const droppedCapabilities = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP", "SYS_CHROOT"];

interface Host {
  readonly options: DockerComputeOptions;
  readonly engine: DockerEngine;
  readonly launching: Map<MachineId, Promise<LaunchOutcome>>;
  readonly removing: Map<string, Promise<void>>;
  readonly watched: Set<string>;
  readonly pulling: Map<string, Promise<EngineFailure | undefined>>;
  readonly stop: AbortController;
  /** Known after the first call. */
  architecture: Architecture | undefined;
}

function checkOptions({ agentFile, runnerDirectory, controlPlaneUrl, presets }: DockerComputeOptions): void {
  const ofPresets = Object.values(presets ?? {}).flatMap((preset) => preset.runnerDirectory ?? []);
  const wrong = [agentFile, runnerDirectory, ...ofPresets].find((path) => !isAbsolute(path));
  if (wrong === undefined && /^https?:\/\//.test(controlPlaneUrl)) return;
  throw new MayflyError({
    kind: "operator",
    code: "COMPUTE_DOCKER_OPTIONS",
    message:
      wrong === undefined
        ? `The control plane's address "${controlPlaneUrl}" is not an http or https address.`
        : `The path "${wrong}" of the compute adapter docker is not absolute.`,
    suggestion: "Correct the setting of the compute adapter docker and start again.",
  });
}

// -------------------------------------------------------------------------------------------------- launch

/** Two calls for one machine share one launch. */
function launchOnce(
  host: Host,
  request: LaunchRequest,
  machine: MachineToLaunch,
  agent: Buffer,
): Promise<LaunchOutcome> {
  const underWay = host.launching.get(machine.id);
  if (underWay !== undefined) return underWay;
  const launch = launchOne(host, request, machine, agent).finally(() => host.launching.delete(machine.id));
  host.launching.set(machine.id, launch);
  return launch;
}

/** Create, copy the agent in, start. Each step may be found done by an earlier launch whose answer was lost. */
async function launchOne(
  host: Host,
  request: LaunchRequest,
  machine: MachineToLaunch,
  agent: Buffer,
): Promise<LaunchOutcome> {
  if (!isMachineId(machine.id)) {
    const message = `"${machine.id}" is not a machine id.`;
    return refused(machine.id, { failure: "configuration", code: "MACHINE_ID", message });
  }
  const image = request.spec.image ?? host.options.image;
  if (image === undefined) {
    const message = `The preset ${request.spec.preset} names no image, and the compute adapter docker has none. Add one.`;
    return refused(machine.id, { failure: "configuration", code: "NO_IMAGE", message });
  }
  if (host.architecture !== request.spec.architecture) {
    const message = `The engine runs ${host.architecture ?? "another architecture"}, not ${request.spec.architecture}.`;
    return refused(machine.id, { failure: "configuration", code: "WRONG_ARCHITECTURE", message });
  }
  const container = await createOrFind(host, request, machine, image);
  if ("failure" in container) return refused(machine.id, container);
  if (container.isNew) {
    const failure = await fillAndStart(host, container.id, machine, agent);
    if (failure !== undefined) {
      await remove(host, container.id);
      return refused(machine.id, failure);
    }
  }
  watch(host, container.id);
  return { kind: "launched", machineId: machine.id, providerId: container.id, pool, purchase };
}

interface Container {
  readonly id: string;
  /** It was never started. */
  readonly isNew: boolean;
}

async function createOrFind(
  host: Host,
  request: LaunchRequest,
  machine: MachineToLaunch,
  image: string,
): Promise<Container | EngineFailure> {
  const body = describeContainer(host.options, request, machine, image);
  const create = () =>
    host.engine.call({ method: "POST", path: "/containers/create", query: { name: machine.id }, body });
  let answer = await create();
  if (answer.status === 404 && /no such image|image not known/i.test(answer.body)) {
    const failure = await pullOnce(host, image);
    if (failure !== undefined) return failure;
    answer = await create();
  }
  if (answer.status === 201) return { id: (JSON.parse(answer.body) as { Id: string }).Id, isNew: true };
  const nameTaken = answer.status === 409 || /name .*already in use/i.test(answer.body);
  if (!nameTaken) return classifyEngineAnswer("create the container", answer);
  const existing = await inspect(host, machine.id);
  if (existing?.machineId === machine.id) return { id: existing.id, isNew: existing.status === "created" };
  const message = `A container that is none of ours has the name ${machine.id}. Remove it.`;
  return { failure: "configuration", code: "NAME_TAKEN", message };
}

function describeContainer(
  options: DockerComputeOptions,
  request: LaunchRequest,
  machine: MachineToLaunch,
  image: string,
) {
  const { spec, fleet } = request;
  const { user, network, runnerDirectory } = { ...options, ...options.presets?.[spec.preset] };
  const memory = spec.memoryGib === undefined ? undefined : Math.round(spec.memoryGib * 2 ** 30);
  const environment: Record<string, string> = {
    ...options.environment,
    MAYFLY_URL: options.controlPlaneUrl,
    MAYFLY_MACHINE_ID: machine.id,
    MAYFLY_IDENTITY: "token",
    MAYFLY_CREDENTIAL_FILE: "/mayfly/credential",
    MAYFLY_RUNNER_DIRECTORY: runnerDirectory,
    MAYFLY_BOOT_TIMEOUT_SECONDS: String(request.bootTimeoutSeconds),
    MAYFLY_JOB_TIMEOUT_SECONDS: String(request.jobTimeoutSeconds),
    MAYFLY_POWER_OFF: "exit",
  };
  return {
    Image: image,
    Entrypoint: ["/bin/sh", "/mayfly/agent.sh"],
    Cmd: [],
    Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    ...(user === undefined ? {} : { User: user }),
    Labels: {
      [labels.machine]: machine.id,
      [labels.fleet]: fleet,
      [labels.preset]: spec.preset,
      [labels.instance]: instanceOf(options),
    },
    HostConfig: {
      NetworkMode: network ?? "bridge",
      ...(spec.cpu === undefined ? {} : { NanoCpus: Math.round(spec.cpu * 1e9) }),
      // Without swap, as a job that swaps is slower than one that fails.
      ...(memory === undefined ? {} : { Memory: memory, MemorySwap: memory }),
      PidsLimit: options.pidsLimit ?? 4_096,
      Privileged: false,
      CapDrop: droppedCapabilities,
      SecurityOpt: ["no-new-privileges"],
      // Something must adopt and reap what jobs detach.
      Init: true,
      RestartPolicy: { Name: "no" },
    },
  };
}

async function fillAndStart(
  host: Host,
  id: string,
  machine: MachineToLaunch,
  agent: Buffer,
): Promise<EngineFailure | undefined> {
  const body = await packFiles(agent, machine.credential?.reveal() ?? "");
  const path = `/containers/${id}`;
  const copied = await host.engine.call({
    method: "PUT",
    path: `${path}/archive`,
    query: { path: "/" },
    body,
  });
  if (copied.status !== 200) return classifyEngineAnswer("copy the agent into the container", copied);
  const started = await host.engine.call({ method: "POST", path: `${path}/start` });
  // 304: it runs already.
  return [204, 304].includes(started.status)
    ? undefined
    : classifyEngineAnswer("start the container", started);
}

/** The folder is open to all, so that whatever user the image has can delete the credential. */
async function packFiles(agent: Buffer, credential: string): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name: "mayfly/", type: "directory", mode: 0o777 });
  archive.entry({ name: "mayfly/agent.sh", mode: 0o555 }, agent);
  archive.entry({ name: "mayfly/credential", mode: 0o444 }, `${credential}\n`);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** One pull serves all launches that wait for the same image. */
function pullOnce(host: Host, image: string): Promise<EngineFailure | undefined> {
  const underWay = host.pulling.get(image);
  if (underWay !== undefined) return underWay;
  const pull = pullImage(host, image).finally(() => host.pulling.delete(image));
  host.pulling.set(image, pull);
  return pull;
}

async function pullImage(host: Host, image: string): Promise<EngineFailure | undefined> {
  // Without a tag, Docker would pull every tag there is.
  const reference = /[:@][^/]*$/.test(image) ? image : `${image}:latest`;
  const answer = await host.engine.call({
    method: "POST",
    path: "/images/create",
    query: { fromImage: reference },
    timeoutSeconds: 900,
  });
  // The status is sent before the pull is tried; how it ended stands in the last line.
  const failed = answer.status !== 200 || /"error"\s*:\s*"/.test(answer.body.trim().split("\n").at(-1) ?? "");
  return failed ? classifyEngineAnswer(`pull the image ${image}`, answer) : undefined;
}

function refused(machineId: MachineId, failure: EngineFailure): LaunchOutcome {
  return { kind: "refused", machineId, ...failure, pools: failure.failure === "capacity" ? [pool] : [] };
}

async function architectureOf(engine: DockerEngine): Promise<Architecture | undefined> {
  const answer = await engine.call({ method: "GET", path: "/version" });
  if (answer.status !== 200) throw unexpected("say its version", answer);
  const { Arch } = JSON.parse(answer.body) as { readonly Arch?: string };
  if (Arch === "amd64") return "x86_64";
  return Arch === "arm64" ? "arm64" : undefined;
}

async function readAgent(agentFile: string): Promise<Buffer> {
  try {
    return await readFile(agentFile);
  } catch (cause) {
    throw new MayflyError({
      kind: "operator",
      code: "COMPUTE_DOCKER_AGENT",
      message: `The agent ${agentFile} cannot be read.`,
      suggestion: "Install Mayfly again, or correct the path.",
      cause,
    });
  }
}

// ---------------------------------------------------------------------------------------- list and terminate

async function list(host: Host): Promise<readonly ListedMachine[]> {
  const filters = JSON.stringify({
    label: [labels.machine, `${labels.instance}=${instanceOf(host.options)}`],
  });
  const answer = await host.engine.call({
    method: "GET",
    path: "/containers/json",
    query: { all: "true", filters },
  });
  if (answer.status !== 200) throw unexpected("list the containers", answer);
  const containers = JSON.parse(answer.body) as {
    readonly Id: string;
    readonly Created: number;
    readonly Labels: Readonly<Record<string, string>>;
  }[];
  return containers.map(({ Id, Created, Labels }) => ({
    providerId: Id,
    machineId: Labels[labels.machine] ?? "",
    fleet: Labels[labels.fleet] ?? "",
    preset: Labels[labels.preset] ?? "",
    launchedAt: Created * 1_000,
    purchase,
  }));
}

async function terminate(host: Host, providerId: string): Promise<TerminateOutcome> {
  if (host.removing.has(providerId)) return { providerId, kind: "terminating" };
  const isContainerId = /^[0-9a-f]{12,64}$/.test(providerId);
  if (!isContainerId || (await inspect(host, providerId)) === undefined)
    return { providerId, kind: "absent" };
  removeInBackground(host, providerId);
  return { providerId, kind: "terminating" };
}

interface Inspected {
  readonly id: string;
  readonly machineId: string | undefined;
  readonly status: string;
}

/** Undefined when there is none, or when it is none of ours: that one is not to be touched. */
async function inspect(host: Host, nameOrId: string): Promise<Inspected | undefined> {
  const answer = await host.engine.call({ method: "GET", path: `/containers/${nameOrId}/json` });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw unexpected("inspect a container", answer);
  const { Id, State, Config } = JSON.parse(answer.body) as {
    readonly Id: string;
    readonly State: { readonly Status: string };
    readonly Config: { readonly Labels?: Readonly<Record<string, string>> | null };
  };
  if (Config.Labels?.[labels.instance] !== instanceOf(host.options)) return undefined;
  // Podman says `configured` where Docker says `created`.
  const status = State.Status === "configured" ? "created" : State.Status;
  return { id: Id, machineId: Config.Labels[labels.machine], status };
}

function removeInBackground(host: Host, id: string): void {
  if (host.removing.has(id)) return;
  const work = remove(host, id)
    .then(() => host.options.onGone?.(id))
    .catch((error: unknown) => {
      const fields = { stage: "scaledown", providerId: id, error };
      host.options.log.warn("A container could not be removed; it stays listed and is tried again.", fields);
    })
    .finally(() => {
      host.removing.delete(id);
      host.watched.delete(id);
    });
  host.removing.set(id, work);
}

/** Kills it, whatever runs in it, and removes it with its volumes. */
async function remove(host: Host, id: string): Promise<void> {
  const query = { force: "true", v: "true" };
  for (let tries = 1; ; tries++) {
    const answer = await host.engine.call({ method: "DELETE", path: `/containers/${id}`, query });
    if ([200, 204, 404].includes(answer.status)) return;
    // 409: it is being removed already.
    if (answer.status !== 409 || tries === 100) throw unexpected("remove a container", answer);
    await host.options.clock.sleep(200);
  }
}

/** Waits for the container's end, then removes it. An engine that is restarted loses the request, not the machine. */
function watch(host: Host, id: string): void {
  if (host.watched.has(id)) return;
  host.watched.add(id);
  const { clock, log } = host.options;
  const { signal } = host.stop;
  const work = async () => {
    while (!signal.aborted && host.watched.has(id)) {
      try {
        const path = `/containers/${id}/wait`;
        const answer = await host.engine.call({ method: "POST", path, signal, timeoutSeconds: 0 });
        if (answer.status === 200 || answer.status === 404) {
          // When `terminate` has removed it meanwhile, its end has been told already.
          if (host.watched.has(id)) removeInBackground(host, id);
          return;
        }
        throw unexpected("wait for a container", answer);
      } catch (error) {
        if (!signal.aborted)
          log.debug("A container is watched anew.", { stage: "lifecycle", providerId: id, error });
      }
      await clock.sleep(5_000, signal);
    }
  };
  void work();
}

/**
 * Machines of an earlier server are watched again; one that it did not start ends so. What this server has created and
 * not started yet would be taken for such a one.
 */
async function recover(host: Host): Promise<void> {
  host.architecture = await architectureOf(host.engine);
  for (const { providerId } of await list(host)) watch(host, providerId);
}

function instanceOf(options: DockerComputeOptions): string {
  return options.instance ?? "mayfly";
}

function unexpected(did: string, answer: EngineAnswer): MayflyError {
  const { failure, code, message } = classifyEngineAnswer(did, answer);
  return new MayflyError({
    kind: failure === "configuration" ? "operator" : "retry",
    code: `COMPUTE_DOCKER_${code}`,
    message,
    suggestion: "Look at the engine's log.",
  });
}
