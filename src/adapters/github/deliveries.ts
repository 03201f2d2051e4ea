import type { Delivery, Github } from "../../ports/github.ts";
import { fields, instant, isId } from "./answer.ts";
import type { GithubClient } from "./client.ts";
import { deliveryGoneError } from "./errors.ts";

/** The part of the port that is about the deliveries of the App's webhook. */
export function createDeliveryRequests(client: GithubClient): Pick<Github, "listDeliveries" | "redeliver"> {
  return {
    async listDeliveries(sinceInstant) {
      // GitHub gives whole seconds, so what happened later in that second looks earlier.
      const since = Math.floor(sinceInstant / 1000) * 1000;
      const deliveries = await client.pages({
        what: "list the deliveries of the App's webhook",
        caller: "app",
        priority: "sweep",
        method: "GET",
        endpoint: "/app/hook/deliveries",
        parameters: {},
        read: readDeliveries,
        pagesLimit: 100,
        enough: (items) => (items.at(-1)?.deliveredAt ?? since) < since,
      });
      return deliveries.filter((delivery) => delivery.deliveredAt >= since);
    },

    async redeliver(deliveryId) {
      const { status } = await client.call({
        what: `send the delivery ${deliveryId} again`,
        caller: "app",
        priority: "sweep",
        method: "POST",
        endpoint: "/app/hook/deliveries/{delivery_id}/attempts",
        parameters: { delivery_id: deliveryId },
        accept: [404],
      });
      if (status === 404) throw deliveryGoneError(deliveryId);
    },
  };
}

function readDeliveries(data: unknown): readonly Delivery[] | undefined {
  if (!Array.isArray(data)) return undefined;
  const deliveries: Delivery[] = [];
  for (const entry of data) {
    const delivery = fields(entry);
    const deliveredAt = instant(delivery?.delivered_at);
    if (delivery === undefined || deliveredAt === undefined) return undefined;
    const { id, guid, event, status_code: status } = delivery;
    if (!isId(id) || typeof guid !== "string" || typeof event !== "string") return undefined;
    const succeeded = typeof status === "number" && status >= 200 && status <= 299;
    deliveries.push({ id, guid, deliveredAt, succeeded, event });
  }
  return deliveries;
}
