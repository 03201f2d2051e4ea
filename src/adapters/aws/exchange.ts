import { Agent as HttpAgent, type IncomingMessage, request as requestPlain } from "node:http";
import { Agent as HttpsAgent, request as requestSecure } from "node:https";

export interface ExchangeRequest {
  readonly url: URL;
  readonly method: "POST" | "GET" | "PUT";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutSeconds: number;
  readonly signal?: AbortSignal;
}

export interface ExchangeAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/**
 * One HTTP exchange: every status is an answer, complete and no larger than allowed. No answer is an
 * `ExchangeFailure`. Connections are kept and reused; those that idle do not keep the process alive.
 */
export type Exchange = (request: ExchangeRequest) => Promise<ExchangeAnswer>;

/** Why there is no answer: a code of the system such as `ECONNREFUSED`, or a few words. */
export class ExchangeFailure extends Error {
  readonly reason: string;
  /** The other side cannot have seen the request: repeating it cannot do anything twice. */
  readonly neverSent: boolean;

  constructor(reason: string, neverSent: boolean, cause?: unknown) {
    super(reason, { cause });
    this.reason = reason;
    this.neverSent = neverSent;
  }
}

export interface ExchangeOptions {
  readonly answerLimitBytes: number;
  readonly connections: number;
}

/** Failures of finding and reaching the server. All others may have happened after the request arrived. */
const beforeConnecting: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"],
]);

// The modules node:http and node:https and no global `fetch`: its first use costs 30 ms of a cold start.
export function createExchange(options: ExchangeOptions): Exchange {
  const kept = { keepAlive: true, maxSockets: options.connections };
  const secure = new HttpsAgent(kept);
  const plain = new HttpAgent(kept);
  return async (request) => {
    const { url, method, headers, body, timeoutSeconds, signal } = request;
    if (signal?.aborted === true) throw new ExchangeFailure("it was called off", true);
    return await new Promise<ExchangeAnswer>((resolve, reject) => {
      const isSecure = url.protocol === "https:";
      const send = isSecure ? requestSecure : requestPlain;
      const outgoing = send(url, { method, headers, agent: isSecure ? secure : plain });
      const stop = (reason: string): void => {
        outgoing.destroy(new ExchangeFailure(reason, false));
      };
      const timer = setTimeout(() => stop("timeout"), timeoutSeconds * 1000);
      const onAbort = (): void => stop("it was called off");
      signal?.addEventListener("abort", onAbort, { once: true });
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      outgoing.on("error", (error) => {
        settle();
        reject(failureOf(error));
      });
      outgoing.on("response", (incoming) => {
        readAnswer(incoming, options.answerLimitBytes)
          .then(resolve, (error) => reject(failureOf(error)))
          .finally(settle);
      });
      outgoing.end(body);
    });
  };
}

async function readAnswer(incoming: IncomingMessage, limitBytes: number): Promise<ExchangeAnswer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.length;
    if (size > limitBytes) throw new ExchangeFailure(`its answer has more than ${limitBytes} bytes`, false);
    chunks.push(chunk);
  }
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, value?.toString()]);
  return {
    status: incoming.statusCode ?? 0,
    headers: Object.fromEntries(headers),
    body: Buffer.concat(chunks).toString("utf8"),
  };
}

function failureOf(error: unknown): ExchangeFailure {
  if (error instanceof ExchangeFailure) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "the connection failed";
  return new ExchangeFailure(code, beforeConnecting.has(code), error);
}
