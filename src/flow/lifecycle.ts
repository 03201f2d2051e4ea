import { jobAttributed, jobNoted } from "../core/attribution.ts";
import { eventOfReport, jobAfter, type MachineEvent, machineAfter, newJob } from "../core/lifecycle.ts";
import type {
  Change,
  FleetId,
  FleetRecord,
  Job,
  JobEvent,
  Ledger,
  LifecycleEvent,
  Machine,
  MachineId,
  MachineReport,
  Policy,
} from "../core/model.ts";
import { forgetEarlyEnds, rememberEarlyEnd, rememberInterruption } from "../core/retry.ts";
import { admit, routeJob } from "../core/route.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet, type Outcome } from "./commit-fleet.ts";
import { poke, pokeAllFleets } from "./pokes.ts";

type Ports = Pick<AllPorts, "store" | "work" | "log" | "clock">;

/**
 * Stage **lifecycle**: what happened outside, put through the state tables. Any event may come twice, late, early
 * or never; the tables decide.
 */
export async function applyEvent(ports: Ports, policy: Policy, event: LifecycleEvent): Promise<void> {
  if (event.kind === "job") return applyJobEvent(ports, policy, event.job);
  const machine =
    event.kind === "machine"
      ? await ports.store.findMachine(event.machineId)
      : await ports.store.findMachineByProviderId(event.compute, event.providerId);
  if (machine === undefined || machine.state === "ended") return;
  await applyMachineEvent(ports, machine, machineEventOf(event), event.at, policy);
}

/** An event of GitHub about one job, and about the machine whose runner it names. */
export async function applyJobEvent(ports: Ports, policy: Policy, event: JobEvent): Promise<void> {
  const fleet = await fleetOfJob(ports, policy, event);
  const runner = event.runnerName === undefined ? undefined : await ports.store.findMachine(event.runnerName);
  if (fleet !== undefined) {
    const touched = await commitFleet(ports.store, fleet, (ledger) =>
      decideJob(ports, ledger, event, runner),
    );
    await follow(ports, fleet, touched);
  }
  // A runner may take a job of another fleet, or one that we never accepted: its machine is busy all the same.
  if (runner !== undefined && runner.fleet !== fleet && runner.state !== "ended") {
    await applyMachineEvent(ports, runner, machineEventOfJob(event), timeOf(event));
  }
}

/** One event about one machine. With `policy`, what it tells of the fleet's next machines is remembered too. */
export async function applyMachineEvent(
  ports: Ports,
  machine: Machine,
  event: MachineEvent | undefined,
  at: number,
  policy?: Policy,
): Promise<void> {
  if (event === undefined) return;
  const touched = await commitFleet(ports.store, machine.fleet, (ledger) => {
    const before = ledger.machines.find((entry) => entry.id === machine.id);
    const after = before === undefined ? undefined : machineAfter(before, event, at);
    if (before === undefined || after === undefined || after === before) return unchanged;
    const job = jobNoted(ledger, after, event, at);
    const changes: Change[] = [{ put: "machine", machine: after }];
    if (job !== undefined) changes.push({ put: "job", job });
    const record = policy === undefined ? undefined : recordAfter(ledger, before, after, ports, policy);
    if (record !== undefined) changes.push({ put: "fleet", record });
    return { changes, result: { job: job !== undefined, machine: after } };
  });
  log(ports, touched.machine, event);
  await follow(ports, machine.fleet, touched);
}

/** The fleet with what the fate of this machine tells of the next ones; undefined when it tells nothing new. */
function recordAfter(
  { record }: Ledger,
  before: Machine,
  after: Machine,
  { clock }: Ports,
  { timing }: Policy,
): FleetRecord | undefined {
  if (record === undefined) return undefined;
  const { purchase, detail = "" } = after;
  const wasOfUse = after.times.online !== undefined || after.times.started !== undefined;
  const lost = before.reason === undefined && after.reason === "lost";
  const known = wasOfUse
    ? forgetEarlyEnds(record.refusals, purchase)
    : lost
      ? rememberEarlyEnd(record.refusals, { purchase, detail }, clock.now(), timing)
      : record.refusals;
  const { pool } = after;
  const refusals =
    pool !== undefined && isTakenBack(after) && !isTakenBack(before)
      ? rememberInterruption(known, { purchase, pool, detail }, clock.now(), timing)
      : known;
  return refusals === record.refusals ? undefined : { ...record, refusals };
}

function isTakenBack(machine: Machine): boolean {
  return machine.interruptedAt !== undefined || machine.reason === "interrupted";
}

interface Touched {
  readonly job: boolean;
  readonly machine: Machine | undefined;
}

