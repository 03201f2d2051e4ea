import { asMayflyError, MayflyError } from "../core/errors.ts";
import { awaitingMachines } from "../core/launch.ts";
import { type MachineEvent, machineAfter } from "../core/lifecycle.ts";
import type { Change, Fence, FleetId, Instant, Machine, MachineId, Policy } from "../core/model.ts";
import {
  adoptable,
  compare,
  type Decision,
  type Listing,
  listingOf,
  nextStep,
  orphanRecord,
  overdue,
  terminateAgainSeconds,
} from "../core/scaledown.ts";
import type { Compute, ListedMachine } from "../ports/compute.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet } from "./commit-fleet.ts";
import { endedAmong } from "./ended-among.ts";
import { findItsRunner } from "./find-runner.ts";
import { inTurn } from "./in-turn.ts";
import { poke, pokeHeldBack } from "./pokes.ts";

type Ports = Pick<AllPorts, "store" | "compute" | "github" | "work" | "log" | "clock">;

const fenceRetrySeconds = 15;
/** Its runner may be where the App is suspended; the machine's own time limits end it at last. */
const unknownRunnerSeconds = 60;
/** A provider that could not be asked is asked again after so long. */
const unreachableSeconds = 15;
/** Fences under way at the same time. GitHub allows a hundred requests, and others have some to make. */
const fencesAtOnce = 50;

/**
 * Stage **scaledown**, the sweep: lists what exists, compares it with the ledger, and retires what has passed its
 * time. Listing comes first: what is listed and not in the ledger afterwards was never in it. A fleet or a machine that
 * cannot be dealt with is reported, and keeps no other from being swept.
 *
 * `until`: after it no further fleet is compared, and nothing is taken for unknown; the next sweep begins with another
 * fleet.
 */
export async function sweep(
  ports: Ports,
  policy: Policy,
  { until }: { readonly until?: Instant } = {},
): Promise<void> {
  const listed = new Map<string, readonly ListedMachine[]>();
  for (const compute of ports.compute.values()) {
    const machines = await list(ports, compute);
    if (machines !== undefined) listed.set(compute.name, machines);
  }
  const listings = new Map([...listed].map(([compute, machines]) => [compute, listingOf(machines)]));
  const known = new Set<string>();
  const fleets = await ports.store.activeFleets();
  for (const [index, fleet] of inTurn(fleets, ports.clock.now(), until).entries()) {
    if (until !== undefined && ports.clock.now() >= until) {
      const skipped = fleets.length - index;
      ports.log.warn("A sweep had no time for every fleet.", { stage: "scaledown", skipped });
      return;
    }
    const machines = await compareOrReport(ports, policy, fleet, listings);
    for (const { id, compute, providerId } of machines) known.add(id).add(`${compute}/${providerId}`);
  }
  for (const [compute, machines] of listed) {
    for (const machine of machines) {
      if (machine.ended !== undefined) continue;
      if (known.has(machine.machineId ?? "") || known.has(`${compute}/${machine.providerId}`)) continue;
      await dealWithUnknown(ports, policy, compute, machine);
    }
  }
}

/**
 * Stage **scaledown**, one fleet: brings every retiring machine one step further. Fence first: GitHub refuses to
 * remove a runner that runs a job, so a removed one is proof that terminating is safe.
 */
