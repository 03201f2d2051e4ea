import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createSystemClock } from "../../adapters/clock/system.ts";
import { createDockerCompute } from "../../adapters/compute/docker.ts";
import { createLocalCompute } from "../../adapters/compute/local.ts";
import { createGithubApp } from "../../adapters/github/app.ts";
import { createAppKey } from "../../adapters/github/app-key.ts";
import { createDerivedTokenIdentity } from "../../adapters/identity/derived-token.ts";
import { readOrCreateKey } from "../../adapters/identity/key-file.ts";
import { createFixedPrices } from "../../adapters/prices/fixed.ts";
import { createMemoryQueue } from "../../adapters/queue/memory.ts";
import { createPacedQueue } from "../../adapters/queue/paced.ts";
import { createSqliteQueue } from "../../adapters/queue/sqlite.ts";
import { createSystemRandom } from "../../adapters/random/system.ts";
import { createFileSecrets } from "../../adapters/secrets/files.ts";
import { openDatabase } from "../../adapters/sqlite/database.ts";
import { createSqliteStore } from "../../adapters/store/sqlite.ts";
import type { Config } from "../../config/config.ts";
import { type LoadedConfig, readEnvironmentVariable } from "../../config/load.ts";
import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent, Poke } from "../../core/model.ts";
import type { Compute } from "../../ports/compute.ts";
import type { Log } from "../../ports/log.ts";
import type { Secrets } from "../../ports/secrets.ts";
import { type Box, type BoxOptions, startBox } from "./box.ts";
import { createProblemLog } from "./problem-log.ts";
import { resolveUser } from "./user.ts";

export interface RunningBox extends Box {
  readonly ports: BoxOptions["ports"];
}

/**
 * Opens everything that the config names and starts the box. What is missing or in use is a `MayflyError` with a
 * sentence, and nothing is left half open.
 */
