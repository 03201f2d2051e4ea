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
import { keptIfLost } from "../core/rerun.ts";
import { forgetEarlyEnds, rememberEarlyEnd, rememberInterruption } from "../core/retry.ts";
import { admit, routeJob } from "../core/route.ts";
import { changesPlan, deservesLook } from "../core/scaleup.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet, commitFrom, ledgerAfter, type Outcome } from "./commit-fleet.ts";
import { imageTold } from "./image-told.ts";
import { poke, pokeHeldBack } from "./pokes.ts";

type Ports = Pick<AllPorts, "store" | "work" | "log" | "clock">;

/**
 * Stage **lifecycle**: what happened outside, put through the state tables. Any event may come twice, late, early
 * or never; the tables decide.
 *
 * Events of one fleet are one load and one commit, as far as they are about jobs and machines that are in its ledger.
 * All others, which are few, are looked up one by one. The provider's events name no fleet, so their machines are
 * looked up first.
 */
export async function applyEvents(
  ports: Ports,
  policy: Policy,
  events: readonly LifecycleEvent[],
): Promise<void> {
  const located: LocatedEvent[] = [];
  for (const event of events) {
    if (event.kind === "image") {
      await imageTold(ports, event);
      continue;
    }
    const found = event.kind === "cloud" ? await locate(ports, event) : event;
    if (found !== undefined) located.push(...withLostNotice(found));
  }
  const byFleet = Map.groupBy(located, (event) => likelyFleet(event, policy));
  const others = [...(byFleet.get(undefined) ?? [])];
  for (const [fleet, group] of byFleet) {
    if (fleet !== undefined) others.push(...(await applyTogether(ports, policy, fleet, group)));
  }
  for (const event of others) await applyEvent(ports, policy, event);
}

type CloudEvent = LifecycleEvent & { readonly kind: "cloud" };
type ImageEvent = LifecycleEvent & { readonly kind: "image" };

type LocatedEvent =
  | Exclude<LifecycleEvent, CloudEvent | ImageEvent>
  | (CloudEvent & { readonly machine: Pick<Machine, "id" | "fleet"> });

/** Undefined: it is about no machine of ours, or about one of which it tells nothing new. */
async function locate(ports: Ports, event: CloudEvent): Promise<LocatedEvent | undefined> {
  const machine = await ports.store.findMachineByProviderId(event.compute, event.providerId);
  if (machine === undefined || machine.state === "ended") return undefined;
  // That it runs is news only of one that was missing.
  if (event.what === "running" && machine.missingSince === undefined) return undefined;
  return { ...event, machine };
}

/** Its notice may have been lost, or there was none; that it was taken back matters to its job all the same. */
function withLostNotice(event: LocatedEvent): readonly LocatedEvent[] {
  if (event.kind !== "cloud" || event.takenBack !== true) return [event];
  return [{ ...event, what: "interruption-notice" }, event];
}

/** In whose ledger an event's job or machine is to be expected; undefined when that has to be looked up. */
export function likelyFleet(event: LifecycleEvent | LocatedEvent, policy: Policy): FleetId | undefined {
  if (event.kind === "image") return undefined;
  if (event.kind === "cloud") return "machine" in event ? event.machine.fleet : undefined;
  if (event.kind === "machine") return event.fleet;
  const route = routeJob(event.job.labels, policy);
  return route.kind === "routed" ? route.record.id : undefined;
}

/** Of one event: its job, its machine, another job, and the record. */
const changesPerEvent = 4;

/** Returns the events that are about something else than this ledger's jobs and machines. */
async function applyTogether(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  events: readonly LocatedEvent[],
): Promise<readonly LocatedEvent[]> {
  const others: LocatedEvent[] = [];
  let known: Ledger | undefined;
  for (let left = events; left.length > 0; ) {
    const { result, ledger } = await commitFrom<Together>(ports.store, fleet, known, (current) =>
      decideTogether(ports, policy, current, left),
    );
    for (const { machine, kind } of result.machines) log(ports, machine, kind);
    await follow(ports, fleet, result, policy, result);
    others.push(...result.others);
    left = result.left;
    if (left.length > 0) known = ledger();
  }
  return others;
}

interface Together extends Touched, LedgerChange {
  readonly others: readonly LocatedEvent[];
  /** What one commit has no room for. */
  readonly left: readonly LocatedEvent[];
}