export async function retireMachines(ports: Ports, policy: Policy, fleet: FleetId): Promise<void> {
  const { machines } = await ports.store.load(fleet);
  const retiring = machines.filter((machine) => machine.state === "retiring");
  if (retiring.length === 0) return;
  const pauses: number[] = [];
  // Group by group: whoever is killed in between has ended the machines of the groups before.
  for (let first = 0; first < retiring.length; first += fencesAtOnce) {
    const group = retiring.slice(first, first + fencesAtOnce);
    const prepared = await Promise.all(group.map((machine) => prepare(ports, policy, machine)));
    // The answer is on record before anything is done because of it.
    await recordEvents(
      ports,
      policy,
      fleet,
      prepared.flatMap(({ machine, answer }) =>
        answer === undefined ? [] : [{ machine, event: { kind: "fence", answer } as const }],
      ),
    );
    const toTerminate = prepared.flatMap(({ machine, verdict }) =>
      verdict === "terminate" ? [machine] : [],
    );
    pauses.push(
      ...prepared.flatMap(({ verdict }) => (verdict === "terminate" ? [] : [verdict.againSeconds])),
    );
    pauses.push(...(await terminate(ports, policy, fleet, toTerminate)));
  }
  if (pauses.length > 0) await poke(ports, "scaledown", fleet, Math.min(...pauses));
}

// --------------------------------------------------------------------------------------------- compare

async function list(ports: Ports, compute: Compute): Promise<readonly ListedMachine[] | undefined> {
  try {
    return await compute.list();
  } catch (error) {
    // Without a listing nothing is believed gone; the next sweep lists again.
    ports.log.warn("Machines could not be listed.", { stage: "scaledown", compute: compute.name, error });
    return undefined;
  }
}

/** The fleet's machines, as they are now. None when that cannot be told: each that exists is then looked up by itself. */
async function compareOrReport(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  listings: ReadonlyMap<string, Listing>,
): Promise<readonly Machine[]> {
  try {
    const machines = await compareFleet(ports, policy, fleet, listings);
    if (machines.some((machine) => machine.state === "retiring")) await poke(ports, "scaledown", fleet);
    return machines;
  } catch (error) {
    ports.log.error("A fleet could not be swept.", { stage: "scaledown", fleet, error });
    return [];
  }
}

async function compareFleet(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  listings: ReadonlyMap<string, Listing>,
): Promise<readonly Machine[]> {
  const seen = await commitFleet(ports.store, fleet, async (ledger) => {
    const now = ports.clock.now();
    const decisions: Decision[] = [];
    for (const [compute, listing] of listings) {
      const machines = ledger.machines.filter((machine) => machine.compute === compute);
      const ended = await endedAmong(ports, compute, adoptable(machines, listing));
      decisions.push(...compare(machines, listing, ended, policy, now));
    }
    // What exists is adopted before time limits are looked at; what could not be listed may exist.
    const unlisted = (machine: Machine): boolean =>
      ports.compute.has(machine.compute) && !listings.has(machine.compute);
    decisions.push(
      ...overdue(ledger, policy, now).filter(
        ({ event, machine }) => event.kind !== "refused" || !unlisted(machine),
      ),
    );
    const after = new Map<MachineId, Machine>();
    for (const { machine, event } of decisions) {
      const before = after.get(machine.id) ?? machine;
      const next = machineAfter(before, event, now);
      if (next !== before) after.set(machine.id, next);
    }
    const changed = [...after.values()].slice(0, ports.store.changesPerCommit);
    const changes = changed.map((machine): Change => ({ put: "machine", machine }));
    const machines = ledger.machines.map((machine) => after.get(machine.id) ?? machine);
    return { changes, result: { machines, changed } };
  });
  for (const machine of seen.changed) logChange(ports, machine);
  const ended = seen.changed.filter((machine) => machine.state === "ended");
  if (ended.length > 0) await poke(ports, "scaleup", fleet);
  await pokeHeldBack(ports, policy, ended);
  return seen.machines;
}

/** Exists at the provider and is in no active ledger. */
async function dealWithUnknown(
  ports: Ports,
  policy: Policy,
  compute: string,
  listed: ListedMachine,
): Promise<void> {
  try {
    await adoptOrEnd(ports, policy, compute, listed);
  } catch (error) {
    const { providerId: provider, fleet } = listed;
    ports.log.error("A machine that no ledger knows could not be dealt with.", {
      ...{ stage: "scaledown", fleet, provider, error },
    });
  }
}

