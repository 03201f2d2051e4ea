import { jsonResponse, refusal } from "../../adapters/http/refusal.ts";
import type { Route } from "../../adapters/http/router.ts";
import type { Architecture, Policy } from "../../core/model.ts";
import { iso } from "../../core/status.ts";
import { orderImage, readImageLog } from "../../flow/images.ts";
import { readImagesNow } from "../../flow/status.ts";
import type { HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Ports as AllPorts } from "../../ports/ports.ts";
import { forged, mayBeForged } from "./guard.ts";

type Ports = Pick<AllPorts, "store" | "work" | "images" | "clock" | "log">;

/** Images that are made of others: reading them, and ordering one. Whoever uses them guards them. */
export function imageRoutes(ports: Ports, policy: Policy): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/api/images",
      handle: async () => jsonResponse(200, { images: await readImagesNow(ports, policy) }),
    },
    {
      method: "GET",
      path: "/api/images/log",
      handle: (request) => answerLog(ports, policy, request),
    },
    {
      method: "POST",
      path: "/api/images/build",
      handle: (request) => answerOrder(ports, policy, request),
    },
  ];
}

const linesLimit = 1_000;

async function answerLog(ports: Ports, policy: Policy, request: HttpRequest): Promise<HttpResponse> {
  const query = new URLSearchParams(request.query);
  const asked = Number(query.get("lines") ?? "100");
  const lines = Number.isInteger(asked) && asked > 0 ? Math.min(asked, linesLimit) : 100;
  const architecture = architectureIn(query.get("architecture"));
  const order = { base: query.get("base") ?? "", ...(architecture && { architecture }), lines };
  const answer = await readImageLog(ports, policy, order);
  return "because" in answer ? refusal(404, answer.because, answer.next) : jsonResponse(200, answer);
}

async function answerOrder(ports: Ports, policy: Policy, request: HttpRequest): Promise<HttpResponse> {
  if (mayBeForged(request)) return forged;
  const order = readOrder(request.body);
  if (order === undefined) {
    const next = 'Send {"base": "<reference>", "architecture": "x86_64" or "arm64", "anew": true or false}.';
    return refusal(400, "The body names no image.", next);
  }
  const answer = await orderImage(ports, policy, order);
  if (answer.kind === "refused") return refusal(422, answer.because, answer.next);
  const { kind: result, base, architecture } = answer;
  return jsonResponse(200, { result, base, architecture, at: iso(ports.clock.now()) });
}

function readOrder(body: Uint8Array): Parameters<typeof orderImage>[2] | undefined {
  const value = parseJson(new TextDecoder().decode(body));
  if (typeof value !== "object" || value === null) return undefined;
  const { base, architecture, anew } = value as Readonly<Record<string, unknown>>;
  if (typeof base !== "string" || typeof anew !== "boolean") return undefined;
  const known = architectureIn(architecture);
  if (architecture !== undefined && known === undefined) return undefined;
  return { base, anew, ...(known && { architecture: known }) };
}

function architectureIn(value: unknown): Architecture | undefined {
  return value === "x86_64" || value === "arm64" ? value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Not JSON: the caller says so.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
