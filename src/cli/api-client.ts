import { request as requestPlainly } from "node:http";
import { request as requestSecurely } from "node:https";
import { MayflyError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";

export interface ApiClientOptions {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token?: Secret;
  readonly timeoutSeconds?: number;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
  /** The server's idea of the present, in milliseconds since the epoch, so that a wrong clock here does no harm. */
  readonly now: number;
}

/** The API of a running server. */
export interface ApiClient {
  readonly url: string;
  /**
   * The document at this path, which has this field. What is no 2xx rejects with a `MayflyError` that carries the server's own sentences,
   * and so does a server that cannot be reached or is none of ours.
   */
  get(path: string, field: string): Promise<ApiAnswer>;
  /** The same, for what changes something. */
  post(path: string, body: unknown, field: string): Promise<ApiAnswer>;
}

export function createApiClient(options: ApiClientOptions): ApiClient {
  const call = async (method: string, path: string, field: string, body?: string): Promise<ApiAnswer> => {
    const { token } = options;
    const answer = await exchange(options, {
      method,
      path,
      headers: {
        accept: "application/json",
        ...(token !== undefined && { authorization: `Bearer ${token.reveal()}` }),
        ...(body !== undefined && { "content-type": "application/json", "x-mayfly-request": "1" }),
      },
      ...(body !== undefined && { body }),
    });
    return understand(answer, field, options);
  };
  return {
    url: options.url,
    get: (path, field) => call("GET", path, field),
    post: (path, body, field) => call("POST", path, field, JSON.stringify(body)),
  };
}

export interface RawRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** One request, one answer, whatever its status. Redirects are not followed: they could carry the token away. */
export function exchange(
  options: Pick<ApiClientOptions, "url" | "timeoutSeconds">,
  request: RawRequest,
): Promise<RawAnswer> {
  const send = options.url.startsWith("https:") ? requestSecurely : requestPlainly;
  const body = request.body === undefined ? undefined : Buffer.from(request.body);
  const signal = AbortSignal.timeout((options.timeoutSeconds ?? 15) * 1000);
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(unreachable(options.url, signal.aborted, error));
    const headers = { ...request.headers, ...(body !== undefined && { "content-length": body.length }) };
    const outgoing = send(
      `${options.url}${request.path}`,
      { method: request.method, headers, signal, agent: false },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", fail);
        incoming.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text });
        });
      },
    );
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}

function understand(answer: RawAnswer, field: string, options: ApiClientOptions): ApiAnswer {
  const { status, headers, text } = answer;
  const body = parseJson(text);
  if (status === 401) throw notAllowed(options);
  if (status >= 200 && status < 300 && isObject(body) && field in body) {
    const date = Date.parse(String(headers.date ?? ""));
    return { status, body, now: Number.isNaN(date) ? Date.now() : date };
  }
  const { error, next } = sentencesOf(body);
  if (error !== undefined) {
    throw new MayflyError({
      kind: "operator",
      code: "SERVER_REFUSED",
      message: error,
      suggestion: next ?? "Look at the log of the server.",
    });
  }
  throw new MayflyError({
    kind: "operator",
    code: "SERVER_UNKNOWN",
    message: `${options.url} answered with status ${status} and not as a Mayfly server does.`,
    suggestion: "Check the address: --url, MAYFLY_URL or server.listen of the configuration.",
  });
}

function sentencesOf(body: unknown): { readonly error?: string; readonly next?: string } {
  if (!isObject(body)) return {};
  const { error, next } = body;
  return { ...(typeof error === "string" && { error }), ...(typeof next === "string" && { next }) };
}

function notAllowed(options: ApiClientOptions): MayflyError {
  const given = options.token !== undefined;
  return new MayflyError({
    kind: "operator",
    code: "SERVER_TOKEN_REFUSED",
    message: given
      ? `The server at ${options.url} does not accept this token.`
      : `The server at ${options.url} wants a token.`,
    suggestion: given
      ? "Compare it with secrets.statusToken of the server's configuration."
      : "Set MAYFLY_STATUS_TOKEN, or name the file that contains the token with --token-file.",
  });
}

function unreachable(url: string, timedOut: boolean, cause: Error): MayflyError {
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  const refused = code === "ECONNREFUSED";
  const reason = timedOut ? "it did not answer in time" : cause.message || code || cause.name;
  return new MayflyError({
    kind: "operator",
    code: "SERVER_UNREACHABLE",
    message: refused ? `No server listens at ${url}.` : `The server at ${url} cannot be reached: ${reason}.`,
    suggestion: "Start it with `mayfly serve`, or name the right address with --url or MAYFLY_URL.",
    cause,
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told apart from a document by being undefined, which JSON cannot say; the caller names the status.
    return undefined;
  }
}