async function adoptOrEnd(
  ports: Ports,
  policy: Policy,
  compute: string,
  listed: ListedMachine,
): Promise<void> {
  const { machineId, launchToken, providerId } = listed;
  const log = ports.log.with({
    stage: "scaledown",
    machine: machineId,
    launch: launchToken,
    provider: providerId,
  });
  const known =
    machineId === undefined
      ? await ports.store.findMachineByProviderId(compute, providerId)
      : await ports.store.findMachine(machineId);
  const now = ports.clock.now();
  if (known?.state === "ended") {
    // It ended for the ledger and is there again, or still: a listing that lagged, or a terminate that was lost.
    log.warn("A machine that has ended still exists; it is terminated again.");
    await terminateAt(ports, compute, [providerId]);
    return;
  }
  if (known !== undefined || listed.launchedAt + policy.timing.listingDelaySeconds * 1000 > now) return;
  const isAwaited = await enterOrphan(ports, compute, listed);
  if (isAwaited) return;
  log.warn("A machine that no ledger knows is retired.");
  await poke(ports, "scaledown", listed.fleet);
}

/** True: a machine of its launch still waits for it, and the next sweep gives it to that one. */
async function enterOrphan(ports: Ports, compute: string, listed: ListedMachine): Promise<boolean> {
  const { machineId, launchToken, providerId, fleet } = listed;
  const launch = launchToken === undefined ? undefined : await ports.store.findMachine(launchToken);
  return commitFleet(ports.store, fleet, (ledger) => {
    const isAwaited =
      machineId === undefined &&
      launchToken !== undefined &&
      awaitingMachines(ledger.machines, launchToken).length > 0;
    const machine = orphanRecord(listed, compute, launch !== undefined, ports.clock.now());
    const there = ledger.machines.some((entry) => entry.id === machine.id || entry.providerId === providerId);
    return { changes: there || isAwaited ? [] : [{ put: "machine", machine }], result: isAwaited };
  });
}

// ---------------------------------------------------------------------------------- fence and terminate

type Verdict = "terminate" | { readonly againSeconds: number };

interface Prepared {
  readonly machine: Machine;
  readonly verdict: Verdict;
  /** What GitHub said, if it was asked. */
  readonly answer?: Fence;
}

/** Brings a retiring machine to the point at which it may be terminated, or says when to look again. */
async function prepare(ports: Ports, policy: Policy, machine: Machine): Promise<Prepared> {
  const now = ports.clock.now();
  const step = nextStep(machine, now);
  if (step.kind === "fence") return fence(ports, policy, machine);
  if (step.kind === "terminate") return { machine, verdict: "terminate" };
  return { machine, verdict: { againSeconds: Math.ceil((step.until - now) / 1000) } };
}

async function fence(ports: Ports, policy: Policy, machine: Machine): Promise<Prepared> {
  try {
    const found = await findItsRunner(ports, policy, machine);
    if (found.kind === "unknown" && !processEnded(machine)) {
      return { machine, verdict: { againSeconds: unknownRunnerSeconds } };
    }
    const passed =
      found.kind !== "found" ||
      (await ports.github.deleteRunner(found.scope, found.runnerId)) !== "running-a-job";
    const answer = passed ? "passed" : "refused";
    if (passed || processEnded(machine)) return { machine, answer, verdict: "terminate" };
    ports.log.info("A retiring machine runs a job and is left alone.", {
      stage: "scaledown",
      machine: machine.id,
      reason: machine.reason,
    });
    return { machine, answer, verdict: { againSeconds: fenceRetrySeconds } };
  } catch (error) {
    const { retryAt, code } = asMayflyError(error, "FENCE_FAILED", "It is tried again by itself.");
    ports.log.warn("A machine could not be fenced.", {
      stage: "scaledown",
      machine: machine.id,
      code,
      error,
    });
    // What has no process any more cannot run a job; its registration is GitHub's to clean up.
    if (processEnded(machine)) return { machine, verdict: "terminate" };
    const seconds = retryAt === undefined ? fenceRetrySeconds : (retryAt - ports.clock.now()) / 1000;
    return { machine, verdict: { againSeconds: Math.max(1, Math.ceil(seconds)) } };
  }
}

