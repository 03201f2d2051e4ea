import type { HttpHandler, HttpRequest, HttpResponse } from "../../ports/http.ts";
import { refusal } from "./refusal.ts";

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Segments that start with a colon are parameters: `/api/jobs/:id`. A parameter is never empty. */
  readonly path: string;
  /** The largest body that this route takes. Without it: 64 KiB. */
  readonly bodyLimitBytes?: number;
  readonly handle: RouteHandler;
}

/** Parameters are percent-decoded. */
export type RouteHandler = (
  request: HttpRequest,
  parameters: Readonly<Record<string, string>>,
) => HttpResponse | Promise<HttpResponse>;

export interface Router {
  readonly handle: HttpHandler;
  /** For the server's limit of the same name: what the routes of this path take at most. */
  readonly bodyLimitBytes: (path: string) => number;
}

/**
 * Answers from a table of routes. An unknown path gets 404; a known path with a method that no route has gets 405
 * with `Allow`; `HEAD` goes to the route of `GET`. A parameter that is not percent-encoded properly gets 400.
 *
 * Every answer gets the headers below unless it has its own, so that no route can forget them.
 */
export function createRouter(routes: readonly Route[]): Router {
  const table = readTable(routes);

  return {
    async handle(request) {
      const match = findPath(table, request.path);
      if (match === undefined) {
        const next = "Check the path; GET / shows the status page.";
        return secured(refusal(404, "There is nothing at this path.", next));
      }
      const route = match.path.byMethod.get(request.method === "HEAD" ? "GET" : request.method);
      if (route === undefined) return secured(methodNotAllowed(match.path));
      const parameters = readParameters(match);
      if (parameters === undefined) {
        const next = "Send every % as part of a %XX sequence.";
        return secured(refusal(400, "The path is not percent-encoded properly.", next));
      }
      return secured(await route.handle(request, parameters));
    },
    bodyLimitBytes: (path) => findPath(table, path)?.path.bodyLimitBytes ?? defaultBodyLimitBytes,
  };
}

const defaultBodyLimitBytes = 64 * 1024;

const securityHeaders = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

interface Path {
  readonly segments: readonly string[];
  readonly hasParameters: boolean;
  readonly byMethod: ReadonlyMap<string, Route>;
  readonly bodyLimitBytes: number;
}

interface Table {
  readonly exact: ReadonlyMap<string, Path>;
  readonly patterns: readonly Path[];
}

interface Match {
  readonly path: Path;
  readonly segments: readonly string[];
}

const noSegments: readonly string[] = [];
const noParameters = {};

function readTable(routes: readonly Route[]): Table {
  const exact = new Map<string, Path>();
  const patterns: Path[] = [];
  for (const [path, group] of Map.groupBy(routes, (route) => route.path)) {
    const segments = path.split("/");
    const hasParameters = segments.some((segment) => segment.startsWith(":"));
    const byMethod = new Map(group.map((route) => [route.method, route]));
    const limits = group.map((route) => route.bodyLimitBytes ?? defaultBodyLimitBytes);
    const entry = { segments, hasParameters, byMethod, bodyLimitBytes: Math.max(...limits) };
    if (hasParameters) patterns.push(entry);
    else exact.set(path, entry);
  }
  return { exact, patterns };
}

function findPath(table: Table, path: string): Match | undefined {
  const exact = table.exact.get(path);
  if (exact !== undefined) return { path: exact, segments: noSegments };
  const segments = path.split("/");
  const pattern = table.patterns.find((candidate) => matches(candidate.segments, segments));
  return pattern === undefined ? undefined : { path: pattern, segments };
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false;
  return pattern.every((part, index) => {
    const segment = segments[index];
    return part.startsWith(":") ? segment !== "" : segment === part;
  });
}

/** Absent when a parameter is not percent-encoded properly. */
function readParameters(match: Match): Readonly<Record<string, string>> | undefined {
  if (!match.path.hasParameters) return noParameters;
  const parameters: Record<string, string> = {};
  for (const [index, part] of match.path.segments.entries()) {
    if (!part.startsWith(":")) continue;
    const value = percentDecoded(match.segments[index] ?? "");
    if (value === undefined) return undefined;
    parameters[part.slice(1)] = value;
  }
  return parameters;
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

function methodNotAllowed(path: Path): HttpResponse {
  const methods = [...path.byMethod.keys()];
  if (methods.includes("GET")) methods.push("HEAD");
  const allow = methods.join(", ");
  const error = "This path does not take that method.";
  return refusal(405, error, `Use ${methods.join(" or ")}.`, { allow });
}

function secured(response: HttpResponse): HttpResponse {
  return { ...response, headers: { ...securityHeaders, ...response.headers } };
}
