import {
  answerLambdaRequest,
  type LambdaHttpAnswer,
  type LambdaHttpEvent,
} from "../../adapters/http/lambda.ts";
import { createRouter } from "../../adapters/http/router.ts";
import type { RawDelivery } from "../../core/webhook.ts";
import { receiveDelivery } from "../../flow/webhook.ts";
import { webhookRoute } from "../routes/webhook-route.ts";
import { announcing } from "./announced.ts";
import { type BusEvent, isBusEvent, receiveBusDelivery } from "./bus-delivery.ts";
import { once } from "./once.ts";
import { openBasics, openEvents, openPolicy, openSecrets, openStore, openWork } from "./wiring.ts";

const open = once(() => {
  const basics = openBasics();
  const ports = {
    ...basics.ports,
    store: openStore(basics),
    work: openWork(basics),
    lifecycle: openEvents(basics),
    // Whoever finds a hole in this function, which anybody may call, finds no other secret behind it.
    secrets: openSecrets(basics, ["webhook-secret"]),
  };
  const readPolicy = openPolicy(basics);
  return {
    log: basics.ports.log,
    ...createRouter([webhookRoute(ports, readPolicy)]),
    receive: async (delivery: RawDelivery) => receiveDelivery(ports, await readPolicy(), delivery),
  };
});

/**
 * Stage **webhook**: GitHub's deliveries, from the HTTP API, or from a rule of a bus of EventBridge. The bus is no proof of
 * anything: a delivery is believed for its signature alone, whichever way it came.
 */
export const handler = announcing(
  async (event: LambdaHttpEvent | BusEvent): Promise<LambdaHttpAnswer | undefined> => {
    const server = open();
    if (!isBusEvent(event)) return answerLambdaRequest(event, server);
    await receiveBusDelivery(event, server);
    return undefined;
  },
);