/** The runner's process has ended, as the machine itself said, or the machine is no longer there. */
function processEnded(machine: Machine): boolean {
  return machine.exitCode !== undefined || machine.missingSince !== undefined;
}

/** After how many seconds to look again at those that are not gone yet. */
async function terminate(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  machines: readonly Machine[],
): Promise<readonly number[]> {
  const pauses: number[] = [];
  // A launch whose answer is not known yet: the sweep adopts it by its mark, or its limit ends it.
  const launched = machines.filter((machine) => machine.providerId !== undefined);
  for (const [compute, group] of Map.groupBy(launched, (machine) => machine.compute)) {
    const ids = group.map((machine) => machine.providerId ?? "");
    const absent = await terminateAt(ports, compute, ids);
    if (absent === undefined) {
      pauses.push(unreachableSeconds);
      continue;
    }
    const event = { kind: "gone", detail: "The provider says that it is gone." } as const;
    const gone = group.filter(({ providerId }) => absent.has(providerId ?? ""));
    const recorded = await recordEvents(
      ports,
      policy,
      fleet,
      gone.map((machine) => ({ machine, event })),
    );
    const there = group.filter(({ providerId }) => !absent.has(providerId ?? ""));
    const left = [...there, ...recorded.filter(({ state }) => state === "retiring")];
    pauses.push(...left.map((machine) => terminateAgainSeconds(machine, ports.clock.now())));
  }
  return pauses;
}

/** The provider ids that are gone; undefined when the provider could not be asked. */
async function terminateAt(
  ports: Ports,
  compute: string,
  providerIds: readonly string[],
): Promise<ReadonlySet<string> | undefined> {
  try {
    const adapter = ports.compute.get(compute);
    if (adapter === undefined) throw unknownCompute(compute);
    const outcomes = await adapter.terminate(providerIds);
    return new Set(
      outcomes.filter((outcome) => outcome.kind === "absent").map((outcome) => outcome.providerId),
    );
  } catch (error) {
    ports.log.warn("Machines could not be terminated.", { stage: "scaledown", compute, providerIds, error });
    return undefined;
  }
}

function unknownCompute(compute: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "COMPUTE_UNKNOWN",
    message: `Machines of the compute ${compute} are to be terminated, and this installation has no such compute.`,
    suggestion: `Configure ${compute} again until its machines are gone, or end them by hand.`,
  });
}

/** In as few commits as the store allows. Returns the machines that were changed. */
async function recordEvents(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  events: readonly { readonly machine: Machine; readonly event: MachineEvent }[],
): Promise<readonly Machine[]> {
  const recorded: Machine[] = [];
  const limit = ports.store.changesPerCommit;
  for (let first = 0; first < events.length; first += limit) {
    const part = events.slice(first, first + limit);
    const changed = await commitFleet<readonly Machine[]>(ports.store, fleet, (ledger) => {
      const now = ports.clock.now();
      const before = new Map(ledger.machines.map((machine) => [machine.id, machine]));
      const after = part.flatMap(({ machine, event }) => {
        const known = before.get(machine.id);
        const next = known === undefined ? undefined : machineAfter(known, event, now);
        return next === undefined || next === known ? [] : [next];
      });
      return { changes: after.map((machine): Change => ({ put: "machine", machine })), result: after };
    });
    recorded.push(...changed);
  }
  const ended = recorded.filter((machine) => machine.state === "ended");
  for (const machine of ended) logChange(ports, machine);
  if (ended.length > 0) await poke(ports, "scaleup", fleet);
  await pokeHeldBack(ports, policy, ended);
  return recorded;
}

function logChange(ports: Ports, machine: Machine): void {
  ports.log.info("A machine changed.", {
    stage: "scaledown",
    machine: machine.id,
    state: machine.state,
    reason: machine.reason,
    detail: machine.detail,
  });
}
