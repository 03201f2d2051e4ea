import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface MetadataOptions {
  readonly instanceId: string;
  readonly region: string;
  /** Without it, the instance has no role. */
  readonly role?: string;
  readonly now?: () => number;
  /** Readable as `tags/instance/<key>`; without it, the instance does not show its tags, which is EC2's default. */
  readonly tags?: Readonly<Record<string, string>>;
}

export interface RoleCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

/** What is beyond the service itself are levers: each makes one thing happen that happens to instances. */
export interface MetadataService {
  readonly port: number;
  /** Method and path of every request, in order. */
  readonly requests: readonly string[];
  /** Those that are handed out now. */
  readonly credentials: RoleCredentials;
  /** Those that were ever handed out, by access key: what a verifier of signatures knows. */
  credentialsByKey(): Readonly<Record<string, RoleCredentials>>;
  /** From now on others are handed out. Those from before stay valid, as in reality, for a while. */
  replaceCredentials(): void;
  /** The session tokens of the service itself, as after six hours. */
  expireTokens(): void;
  announceInterruption(at: string): void;
  recommendRebalance(at: string): void;
  /** No answer at all, until it is called with false. */
  silence(silent: boolean): void;
  close(): Promise<void>;
}

/**
 * The instance metadata service of one EC2 instance, as far as a machine of ours asks it: version 2 only, so a request
 * without a session token is refused. Written from EC2's user guide. What one server on a port of this host cannot show
 * is the hop limit, which is about the network's packets.
 */
export async function startMetadataService(options: MetadataOptions): Promise<MetadataService> {
  const state = newState(options);
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (state.silent) return;
    const answer = answerTo(request, state);
    response.writeHead(answer.status, { "content-type": "text/plain", ...answer.headers });
    response.end(answer.body ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    get credentials() {
      return credentialsOf(state.generation, options.instanceId);
    },
    credentialsByKey: () => {
      const all = Array.from({ length: state.generation }, (_, index) =>
        credentialsOf(index + 1, options.instanceId),
      );
      return Object.fromEntries(all.map((one) => [one.accessKeyId, one]));
    },
    replaceCredentials: () => {
      state.generation += 1;
    },
    expireTokens: () => state.tokens.clear(),
    announceInterruption: (time) => {
      state.entries.set("spot/instance-action", JSON.stringify({ action: "terminate", time }));
    },
    recommendRebalance: (noticeTime) => {
      state.entries.set("events/recommendations/rebalance", JSON.stringify({ noticeTime }));
    },
    silence: (silent) => {
      state.silent = silent;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

interface State {
  readonly options: MetadataOptions;
  readonly now: () => number;
  /** Session tokens, and until when they are valid. */
  readonly tokens: Map<string, number>;
  /** By path below `meta-data/`. */
  readonly entries: Map<string, string>;
  generation: number;
  silent: boolean;
}

interface Answer {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function newState(options: MetadataOptions): State {
  const { instanceId, region, role, tags } = options;
  const entries = new Map([
    ["instance-id", instanceId],
    ["placement/region", region],
    ["placement/availability-zone", `${region}a`],
  ]);
  if (role !== undefined) entries.set("iam/security-credentials/", role);
  for (const [key, value] of Object.entries(tags ?? {})) entries.set(`tags/instance/${key}`, value);
  return { options, now: options.now ?? Date.now, tokens: new Map(), entries, generation: 1, silent: false };
}

const ttlHeader = "x-aws-ec2-metadata-token-ttl-seconds";
const ttlLimitSeconds = 21_600;

function answerTo(request: IncomingMessage, state: State): Answer {
  const path = request.url ?? "";
  if (path === "/latest/api/token") return tokenAnswer(request, state);
  if (request.method !== "GET") return { status: 405 };
  const token = request.headers["x-aws-ec2-metadata-token"];
  if (typeof token !== "string" || (state.tokens.get(token) ?? 0) <= state.now()) return { status: 401 };
  const { instanceId, region, role } = state.options;
  if (path === "/latest/dynamic/instance-identity/document") {
    return { status: 200, body: JSON.stringify({ instanceId, region }, undefined, 2) };
  }
  const entry = path.startsWith("/latest/meta-data/") ? path.slice("/latest/meta-data/".length) : "";
  if (role !== undefined && entry === `iam/security-credentials/${role}`) {
    return { status: 200, body: credentialsDocument(state) };
  }
  const body = state.entries.get(decodeURIComponent(entry));
  return body === undefined ? { status: 404 } : { status: 200, body };
}

function tokenAnswer(request: IncomingMessage, state: State): Answer {
  if (request.method !== "PUT") return { status: 405 };
  // A proxy that passes requests on would let others in.
  if (request.headers["x-forwarded-for"] !== undefined) return { status: 403 };
  const seconds = Number(request.headers[ttlHeader]);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > ttlLimitSeconds) return { status: 400 };
  const token = `AQAEA${Buffer.from(`${state.options.instanceId} ${state.tokens.size} ${state.now()}`).toString("base64")}`;
  state.tokens.set(token, state.now() + seconds * 1_000);
  return { status: 200, body: token, headers: { [ttlHeader]: String(seconds) } };
}

/** As EC2 writes it: one member a line, spaces around the colons. */
function credentialsDocument(state: State): string {
  const { accessKeyId, secretAccessKey, sessionToken } = credentialsOf(
    state.generation,
    state.options.instanceId,
  );
  const members = {
    Code: "Success",
    LastUpdated: new Date(state.now()).toISOString(),
    Type: "AWS-HMAC",
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: sessionToken,
    Expiration: new Date(state.now() + 6 * 3_600_000).toISOString(),
  };
  const lines = Object.entries(members).map(([name, value]) => `  "${name}" : "${value}"`);
  return `{\n${lines.join(",\n")}\n}`;
}

/** With every character that such texts have. */
function credentialsOf(generation: number, instanceId: string): RoleCredentials {
  return {
    accessKeyId: `ASIA${instanceId.replace(/\W/g, "").toUpperCase()}${generation}`,
    secretAccessKey: `s3cret/of+${instanceId}/generation+${generation}`,
    sessionToken: `IQoJb3JpZ2luX2VjE${Buffer.from(`the session of ${instanceId}, ${generation} `.repeat(12)).toString("base64")}+/==`,
  };
}
