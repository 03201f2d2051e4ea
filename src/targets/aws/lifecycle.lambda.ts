import type { LifecycleEvent } from "../../core/model.ts";
import { applyEvents, likelyFleet } from "../../flow/lifecycle.ts";
import { announcing } from "./announced.ts";
import { dealWithBatch, type SqsAnswer, type SqsEvent } from "./batch.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { readLifecycleEvent } from "./messages.ts";
import { once } from "./once.ts";
import { openBasics, openEvents, openPolicy, openStore, openWork } from "./wiring.ts";

const open = once(() => {
  const basics = openBasics();
  const ports = { ...basics.ports, store: openStore(basics), work: openWork(basics) };
  return { ports, readPolicy: openPolicy(basics), queue: openEvents(basics) };
});

/** Finding, loading and committing, also where others are in the way. */
const reserveMilliseconds = 15_000;

/** Stage **lifecycle**: what GitHub, EC2 and the machines say happened, fleet by fleet. */
export const handler = announcing(async (event: SqsEvent, context: LambdaContext): Promise<SqsAnswer> => {
  const { ports, readPolicy, queue } = open();
  const policy = await readPolicy();
  return dealWithBatch<LifecycleEvent | undefined>(event, {
    name: "lifecycle",
    log: ports.log,
    read: readLifecycleEvent,
    groupOf: (happened) => (happened && likelyFleet(happened, policy)) ?? "to be looked up",
    handle: (_fleet, messages) =>
      applyEvents(
        ports,
        policy,
        messages.filter((happened) => happened !== undefined),
      ),
    separately: true,
    release: queue.release,
    concurrency: 5,
    remainingMilliseconds: () => context.getRemainingTimeInMillis(),
    reserveMilliseconds,
  });
});
