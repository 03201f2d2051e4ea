import {
  answerLambdaRequest,
  type LambdaHttpAnswer,
  type LambdaHttpEvent,
} from "../../adapters/http/lambda.ts";
import { createRouter } from "../../adapters/http/router.ts";
import { rememberHistory } from "../../adapters/store/remembered-history.ts";
import { readStatus } from "../../flow/status.ts";
import { readRoutes } from "../routes/read-routes.ts";
import { announcing } from "./announced.ts";
import { once } from "./once.ts";
import { openBasics, openSecrets, openStore, openWork } from "./wiring.ts";
import { openImages } from "./wiring-images.ts";

const listLimit = 500;

const open = once(() => {
  const basics = openBasics();
  const { policy, version } = basics.document;
  const ports = {
    ...basics.ports,
    // Whoever keeps the page open asks for the last hour again and again.
    store: rememberHistory(openStore(basics), basics.ports.clock),
    work: openWork(basics),
    secrets: openSecrets(basics, ["status-token"]),
    ...openImages(basics),
    // It never asks GitHub; how much of the budget is left is among the metrics.
    github: { budgets: () => [] },
  };
  const routes = readRoutes({
    ports,
    policy,
    readStatus: () => readStatus(ports, policy, { version, problems: [], listLimit }),
    tokenConfigured: true,
  });
  return { log: basics.ports.log, ...createRouter(routes) };
});

/** Stage **status**: what runs, why a job waits, what it cost; and the end of a machine, where an operator asks. */
export const handler = announcing(async (event: LambdaHttpEvent): Promise<LambdaHttpAnswer> => {
  return answerLambdaRequest(event, open());
});
