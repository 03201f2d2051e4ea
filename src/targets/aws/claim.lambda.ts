import {
  answerLambdaRequest,
  type LambdaHttpAnswer,
  type LambdaHttpEvent,
} from "../../adapters/http/lambda.ts";
import { createRouter } from "../../adapters/http/router.ts";
import { machineRoutes } from "../routes/machine-routes.ts";
import { announcing } from "./announced.ts";
import { once } from "./once.ts";
import { openBasics, openEvents, openIdentity, openStore, openWork } from "./wiring.ts";
import { openGithub } from "./wiring-github.ts";

const open = once(() => {
  const basics = openBasics();
  const ports = {
    ...basics.ports,
    store: openStore(basics),
    work: openWork(basics),
    lifecycle: openEvents(basics),
    github: openGithub(basics),
    identity: openIdentity(basics),
  };
  return { log: basics.ports.log, ...createRouter(machineRoutes(ports, basics.document.policy)) };
});

/** Stages **claim** and **lifecycle**, from the machines' side: the HTTP API has verified who signed. */
export const handler = announcing(async (event: LambdaHttpEvent): Promise<LambdaHttpAnswer> => {
  return answerLambdaRequest(event, open());
});
