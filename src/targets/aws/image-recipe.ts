import { createHash } from "node:crypto";
import { embedded, quoted, type RunnerRelease, readAgentFile } from "./user-data.ts";

/** How images are made of others: what CodeBuild runs, and what changes when that does. */
export interface ImageRecipe {
  readonly buildspec: string;
  readonly version: string;
}

/**
 * One script, in one phase, that ends with its first failure: a push that fails is a build that fails. The base comes as
 * a variable and is never a part of a command. In the image, install.sh does what it does at the start of a machine.
 *
 * A tag of the repository is written once. Where one order has become two builds, because its answer was lost for longer
 * than CodeBuild remembers it, the second finds what the first has pushed, and has succeeded too.
 */
export function imageRecipe(runnerBaseUrl = ""): ImageRecipe {
  const release = JSON.parse(readAgentFile("runner-release.json")) as RunnerRelease;
  const constants = {
    MAYFLY_RUNNER_VERSION: release.version,
    MAYFLY_RUNNER_SHA256_X86_64: release.sha256.x86_64,
    MAYFLY_RUNNER_SHA256_ARM64: release.sha256.arm64,
    MAYFLY_RUNNER_BASE_URL: runnerBaseUrl,
  };
  const values = Object.entries(constants).map(([name, value]) => `${name}=${quoted(name, value)}`);
  const script = [
    // A shell of its own: CodeBuild goes on in the one that it runs commands in.
    "(",
    "set -eu",
    "home=$(mktemp -d)",
    "write_files() {",
    ...embedded("install.sh"),
    "}",
    "write_files",
    `cat >"$home/Dockerfile" <<'END_OF_DOCKERFILE'`,
    "ARG BASE",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is Docker's
    "FROM ${BASE}",
    "USER 0",
    "COPY install.sh /opt/mayfly/install.sh",
    `RUN ${values.join(" ")} sh /opt/mayfly/install.sh`,
    "END_OF_DOCKERFILE",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
    'aws ecr get-login-password | docker login --username AWS --password-stdin "${REPOSITORY%%/*}"',
    'is_there() { docker manifest inspect "$REPOSITORY:$TAG" >/dev/null 2>&1; }',
    "if is_there; then",
    '  echo "Another build has pushed $TAG."',
    "else",
    '  docker build --pull --build-arg "BASE=$BASE_IMAGE" --label "mayfly.base=$BASE_IMAGE" --tag "$REPOSITORY:$TAG" "$home"',
    '  docker push "$REPOSITORY:$TAG" || is_there',
    "fi",
    ")",
  ].join("\n");
  // JSON is YAML, and needs no library to be written.
  const buildspec = JSON.stringify({ version: 0.2, phases: { build: { commands: [script] } } });
  const hash = createHash("sha256").update(buildspec).digest("hex").slice(0, 16);
  return { buildspec, version: `${release.version}-${hash}` };
}
