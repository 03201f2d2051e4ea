import type { HttpHandler, HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Log } from "../../ports/log.ts";
import { failureRefusal, refusal, tooLargeRefusal } from "./refusal.ts";

/** What is used of the event of an HTTP API (payload format 2.0); a function URL sends the same. */
export interface LambdaHttpEvent {
  readonly rawPath?: string;
  readonly rawQueryString?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
  readonly isBase64Encoded?: boolean;
  readonly requestContext?: {
    readonly stage?: string;
    readonly http?: { readonly method?: string; readonly sourceIp?: string };
    /** Present only where the route has the IAM authorizer, which has verified the signature then. */
    readonly authorizer?: { readonly iam?: { readonly userArn?: string | null } | null };
  };
}

export interface LambdaHttpAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly isBase64Encoded?: boolean;
}

export interface LambdaHttpOptions {
  readonly handle: HttpHandler;
  readonly log: Log;
  /** The largest body that a path takes. The front itself takes 10 MB. */
  readonly bodyLimitBytes: (path: string) => number;
}

/**
 * One request of an HTTP API. Never rejects: the front would answer with an error of its own, without a sentence.
 * Who signed the request is taken from what the authorizer says beside it. Answers that go on are not possible here.
 */
export async function answerLambdaRequest(
  event: LambdaHttpEvent,
  options: LambdaHttpOptions,
): Promise<LambdaHttpAnswer> {
  const log = options.log.with({ stage: "http" });
  const request = toRequest(event);
  if (request === undefined) return toAnswer(noRequestRefusal, "POST");
  const limitBytes = options.bodyLimitBytes(request.path);
  if (request.body.byteLength > limitBytes) return toAnswer(tooLargeRefusal(limitBytes), request.method);
  try {
    return toAnswer(await options.handle(request), request.method);
  } catch (error) {
    log.error("A request could not be handled", { error, method: request.method, path: request.path });
    return toAnswer(failureRefusal, request.method);
  }
}

const noRequestRefusal = refusal(
  400,
  "This is no request of an HTTP API with the payload format 2.0.",
  "Invoke the function through its API.",
);

function toRequest(event: LambdaHttpEvent): HttpRequest | undefined {
  const { http, stage, authorizer } = event.requestContext ?? {};
  if (http?.method === undefined || event.rawPath === undefined) return undefined;
  const caller = authorizer?.iam?.userArn;
  return {
    method: http.method.toUpperCase(),
    path: withoutStage(event.rawPath, stage),
    query: event.rawQueryString ?? "",
    headers: lowerCased(event.headers ?? {}),
    body: Buffer.from(event.body ?? "", event.isBase64Encoded === true ? "base64" : "utf8"),
    remoteAddress: http.sourceIp ?? "",
    ...(typeof caller === "string" && { caller }),
  };
}

/** A stage with a name stands before every path; the default one does not. */
function withoutStage(path: string, stage: string | undefined): string {
  if (stage === undefined || stage === "$default" || !path.startsWith(`/${stage}/`)) return path;
  return path.slice(stage.length + 1);
}

function lowerCased(headers: Readonly<Record<string, string | undefined>>): HttpRequest["headers"] {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function toAnswer(response: HttpResponse, method: string): LambdaHttpAnswer {
  if (response.stream !== undefined) throw new Error("A function cannot answer with a stream.");
  const { status: statusCode, headers, body } = response;
  if (body === undefined || method === "HEAD") return { statusCode, headers };
  if (typeof body === "string") return { statusCode, headers, body };
  return { statusCode, headers, body: Buffer.from(body).toString("base64"), isBase64Encoded: true };
}
