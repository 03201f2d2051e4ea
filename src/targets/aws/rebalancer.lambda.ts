import { type PreviousRound, rebalance } from "../../flow/rebalance.ts";
import { readMeasures } from "../../flow/status.ts";
import { announcing } from "./announced.ts";
import { metricsDocuments } from "./embedded-metrics.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { nextSpan, type Span } from "./measured-span.ts";
import { once } from "./once.ts";
import { metricsNamespace, openBasics, openPolicy, openStore, openWork } from "./wiring.ts";
import { openGithub } from "./wiring-github.ts";

const open = once(() => {
  const basics = openBasics();
  const ports = {
    ...basics.ports,
    store: openStore(basics),
    work: openWork(basics),
    github: openGithub(basics),
  };
  return { ports, readPolicy: openPolicy(basics), namespace: metricsNamespace(basics) };
});

/** For the pokes and the metrics, when GitHub has taken all the time of a round. */
const reserveMilliseconds = 10_000;

let previous: PreviousRound | "none" = "none";
let measured: Span | undefined;

/** Stage **rebalance**: demand and events that nobody told of; then the metrics of the minute before the last. */
export const handler = announcing(async (_event: unknown, context: LambdaContext): Promise<void> => {
  const { ports, readPolicy } = open();
  const until = ports.clock.now() + context.getRemainingTimeInMillis() - reserveMilliseconds;
  previous = await rebalance(ports, await readPolicy(), { previous, until });
  await publishMetrics();
});

async function publishMetrics(): Promise<void> {
  const { ports, namespace } = open();
  const span = nextSpan(measured, ports.clock.now());
  if (span === undefined) return;
  const measures = await readMeasures(ports, span);
  measured = span;
  if (measures === undefined) return;
  const budgets = ports.github.budgets();
  for (const document of metricsDocuments({ namespace, at: span.until, measures, budgets })) {
    // A line of the log by itself: CloudWatch takes the metrics from it.
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }
}
