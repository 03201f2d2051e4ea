import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programPath } from "../../../test/support/search-path.ts";

const scripts = fileURLToPath(new URL("../scripts", import.meta.url));
const agent = fileURLToPath(new URL("../../../src/agent", import.meta.url));

export interface ImageRootOptions {
  readonly system: "amzn-2023" | "ubuntu-24.04";
  readonly hardware: "x86_64" | "aarch64";
  /** What an archive holds in the place of what it should, by the name of its tool. */
  readonly spoiled?: string;
  /** The fingerprint of every key that is downloaded. Default: Docker's own. */
  readonly key?: string;
  /** Of the root file system, in MiB, once it was grown. */
  readonly diskMib?: number;
  /** The runner cannot be warmed up. */
  readonly coldRunner?: true;
}

/** A machine that an image is made of, as far as scripts see it: a root of its own with the host's programs. */
export interface ImageRoot {
  run(script: string, environment?: Readonly<Record<string, string>>): Outcome;
  /** As Image Builder runs what a component says. */
  runText(text: string): Outcome;
  /** A file's text. */
  read(path: string): string;
  /** What is in this folder; empty without it. */
  list(path: string): readonly string[];
  /** Calls of programs that stand in, as `<program> <arguments>`. */
  calls(): readonly string[];
  remove(): void;
}

interface Outcome {
  readonly status: number;
  readonly said: string;
}

/** Why it cannot be had on this host. */
export function rootProblem(): string | undefined {
  const missing = ["unshare", "jq", "xz", "bash", "tar"].filter((name) => programPath(name) === undefined);
  if (missing.length > 0) return `there is no ${missing.join(", ")}`;
  const tried = spawnSync("unshare", ["--map-root-user", "--mount", "true"]);
  return tried.status === 0 ? undefined : "this host allows no namespaces";
}

/**
 * /usr is the host's, read only, with a /usr/local of its own; everything else is new. Programs that would need a network,
 * other accounts or a running system stand in: they come first in the search path and note their calls.
 */
