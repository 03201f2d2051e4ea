import type { LifecycleEvent, Poke } from "../core/model.ts";
import type { Clock } from "./clock.ts";
import type { Compute } from "./compute.ts";
import type { Github } from "./github.ts";
import type { Identity } from "./identity.ts";
import type { ImageBuilder } from "./images.ts";
import type { Log } from "./log.ts";
import type { Prices } from "./prices.ts";
import type { QueueSender } from "./queue.ts";
import type { Random } from "./random.ts";
import type { Secrets } from "./secrets.ts";
import type { Store } from "./store.ts";

/** One cell per row: what a target hands to the flow. */
export interface Ports {
  readonly store: Store;
  /** Pokes for `scaleup` and `scaledown`. */
  readonly work: QueueSender<Poke>;
  /** Events for `lifecycle`. */
  readonly lifecycle: QueueSender<LifecycleEvent>;
  /** The compute adapters by name. */
  readonly compute: ReadonlyMap<string, Compute>;
  readonly github: Github;
  /** Absent where machines start from images as they are. */
  readonly images?: ImageBuilder;
  readonly identity: Identity;
  readonly secrets: Secrets;
  readonly prices: Prices;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
