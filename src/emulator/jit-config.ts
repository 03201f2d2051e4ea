import type { Runner } from "./model-state.ts";

/**
 * The configuration that a runner is started with: base64 of a JSON map from file name to base64 content, as
 * GitHub's. It proves the runner's identity, so it is a secret. About 4 KB, as the real one: the key file is
 * filled with numbers of the right size that nobody uses.
 */
export function encodeJitConfig(runner: Runner, serverUrl: string): string {
  const files: Readonly<Record<string, unknown>> = {
    ".runner": {
      AgentId: String(runner.id),
      AgentName: runner.name,
      PoolId: String(runner.groupId),
      PoolName: "Default",
      ServerUrl: serverUrl,
      GitHubUrl: serverUrl,
      WorkFolder: runner.workFolder,
      Ephemeral: "True",
      UseV2Flow: "True",
    },
    ".credentials": {
      Scheme: "OAuth",
      Data: { ClientId: String(runner.id), AuthorizationUrl: serverUrl, Token: runner.credential },
    },
    ".credentials_rsaparams": keyParameters,
  };
  const encoded = Object.entries(files).map(([name, content]) => [name, base64(JSON.stringify(content))]);
  return base64(JSON.stringify(Object.fromEntries(encoded)));
}

const keySizes = { d: 256, dp: 128, dq: 128, exponent: 3, inverseQ: 128, modulus: 256, p: 128, q: 128 };
/** The same for all: what proves the runner's identity is its token. */
const keyParameters = Object.fromEntries(
  Object.entries(keySizes).map(([name, bytes]) => [name, Buffer.alloc(bytes, name).toString("base64")]),
);

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
