import type { IncomingMessage, ServerResponse } from "node:http";

/** What an HTTP request is answered with. */
export interface HttpReply {
  readonly status: number;
  /** JSON; absent for an empty answer. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection is closed instead: the caller never learns what happened. */
  readonly isLost?: boolean;
}

const bodyLimitBytes = 2 * 1024 * 1024;

/** The bytes of a request, or undefined when they are more than anybody needs. */
export async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= bodyLimitBytes) chunks.push(chunk);
  }
  return bytes > bodyLimitBytes ? undefined : Buffer.concat(chunks);
}

/** Sends the reply as JSON, unless the connection is gone. */
export function sendReply(response: ServerResponse, reply: HttpReply): void {
  if (response.headersSent || response.destroyed) return;
  const text = reply.body === undefined ? "" : JSON.stringify(reply.body);
  response.writeHead(reply.status, {
    ...(text === "" ? {} : { "content-type": "application/json; charset=utf-8" }),
    ...(reply.status === 204 || reply.status === 304 ? {} : { "content-length": Buffer.byteLength(text) }),
    ...reply.headers,
  });
  response.end(text);
}
