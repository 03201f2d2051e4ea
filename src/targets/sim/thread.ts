import { parentPort } from "node:worker_threads";
import { type SeedOptions, simulateSeed } from "./simulate.ts";

/* What runs in each thread of threads.ts: a message is a seed, and is answered with its result. */

parentPort?.on("message", (options: SeedOptions) => {
  // What it throws ends the thread, which threads.ts hears as its error.
  void simulateSeed(options).then((result) => parentPort?.postMessage(result));
});
