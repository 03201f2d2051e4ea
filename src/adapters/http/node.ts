import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { MayflyError } from "../../core/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Log } from "../../ports/log.ts";
import { answer, answerAndDrain, refuseConnection } from "./node-answer.ts";
import { type BodyBudget, readBody } from "./node-body.ts";
import { failureRefusal, refusal, tooLargeRefusal } from "./refusal.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0: the system chooses one; `url` tells which. */
  readonly port: number;
  readonly handle: HttpHandler;
  readonly log: Log;
  readonly limits?: Partial<HttpLimits>;
}

export interface HttpLimits {
  /** The largest body that a path takes. GitHub sends at most 25 MB. */
  readonly bodyLimitBytes: (path: string) => number;
  /** All bodies in memory at once; beyond it, requests with a body get 503. */
  readonly bodiesTotalBytes: number;
  /** Further connections are closed at once. */
  readonly connections: number;
  /** Requests between their first header and the end of their answer; further ones get 503. */
  readonly requestsUnderWay: number;
  /** From the connection, or from the first byte of a later request, to the last header. */
  readonly headersTimeoutSeconds: number;
  /** From the same instant to the last byte of the body. */
  readonly requestTimeoutSeconds: number;
  /** Without a byte in either direction while a request is under way. Also bounds the time of a handler. */
  readonly idleTimeoutSeconds: number;
  /** For the next request on the same connection. */
  readonly keepAliveSeconds: number;
  /** For the requests under way when the server is closed. */
  readonly closeGraceSeconds: number;
}

export interface HttpServer {
  /** Where it listens, without a slash at the end; `localhost` where it listens on every address. */
  readonly url: string;
  readonly port: number;
  /**
   * Accepts nothing more, lets the requests under way have their answers, ends the streams, and closes the
   * connections; what is not done after the grace time is cut off. Resolves when nothing is open. May be repeated.
   */
  close(): Promise<void>;
}

/**
 * Serves `handle` on node:http. Resolves when it listens; a port that is taken or not permitted is a `MayflyError`
 * of kind `operator`. Requests that are malformed, too large or too slow are answered here and never handled.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const limits = { ...defaultLimits, ...options.limits };
  const context = createContext(options, limits);
  const server = createServer(nodeOptions(limits), (request, response) => {
    void serve(context, request, response, false);
  });
  configure(server, context);
  await listen(server, options.host, options.port);
  server.on("error", (error) =>
    options.log.error("The HTTP server could not accept a connection", { error }),
  );

  let closed: Promise<void> | undefined;
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${hostInUrl(options.host)}:${port}`,
    port,
    close: () => {
      closed ??= close(server, context);
      return closed;
    },
  };
}

const defaultLimits: HttpLimits = {
  bodyLimitBytes: () => 25_000_000,
  bodiesTotalBytes: 256_000_000,
  connections: 2_000,
  requestsUnderWay: 1_000,
  headersTimeoutSeconds: 10,
  requestTimeoutSeconds: 30,
  idleTimeoutSeconds: 60,
  keepAliveSeconds: 30,
  closeGraceSeconds: 10,
};

interface Context {
  readonly handle: HttpHandler;
  readonly log: Log;
  readonly limits: HttpLimits;
  readonly bodies: BodyBudget;
  /** Requests whose answer has not left yet, in the order in which they came. */
  readonly underWay: Set<ServerResponse>;
  /** One shared listener instead of one closure per request. */
  readonly forget: (this: ServerResponse) => void;
  /** Aborts when the server closes; streams end then. */
  readonly closing: AbortController;
  dropped: number;
}

function createContext(options: HttpServerOptions, limits: HttpLimits): Context {
  const context: Context = {
    handle: options.handle,
    log: options.log.with({ stage: "http" }),
    limits,
    bodies: { usedBytes: 0, totalBytes: limits.bodiesTotalBytes },
    underWay: new Set(),
    forget() {
      context.underWay.delete(this);
    },
    closing: new AbortController(),
    dropped: 0,
  };
  return context;
}

function nodeOptions(limits: HttpLimits) {
  const headersTimeout = limits.headersTimeoutSeconds * 1000;
  const requestTimeout = Math.max(limits.requestTimeoutSeconds * 1000, headersTimeout);
  return {
    headersTimeout,
    requestTimeout,
    keepAliveTimeout: limits.keepAliveSeconds * 1000,
    // Node looks for slow connections only so often; its default of 30 s would stretch every limit by as much.
    connectionsCheckingInterval: Math.min(1000, headersTimeout / 4),
    noDelay: true,
  };
}

function configure(server: Server, context: Context): void {
  server.maxConnections = context.limits.connections;
  server.setTimeout(context.limits.idleTimeoutSeconds * 1000);
  // A client may close its side after its request and still wants the answer. Node knows this property of the
  // server but not its type; without it, such a request is aborted.
  Object.assign(server, { httpAllowHalfOpen: true });

  server.on("checkContinue", (request, response) => void serve(context, request, response, true));
  server.on("checkExpectation", (_request, response: ServerResponse) => {
    answerAndDrain(response, expectationRefusal);
  });
  server.on("clientError", (error, socket) => {
    // The type says Duplex because of TLS; here it is always a socket.
    refuseMalformed(context, error, socket as Socket);
  });
  server.on("drop", () => {
    // One line for a thousand, so that whoever floods the port does not flood the log too.
    if (context.dropped % 1000 === 0) {
      const dropped = context.dropped + 1;
      context.log.warn("Connections are refused because too many are open", { dropped });
    }
    context.dropped += 1;
  });
}

