import { type HttpServer, startHttpServer } from "../../adapters/http/node.ts";
import { createRouter, type Route } from "../../adapters/http/router.ts";
import type { LifecycleEvent, Poke, Policy } from "../../core/model.ts";
import { createStatusEvents } from "../../dashboard/events.ts";
import { dashboardAssets } from "../../dashboard/serve.ts";
import { applyEvents } from "../../flow/lifecycle.ts";
import { pokeEverything } from "../../flow/pokes.ts";
import { type PreviousRound, rebalance } from "../../flow/rebalance.ts";
import { retireMachines, sweep } from "../../flow/scaledown.ts";
import { scaleUp } from "../../flow/scaleup.ts";
import { readStatus } from "../../flow/status.ts";
import type { Ports } from "../../ports/ports.ts";
import type { Queue } from "../../ports/queue.ts";
import { machineRoutes } from "../routes/machine-routes.ts";
import { readRoutes } from "../routes/read-routes.ts";
import { webhookRoute } from "../routes/webhook-route.ts";
import { shareStatus } from "./shared-status.ts";
import { startTimer, type Timer } from "./timer.ts";
import { startWorker, type Worker } from "./worker.ts";

export interface BoxOptions {
  readonly version: string;
  readonly host: string;
  readonly port: number;
  readonly ports: Ports & { readonly work: Queue<Poke>; readonly lifecycle: Queue<LifecycleEvent> };
  readonly policy: Policy;
  readonly tokenConfigured: boolean;
  readonly rebalanceSeconds: number;
  readonly scaledownSeconds: number;
  readonly problems: () => readonly string[];
}

export interface Box {
  readonly url: string;
  /** Launches and ends nothing any more; what GitHub and the machines tell is still recorded. Then call `stop`. */
  halt(): Promise<void>;
  /**
   * Stops in order: no new requests and rounds, then the messages under way are dealt with. Machines go on: they
   * find the next process at the same address, and what they report meanwhile they report again.
   */
  stop(): Promise<void>;
}

const listLimit = 500;
/** A GitHub that does not answer keeps no job from its machine for longer than this. */
const catchUpLimitMilliseconds = 10_000;
const workConcurrency = 8;
const lifecycleConcurrency = 16;

/** All stages in one process: HTTP in front, two queues behind it, two timers beside them. */
export async function startBox(options: BoxOptions): Promise<Box> {
  const { ports, policy } = options;
  const stopping = new AbortController();
  const { promise: caughtUp, resolve: go } = Promise.withResolvers<void>();
  await pokeEverything(ports);
  const server = await listen(options, caughtUp);
  const timers = startTimers(options);
  void Promise.race([timers.rebalance.firstRound, pause(catchUpLimitMilliseconds, stopping.signal)]).then(go);
  const workers = startWorkers(ports, policy, caughtUp);
  const halt = async (): Promise<void> => {
    stopping.abort();
    await Promise.all([timers.rebalance.stop(), timers.scaledown.stop(), workers.work.stop()]);
  };
  return {
    url: server.url,
    halt,
    async stop() {
      await Promise.all([server.close(), halt()]);
      await workers.lifecycle.stop();
    },
  };
}

async function listen(options: BoxOptions, caughtUp: Promise<void>): Promise<HttpServer> {
  const { ports, policy } = options;
  const make = () => {
    return readStatus(ports, policy, { version: options.version, problems: options.problems(), listLimit });
  };
  const readShared = shareStatus(make, ports.clock);
  const assets = await dashboardAssets();
  const router = createRouter([
    webhookRoute(ports, async () => policy),
    healthRoute(ports),
    ...machineRoutes(ports, policy, caughtUp),
    ...readRoutes({
      ports,
      policy,
      readStatus: readShared,
      tokenConfigured: options.tokenConfigured,
      events: createStatusEvents({ readStatus: readShared, clock: ports.clock, log: ports.log }),
    }),
    ...assets.map(({ path, handle }): Route => ({ method: "GET", path, handle })),
  ]);
  return startHttpServer({
    host: options.host,
    port: options.port,
    handle: router.handle,
    log: ports.log,
    limits: { bodyLimitBytes: router.bodyLimitBytes },
  });
}

/** For load balancers and service managers: whether this process can do its work. Says nothing about the work. */
function healthRoute(ports: Ports): Route {
  return {
    method: "GET",
    path: "/healthz",
    async handle() {
      await ports.store.counters();
      return { status: 200, headers: { "content-type": "application/json" }, body: '{"ok":true}\n' };
    },
  };
}

/**
 * What GitHub told while nobody listened is asked for before anything is launched or claimed: a job that has run
 * meanwhile would get a second machine. What GitHub tells now is recorded from the first moment on.
 */
function startWorkers(
  ports: BoxOptions["ports"],
  policy: Policy,
  caughtUp: Promise<void>,
): Readonly<Record<"work" | "lifecycle", Worker>> {
  return {
    work: startWorker<Poke>({
      name: "work",
      queue: ports.work,
      after: caughtUp,
      handle: ({ stage, fleet }) =>
        stage === "scaleup" ? scaleUp(ports, policy, fleet) : retireMachines(ports, policy, fleet),
      concurrency: workConcurrency,
      log: ports.log,
    }),
    lifecycle: startWorker<LifecycleEvent>({
      name: "lifecycle",
      queue: ports.lifecycle,
      handle: (event) => applyEvents(ports, policy, [event]),
      concurrency: lifecycleConcurrency,
      log: ports.log,
    }),
  };
}

function startTimers(options: BoxOptions): Readonly<Record<"rebalance" | "scaledown", Timer>> {
  const { ports, policy } = options;
  let previous: PreviousRound | "none" = "none";
  const findDemand = async (): Promise<void> => {
    previous = await rebalance(ports, policy, { previous });
  };
  return {
    rebalance: startTimer("rebalance", options.rebalanceSeconds, findDemand, ports.log),
    scaledown: startTimer("scaledown", options.scaledownSeconds, () => sweep(ports, policy), ports.log),
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
