import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { MetadataService } from "./metadata-service.ts";
import { programPath } from "./search-path.ts";

export interface FakeInstanceOptions {
  /** As the launch template has it: base64, of a script or of a compressed one. */
  readonly userData: string;
  readonly instanceId: string;
  readonly metadata: Pick<MetadataService, "port">;
  /** The instance's disk: a folder of its own, which exists. */
  readonly root: string;
  /** Written as `bin/Runner.Listener`, with a manifest; without it, the image is a stock one. */
  readonly listener?: string;
  /** ID and VERSION_ID of /etc/os-release. Without it, Amazon Linux 2023. */
  readonly system?: readonly [string, string];
  /** What `uname -m` says. */
  readonly hardware?: "x86_64" | "aarch64";
  /** Programs that fail: `ip` for one. */
  readonly broken?: readonly string[];
  readonly shell?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface FakeInstance {
  /** Resolves when the power is off: with the status of the user data, or with null when it was cut off. */
  readonly off: Promise<number | null>;
  /** What an operator sees of it from outside. */
  console(): string;
  /** The calls of programs that would change a real machine, in order, as `<program> <arguments>`. */
  calls(): readonly string[];
  signal(name: NodeJS.Signals): void;
  /** The provider takes the machine: everything on it is gone at once. */
  cutPower(): void;
}

/**
 * A machine whose user data runs for real, as a process of this host. What user data does to a machine is done to a
 * folder: the script is the real one but for the folder's name in front of its paths, and the programs that would change
 * the host (users, routes, packages, power) are stand-ins that come first in the search path and note their calls.
 *
 * The stand-in of `setpriv` changes no user; it marks what it starts, and once a rule is added, the stand-in of `curl`
 * keeps what is so marked from the metadata service, as the kernel does.
 */
export async function startFakeInstance(options: FakeInstanceOptions): Promise<FakeInstance> {
  const { root, instanceId } = options;
  const [command = "sh", ...before] = (options.shell ?? "sh").split(" ");
  // Some builds of it run their own `ip` and `poweroff` before they look into the search path.
  if (command === "busybox") throw new Error("User data must not run in busybox on this host.");
  const programs = join(root, "programs");
  await mkdir(programs, { recursive: true });
  await mkdir(join(root, "home"));
  await mkdir(join(root, "temporary"));
  await writeFile(join(root, "calls"), "");
  await writeStandIns(programs, options);
  await prepareImage(options);
  const script = join(root, "user-data");
  await writeFile(script, onDisk(scriptOf(options.userData), root), { mode: 0o755 });

  const child = spawn(command, [...before, script], {
    env: {
      PATH: `${programs}:/usr/local/bin:/usr/bin:/bin`,
      HOME: join(root, "home"),
      TMPDIR: join(root, "temporary"),
      FAKE_INSTANCE: instanceId,
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let console = "";
  child.stdout?.on("data", (text) => (console += text));
  child.stderr?.on("data", (text) => (console += text));
  return {
    off: powerOff(child, instanceId),
    console: () => console,
    calls: () => readFileSync(join(root, "calls"), "utf8").split("\n").filter(Boolean),
    signal: (name) => child.kill(name),
    cutPower: () => killAll(instanceId),
  };
}

function scriptOf(userData: string): string {
  return Buffer.from(userData, "base64").toString("utf8");
}

/** With paths of this host; what is packed is packed again. */
function onDisk(script: string, root: string): string {
  const here = (text: string): string =>
    text.replaceAll("/opt/mayfly", `${root}/opt/mayfly`).replaceAll("/etc/os-release", `${root}/os-release`);
  return here(script).replace(/(printf %s ')([\w+/=]+)'/, (_, before: string, packed: string) => {
    const rest = gunzipSync(Buffer.from(packed, "base64")).toString("utf8");
    return `${before}${gzipSync(here(rest)).toString("base64")}'`;
  });
}

async function prepareImage(options: FakeInstanceOptions): Promise<void> {
  const [id, version] = options.system ?? ["amzn", "2023"];
  await writeFile(join(options.root, "os-release"), `NAME=Test\nID="${id}"\nVERSION_ID="${version}"\n`);
  if (options.listener === undefined) return;
  const home = join(options.root, "opt/mayfly");
  await mkdir(join(home, "runner/bin"), { recursive: true });
  await writeFile(join(home, "runner/bin/Runner.Listener"), options.listener, { mode: 0o755 });
  const manifest = {
    schema: 1,
    builtAt: "2026-11-21T00:00:00Z",
    system: `${id}-${version}`,
    architecture: "x86_64",
    curl: "8.17.0",
    runnerUser: "mayfly-runner",
    runnerDirectory: join(home, "runner"),
    runnerVersion: "2.338.0",
    runnerSha256: "0".repeat(64),
  };
  await writeFile(join(home, "manifest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await writeFile(join(options.root, "account"), "");
}

/** None of these may reach the program of the host. */
async function writeStandIns(programs: string, options: FakeInstanceOptions): Promise<void> {
  const { root } = options;
  const curl = programPath("curl") ?? "curl";
  const bodies: Record<string, string> = {
    ...Object.fromEntries(
      ["shutdown", "poweroff", "halt", "reboot", "systemctl", "sudo", "sync", "dnf", "apt-get", "chown"].map(
        (name) => [name, ""],
      ),
    ),
    useradd: `: > "${root}/account"`,
    id: `case "$*" in *mayfly-runner*) [ -e "${root}/account" ] && echo 1000 ;; *) exec /usr/bin/id "$@" ;; esac`,
    // Pauses between tries, which are whole seconds, are not worth waiting for.
    sleep: `case $1 in *[!0-9]*) exec /bin/sleep "$1" ;; *) exec /bin/sleep 0.05 ;; esac`,
    uname: `[ "$*" = -m ] && echo ${options.hardware ?? "x86_64"}`,
    ip: `: > "${root}/shut"`,
    setpriv: [
      'while :; do case "$1" in --reuid) user=$2; shift 2 ;; --regid) shift 2 ;; --*) shift ;; *) break ;; esac; done',
      `FAKE_ACCOUNT=$user HOME="${root}/home" exec "$@"`,
    ].join("\n"),
    curl: [
      `case "\${FAKE_ACCOUNT:-root} $*" in root*) ;; *169.254.169.254*|*fd00:ec2*) [ ! -e "${root}/shut" ] || exit 7 ;; esac`,
      `exec ${curl} "$@" --connect-to 169.254.169.254:80:127.0.0.1:${options.metadata.port}`,
    ].join("\n"),
  };
  const unnoted = ["curl", "setpriv", "id", "uname", "sleep"];
  for (const [name, body] of Object.entries(bodies)) {
    const note = unnoted.includes(name) ? "" : `echo "${name} $*" >> "${root}/calls"\n`;
    const fails = options.broken?.includes(name) === true ? "exit 1\n" : "";
    await writeFile(join(programs, name), `#!/bin/sh\n${note}${fails}${body}\n`, { mode: 0o755 });
  }
}

/** When the power is off, nothing runs any more, whatever user data left behind. */
function powerOff(child: ChildProcess, instanceId: string): Promise<number | null> {
  return new Promise((resolve) => {
    child.on("exit", (status) => {
      killAll(instanceId);
      resolve(status);
    });
  });
}

/** Whatever bears the mark in its environment. */
export function killAll(instanceId: string): void {
  for (const pid of processesOf(instanceId)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended since it was found.
    }
  }
}

/** Processes of this host that belong to the instance, found by the mark in their environment. */
export function processesOf(instanceId: string): readonly number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        return readFileSync(`/proc/${entry}/environ`, "utf8")
          .split("\0")
          .includes(`FAKE_INSTANCE=${instanceId}`);
      } catch {
        // It has ended since the folder was listed, or it is somebody else's.
        return false;
      }
    })
    .map(Number);
}

/** The manifest of the instance's disk, if it has one. */
export async function manifestOf(root: string): Promise<unknown> {
  const file = join(root, "opt/mayfly/manifest.json");
  return existsSync(file) ? JSON.parse(await readFile(file, "utf8")) : undefined;
}
