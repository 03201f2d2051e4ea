import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { RoleCredentials } from "./metadata-service.ts";
import { programPath } from "./search-path.ts";

export interface FakeTaskOptions {
  /** What the task definition has as its command. */
  readonly script: string;
  readonly taskId: string;
  /** The container's disk: a folder of its own, which exists. */
  readonly root: string;
  /** Written as `bin/Runner.Listener`, with a manifest; without it, the image is a stock one. */
  readonly listener?: string;
  readonly runnerUser?: string;
  /** Accounts are played, not changed: the runner is one that only root of this host can start. */
  readonly playsAccounts?: true;
  /** What its curl says of itself, where it is another than this host's; then the runner brings a Node. */
  readonly curlVersion?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface FakeTask {
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;
  /** What ECS writes to the log. */
  log(): string;
  /** Where ECS hands out the role's credentials: whoever knows it can sign as this task. */
  readonly credentialsPath: string;
  readonly credentials: RoleCredentials;
  /** Paths that were asked of ECS, in order. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

/**
 * A task of Fargate whose script runs for real, as a process of this host, under its own accounts. ECS's two addresses
 * in a task, for metadata and for credentials, are a server here; a `curl` that comes first in the search path leads to it.
 */
export async function startFakeTask(options: FakeTaskOptions): Promise<FakeTask> {
  const { root, taskId } = options;
  const ecs = await startEcsAddresses(taskId);
  const { port } = ecs;
  const programs = join(root, "programs");
  await mkdir(programs);
  const { curlVersion } = options;
  const refuses =
    curlVersion &&
    `case "$*" in *--version) echo "curl libcurl/${curlVersion} X/1"; exit ;; *) exit 2 ;; esac`;
  const curl = `#!/bin/sh\n${refuses ?? ""}\nexec ${programPath("curl")} "$@" --connect-to 169.254.170.2:80:127.0.0.1:${port}\n`;
  await writeFile(join(programs, "curl"), curl, { mode: 0o755 });
  if (curlVersion !== undefined) await bringNode(root, port);
  if (options.playsAccounts === true) await writeAccounts(programs, root);
  await prepareImage(options);
  await mkdir(join(root, "temporary"), { mode: 0o755 });
  const script = options.script
    .replaceAll("/opt/mayfly", join(root, "opt/mayfly"))
    .replace("PATH=/usr/local/sbin:", `PATH=${programs}:/usr/local/sbin:`);
  const image = join(root, "image");
  await mkdir(image);
  await chmod(image, 0o777);
  const child = spawn("/bin/sh", ["-c", script], {
    env: {
      // As in images of Go and of Rust: a folder of everybody's comes first.
      PATH: `${image}:${programs}:/usr/local/bin:/usr/bin:/bin`,
      TMPDIR: join(root, "temporary"),
      ...ecs.environment,
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stdout.on("data", (text) => (log += text));
  child.stderr.on("data", (text) => (log += text));
  return {
    process: child,
    ended: new Promise((resolve) => child.on("exit", resolve)),
    log: () => log,
    credentialsPath: ecs.credentialsPath,
    credentials: ecs.credentials,
    asked: ecs.asked,
    close: async () => {
      child.kill("SIGKILL");
      await ecs.close();
    },
  };
}

/** What answers at 169.254.170.2 in a task, on a port of this host. */
export interface EcsAddresses {
  readonly port: number;
  /** What a task is given to find them. */
  readonly environment: Readonly<Record<string, string>>;
  readonly credentialsPath: string;
  readonly credentials: RoleCredentials;
  readonly asked: readonly string[];
  close(): Promise<void>;
}

export async function startEcsAddresses(taskId: string): Promise<EcsAddresses> {
  const credentialsPath = `/v2/credentials/${randomBytes(16).toString("hex")}`;
  const credentials = {
    accessKeyId: `ASIA${taskId.slice(0, 16).toUpperCase()}`,
    secretAccessKey: `s3cret/of+${taskId}`,
    sessionToken: `IQoJb3JpZ2luX2VjE${Buffer.from(`the session of ${taskId} `.repeat(12)).toString("base64")}+/==`,
  };
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const body = answers(taskId, credentialsPath, credentials)[request.url ?? ""];
    response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(body === undefined ? "" : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    environment: {
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: credentialsPath,
      ECS_CONTAINER_METADATA_URI_V4: "http://169.254.170.2/v4/0123-456",
    },
    credentialsPath,
    credentials,
    asked,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** As ECS answers them: one line each. */
function answers(taskId: string, credentialsPath: string, { accessKeyId, ...secrets }: RoleCredentials) {
  const TaskARN = `arn:aws:ecs:eu-west-1:123456789012:task/mayfly/${taskId}`;
  const labels = { "com.amazonaws.ecs.task-arn": TaskARN, "com.amazonaws.ecs.container-name": "runner" };
  return {
    "/v4/0123-456/task": {
      ...{ Cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/mayfly", TaskARN, Family: "mayfly" },
      Containers: [{ DockerId: "0123-456", Name: "runner", Labels: labels }],
    },
    [credentialsPath]: {
      RoleArn: "arn:aws:iam::123456789012:role/mayfly-task",
      AccessKeyId: accessKeyId,
      SecretAccessKey: secrets.secretAccessKey,
      Token: secrets.sessionToken,
      Expiration: "2030-01-01T00:00:00Z",
    },
  } as Readonly<Record<string, object>>;
}

async function prepareImage({ root, listener, runnerUser = "nobody" }: FakeTaskOptions): Promise<void> {
  if (listener === undefined) return;
  const home = join(root, "opt/mayfly");
  await mkdir(join(home, "runner/bin"), { recursive: true });
  await chmod(join(home, "runner"), 0o777);
  const program = listener.startsWith("#!") ? listener : `#!/bin/bash\n${listener}\n`;
  await writeFile(join(home, "runner/bin/Runner.Listener"), program, { mode: 0o755 });
  const manifest = { schema: 1, runnerUser, runnerDirectory: join(home, "runner"), runnerVersion: "2.338.0" };
  await writeFile(join(home, "manifest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** A Node beside the runner, for which ECS's address in a task is our server, too. */
async function bringNode(root: string, port: number): Promise<void> {
  const folder = join(root, "opt/mayfly/runner/externals/node20/bin");
  await mkdir(folder, { recursive: true });
  const redirect = join(root, "redirect.mjs");
  await writeFile(redirect, ecsRedirect(port));
  const script = `#!/bin/sh\nexec "${process.execPath}" --import "${redirect}" "$@"\n`;
  await writeFile(join(folder, "node"), script, { mode: 0o755 });
}

/** A module for a Node of a task: ECS's address leads to this port. */
export function ecsRedirect(port: number): string {
  return [
    'import http from "node:http";',
    "const request = http.request;",
    "http.request = (options, ...rest) => {",
    '  const isEcs = options.hostname === "169.254.170.2";',
    `  const here = { ...options, hostname: "127.0.0.1", port: ${port} };`,
    "  return request(isEcs ? here : options, ...rest);",
    "};",
  ].join("\n");
}

async function writeAccounts(programs: string, root: string): Promise<void> {
  const bodies = {
    id: 'case "$*" in *mayfly-runner*) echo 1000 ;; *) exec /usr/bin/id "$@" ;; esac',
    chown: "exit 0",
    setpriv: `while :; do case "$1" in --reuid | --regid) shift 2 ;; --*) shift ;; *) break ;; esac; done\nHOME="${root}" exec "$@"`,
  };
  for (const [name, body] of Object.entries(bodies)) {
    await writeFile(join(programs, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }
}

/** What everybody may know of a process, and its owner alone: as root, what was not taken away. */
export function environmentOfProcess(pid: number): string {
  return readFileSync(`/proc/${pid}/environ`, "utf8");
}
