import type { Route } from "../../adapters/http/router.ts";
import type { Policy } from "../../core/model.ts";
import { receiveDelivery } from "../../flow/webhook.ts";

/** GitHub sends at most so much. */
const bodyLimitBytes = 25_000_000;

/** Where GitHub delivers to. */
export function webhookRoute(
  ports: Parameters<typeof receiveDelivery>[0],
  readPolicy: () => Promise<Policy>,
): Route {
  return {
    method: "POST",
    path: "/webhook",
    bodyLimitBytes,
    async handle(request) {
      const { status, text } = await receiveDelivery(ports, await readPolicy(), request);
      return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body: `${text}\n` };
    },
  };
}
