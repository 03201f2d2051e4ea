import { refusal } from "../../adapters/http/refusal.ts";
import type { RouteHandler } from "../../adapters/http/router.ts";
import { isLoopbackHost } from "../../core/loopback.ts";
import { equalInConstantTime } from "../../core/secret.ts";
import type { HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Ports } from "../../ports/ports.ts";

export interface GuardOptions {
  readonly ports: Pick<Ports, "secrets">;
  /** Whether a token is configured. Without one, only this machine may read. */
  readonly tokenConfigured: boolean;
}

/**
 * Reading needs the status token. Only where none is configured, a request from this machine to this machine is
 * let through: its `Host` must be a loopback name, because a page elsewhere may point its own name here, and it
 * must not have come through a proxy, which would make everybody local.
 */
export function guard({ ports, tokenConfigured }: GuardOptions, handle: RouteHandler): RouteHandler {
  return async (request, parameters) => {
    if (tokenConfigured) {
      const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
      if (given === undefined) return needsToken("Reading needs the status token.");
      const tokens = await ports.secrets.read("status-token");
      let right = false;
      for (const token of tokens) if (equalInConstantTime(given, token.reveal())) right = true;
      if (!right) return needsToken("The status token is not right.");
    } else if (!isLocal(request)) {
      const next = "Set secrets.statusToken in the configuration to read from elsewhere.";
      return refusal(403, "Without a status token, only this machine may read.", next);
    }
    return handle(request, parameters);
  };
}

function needsToken(error: string): HttpResponse {
  const next = "Send it as Authorization: Bearer <token>.";
  return refusal(401, error, next, { "www-authenticate": "Bearer" });
}

const proxyHeaders = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

function isLocal(request: HttpRequest): boolean {
  const remote = request.remoteAddress.replace(/^::ffff:/, "");
  if (!isLoopbackHost(remote) || !isLoopbackHost(request.headers.host ?? "")) return false;
  return proxyHeaders.every((name) => request.headers[name] === undefined);
}

/** A page elsewhere cannot send this header without asking first, which is refused: no cross-site request changes anything. */
export function mayBeForged(request: HttpRequest): boolean {
  return request.headers["x-mayfly-request"] !== "1";
}

export const forged: HttpResponse = refusal(
  403,
  "The header X-Mayfly-Request is missing.",
  "Send X-Mayfly-Request: 1.",
);
