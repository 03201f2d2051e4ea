import { request } from "node:http";
import { request as requestSecurely } from "node:https";
import type { DocumentSource } from "./document-source.ts";
import type { DeliveryOutcome } from "./model-deliveries.ts";
import type { Delivery } from "./model-state.ts";
import { webhookHeaders, webhookPayload } from "./webhook-payload.ts";

export interface WebhookTarget {
  readonly url: string;
  readonly secret: string;
}

/**
 * Sends a delivery once and tells how it went. Any answer with a 2xx status is a success; no answer within the
 * time limit is a failure, as is a receiver that cannot be reached. Never rejects.
 */
export function deliverWebhook(
  source: DocumentSource,
  delivery: Delivery,
  target: WebhookTarget | undefined,
  timeoutSeconds: number,
): Promise<DeliveryOutcome> {
  const startedAt = performance.now();
  const outcome = (statusCode: number, status: string): DeliveryOutcome => ({
    statusCode,
    status,
    durationSeconds: Math.round(performance.now() - startedAt) / 1000,
  });
  if (target === undefined) return Promise.resolve(outcome(502, "failed to connect to host"));
  const body = Buffer.from(JSON.stringify(webhookPayload(source, delivery)));
  const headers = {
    ...webhookHeaders(source, delivery, body, target.secret),
    "content-length": String(body.length),
  };
  const send = target.url.startsWith("https:") ? requestSecurely : request;
  return new Promise((resolve) => {
    const outgoing = send(target.url, { method: "POST", headers }, (response) => {
      const code = response.statusCode ?? 500;
      response.resume();
      response.once("close", () => {
        resolve(outcome(code, code >= 200 && code < 300 ? "OK" : `Invalid HTTP Response: ${code}`));
      });
    });
    const timeout = setTimeout(() => {
      resolve(outcome(504, "timed out"));
      outgoing.destroy();
    }, timeoutSeconds * 1000);
    outgoing.once("close", () => clearTimeout(timeout));
    outgoing.once("error", () => resolve(outcome(502, "failed to connect to host")));
    outgoing.end(body);
  });
}
