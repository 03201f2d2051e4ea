import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { MayflyError } from "../../core/errors.ts";

/** What the machines of one launch template have in common. Nothing in it is secret, and nothing is one machine's. */
export interface MachineStart {
  /** Base address of the control plane: the HTTP API. */
  readonly url: string;
  /** The region of that API, for which requests are signed. */
  readonly region: string;
  /** A machine that could not claim for so long ends. */
  readonly bootTimeoutSeconds: number;
  /** Then a job can sign as its machine and use the machine's role. */
  readonly jobsMayReadMetadata: boolean;
  /** Where the runner's archive is, when that is not GitHub; its name and checksum stay the same. */
  readonly runnerBaseUrl?: string;
}

/** EC2's limit, which is for the bytes before they are encoded. */
export const userDataLimitBytes = 16 * 1024;

/** A machine that has not begun to claim by then, because its start hangs, is powered off. */
const installMinutes = 15;

const agentFolder = new URL("../../agent/", import.meta.url);

/**
 * The script that machines run at their first boot: constants, then install.sh and agent.sh as they are in this
 * version, then start.sh. The agent comes with it even where the image is prepared, so that it is always the one that
 * this control plane was tested with.
 */
export function userDataScript(start: MachineStart): string {
  return [...constantsOf(start), ...rest()].join("\n");
}

/**
 * The same as a launch template gets it: the constants stand open, so that the infrastructure can put the address of
 * its API into them, and the rest is packed, because EC2's limit is small. What cannot be unpacked ends the machine.
 */
export function packedUserData(start: MachineStart): string {
  const packed = gzipSync(rest().join("\n"), { level: 9 }).toString("base64");
  const lines = [
    ...constantsOf(start),
    `rest=$(printf %s '${packed}' | base64 -d | gzip -dc) || rest=`,
    `eval "\${rest:-shutdown -h now}"`,
  ];
  const script = `${lines.join("\n")}\n`;
  if (script.length <= userDataLimitBytes - placeholderBytes) return script;
  throw new MayflyError({
    kind: "operator",
    code: "USER_DATA_TOO_LARGE",
    message: `The user data has ${script.length} bytes; EC2 takes ${userDataLimitBytes}.`,
    suggestion: "Shorten the addresses in it.",
  });
}

/** What an address may be longer than the word that stands for it. */
const placeholderBytes = 256;

function constantsOf(start: MachineStart): readonly string[] {
  const release = JSON.parse(readAgentFile("runner-release.json")) as RunnerRelease;
  const constants = {
    MAYFLY_URL: start.url,
    MAYFLY_REGION: start.region,
    MAYFLY_BOOT_TIMEOUT_SECONDS: String(start.bootTimeoutSeconds),
    MAYFLY_START_LIMIT_MINUTES: String(installMinutes),
    MAYFLY_JOBS_MAY_READ_METADATA: start.jobsMayReadMetadata ? "yes" : "no",
    MAYFLY_RUNNER_VERSION: release.version,
    MAYFLY_RUNNER_SHA256_X86_64: release.sha256.x86_64,
    MAYFLY_RUNNER_SHA256_ARM64: release.sha256.arm64,
    MAYFLY_RUNNER_BASE_URL: start.runnerBaseUrl ?? "",
  };
  return ["#!/bin/sh", ...Object.entries(constants).map(([name, value]) => `${name}=${quoted(name, value)}`)];
}

function rest(): readonly string[] {
  const files = ["install.sh", "agent.sh"].flatMap(embedded);
  return ["write_files() {", ...files, "}", withoutComments(readAgentFile("start.sh"))];
}

/** GitHub's runner that this version was tested with. */
export interface RunnerRelease {
  readonly version: string;
  readonly sha256: { readonly x86_64: string; readonly arm64: string };
}

/** Shell that writes this file of the agent into `$home`. */
export function embedded(file: string): readonly string[] {
  return writtenToHome(file, withoutComments(readAgentFile(file)));
}

/** Shell that writes this text into a file in `$home`. */
export function writtenToHome(file: string, text: string): readonly string[] {
  return [`cat >"$home/${file}" <<'END_OF_${file}' || return 1`, text, `END_OF_${file}`];
}

/** A file of the agent as it is in this version. */
export function readAgentFile(file: string): string {
  return readFileSync(new URL(file, agentFolder), "utf8").trimEnd();
}

/** Whole lines only; the first, which names the shell, is none. The place is scarce. */
export function withoutComments(script: string): string {
  const [first = "", ...rest] = script.split("\n");
  const lines = rest.filter((line) => !/^\s*(#.*)?$/.test(line));
  return [...(first.startsWith("#!") ? [first] : []), ...lines].join("\n");
}

/** In single quotes nothing has a meaning but the quote itself, which no such value needs. */
export function quoted(name: string, value: string): string {
  if (/^[\w:/.~%@[\]+=-]*$/.test(value)) return `'${value}'`;
  throw new MayflyError({
    kind: "operator",
    code: "USER_DATA_VALUE_INVALID",
    message: `${name} holds a character that cannot stand in user data: ${value}`,
    suggestion: "Use an address of letters, digits and the usual punctuation.",
  });
}