const unchanged: Outcome<Touched> = { changes: [], result: { job: false, machine: undefined } };

/** The fleet that the job belongs to. One that is unknown is added: a `completed` may arrive before its `queued`. */
async function fleetOfJob(ports: Ports, policy: Policy, event: JobEvent): Promise<FleetId | undefined> {
  const known = await ports.store.findJob(event.id);
  if (known !== undefined) return known.fleet;
  const route = routeJob(event.labels, policy);
  if (route.kind !== "routed" || event.installationId === 0) return undefined;
  if (admit(event.repository, policy) !== undefined) return undefined;
  const added = await ports.store.addJob(route.record, newJob(event, route.record.id));
  if (added === "added") return route.record.id;
  return (await ports.store.findJob(event.id))?.fleet;
}

async function decideJob(
  ports: Ports,
  ledger: Ledger,
  event: JobEvent,
  known: Machine | undefined,
): Promise<Outcome<Touched>> {
  const before = ledger.jobs.find((job) => job.id === event.id) ?? (await ports.store.findJob(event.id));
  const changes: Change[] = [];
  if (before !== undefined && before.state !== "done") {
    const after = withMachine(ledger, jobAfter(before, event), event);
    if (after !== before) changes.push({ put: "job", job: after });
  }
  const other = jobAttributed(ledger, known, event);
  if (other !== undefined) changes.push({ put: "job", job: other });
  const touchesJob = changes.length > 0;
  const machineEvent = machineEventOfJob(event);
  const runner = ledger.machines.find((machine) => machine.id === event.runnerName);
  const after =
    runner === undefined || machineEvent === undefined
      ? undefined
      : machineAfter(runner, machineEvent, timeOf(event));
  const machine = after === runner ? undefined : after;
  if (machine !== undefined) changes.push({ put: "machine", machine });
  return { changes, result: { job: touchesJob, machine } };
}

/** The job with the machine that runs it, when that is one of this fleet. */
function withMachine(ledger: Ledger, job: Job, event: JobEvent): Job {
  if (event.runnerName === undefined || job.machineId === event.runnerName) return job;
  const ours = ledger.machines.some((machine) => machine.id === event.runnerName);
  return ours ? { ...job, machineId: event.runnerName } : job;
}

function machineEventOfJob(event: JobEvent): MachineEvent | undefined {
  if (event.action === "in_progress") return { kind: "job-started", jobId: event.id };
  if (event.action === "completed") return { kind: "job-finished", jobId: event.id };
  return undefined;
}

function timeOf(event: JobEvent): number {
  if (event.action === "completed") return event.completedAt ?? event.receivedAt;
  return event.startedAt ?? event.receivedAt;
}

function machineEventOf(event: Exclude<LifecycleEvent, { kind: "job" }>): MachineEvent {
  if (event.kind === "machine") return eventOfReport(event.report);
  switch (event.what) {
    case "running":
      return { kind: "seen" };
    case "interruption-notice":
      return { kind: "interrupted", detail: event.detail ?? "The provider takes the machine back." };
    case "at-risk":
      // A machine that runs a job is left alone by this event of the table; another one is replaced in time.
      return { kind: "retire", because: "interrupted", detail: event.detail ?? "The provider may take it." };
    case "gone":
      return { kind: "gone", detail: event.detail ?? "The provider says that it is gone." };
  }
}

/** What a change makes worth another look. */
async function follow(ports: Ports, fleet: FleetId, touched: Touched): Promise<void> {
  const { machine } = touched;
  if (machine?.state === "retiring") await poke(ports, "scaledown", machine.fleet);
  if (machine?.state === "ended") await pokeAllFleets(ports);
  if (touched.job || machine !== undefined) await poke(ports, "scaleup", fleet);
}

function log(ports: Ports, machine: Machine | undefined, event: MachineEvent): void {
  if (machine === undefined) return;
  ports.log.info("A machine changed.", {
    stage: "lifecycle",
    machine: machine.id,
    event: event.kind,
    state: machine.state,
    reason: machine.reason,
  });
}

/** Stage **lifecycle**, from the machine's side: what it reports of itself, once it has proved who it is. */
export async function receiveReport(
  ports: Pick<AllPorts, "lifecycle" | "log" | "clock">,
  machineId: MachineId,
  report: MachineReport,
): Promise<void> {
  if (report.step === "exited" && report.log !== undefined) {
    ports.log.warn("A machine shipped its log.", { stage: "lifecycle", machine: machineId, log: report.log });
  }
  await ports.lifecycle.send({ kind: "machine", machineId, report, at: ports.clock.now() });
}