function decideTogether(
  ports: Ports,
  policy: Policy,
  ledger: Ledger,
  events: readonly LocatedEvent[],
): Outcome<Together> {
  const changes = new Map<string, Change>();
  const others: LocatedEvent[] = [];
  const touched: Touched[] = [];
  let current = ledger;
  let next = 0;
  /** What the event before has changed. */
  let latest: readonly Change[] = [];
  for (const event of events) {
    // One event fits into any commit; what comes after it may have to wait for the next one.
    if (changes.size > 0 && changes.size + changesPerEvent > ports.store.changesPerCommit) break;
    next += 1;
    if (latest.length > 0) current = ledgerAfter(current, latest);
    latest = [];
    const outcome = decideWithin(ports, policy, current, event);
    if (outcome === undefined) {
      others.push(event);
      continue;
    }
    latest = outcome.changes;
    for (const change of latest) changes.set(entryOf(change), change);
    touched.push(outcome.result);
  }
  const result = {
    before: ledger,
    changes: [...changes.values()],
    jobs: touched.some(({ jobs }) => jobs),
    machines: touched.flatMap(({ machines }) => machines),
    others,
    left: events.slice(next),
  };
  return { changes: result.changes, result };
}

/** One event by what is in the ledger; undefined when it is about something that is not. */
function decideWithin(
  ports: Ports,
  policy: Policy,
  ledger: Ledger,
  event: LocatedEvent,
): Outcome<Touched> | undefined {
  if (event.kind === "job") {
    const { id, runnerName } = event.job;
    const job = ledger.jobs.find((entry) => entry.id === id);
    const runner = ledger.machines.find((machine) => machine.id === runnerName);
    if (job === undefined || (runner === undefined && runnerName !== undefined)) return undefined;
    return decideJob(ledger, event.job, job, runner);
  }
  const id = event.kind === "machine" ? event.machineId : event.machine.id;
  if (event.kind === "machine" && !ledger.machines.some((machine) => machine.id === id)) return undefined;
  return decideMachine(ports, ledger, id, machineEventOf(event), event.at, policy);
}

function entryOf(change: Change): string {
  if (change.put === "job") return `job ${change.job.id}`;
  return change.put === "machine" ? `machine ${change.machine.id}` : "fleet";
}

async function applyEvent(ports: Ports, policy: Policy, event: LocatedEvent): Promise<void> {
  if (event.kind === "job") return applyJobEvent(ports, policy, event.job);
  const id = event.kind === "machine" ? event.machineId : event.machine.id;
  const machine = await ports.store.findMachine(id);
  if (machine === undefined || machine.state === "ended") return;
  await applyMachineEvent(ports, machine, machineEventOf(event), event.at, policy);
}

