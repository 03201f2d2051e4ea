import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { imageRecipe } from "../../src/targets/aws/image-recipe.ts";
import { readAgentFile } from "../../src/targets/aws/user-data.ts";

/** The Podman of the tests, which test/docker/prepare.sh has started with everything in this folder. */
export function podmanOf(folder: string): (...words: readonly string[]) => Promise<string> {
  const env = environmentOf(folder);
  return async (...words) =>
    (await promisify(execFile)("podman", [...words], { env, maxBuffer: 50_000_000 })).stdout;
}

export function environmentOf(folder: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    CONTAINERS_CONF: join(folder, "containers.conf"),
    CONTAINERS_STORAGE_CONF: join(folder, "storage.conf"),
  };
}

const release = JSON.parse(readAgentFile("runner-release.json")) as {
  readonly version: string;
  readonly sha256: Readonly<Record<string, string>>;
};

/** A place of releases with a runner that is the emulator's, and the Node that it and the agent need. */
export interface RunnerPlace {
  readonly url: string;
  readonly sha256: string;
  close(): Promise<void>;
}

export async function startRunnerPlace(folder: string): Promise<RunnerPlace> {
  const root = join(folder, "runner-root");
  mkdirSync(join(root, "bin"), { recursive: true });
  mkdirSync(join(root, "externals/node24/bin"), { recursive: true });
  copyFileSync(process.execPath, join(root, "externals/node24/bin/node"));
  chmodSync(join(root, "externals/node24/bin/node"), 0o755);
  await build({
    entryPoints: [fileURLToPath(new URL("../../src/emulator/runner/listener.ts", import.meta.url))],
    outfile: join(root, "bin/listener.mjs"),
    ...{ bundle: true, platform: "node", format: "esm", logLevel: "error" },
  });
  const start =
    '#!/bin/sh\nhere=$(dirname "$0")\nexec "$here/../externals/node24/bin/node" "$here/listener.mjs" "$@"\n';
  writeFileSync(join(root, "bin/Runner.Listener"), start, { mode: 0o755 });
  const archive = join(folder, "runner.tar.gz");
  await promisify(execFile)("tar", ["-C", root, "--use-compress-program=gzip -1", "-cf", archive, "."]);
  const bytes = readFileSync(archive);
  const server = createServer((request, response) => {
    const isRunner = request.url?.endsWith(`-${release.version}.tar.gz`) === true;
    response.writeHead(isRunner ? 200 : 404).end(isRunner ? bytes : "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export interface RecipeRun {
  readonly status: number | null;
  readonly log: string;
  readonly image: string;
}

/**
 * Runs what CodeBuild runs, with Podman for its Docker. `sha256` stands for the checksums that the recipe has of GitHub's
 * runner; without it, they stay.
 */
export async function runRecipe(
  folder: string,
  base: string,
  tag: string,
  place: Pick<RunnerPlace, "url"> & { readonly sha256?: string },
): Promise<RecipeRun> {
  const { phases } = JSON.parse(imageRecipe(place.url).buildspec);
  let script: string = phases.build.commands[0];
  if (place.sha256 !== undefined) {
    for (const known of Object.values(release.sha256)) script = script.replaceAll(known, place.sha256);
  }
  const programs = join(folder, "programs");
  mkdirSync(programs, { recursive: true });
  writeFileSync(join(programs, "aws"), "#!/bin/sh\necho a-password\n", { mode: 0o755 });
  writeFileSync(join(programs, "docker"), docker, { mode: 0o755 });
  const repository = "localhost/mayfly-images";
  const child = spawn("sh", ["-c", script], {
    env: {
      ...environmentOf(folder),
      PATH: `${programs}:${process.env.PATH}`,
      // CodeBuild throws its machine away; here, what the recipe makes besides images goes with the folder.
      TMPDIR: folder,
      ...{ BASE_IMAGE: base, REPOSITORY: repository, TAG: tag, ARCHITECTURE: "x86_64" },
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stdout.on("data", (text) => (log += text));
  child.stderr.on("data", (text) => (log += text));
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, log, image: `${repository}:${tag}` };
}

/** The Docker of CodeBuild, played by Podman: bases are here already, and what is pushed is here too. */
const docker = `#!/bin/sh
case $1 in
  login) cat >/dev/null ;;
  manifest) exec podman image exists "$3.pushed" ;;
  push) exec podman tag "$2" "$2.pushed" ;;
  build)
    shift
    for word; do
      shift
      [ "$word" = --pull ] || set -- "$@" "$word"
    done
    exec podman build --network host --layers=false --pull=never "$@"
    ;;
  *) echo "docker $1?" >&2; exit 2 ;;
esac
`;
