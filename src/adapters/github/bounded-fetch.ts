import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

export interface BoundedFetchOptions {
  /** No request leaves for another server than that of this address. */
  readonly apiUrl: string;
  readonly responseLimitBytes: number;
}

/** What the library gives to `fetch`. */
interface FetchInit {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** What the library takes from an answer. */
interface FetchAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly url: string;
  readonly headers: ReadonlyMap<string, string>;
  text(): Promise<string>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** The answer is one that must not be used: its sentence says why. */
export class UnusableAnswer extends Error {}

const redirectLimit = 3;

/**
 * `fetch` for the library, on node:https: it reads no more than it should and never carries our credentials to
 * another server. The global `fetch` would do the same, and takes a function 35 ms of its start to load.
 */
export function createBoundedFetch(
  options: BoundedFetchOptions,
): (url: string, init?: FetchInit) => Promise<FetchAnswer> {
  const origin = new URL(options.apiUrl).origin;
  return async (address, init = {}) => {
    let url = new URL(address);
    for (let hop = 0; hop <= redirectLimit; hop++) {
      const response = await send(url, init);
      const { statusCode: status = 0 } = response;
      const { location } = response.headers;
      if (status < 300 || status > 399 || status === 304 || location === undefined) {
        return answerOf(url, response, await readBody(response, options.responseLimitBytes, init.signal));
      }
      response.resume();
      // A renamed or moved repository. 307 and 308 keep the method; the others are followed for reading only.
      const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
      const reads = (init.method ?? "GET") === "GET";
      if (next?.origin !== origin) throw new UnusableAnswer("it redirects to another server");
      if (!reads && status < 307) throw new UnusableAnswer("it redirects a request that changes something");
      url = next;
    }
    throw new UnusableAnswer("it redirects too often");
  };
}

/**
 * The head of the answer. A connection that was kept may have been closed by the other side just now, and long ago
 * when a function was frozen meanwhile: nothing was received then, so the request goes out once more.
 */
async function send(url: URL, init: FetchInit): Promise<IncomingMessage> {
  for (;;) {
    const request = open(url, init);
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        request.once("response", resolve);
        request.once("error", reject);
        request.end(init.body);
      });
    } catch (error) {
      init.signal?.throwIfAborted();
      const wasClosed = error instanceof Error && "code" in error && error.code === "ECONNRESET";
      if (!wasClosed || !request.reusedSocket) throw error;
    }
  }
}

function open(url: URL, { method = "GET", headers = {}, body, signal }: FetchInit): ClientRequest {
  const request = url.protocol === "https:" ? httpsRequest : httpRequest;
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  return request(url, {
    method,
    headers: { ...headers, ...length },
    ...(signal !== undefined && { signal }),
  });
}

async function readBody(
  response: IncomingMessage,
  limitBytes: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limitBytes) throw new UnusableAnswer(`it has more than ${limitBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    // The stream only says that it was cut off; the signal says why.
    signal?.throwIfAborted();
    throw error;
  }
  return Buffer.concat(chunks, size);
}

function answerOf(url: URL, response: IncomingMessage, body: Buffer): FetchAnswer {
  const headers = Object.entries(response.headers).map(
    ([name, value]) => [name, Array.isArray(value) ? value.join(", ") : (value ?? "")] as const,
  );
  return {
    status: response.statusCode ?? 0,
    statusText: response.statusMessage ?? "",
    url: url.href,
    headers: new Map(headers),
    text: () => Promise.resolve(body.toString("utf8")),
    arrayBuffer: () => Promise.resolve(new Uint8Array(body).buffer),
  };
}
