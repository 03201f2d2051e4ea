import type { Poke } from "../../core/model.ts";
import { retireMachines, sweep } from "../../flow/scaledown.ts";
import { announcing } from "./announced.ts";
import { dealWithBatch, type SqsAnswer, type SqsEvent } from "./batch.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { readPoke } from "./messages.ts";
import { once } from "./once.ts";
import { openBasics, openPokes, openStore, openWork } from "./wiring.ts";
import { openComputes } from "./wiring-compute.ts";
import { openGithub } from "./wiring-github.ts";

const open = once(() => {
  const basics = openBasics();
  const ports = {
    ...basics.ports,
    store: openStore(basics),
    work: openWork(basics),
    github: openGithub(basics),
    compute: openComputes(basics),
  };
  return { ports, policy: basics.document.policy, queue: openPokes(basics, "scaledown") };
});

/** Fences at GitHub, one after the other, and then one call that terminates. */
const reserveMilliseconds = 25_000;

/** Stage **scaledown**: retiring machines of the fleets of the batch; without a batch, it is time for the sweep. */
export const handler = announcing(
  async (event: SqsEvent | object, context: LambdaContext): Promise<SqsAnswer | undefined> => {
    const { ports, policy, queue } = open();
    const remainingMilliseconds = (): number => context.getRemainingTimeInMillis();
    if (!("Records" in event)) {
      await sweep(ports, policy, {
        until: ports.clock.now() + remainingMilliseconds() - reserveMilliseconds,
      });
      return undefined;
    }
    return dealWithBatch<Poke>(event, {
      name: "scaledown",
      log: ports.log,
      read: (body) => readPoke(body, "scaledown"),
      groupOf: ({ fleet }) => fleet,
      handle: (fleet) => retireMachines(ports, policy, fleet),
      release: queue.release,
      concurrency: 4,
      remainingMilliseconds,
      reserveMilliseconds,
    });
  },
);
