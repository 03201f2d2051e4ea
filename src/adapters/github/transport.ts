import { Octokit } from "@octokit/core";
import type { Log } from "../../ports/log.ts";
import type { Answer } from "./answer.ts";
import { createBoundedFetch, UnusableAnswer } from "./bounded-fetch.ts";
import { brokenAnswerError, type Purpose, unreachableError } from "./errors.ts";

export interface TransportOptions {
  readonly apiUrl: string;
  readonly userAgent: string;
  readonly log: Log;
  readonly timeoutSeconds: number;
  readonly responseLimitBytes: number;
}

interface TransportRequest extends Purpose {
  /** For example `GET /repos/{owner}/{repo}/actions/runs`. */
  readonly route: string;
  /** Fill the braces; what is left becomes the query or the JSON body. */
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * One HTTP exchange with GitHub. Every status is an answer; no answer in time is a `MayflyError` of kind `retry`.
 * The errors of the library carry the request with its credentials, so they end here.
 */
export type Transport = (request: TransportRequest) => Promise<Answer>;

export function createTransport(options: TransportOptions): Transport {
  const octokit = new Octokit({
    baseUrl: options.apiUrl,
    userAgent: options.userAgent,
    request: { fetch: createBoundedFetch(options) },
    log: {
      debug: () => undefined,
      info: () => undefined,
      warn: (detail: string) =>
        options.log.warn("A library warns about a request to GitHub.", { stage: "github", detail }),
      error: (detail: string) =>
        options.log.warn("A library warns about a request to GitHub.", { stage: "github", detail }),
    },
  });
  return async (request) => {
    try {
      const { status, headers, data } = await octokit.request(request.route, {
        ...request.parameters,
        headers: {
          accept: "application/vnd.github+json",
          "x-github-api-version": "2022-11-28",
          ...request.headers,
        },
        request: { signal: AbortSignal.timeout(options.timeoutSeconds * 1000) },
      });
      return { status, headers: textHeaders(headers), data };
    } catch (error) {
      return answerIn(error) ?? fail(error, request);
    }
  };
}

/** The library throws for every status from 300 on; the answer hangs on its error. */
function answerIn(error: unknown): Answer | undefined {
  if (!(error instanceof Error) || !("response" in error) || !("status" in error)) return undefined;
  const response = error.response as { headers?: Record<string, unknown>; data?: unknown } | undefined;
  if (response === undefined || typeof error.status !== "number") return undefined;
  return { status: error.status, headers: textHeaders(response.headers ?? {}), data: response.data };
}

function fail(error: unknown, purpose: Purpose): never {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof UnusableAnswer) throw brokenAnswerError(purpose, cause.message);
    if (cause.name === "TimeoutError" || cause.name === "AbortError")
      throw unreachableError(purpose, "timeout");
    if ("code" in cause && typeof cause.code === "string") throw unreachableError(purpose, cause.code);
  }
  throw unreachableError(purpose, "the connection failed");
}

function textHeaders(headers: Readonly<Record<string, unknown>>): Answer["headers"] {
  const texts = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)] as const);
  return Object.fromEntries(texts);
}
