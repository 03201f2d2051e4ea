import type { Poke } from "../../core/model.ts";
import { scaleUp } from "../../flow/scaleup.ts";
import { announcing } from "./announced.ts";
import { dealWithBatch, type SqsAnswer, type SqsEvent } from "./batch.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { readPoke } from "./messages.ts";
import { once } from "./once.ts";
import { openBasics, openPokes, openStore, openWork } from "./wiring.ts";
import { openComputes, openPrices } from "./wiring-compute.ts";
import { openGithub } from "./wiring-github.ts";
import { openImages } from "./wiring-images.ts";

const open = once(() => {
  const basics = openBasics();
  const ports = {
    ...basics.ports,
    store: openStore(basics),
    work: openWork(basics),
    github: openGithub(basics),
    compute: openComputes(basics),
    ...openImages(basics),
    prices: openPrices(basics),
    // An instance proves by its role who it is.
    identity: { issue: () => undefined },
  };
  return { ports, policy: basics.document.policy, queue: openPokes(basics, "scaleup") };
});

/** A launch that EC2 takes its time for, and writing down what came of it. */
const reserveMilliseconds = 25_000;

/** Stage **scaleup**: one look at each fleet of the batch, however many pokes there are for it. */
export const handler = announcing(async (event: SqsEvent, context: LambdaContext): Promise<SqsAnswer> => {
  const { ports, policy, queue } = open();
  return dealWithBatch<Poke>(event, {
    name: "scaleup",
    log: ports.log,
    read: (body) => readPoke(body, "scaleup"),
    groupOf: ({ fleet }) => fleet,
    handle: (fleet) => scaleUp(ports, policy, fleet),
    release: queue.release,
    concurrency: 4,
    remainingMilliseconds: () => context.getRemainingTimeInMillis(),
    reserveMilliseconds,
  });
});