export async function openBox(
  { config, policy }: Pick<LoadedConfig, "config" | "policy">,
  options: { readonly version: string; readonly log: Log },
): Promise<RunningBox> {
  const clock = createSystemClock();
  const random = createSystemRandom();
  const { log, problems } = createProblemLog(options.log, clock);
  const secrets = secretsOf(config, log);
  await checkSecrets(config, secrets);
  await makeDataDirectory(config.server.dataDirectory);
  const database = openDatabase(join(config.server.dataDirectory, "mayfly.db"));
  const opened: { close(): Promise<void> | void }[] = [database];
  try {
    const key = await readOrCreateKey(join(config.server.dataDirectory, "machine-token.key"), random);
    const lifecycle = await createSqliteQueue<LifecycleEvent>(database, "lifecycle", clock);
    const compute = createBoxComputes(config, { log, clock, onGone: goneReporter(lifecycle, clock, log) });
    opened.unshift(...compute.values());
    const ports: BoxOptions["ports"] = {
      store: createSqliteStore(database),
      // Pokes need not survive the process: the next one pokes every active fleet when it starts.
      work: createPacedQueue(createMemoryQueue<Poke>("work", clock), clock),
      lifecycle,
      compute,
      github: createGithubApp({
        server: config.github.server,
        ...(config.github.apiUrl !== undefined && { apiUrl: config.github.apiUrl }),
        appId: config.github.appId,
        secrets,
        clock,
        log,
        version: options.version,
      }),
      identity: createDerivedTokenIdentity(key),
      secrets,
      prices: createFixedPrices(policy.presets),
      clock,
      random,
      log,
    };
    const box = await startBox({
      version: options.version,
      host: config.server.host,
      port: config.server.port,
      ports,
      policy,
      tokenConfigured: config.secrets.statusToken !== undefined,
      rebalanceSeconds: config.schedule.rebalanceSeconds,
      scaledownSeconds: config.schedule.scaledownSeconds,
      problems,
    });
    return {
      url: box.url,
      ports,
      halt: box.halt,
      async stop() {
        await box.stop();
        await closeAll(opened);
      },
    };
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

/** Where machines find the control plane. The config has a `publicUrl` where `listen` is not an address. */
function controlPlaneUrlOf(config: Config): string {
  const { publicUrl, host, port } = config.server;
  return publicUrl ?? `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

async function closeAll(opened: readonly { close(): Promise<void> | void }[]): Promise<void> {
  for (const resource of opened) await resource.close();
}

/** The secrets where the configuration says that they are. */
export function secretsOf(config: Config, log: Log): Secrets {
  const { webhookSecret, appPrivateKey, statusToken } = config.secrets;
  return createFileSecrets({
    places: {
      "webhook-secret": webhookSecret,
      "app-private-key": appPrivateKey,
      "status-token": statusToken,
    },
    readEnvironment: readEnvironmentVariable,
    clock: createSystemClock(),
    log,
  });
}

/** Others may list it, as the user of local machines must for GitHub's runner; the files in it are 0600. */
async function makeDataDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new MayflyError({
      kind: "operator",
      code: "DATA_DIRECTORY_UNUSABLE",
      message: `The data directory ${path} cannot be made: ${error instanceof Error ? error.message : String(error)}.`,
      suggestion:
        "Name a folder under server.dataDirectory that the user who runs Mayfly may make or write to.",
      cause: error,
    });
  }
}

/** A server that cannot verify a delivery or register a runner is not started at all. */
async function checkSecrets(config: Config, secrets: Secrets): Promise<void> {
  await secrets.read("webhook-secret");
  await createAppKey({ appId: config.github.appId, secrets, clock: createSystemClock() }).appToken();
  if (config.secrets.statusToken !== undefined) await secrets.read("status-token");
}

interface ComputeContext {
  readonly log: Log;
  readonly clock: ReturnType<typeof createSystemClock>;
  readonly onGone: (compute: string) => (providerId: string) => void;
}

/** The compute adapters that the presets name. */
export function createBoxComputes(config: Config, context: ComputeContext): ReadonlyMap<string, Compute> {
  const computes = new Map<string, Compute>();
  for (const [preset, { compute }] of Object.entries(config.compute)) {
    if (computes.has(compute)) continue;
    if (compute === "local") computes.set(compute, localCompute(config, context));
    else if (compute === "docker") computes.set(compute, dockerCompute(config, context));
    else {
      throw new MayflyError({
        kind: "operator",
        code: "COMPUTE_NOT_AVAILABLE",
        message: `The preset ${preset} asks for compute ${compute}, which a box of this version cannot launch.`,
        suggestion: "Use compute local or docker.",
      });
    }
  }
  return computes;
}

const agentFile = fileURLToPath(new URL("../../agent/agent.sh", import.meta.url));

function localCompute(config: Config, { log, clock, onGone }: ComputeContext): Compute {
  const presets = Object.entries(config.compute).filter(([, { compute }]) => compute === "local");
  const users = new Set(presets.map(([, { local }]) => local.user));
  if (users.size > 1) {
    throw new MayflyError({
      kind: "operator",
      code: "LOCAL_USERS_DIFFER",
      message: "The presets with compute local name different users.",
      suggestion: "Give all of them the same local.user, or use compute docker to separate them.",
    });
  }
  const [user] = users;
  const runnerDirectories: Record<string, string> = {};
  for (const [name, { local }] of presets) {
    if (local.runnerDirectory !== undefined) runnerDirectories[name] = local.runnerDirectory;
  }
  return createLocalCompute({
    machinesDirectory: join(config.server.dataDirectory, "machines"),
    agentFile,
    controlPlaneUrl: controlPlaneUrlOf(config),
    runnerDirectories,
    clock,
    log,
    ...(user !== undefined && { user: resolveUser(user) }),
    onGone: onGone("local"),
  });
}

/** Where GitHub's own image of the runner has it. */
const runnerDirectoryInImage = "/home/runner";

function dockerCompute(config: Config, { log, clock, onGone }: ComputeContext): Compute {
  const presets = Object.entries(config.compute).filter(([, { compute }]) => compute === "docker");
  return createDockerCompute({
    engine: `unix://${config.docker.socket}`,
    agentFile,
    controlPlaneUrl: controlPlaneUrlOf(config),
    runnerDirectory: runnerDirectoryInImage,
    presets: Object.fromEntries(presets.map(([name, { docker }]) => [name, docker])),
    clock,
    log,
    onGone: onGone("docker"),
  });
}

/** The provider's word that a machine has ended, as any other event: through the queue. */
function goneReporter(
  lifecycle: { send(event: LifecycleEvent): Promise<void> },
  clock: { now(): number },
  log: Log,
): ComputeContext["onGone"] {
  return (compute) => (providerId) => {
    const event: LifecycleEvent = { kind: "cloud", compute, providerId, what: "gone", at: clock.now() };
    lifecycle.send(event).catch((error: unknown) => {
      // The sweep finds it missing.
      log.warn("The end of a machine could not be recorded; the next sweep finds it.", {
        stage: "lifecycle",
        providerId,
        error,
      });
    });
  };
}
