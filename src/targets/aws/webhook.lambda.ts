import {
  answerLambdaRequest,
  type LambdaHttpAnswer,
  type LambdaHttpEvent,
} from "../../adapters/http/lambda.ts";
import { createRouter } from "../../adapters/http/router.ts";
import { webhookRoute } from "../routes/webhook-route.ts";
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
  return { log: basics.ports.log, ...createRouter([webhookRoute(ports, openPolicy(basics))]) };
});

/** Stage **webhook**: GitHub's deliveries, from the HTTP API. */
export function handler(event: LambdaHttpEvent): Promise<LambdaHttpAnswer> {
  return answerLambdaRequest(event, open());
}