export function createImageRoot(options: ImageRootOptions): ImageRoot {
  const root = mkdtempSync(join(tmpdir(), "mayfly-image-"));
  const at = (path: string): string => join(root, path);
  for (const folder of [
    "usr",
    "local/bin",
    "local/lib",
    "etc",
    "opt",
    "var/tmp",
    "tmp",
    "dev",
    "proc",
    "home",
  ]) {
    mkdirSync(at(folder), { recursive: true });
  }
  for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, at(name));
  const [id, version] = options.system.split("-");
  writeFileSync(at("etc/os-release"), `ID="${id}"\nVERSION_ID="${version}"\n`);
  writeFileSync(at("calls"), "");
  mkdirSync(at("sys/class/block/nvme0n1p1"), { recursive: true });
  writeFileSync(at("sys/class/block/nvme0n1p1/partition"), "1\n");
  // Debian's awk is found through it.
  if (existsSync("/etc/alternatives")) {
    cpSync("/etc/alternatives", at("etc/alternatives"), { recursive: true, verbatimSymlinks: true });
  }
  cpSync(scripts, at("scripts"), { recursive: true });
  for (const file of ["install.sh", "runner-release.json"]) cpSync(join(agent, file), at(`scripts/${file}`));
  writeDownloads(at, options);
  mkdirSync(at("programs"));
  for (const [name, body] of Object.entries(standIns(options))) {
    writeFileSync(at(`programs/${name}`), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
  }
  return {
    run: (script, environment = {}) => runIn(root, `/scripts/${script}.sh`, environment),
    runText: (text) => {
      writeFileSync(at("command"), text);
      return runIn(root, "/command", {});
    },
    read: (path) => readFileSync(at(path.replace(/^\/usr\/local/, "local")), "utf8"),
    list: (path) => {
      const folder = at(path.replace(/^\/usr\/local/, "local"));
      return readdirSync(folder, { withFileTypes: true }).map(({ name }) => name);
    },
    calls: () => readFileSync(at("calls"), "utf8").split("\n").filter(Boolean),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

const mounts = `
set -e
mount --bind /usr "$1/usr"
mount --options remount,bind,ro "$1/usr"
mount --bind "$1/local" "$1/usr/local"
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
exec chroot "$1" /usr/bin/env -i PATH=/programs:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "\${@:2}"
`;

function runIn(root: string, script: string, environment: Readonly<Record<string, string>>): Outcome {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const words = ["bash", "-c", mounts, "bash", root, ...variables, "bash", script];
  const { status, stdout, stderr } = spawnSync("unshare", ["--map-root-user", "--mount", ...words], {
    encoding: "utf8",
  });
  return { status: status ?? -1, said: `${stdout}${stderr}` };
}

/** Archives as vendors pack them, with programs that say their version; and the versions file with their checksums. */
function writeDownloads(at: (path: string) => string, options: ImageRootOptions): void {
  const { hardware, spoiled } = options;
  const architecture = hardware === "x86_64" ? "x86_64" : "arm64";
  const [debian, node] = hardware === "x86_64" ? ["amd64", "x64"] : ["arm64", "arm64"];
  let versions = readFileSync(at("scripts/versions.env"), "utf8");
  const version = (tool: string): string =>
    new RegExp(`^${tool}_version=(.+)$`, "m").exec(versions)?.[1] ?? "";
  const release = JSON.parse(readFileSync(at("scripts/runner-release.json"), "utf8"));
  const program = (name: string): string => `#!/bin/bash\necho "${name} $0 says $*"\n`;
  const gh = `gh_${version("gh")}_linux_${debian}`;
  const nodeFolder = `node-v${version("node")}-linux-${node}`;
  const archives: Readonly<Record<string, readonly [name: string, files: Readonly<Record<string, string>>]>> =
    {
      node: [
        `${nodeFolder}.tar.xz`,
        Object.fromEntries(
          ["node", "npm", "npx", "corepack"].map((one) => [`${nodeFolder}/bin/${one}`, program(one)]),
        ),
      ],
      go: [
        `go${version("go")}.linux-${debian}.tar.gz`,
        { "go/bin/go": program("go"), "go/bin/gofmt": program("gofmt") },
      ],
      aws_cli: [`awscli-exe-linux-${hardware}-${version("aws_cli")}.zip`, { "aws/install": awsInstaller }],
      kubectl: ["kubectl", {}],
      helm: [
        `helm-v${version("helm")}-linux-${debian}.tar.gz`,
        { [`linux-${debian}/helm`]: program("helm") },
      ],
      gh: [`${gh}.tar.gz`, { [`${gh}/bin/gh`]: program("gh") }],
      yq: [`yq_linux_${debian}`, {}],
      runner: [
        `actions-runner-linux-${node}-${release.version}.tar.gz`,
        {
          "bin/Runner.Listener": `#!/bin/bash\necho "Runner.Listener $*" >>/calls\n${options.coldRunner ? "exit 1" : ""}\n`,
        },
      ],
    };
  mkdirSync(at("downloads"));
  for (const [tool, [name, files]] of Object.entries(archives)) {
    const file = at(`downloads/${name}`);
    if (Object.keys(files).length === 0) writeFileSync(file, program(tool));
    else pack(file, files);
    const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
    versions = versions.replace(new RegExp(`(${tool}_sha256_${architecture}=).+`), `$1${sha256}`);
    if (tool === "runner") release.sha256[architecture] = sha256;
    if (tool === spoiled) writeFileSync(file, "something else");
  }
  writeFileSync(at("scripts/versions.env"), versions);
  writeFileSync(at("scripts/runner-release.json"), JSON.stringify(release));
  for (const name of ["gpg"]) writeFileSync(at(`downloads/${name}`), "a key");
}

const awsInstaller = `#!/bin/bash
mkdir -p /usr/local/aws-cli
printf '#!/bin/bash\\necho aws\\n' >/usr/local/bin/aws
chmod 755 /usr/local/bin/aws
`;

function pack(file: string, files: Readonly<Record<string, string>>): void {
  const folder = mkdtempSync(join(tmpdir(), "mayfly-archive-"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text, { mode: 0o755 });
  }
  execFileSync("tar", [file.endsWith(".xz") ? "-cJf" : "-czf", file, "-C", folder, "."]);
  rmSync(folder, { recursive: true });
}

function standIns({
  system,
  hardware,
  key,
  diskMib = 30_000,
}: ImageRootOptions): Readonly<Record<string, string>> {
  const note = (body = ""): string => `echo "\${0##*/} $*" >>/calls\n${body}`;
  const fingerprint =
    key ??
    (system === "amzn-2023"
      ? "060A61C51B558A7F742B77AAC52FEB6B621E9F35"
      : "9DC858229FC7DD38854AE2D88D81803C0EBFCD88");
  const noted = [
    "xfs_growfs",
    "apt-get",
    "dnf",
    "systemctl",
    "useradd",
    "usermod",
    "cloud-init",
    "chown",
    "sync",
  ];
  return {
    ...Object.fromEntries(noted.map((name) => [name, note()])),
    curl: [
      `case "$*" in *--version*) echo "curl 8.5.0 (test) libcurl/8.5.0"; exit 0 ;; esac`,
      `file= ; while [ $# -gt 0 ]; do case $1 in --output) file=$2; shift ;; https://*) address=$1 ;; esac; shift; done`,
      `echo "curl $address" >>/calls`,
      `cp "/downloads/\${address##*/}" "$file" || exit 22`,
    ].join("\n"),
    gpg: `printf 'pub:-:4096:1:X:1:::-:::scESC:\\nfpr:::::::::${fingerprint}:\\nsub:-:4096:1:Y:1::::::e:\\nfpr:::::::::SUB:\\n'`,
    docker: note(
      `case $1 in --version) echo "Docker version 29.1.2, build x" ;; *) echo "version v0.36.1" ;; esac`,
    ),
    git: `case $1 in lfs) echo "git-lfs/3.4.1 (GitHub)" ;; *) echo "git version 2.47.1" ;; esac`,
    yamllint: `echo "yamllint 1.33.0"`,
    unzip: `tar -xzf "$2" -C "$4"`,
    id: `case "$*" in -u) echo 0 ;; *) exit 1 ;; esac`,
    getent: `[ "$2" = docker ]`,
    setpriv: `while :; do case $1 in --clear-groups) shift ;; --*) shift 2 ;; *) break ;; esac; done; exec "$@"`,
    sleep: ":",
    findmnt: `case "$*" in *FSTYPE*) echo xfs ;; *) echo /dev/nvme0n1p1 ;; esac`,
    lsblk: "echo nvme0n1",
    df: `echo 1M-blocks; echo ${diskMib}`,
    growpart: note('echo "NOCHANGE: partition 1 is size 1"; exit 1'),
    uname: `echo ${hardware}`,
    python3: `case "$*" in --version) echo "Python 3.12.3" ;; *) for last; do :; done; mkdir -p "$last/bin"; printf '#!/bin/bash\\necho "pip $*" >>/calls\\n' >"$last/bin/pip"; chmod 755 "$last/bin/pip"; : >"$last/bin/yamllint" ;; esac`,
  };
}
