import { embedded, quoted, type RunnerRelease, readAgentFile, withoutComments } from "./user-data.ts";

/** A task that installs its runner itself, because its image is a stock one, has so long for it. */
const installMinutes = 15;

/**
 * What every task of Fargate runs: constants, then the files of the agent as they are in this version, then task.sh. It
 * stands in the task definition, where everybody who may describe tasks can read it: there is no secret in it, and
 * nothing of one task.
 */
export function taskScript(runnerBaseUrl = ""): string {
  const release = JSON.parse(readAgentFile("runner-release.json")) as RunnerRelease;
  const constants = {
    MAYFLY_START_LIMIT_MINUTES: String(installMinutes),
    MAYFLY_RUNNER_VERSION: release.version,
    MAYFLY_RUNNER_SHA256_X86_64: release.sha256.x86_64,
    MAYFLY_RUNNER_SHA256_ARM64: release.sha256.arm64,
    MAYFLY_RUNNER_BASE_URL: runnerBaseUrl,
  };
  return [
    ...Object.entries(constants).map(([name, value]) => `${name}=${quoted(name, value)}`),
    "write_files() {",
    ...["install.sh", "agent.sh", "curl.mjs"].flatMap(embedded),
    "}",
    withoutComments(readAgentFile("task.sh")),
  ].join("\n");
}