/** Never rejects: whatever happens is answered, or logged where nobody is left to be answered. */
async function serve(
  context: Context,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<void> {
  if (context.underWay.size >= context.limits.requestsUnderWay) return answerAndDrain(response, busyRefusal);
  context.underWay.add(response);
  response.on("close", context.forget);
  if (context.closing.signal.aborted) response.shouldKeepAlive = false;

  try {
    const target = splitTarget(request.url ?? "");
    if (target === undefined) return answerAndDrain(response, targetRefusal);
    const limitBytes = context.limits.bodyLimitBytes(target.path);
    const body = await readBody(request, expectsContinue ? response : undefined, limitBytes, context.bodies);
    if (body === "abandoned") return;
    if (body === "too-large") return answerAndDrain(response, tooLargeRefusal(limitBytes));
    if (body === "no-room") return answerAndDrain(response, busyRefusal);
    await answer(response, await handled(context, toRequest(request, target, body)), context);
  } catch (error) {
    context.log.error("An answer could not be written", { error, method: request.method, path: request.url });
    if (response.headersSent) response.destroy();
    else answerAndDrain(response, failureRefusal);
  }
}

async function handled(context: Context, request: HttpRequest): Promise<HttpResponse> {
  try {
    return await context.handle(request);
  } catch (error) {
    context.log.error("A request could not be handled", {
      error,
      method: request.method,
      path: request.path,
    });
    return failureRefusal;
  }
}

interface Target {
  readonly path: string;
  readonly query: string;
}

/** Absent when the target is neither a path nor an absolute URL, as proxies send it. */
function splitTarget(target: string): Target | undefined {
  if (!target.startsWith("/")) {
    const url = URL.parse(target);
    if (url === null || !url.protocol.startsWith("http")) return undefined;
    return { path: url.pathname, query: url.search.slice(1) };
  }
  const mark = target.indexOf("?");
  if (mark === -1) return { path: target, query: "" };
  return { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

function toRequest(request: IncomingMessage, target: Target, body: Uint8Array): HttpRequest {
  return {
    method: request.method ?? "GET",
    path: target.path,
    query: target.query,
    headers: plainHeaders(request),
    body,
    remoteAddress: request.socket.remoteAddress ?? "",
  };
}

/** Node joins repeated headers itself, with the one exception of a header that only servers send. */
function plainHeaders(request: IncomingMessage): HttpRequest["headers"] {
  const cookies = request.headers["set-cookie"];
  if (cookies === undefined) return request.headers as HttpRequest["headers"];
  return { ...request.headers, "set-cookie": cookies.join(", ") } as HttpRequest["headers"];
}

function refuseMalformed(context: Context, error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const pending = [...context.underWay].findLast((response) => response.socket === socket);
  if (pending?.req.complete === true) {
    // What came before on this connection was a proper request: it gets its answer, and then the end.
    pending.shouldKeepAlive = false;
    return;
  }
  if (pending?.headersSent === true) {
    socket.destroy();
    return;
  }
  refuseConnection(socket, connectionRefusal(error.code ?? ""));
}

function connectionRefusal(code: string): HttpResponse {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return refusal(408, "The request did not arrive in time.", "Send it again, without pauses.");
  }
  if (code === "HPE_HEADER_OVERFLOW") {
    return refusal(431, "The headers of the request are too large.", "Send fewer or shorter headers.");
  }
  return refusal(400, "This is not a proper HTTP request.", "Send a complete HTTP/1.1 request.");
}

const expectationRefusal = refusal(
  417,
  "The request expects something that this server does not do.",
  "Send the request without the Expect header.",
);

const busyRefusal = refusal(503, "Too many requests are under way.", "Send it again in a few seconds.", {
  "retry-after": "5",
});

const targetRefusal = refusal(
  400,
  "The request names neither a path nor a URL.",
  "Send a path that starts with a slash.",
);

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port));
    server.once("error", failed);
    server.listen({ host, port }, () => {
      server.removeListener("error", failed);
      resolve();
    });
  });
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): MayflyError {
  const operator = (code: string, message: string, suggestion: string) =>
    new MayflyError({ kind: "operator", code, message, suggestion, cause: error });
  const where = `${hostInUrl(host, host)}:${port}`;

  switch (error.code) {
    case "EADDRINUSE":
      return operator(
        "PORT_IN_USE",
        `Another program already listens on ${where}.`,
        "Stop that program, or choose another port.",
      );
    case "EACCES":
      return operator(
        "PORT_NOT_PERMITTED",
        `The system does not allow Mayfly to listen on ${where}.`,
        "Choose a port above 1023, or give Mayfly the right to use this one.",
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return operator(
        "HOST_NOT_AVAILABLE",
        `This machine has no address ${host} to listen on.`,
        "Use an address of this machine: 127.0.0.1 for itself only, 0.0.0.0 for every network.",
      );
    default:
      return operator(
        "LISTEN_FAILED",
        `Mayfly could not listen on ${where}: ${error.message}.`,
        "Check the host and the port in the configuration.",
      );
  }
}

function hostInUrl(host: string, anyAddress = "localhost"): string {
  if (host === "0.0.0.0" || host === "::") return anyAddress;
  return host.includes(":") ? `[${host}]` : host;
}

async function close(server: Server, context: Context): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  context.closing.abort();
  for (const response of context.underWay) response.shouldKeepAlive = false;

  const deadline = performance.now() + context.limits.closeGraceSeconds * 1000;
  while (context.underWay.size > 0 && performance.now() < deadline) await soon();
  if (context.underWay.size > 0) {
    context.log.warn("Requests were cut off because the server stops", { requests: context.underWay.size });
  }
  // What is left has sent no complete header: browsers, for example, connect long before they ask.
  server.closeAllConnections();
  await closed;
}

function soon(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10));
}
