import { startOfDay } from "../core/cost.ts";
import { MayflyError } from "../core/errors.ts";
import type { ImageStatus } from "../core/image-status.ts";
import { type TracedJob, tracedJob } from "../core/job-trace.ts";
import { isQuiet, type Measures, measuresBetween } from "../core/measures.ts";
import type { Instant, Job, JobId, Ledger, Machine, MachineId, Policy } from "../core/model.ts";
import {
  type MachineStatus,
  machineStatus,
  type StatusDocument,
  statusDocument,
  type WhyDocument,
} from "../core/status.ts";
import { whyDocument } from "../core/why.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { readImage, readImages } from "./images.ts";
import { applyMachineEvent } from "./lifecycle.ts";

type Ports = Pick<AllPorts, "store" | "work" | "images" | "log" | "clock">;

const hourMilliseconds = 60 * 60 * 1000;

/** Stage **status**: one document that says what runs, why a job waits and what it cost. It changes nothing. */
export async function readStatus(
  ports: Pick<Ports, "store" | "clock" | "images" | "log"> & {
    readonly github: Pick<AllPorts["github"], "budgets">;
  },
  policy: Policy,
  options: { readonly version: string; readonly problems: readonly string[]; readonly listLimit: number },
): Promise<StatusDocument> {
  const now = ports.clock.now();
  const { ledgers, unreadable } = await readLedgers(ports);
  const today = startOfDay(now);
  const hourAgo = now - hourMilliseconds;
  // The last hour is counted; of what is older, as much is read as is listed.
  const lastHour = await ports.store.history(hourAgo, Number.MAX_SAFE_INTEGER);
  const older = await ports.store.history(Math.min(today, hourAgo), options.listLimit, hourAgo);
  const history = {
    jobs: [...lastHour.jobs, ...older.jobs],
    machines: [...lastHour.machines, ...older.machines],
  };
  const usage = await ports.store.usage(today);
  const budgets = ports.github.budgets();
  const problems = [...options.problems, ...unreadable];
  const images = await readImages(ports, policy, ledgers);
  return statusDocument({ ...options, problems, now, policy, ledgers, history, usage, budgets, images });
}

/** Every image that was ever wanted, with the fleets that want it now. */
export async function readImagesNow(
  ports: Pick<Ports, "store" | "images" | "log" | "clock">,
  policy: Policy,
): Promise<readonly ImageStatus[]> {
  return readImages(ports, policy, (await readLedgers(ports)).ledgers);
}

/** What happened within this span, and what is there now; undefined when there is nothing to say of it. */
export async function readMeasures(
  ports: Pick<Ports, "store">,
  span: { readonly from: Instant; readonly until: Instant },
): Promise<Measures | undefined> {
  // The round before has reported those that cannot be read.
  const { ledgers } = await readLedgers(ports);
  const history = await ports.store.history(span.from, Number.MAX_SAFE_INTEGER);
  const measures = measuresBetween({ ledgers, history, ...span });
  return isQuiet(measures) ? undefined : measures;
}

/** What happened to one job and what comes next; undefined when no such job is known. */
export async function readWhy(ports: Ports, policy: Policy, id: JobId): Promise<WhyDocument | undefined> {
  const job = await ports.store.findJob(id);
  if (job === undefined) return undefined;
  const ledger = await ports.store.load(job.fleet);
  const image = await readImage(ports, policy, ledger);
  return whyDocument(job, ledger, await machinesOf(ports, job, ledger), policy, ports.clock.now(), image);
}

/** The jobs that ended within these instants and had run, for a trace; and how many had not. It changes nothing. */
export async function readTrace(
  { store }: Pick<Ports, "store">,
  from: Instant,
  until: Instant,
): Promise<{ readonly jobs: readonly TracedJob[]; readonly neverRan: number }> {
  const { jobs: ended } = await store.history(from, Number.MAX_SAFE_INTEGER, until);
  const jobs = ended.map(tracedJob).filter((job) => job !== undefined);
  return { jobs: jobs.reverse(), neverRan: ended.length - jobs.length };
}

export async function readMachine(ports: Ports, id: MachineId): Promise<MachineStatus | undefined> {
  const machine = await ports.store.findMachine(id);
  return machine === undefined ? undefined : machineStatus(machine, ports.clock.now());
}

/**
 * The operator ends a machine. Without `forced` it is fenced: a job that runs on it ends first. With `forced` it
 * is terminated with whatever runs on it.
 */
export async function terminateMachine(
  ports: Ports,
  id: MachineId,
  forced: boolean,
): Promise<"terminating" | "ended" | "unknown"> {
  const machine = await ports.store.findMachine(id);
  if (machine === undefined) return "unknown";
  if (machine.state === "ended") return "ended";
  const detail = forced ? "An operator ended it, whatever ran on it." : "An operator ended it.";
  const event = {
    kind: "retire",
    because: "operator",
    detail,
    ...(forced && { forced: true as const }),
  } as const;
  await applyMachineEvent(ports, machine, event, ports.clock.now());
  return "terminating";
}

interface ReadLedgers {
  readonly ledgers: readonly Ledger[];
  /** A sentence for each fleet of which only a person can mend the ledger. */
  readonly unreadable: readonly string[];
}

/** What is known of the other fleets is told although one is damaged. */
async function readLedgers(ports: Pick<Ports, "store">): Promise<ReadLedgers> {
  const ledgers: Ledger[] = [];
  const unreadable: string[] = [];
  for (const fleet of await ports.store.activeFleets()) {
    try {
      ledgers.push(await ports.store.load(fleet));
    } catch (error) {
      if (!(error instanceof MayflyError) || error.kind !== "operator") throw error;
      unreadable.push(`The ledger of fleet ${fleet} cannot be read. ${error.message} ${error.suggestion}`);
    }
  }
  return { ledgers, unreadable };
}

/** Machines that claimed the job or ran it: from the ledger, and by name when they have ended. */
async function machinesOf(ports: Ports, job: Job, ledger: Ledger): Promise<readonly Machine[]> {
  const machines = ledger.machines.filter(
    (machine) => machine.jobId === job.id || machine.binding?.jobId === job.id,
  );
  for (const id of new Set([job.machineId, job.runnerName])) {
    if (id === undefined || machines.some((machine) => machine.id === id)) continue;
    const machine = await ports.store.findMachine(id);
    if (machine !== undefined) machines.push(machine);
  }
  return machines;
}
