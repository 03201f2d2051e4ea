import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { HttpResponse, HttpStream } from "../../ports/http.ts";
import type { Log } from "../../ports/log.ts";

export interface AnswerContext {
  readonly log: Log;
  readonly limits: { readonly idleTimeoutSeconds: number };
  /** Aborts when the server closes. */
  readonly closing: AbortController;
}

/** Writes the answer. Resolves when a stream has ended; a body may still be on its way. */
export async function answer(
  response: ServerResponse,
  content: HttpResponse,
  context: AnswerContext,
): Promise<void> {
  if (response.destroyed) return;
  if (content.stream !== undefined) {
    response.writeHead(content.status, headerList(content, undefined));
    if (response.req.method === "HEAD") response.end();
    else await stream(response, content.stream, context);
    return;
  }
  writeWhole(response, content);
  boundReading(response, context.limits.idleTimeoutSeconds);
}

/**
 * Refuses a request whose body has not been read to its end. The answer is sent at once; the connection is closed
 * only when the client has stopped sending or a second has passed, because closing it on unread bytes makes the
 * client's system throw the answer away.
 */
export function answerAndDrain(response: ServerResponse, content: HttpResponse): void {
  if (response.destroyed) return;
  response.shouldKeepAlive = false;
  response.writeHead(content.status, headerList(content, lengthOf(content.body)));
  if (response.req.method !== "HEAD" && content.body !== undefined) response.write(content.body);
  else response.flushHeaders();
  if (response.req.readableEnded) {
    response.end();
    return;
  }
  const finish = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(finish, lingerMilliseconds);
  response.req.once("end", finish);
  response.req.once("close", finish);
  response.req.resume();
}

/** The same for bytes that are no request, so that there is no response object to write to. */
export function refuseConnection(socket: Socket, content: HttpResponse): void {
  const lines = [`HTTP/1.1 ${content.status} ${STATUS_CODES[content.status] ?? ""}`, "Connection: close"];
  for (const [name, value] of Object.entries(content.headers)) lines.push(`${name}: ${value}`);
  lines.push(`Content-Length: ${lengthOf(content.body)}`, "", String(content.body ?? ""));
  socket.end(lines.join("\r\n"));
  const timer = setTimeout(() => socket.destroy(), lingerMilliseconds);
  socket.once("end", () => socket.destroy());
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
}

const lingerMilliseconds = 1000;

function writeWhole(response: ServerResponse, content: HttpResponse): void {
  const { status, body } = content;
  const hasNoBody = status === 204 || status === 304;
  response.writeHead(status, headerList(content, hasNoBody ? undefined : lengthOf(body)));
  if (hasNoBody || body === undefined || response.req.method === "HEAD") response.end();
  else response.end(body);
}

/** A reader that takes one byte now and then is never idle, and would hold its connection for ever. */
function boundReading(response: ServerResponse, seconds: number): void {
  const { socket } = response;
  if (socket === null || socket.writableLength === 0) return;
  const timer = setTimeout(() => socket.destroy(), seconds * 1000);
  response.once("close", () => clearTimeout(timer));
}

async function stream(response: ServerResponse, run: HttpStream, context: AnswerContext): Promise<void> {
  const { socket } = response;
  const reader = new AbortController();
  const stop = () => reader.abort();
  // Half-closed connections are kept for answers that end by themselves. This one does not: a reader that has
  // closed its side has gone.
  socket?.once("end", stop);
  response.once("close", stop);
  context.closing.signal.addEventListener("abort", stop, { once: true });
  if (context.closing.signal.aborted || socket?.readableEnded === true) stop();

  const write = (chunk: string | Uint8Array): Promise<void> => {
    if (reader.signal.aborted || response.write(chunk)) return Promise.resolve();
    return drained(response, reader.signal);
  };
  try {
    response.flushHeaders();
    await run(write, reader.signal);
  } catch (error) {
    // The reader sees a connection that breaks, not an answer that looks complete.
    response.destroy();
    if (!reader.signal.aborted) context.log.error("A stream failed", { error, path: response.req.url });
    else context.log.debug("A stream failed after its reader had gone", { error, path: response.req.url });
  } finally {
    socket?.off("end", stop);
    context.closing.signal.removeEventListener("abort", stop);
    response.end();
  }
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Names and values one after the other, which node writes without another copy. */
function headerList(content: HttpResponse, lengthBytes: number | undefined): string[] {
  const list: string[] = [];
  for (const name in content.headers) list.push(name, content.headers[name] ?? "");
  if (lengthBytes !== undefined) list.push("content-length", String(lengthBytes));
  return list;
}

function lengthOf(body: string | Uint8Array | undefined): number {
  if (body === undefined) return 0;
  return typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
}
