/**
 * HTTP, reduced to what the handlers need, so that the same handlers answer behind node:http and behind the
 * HTTP front of a cloud function.
 *
 * Contract, for every adapter:
 * - A handler is called only with a complete request: a body that was cut off, that passes the limit or that
 *   came too slowly never reaches it.
 * - A handler that throws is answered with 500 and a sentence without details; the error goes to the log.
 * - `HEAD` reaches the handler as `HEAD`; the adapter leaves out the body of the answer, not its length.
 */
export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

export interface HttpRequest {
  /** In capitals. */
  readonly method: string;
  /** As it was sent, still percent-encoded, without the query. */
  readonly path: string;
  /** What follows the `?`, still encoded; empty when there is none. Read it with `URLSearchParams`. */
  readonly query: string;
  /** Names in lower case. A header that came twice holds both values, separated by a comma. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The very bytes that were sent, because signatures are made over bytes. */
  readonly body: Uint8Array;
  /** The other end of the connection, which may be a proxy. Empty when it is gone already. */
  readonly remoteAddress: string;
  /**
   * Who signed the request, where whatever stands in front has verified that. Set by adapters whose front does so,
   * from what the front says beside the request, never from a header: anybody may send those.
   */
  readonly caller?: string;
}

/** Has a `body`, a `stream` or neither. The length of the body is set by the adapter. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly stream?: HttpStream;
}

/**
 * Writes an answer that goes on, for example server-sent events, and returns when it is complete.
 *
 * `write` resolves when the reader has room for more; a stream that does not wait for it has no bound on memory.
 * `signal` aborts when the reader has gone or the server stops; from then on `write` does nothing, and the stream
 * returns soon. A stream writes something at least every 30 seconds, or it is taken for idle and cut off.
 */
export type HttpStream = (write: HttpWrite, signal: AbortSignal) => Promise<void>;

export type HttpWrite = (chunk: string | Uint8Array) => Promise<void>;
