import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { checkAppToken } from "./app-authentication.ts";
import type { HttpReply } from "./http-exchange.ts";
import { findToken, tokenAllows } from "./model-installations.ts";
import { type RatedRequest, secondaryLimit } from "./model-rate-limits.ts";
import type { InstallationToken } from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";
import type { Call, EmulatorContext, Route } from "./route.ts";
import { actionsRoutes } from "./routes-actions.ts";
import { appRoutes, callerOf } from "./routes-app.ts";
import { controlRoutes } from "./routes-control.ts";
import { manifestRoutes } from "./routes-manifest.ts";
import { runnerRoutes } from "./routes-runners.ts";
import { workflowRoutes } from "./routes-workflows.ts";

/**
 * Answers one request of the API, as GitHub orders its checks:
 *
 *   route (404) → credentials (401) → permission (403) → rate limits (403, 429) → body (400) → the operation
 *
 * `concurrentRequests` counts this one and those of the same caller that are not answered yet.
 * The control surface under `/_emulator` is open to everyone on this machine and knows no faults.
 */
export function answerApiRequest(
  context: EmulatorContext,
  request: IncomingMessage,
  body: Buffer | undefined,
  concurrentRequests: number,
): HttpReply {
  const url = new URL(request.url ?? "/", context.addresses.api);
  const path = url.pathname.replace(/^\/api\/v3(?=\/)/, "");
  let headers: Readonly<Record<string, string>> = {};
  try {
    const { route, parameters } = findRoute(request.method ?? "GET", path);
    if (path.startsWith("/_emulator/")) {
      return route.handle(callOf(context, url, parameters, parseBody(request, body), undefined));
    }
    const token = authenticate(context, route, request);
    refuseCrowd(context, concurrentRequests);
    const rated = ratedRequest(context, route, token);
    headers = context.model.admitRequest(context.now(), rated);
    const fault = context.model.drawRequestFault();
    if (fault === "error") return { status: 502, body: { message: "Server Error" }, headers };
    const reply = route.handle(callOf(context, url, parameters, parseBody(request, body), token));
    if (fault === "answer-lost") return { ...reply, isLost: true };
    return conditional(context, request, rated, { ...reply, headers: { ...headers, ...reply.headers } });
  } catch (error) {
    return refusalReply(error, headers);
  }
}

const allRoutes: readonly Route[] = [
  ...appRoutes,
  ...manifestRoutes,
  ...runnerRoutes,
  ...actionsRoutes,
  ...workflowRoutes,
  ...controlRoutes,
];

const compiledRoutes = allRoutes.map((route) => ({ route, segments: route.path.split("/") }));

function findRoute(
  method: string,
  path: string,
): { readonly route: Route; readonly parameters: Readonly<Record<string, string>> } {
  const segments = path.split("/");
  for (const { route, segments: pattern } of compiledRoutes) {
    if (route.method !== method || pattern.length !== segments.length) continue;
    const parameters = matchSegments(pattern, segments);
    if (parameters !== undefined) return { route, parameters };
  }
  throw notFound();
}

function matchSegments(
  pattern: readonly string[],
  segments: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const parameters: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const segment = segments[index] ?? "";
    if (expected.startsWith("{")) {
      if (segment === "") return undefined;
      parameters[expected.slice(1, -1)] = decode(segment);
    } else if (expected !== segment) return undefined;
  }
  return parameters;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw notFound();
  }
}

function callOf(
  context: EmulatorContext,
  url: URL,
  parameters: Readonly<Record<string, string>>,
  body: unknown,
  token: InstallationToken | undefined,
): Call {
  return { context, now: context.now(), url, parameters, body, token };
}

/** The installation token of the caller, undefined for the App itself; refuses everyone else. */
function authenticate(
  context: EmulatorContext,
  route: Route,
  request: IncomingMessage,
): InstallationToken | undefined {
  const credential = /^(?:bearer|token) (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (route.access === "anyone" && credential === undefined) return undefined;
  if (credential === undefined) throw new GithubRefusal(401, "Requires authentication");
  if (credential.startsWith("ghs_")) {
    const token = findToken(context.state, context.now(), credential);
    if (token === undefined) throw new GithubRefusal(401, "Bad credentials");
    if (route.access === "app") {
      throw new GithubRefusal(401, "A JSON web token could not be decoded");
    }
    checkPermission(route, token);
    return token;
  }
  if (route.access === "installation") throw new GithubRefusal(401, "Bad credentials");
  const { appPublicKey, state } = context;
  checkAppToken(credential, appPublicKey, state.app.id, context.now());
  return undefined;
}

function checkPermission(route: Route, token: InstallationToken): void {
  const { permission } = route;
  if (permission === undefined || tokenAllows(token, permission.name, permission.level)) return;
  throw new GithubRefusal(403, "Resource not accessible by integration", {
    "x-accepted-github-permissions": `${permission.name}=${permission.level}`,
  });
}

function ratedRequest(
  context: EmulatorContext,
  route: Route,
  token: InstallationToken | undefined,
): RatedRequest {
  return {
    caller: callerOf({ context, token }),
    resource: route.resource ?? "core",
    method: route.method,
    endpoint: route.path,
    isFree: route.isFreeOfPrimaryLimit ?? false,
  };
}

/** No caller may have more than 100 requests going at the same time. */
function refuseCrowd(context: EmulatorContext, concurrentRequests: number): void {
  const { limits } = context.state;
  if (!limits.rateLimitsEnabled || concurrentRequests <= limits.concurrentRequests) return;
  throw secondaryLimit(context.state, 60);
}

function parseBody(request: IncomingMessage, body: Buffer | undefined): unknown {
  if (body === undefined) throw new GithubRefusal(413, "Request body too large");
  if (body.length === 0) return undefined;
  if (request.headers["content-type"]?.startsWith("application/x-www-form-urlencoded") === true) {
    return Object.fromEntries(new URLSearchParams(body.toString("utf8")));
  }
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new GithubRefusal(400, "Problems parsing JSON");
  }
}

/** A document that the caller already has is answered with 304, which costs nothing. */
function conditional(
  context: EmulatorContext,
  request: IncomingMessage,
  rated: RatedRequest,
  reply: HttpReply,
): HttpReply {
  if (request.method !== "GET" || reply.status !== 200) return reply;
  const digest = createHash("sha256").update(JSON.stringify(reply.body)).digest("hex");
  const etag = `W/"${digest}"`;
  if (request.headers["if-none-match"] !== etag) return { ...reply, headers: { ...reply.headers, etag } };
  return { status: 304, headers: { ...context.model.refundRequest(context.now(), rated), etag } };
}

function refusalReply(error: unknown, headers: Readonly<Record<string, string>>): HttpReply {
  if (!(error instanceof GithubRefusal)) throw error;
  const body = {
    message: error.message,
    documentation_url: "https://docs.github.com/rest",
    status: String(error.status),
  };
  return { status: error.status, body, headers: { ...headers, ...error.headers } };
}