/** An event of GitHub about one job, and about the machine whose runner it names. */
export async function applyJobEvent(ports: Ports, policy: Policy, event: JobEvent): Promise<void> {
  const runner = event.runnerName === undefined ? undefined : await ports.store.findMachine(event.runnerName);
  const fleet = await fleetOfJob(ports, policy, event, runner);
  if (fleet !== undefined) {
    const touched = await commitFleet(ports.store, fleet, async (ledger) => {
      const job = ledger.jobs.find((entry) => entry.id === event.id) ?? (await ports.store.findJob(event.id));
      return decideJob(ledger, event, job, runner);
    });
    await follow(ports, fleet, touched, policy);
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
  const touched = await commitFleet(ports.store, machine.fleet, (ledger) =>
    decideMachine(ports, ledger, machine.id, event, at, policy),
  );
  for (const { machine: after } of touched.machines) log(ports, after, event.kind);
  await follow(ports, machine.fleet, touched, policy);
}

function decideMachine(
  ports: Ports,
  ledger: Ledger,
  id: MachineId,
  event: MachineEvent,
  at: number,
  policy: Policy | undefined,
): Outcome<Touched> {
  const before = ledger.machines.find((entry) => entry.id === id);
  const after = before === undefined ? undefined : machineAfter(before, event, at);
  if (before === undefined || after === undefined || after === before) return unchanged;
  const job = jobNoted(ledger, after, event, at);
  const changes: Change[] = [{ put: "machine", machine: after }];
  if (job !== undefined) changes.push({ put: "job", job });
  const record = policy === undefined ? undefined : recordAfter(ledger, before, after, ports, policy);
  if (record !== undefined) changes.push({ put: "fleet", record });
  return {
    changes,
    result: { jobs: job !== undefined, machines: [{ before, machine: after, kind: event.kind }] },
  };
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
  readonly jobs: boolean;
  readonly machines: readonly {
    readonly before: Machine;
    readonly machine: Machine;
    readonly kind: MachineEvent["kind"];
  }[];
}

const unchanged: Outcome<Touched> = { changes: [], result: { jobs: false, machines: [] } };

/** The fleet that the job belongs to. One that is unknown is added: a `completed` may arrive before its `queued`. */
async function fleetOfJob(
  ports: Ports,
  policy: Policy,
  event: JobEvent,
  runner: Machine | undefined,
): Promise<FleetId | undefined> {
  const known = await ports.store.findJob(event.id);
  if (known !== undefined) return known.fleet;
  const route = routeJob(event.labels, policy);
  if (route.kind !== "routed" || event.installationId === 0) return undefined;
  if (admit(event.repository, policy) !== undefined) return undefined;
  // Also one that is over when we first hear of it may have been lost with its machine.
  const job = keptIfLost(newJob(event, route.record.id), runner, event.receivedAt);
  const added = await ports.store.addJob(route.record, job);
  if (added === "added") return route.record.id;
  return (await ports.store.findJob(event.id))?.fleet;
}

/** `known`: the machine whose runner the event names, of whatever fleet it is. */
function decideJob(
  ledger: Ledger,
  event: JobEvent,
  before: Job | undefined,
  known: Machine | undefined,
): Outcome<Touched> {
  const changes: Change[] = [];
  if (before !== undefined && before.state !== "done") {
    const its = ledger.machines.find((machine) => machine.id === event.runnerName) ?? known;
    const ended = keptIfLost(jobAfter(before, event), its, event.receivedAt);
    const after = withMachine(ledger, ended, event);
    if (after !== before) changes.push({ put: "job", job: after });
  }
  const other = jobAttributed(ledger, known, event);
  if (other !== undefined) changes.push({ put: "job", job: other });
  const jobs = changes.length > 0;
  const machineEvent = machineEventOfJob(event);
  const runner = ledger.machines.find((machine) => machine.id === event.runnerName);
  const after =
    runner === undefined || machineEvent === undefined
      ? undefined
      : machineAfter(runner, machineEvent, timeOf(event));
  if (runner === undefined || machineEvent === undefined || after === undefined || after === runner) {
    return { changes, result: { jobs, machines: [] } };
  }
  changes.push({ put: "machine", machine: after });
  return {
    changes,
    result: { jobs, machines: [{ before: runner, machine: after, kind: machineEvent.kind }] },
  };
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

function machineEventOf(event: Exclude<LifecycleEvent, { kind: "job" | "image" }>): MachineEvent {
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

interface LedgerChange {
  readonly before: Ledger;
  readonly changes: readonly Change[];
}

/** What a change makes worth another look. Of a change that is known in full, only what changes the plan is. */
async function follow(
  ports: Ports,
  fleet: FleetId,
  { jobs, machines }: Touched,
  policy: Policy | undefined,
  change?: LedgerChange,
): Promise<void> {
  if (machines.some(needsFence)) await poke(ports, "scaledown", fleet);
  const ended = machines.flatMap(({ machine }) => (machine.state === "ended" ? [machine] : []));
  if (policy !== undefined) await pokeHeldBack(ports, policy, ended);
  if (!jobs && machines.length === 0) return;
  if (policy !== undefined && change !== undefined && !isWorthALook(ports, policy, change)) return;
  await poke(ports, "scaleup", fleet);
}

function isWorthALook({ clock }: Ports, policy: Policy, { before, changes }: LedgerChange): boolean {
  if (!changesPlan(before, changes)) return false;
  return deservesLook(before, ledgerAfter(before, changes), policy, clock.now());
}

/** It has begun to retire, or something new is known of one whose runner could not be removed. */
function needsFence({ before, machine }: Touched["machines"][number]): boolean {
  return machine.state === "retiring" && (before.state !== "retiring" || before.fence === "refused");
}

function log(ports: Ports, machine: Machine, event: MachineEvent["kind"]): void {
  ports.log.info("A machine changed.", {
    stage: "lifecycle",
    machine: machine.id,
    event,
    state: machine.state,
    reason: machine.reason,
  });
}

/** Stage **lifecycle**, from the machine's side: what it reports of itself, once it has proved who it is. */
export async function receiveReport(
  ports: Pick<AllPorts, "lifecycle" | "log" | "clock">,
  { id: machineId, fleet }: Pick<Machine, "id" | "fleet">,
  report: MachineReport,
): Promise<void> {
  if (report.step === "exited" && report.log !== undefined) {
    ports.log.warn("A machine shipped its log.", { stage: "lifecycle", machine: machineId, log: report.log });
  }
  await ports.lifecycle.send({ kind: "machine", machineId, fleet, report, at: ports.clock.now() });
}
