import { Agent, type IncomingMessage, type RequestOptions, request } from "node:http";
import { MayflyError } from "../../core/errors.ts";

/** One answer of the engine. Statuses are the caller's to judge; only silence is an error. */
export interface EngineAnswer {
  readonly status: number;
  readonly body: string;
}

export interface EngineRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON; bytes are sent as a tar archive. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** Without it, 60. 0: none. */
  readonly timeoutSeconds?: number;
}

/**
 * The Docker Engine API over a socket: `unix:///var/run/docker.sock`, or `tcp://host:2375` (plain, so only where
 * the network is trusted). No version in the paths: Docker 29 refuses versions below 1.44 and Podman 4 knows none
 * above 1.41, but both take a path without one.
 */
export interface DockerEngine {
  /** Rejects with a `MayflyError` when the engine does not answer. */
  call(request: EngineRequest): Promise<EngineAnswer>;
  close(): void;
}

export function createDockerEngine(address: string): DockerEngine {
  const target = parseAddress(address);
  const agent = new Agent({ keepAlive: true });
  return {
    call: (wish) => call(address, { ...target, agent }, wish),
    close: () => agent.destroy(),
  };
}

function parseAddress(address: string): RequestOptions {
  const [, socket] = /^unix:\/\/(\/.+)$/.exec(address) ?? [];
  if (socket !== undefined) return { socketPath: socket, host: "docker" };
  const [, host, port] = /^(?:tcp|http):\/\/([^/:]+):(\d+)\/?$/.exec(address) ?? [];
  if (host !== undefined && port !== undefined) return { host, port: Number(port) };
  throw new MayflyError({
    kind: "operator",
    code: "COMPUTE_DOCKER_OPTIONS",
    message: `"${address}" is not the address of a container engine.`,
    suggestion: "Give unix:///path/to/the.sock or tcp://host:port.",
  });
}

async function call(address: string, target: RequestOptions, wish: EngineRequest): Promise<EngineAnswer> {
  const query = wish.query === undefined ? "" : `?${new URLSearchParams(wish.query)}`;
  const bytes = wish.body === undefined || Buffer.isBuffer(wish.body) ? wish.body : JSON.stringify(wish.body);
  const { timeoutSeconds = 60, signal } = wish;
  const limit = timeoutSeconds === 0 ? [] : [AbortSignal.timeout(timeoutSeconds * 1_000)];
  try {
    return await new Promise((resolve, reject) => {
      const outgoing = request({
        ...target,
        method: wish.method,
        path: `${wish.path}${query}`,
        headers: bytes === undefined ? {} : contentHeaders(bytes as Buffer | string),
        signal: AbortSignal.any([...limit, ...(signal === undefined ? [] : [signal])]),
      });
      outgoing.on("error", reject);
      outgoing.on("response", (incoming) => readAnswer(incoming).then(resolve, reject));
      outgoing.end(bytes);
    });
  } catch (error) {
    throw unreachable(address, error);
  }
}

function contentHeaders(bytes: Buffer | string): Record<string, string | number> {
  return {
    "content-type": typeof bytes === "string" ? "application/json" : "application/x-tar",
    "content-length": Buffer.byteLength(bytes),
  };
}

async function readAnswer(incoming: IncomingMessage): Promise<EngineAnswer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return { status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") };
}

function unreachable(address: string, error: unknown): MayflyError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const forPeople = ["ENOENT", "EACCES", "EPERM", "ENOTFOUND"].includes(code);
  return new MayflyError({
    kind: forPeople ? "operator" : "retry",
    code: "COMPUTE_DOCKER_UNREACHABLE",
    message: `The container engine at ${address} does not answer: ${error instanceof Error ? error.message : error}`,
    suggestion: forPeople
      ? "Start the engine, or correct its address, or let the server's user read its socket."
      : "Nothing, if the engine is starting. Otherwise look at its log.",
    cause: error,
  });
}
