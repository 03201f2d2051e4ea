import type { LaunchFailureKind } from "../../core/model.ts";
import type { EngineAnswer } from "./docker-engine.ts";

export interface EngineFailure {
  readonly failure: LaunchFailureKind;
  readonly code: string;
  readonly message: string;
}

/**
 * What engines say when they refuse, and what the caller does next. The first line that matches counts. Statuses
 * alone do not tell: Podman answers 500 to most of what Docker answers 400 or 404 to.
 */
const sentences: readonly (readonly [RegExp, LaunchFailureKind, string])[] = [
  [/toomanyrequests|too many requests|rate limit/i, "throttle", "PULL_THROTTLED"],
  [/no space left|disk quota/i, "configuration", "NO_SPACE"],
  [/cannot allocate memory|out of memory|resource temporarily unavailable/i, "capacity", "NO_ROOM"],
  [/range of cpus|more cpus|minimum memory limit/i, "configuration", "LIMITS_REFUSED"],
  [
    /no such image|image not known|manifest unknown|unauthorized|access denied|denied:|invalid reference/i,
    "configuration",
    "IMAGE_REFUSED",
  ],
  [/repository name|not found: manifest|name unknown|short-name/i, "configuration", "IMAGE_REFUSED"],
  [
    /no such host|i\/o timeout|connection refused|connection reset|tls handshake|unexpected eof/i,
    "transient",
    "REGISTRY_UNREACHABLE",
  ],
  [/network .*not found|unable to find network|no such network/i, "configuration", "NETWORK_UNKNOWN"],
  [/unable to find user|no matching entries in passwd/i, "configuration", "USER_UNKNOWN"],
  [/init(-| )binary|docker-init/i, "configuration", "NO_INIT"],
  // Pruned by somebody, or lost by the engine, between two of our calls.
  [
    /no such container|no container with name|layer not known|marked for removal/i,
    "transient",
    "CONTAINER_GONE",
  ],
  // Only of what was to be executed: an engine whose own files are gone for a moment says the same of those.
  [/executable file .*not found|exec: .*no such file or directory/i, "configuration", "IMAGE_WITHOUT_SHELL"],
  [/cgroup|capabilit|oci runtime|\b(runc|crun)\b/i, "configuration", "ENGINE_REFUSED"],
];

/** The one place where an engine's errors become ours. */
export function classifyEngineAnswer(did: string, answer: EngineAnswer): EngineFailure {
  const said = sentenceOf(answer);
  const message = `The engine could not ${did}: ${said} (status ${answer.status}).`;
  for (const [pattern, failure, code] of sentences) {
    if (pattern.test(said)) return { failure, code, message };
  }
  if (answer.status === 429) return { failure: "throttle", code: "ENGINE_THROTTLED", message };
  const failure = answer.status >= 500 ? "transient" : "configuration";
  return { failure, code: `ENGINE_${answer.status}`, message };
}

/** Engines answer `{"message": …}`, Podman also `{"cause": …}`; progress streams end with `{"error": …}`. */
function sentenceOf({ body }: EngineAnswer): string {
  const lines = body.trim().split("\n");
  const last = lines.at(-1) ?? "";
  try {
    const { message, error, cause } = JSON.parse(last) as Record<string, unknown>;
    const said = [message, error, cause].find((text) => typeof text === "string" && text !== "");
    return String(said ?? last).replace(/\.$/, "");
  } catch {
    // No JSON: the text is what there is to say.
    return last.slice(0, 300).replace(/\.$/, "") || "no reason given";
  }
}
