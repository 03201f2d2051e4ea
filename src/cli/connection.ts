import { access, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { processEnvironment } from "../config/environment.ts";
import { MayflyError } from "../core/errors.ts";
import { isLoopbackHost } from "../core/loopback.ts";
import { Secret } from "../core/secret.ts";
import { type ApiClient, createApiClient } from "./api-client.ts";
import { UsageError } from "./failure.ts";

export interface ConnectionOptions {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly config?: string;
}

const defaultUrl = "http://127.0.0.1:8085";

/** The running server that the options, the environment or the configuration name, in this order. */
export async function connect(options: ConnectionOptions): Promise<ApiClient> {
  const url = await serverUrl(options);
  const token = await readToken(options);
  return createApiClient({ url, ...(token !== undefined && { token }) });
}

/** The address of the server, without a slash at its end. */
export async function serverUrl(options: ConnectionOptions): Promise<string> {
  const given = options.url ?? processEnvironment().MAYFLY_URL;
  if (given !== undefined && given !== "") return checkUrl(given, options.url === undefined);
  const path = await existingConfigPath(options);
  if (path === undefined) return defaultUrl;
  // Loaded late: most commands are given an address or need none, and the schema takes its time.
  const { loadConfig } = await import("../config/load.ts");
  const { config } = await loadConfig({ path });
  return listeningUrl(config.server);
}

/** Where the configuration is: the option, MAYFLY_CONFIG, or `mayfly.yaml` here. */
export function configPath(options: { readonly config?: string }): string {
  return options.config ?? (processEnvironment().MAYFLY_CONFIG || "mayfly.yaml");
}

/** The configuration where one was named, which must exist then, or where one happens to be. */
async function existingConfigPath(options: ConnectionOptions): Promise<string | undefined> {
  const path = configPath(options);
  const named = options.config !== undefined || path !== "mayfly.yaml";
  if (named) return path;
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  return exists ? path : undefined;
}

/**
 * How this machine reaches a server that listens there; "every address" is reached on loopback. A configuration may be
 * part of a checkout: were another machine believed to be the server, whoever wrote that would be sent the token.
 */
function listeningUrl({ host, port }: { readonly host: string; readonly port: number }): string {
  const near = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  if (!isThisMachine(near)) throw serverElsewhere(host);
  return `http://${near.includes(":") ? `[${near}]` : near}:${port}`;
}

function isThisMachine(host: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return isLoopbackHost(host) || own.some(({ address }) => address === host);
}

function serverElsewhere(host: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "SERVER_ELSEWHERE",
    message: `The server of the configuration listens on ${host}, which is no address of this machine.`,
    suggestion: "Name the address of the server with --url or MAYFLY_URL.",
  });
}

function checkUrl(text: string, fromEnvironment: boolean): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : "";
  if (protocol === "http:" || protocol === "https:") return text.replace(/\/+$/, "");
  throw new UsageError(
    `${fromEnvironment ? "MAYFLY_URL" : "--url"} is not an address: ${text}.`,
    `Write it with http:// or https://, for example ${defaultUrl}.`,
  );
}

async function readToken(options: ConnectionOptions): Promise<Secret | undefined> {
  const { tokenFile } = options;
  const text =
    tokenFile === undefined ? processEnvironment().MAYFLY_STATUS_TOKEN : await readTokenFile(tokenFile);
  const line = text?.split(/\r?\n/).find((candidate) => candidate.trim() !== "");
  if (line !== undefined) return new Secret(line.trim());
  if (tokenFile === undefined) return undefined;
  throw new MayflyError({
    kind: "operator",
    code: "TOKEN_EMPTY",
    message: `The file ${tokenFile} contains no token.`,
    suggestion: "Put the status token of the server on its first line.",
  });
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new MayflyError({
      kind: "operator",
      code: "TOKEN_UNREADABLE",
      message: `The token cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      suggestion: "Name a file with --token-file that you may read, or set MAYFLY_STATUS_TOKEN.",
      cause: error,
    });
  }
}
