import { monitorEventLoopDelay } from "node:perf_hooks";
import { createPinoLog } from "../src/adapters/log/pino.ts";
import { loadConfig } from "../src/config/load.ts";
import type { Compute, LaunchRequest } from "../src/ports/compute.ts";
import { openBox, type RunningBox } from "../src/targets/box/wiring.ts";
import { answerQuestions, type Message } from "./child.ts";

/**
 * A box as `mayfly serve` runs it, in a process of its own, that can be asked what it used. With `standIn`, machines
 * are launched by a stand-in that does nothing and tells when it was called.
 */
interface Options {
  readonly configPath: string;
  readonly standIn: boolean;
}

const options = JSON.parse(process.argv[2] ?? "{}") as Options;
const loaded = await loadConfig({ path: options.configPath, environment: {} });
const log = createPinoLog({ level: loaded.config.server.logLevel });
const box = await openBox(loaded, { version: "bench", log });
const calls = countCalls(box);
const launches = watchLaunches(box);
const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();
let cpuAtReset = process.cpuUsage();

answerQuestions({ port: Number(new URL(box.url).port) }, answer, () => box.stop());

async function answer(question: Message): Promise<Message> {
  switch (question.kind) {
    case "reset":
      delay.reset();
      cpuAtReset = process.cpuUsage();
      for (const name of Object.keys(calls)) calls[name] = 0;
      return {};
    case "next-launch":
      return { atNanoseconds: String(await launches.next()) };
    case "ledger":
      return ledger();
    case "used":
      return used();
    default:
      throw new Error(`The box does not understand ${question.kind}.`);
  }
}

async function ledger(): Promise<Message> {
  const { store } = box.ports;
  let alive = 0;
  for (const fleet of await store.activeFleets()) alive += (await store.load(fleet)).machines.length;
  const { machines } = await store.history(0, Number.MAX_SAFE_INTEGER);
  return { alive, launched: alive + machines.filter(({ times }) => times.launched !== undefined).length };
}

function used(): Message {
  const cpu = process.cpuUsage(cpuAtReset);
  return {
    cpuMilliseconds: (cpu.user + cpu.system) / 1000,
    peakMemoryMib: process.resourceUsage().maxRSS / 1024,
    longestStallMilliseconds: delay.max / 1e6,
    stallP99Milliseconds: delay.percentile(99) / 1e6,
    calls,
  };
}

/** Counts the calls of the ports that cost something. The ports are plain objects that everything shares. */
function countCalls({ ports }: RunningBox): Record<string, number> {
  const counted: Record<string, number> = {};
  const count = (name: string, port: object, methods: readonly string[]): void => {
    for (const method of methods) {
      const original = Reflect.get(port, method) as (...parameters: unknown[]) => unknown;
      counted[`${name}.${method}`] = 0;
      Reflect.set(port, method, (...parameters: unknown[]) => {
        counted[`${name}.${method}`] = (counted[`${name}.${method}`] ?? 0) + 1;
        return original.apply(port, parameters);
      });
    }
  };
  count("store", ports.store, [
    "load",
    "commit",
    "addJob",
    "findJob",
    "findMachine",
    "counters",
    "activeFleets",
  ]);
  count("work", ports.work, ["send", "delete"]);
  count("lifecycle", ports.lifecycle, ["send"]);
  count("github", ports.github, ["mintRunner", "findRunner", "deleteRunner", "listRunners", "getJob"]);
  return counted;
}

/** Notes when machines are launched. With the stand-in, every machine is gone again as soon as it is there. */
function watchLaunches({ ports }: RunningBox): { next(): Promise<bigint> } {
  const local = ports.compute.get("local");
  if (local === undefined) throw new Error("The bench's config has no local machines.");
  let told: ((at: bigint) => void) | undefined;
  const launch = async (request: LaunchRequest): ReturnType<Compute["launch"]> => {
    told?.(process.hrtime.bigint());
    told = undefined;
    if (!options.standIn) return local.launch(request);
    return request.machines.map(({ id }) => ({
      kind: "launched",
      machineId: id,
      providerId: id,
      pool: "bench",
      purchase: request.purchase,
    }));
  };
  // The ports are handed out as readonly; underneath, this is the map that the flow looks into.
  (ports.compute as Map<string, Compute>).set("local", { ...local, launch });
  return {
    next: () =>
      new Promise((resolve) => {
        told = resolve;
      }),
  };
}
