import { spentTodayUsd, startOfDay } from "../core/cost.ts";
import { type CounterLimit, presetCounter, totalCounter } from "../core/counters.ts";
import { asMayflyError } from "../core/errors.ts";
import type { ImageAnswer } from "../core/image.ts";
import { awaitingMachines, giveInstances } from "../core/launch.ts";
import { jobGivenUp, machineAfter } from "../core/lifecycle.ts";
import {
  type Blocked,
  type Change,
  type FleetId,
  type FleetRecord,
  fullName,
  type Job,
  type Ledger,
  type Machine,
  type MachineId,
  type Policy,
  type PoolRefusal,
  type Purchase,
} from "../core/model.ts";
import { standsFor } from "../core/rerun.ts";
import {
  everyPool,
  forgetRefusals,
  type LaunchRefusal,
  rememberPools,
  rememberRefusal,
} from "../core/retry.ts";
import {
  type Command,
  isSameBlocked,
  type Plan,
  type PlanContext,
  plan,
  withSpecOfToday,
} from "../core/scaleup.ts";
import type { LaunchOutcome } from "../ports/compute.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFrom, type Outcome } from "./commit-fleet.ts";
import { endedAmong } from "./ended-among.ts";
import { sayGivenUp } from "./give-up.ts";
import { imageOf, lookAtImage } from "./image.ts";
import { machineIdFor } from "./machine-id.ts";
import { poke, pokeAt } from "./pokes.ts";

type Ports = Pick<
  AllPorts,
  "store" | "compute" | "github" | "images" | "prices" | "random" | "work" | "log" | "clock"
> & { readonly identity: Pick<AllPorts["identity"], "issue"> };

/**
 * Stage **scaleup**: one look at a fleet. Loads its ledger, plans, records the intents, launches, records what came
 * of it. Whoever else looks at the same time loses the commit and looks again; a crash in between leaves intents
 * that the next look finishes.
 */
export async function scaleUp(ports: Ports, policy: Policy, fleet: FleetId): Promise<void> {
  if (await lookAtImage(ports, fleet)) return;
  const image = await imageOf(ports, policy, fleet);
  const look = await recordIntents(ports, policy, fleet, image);
  for (const job of look.givenUp) await sayGivenUp(ports, job);
  let known = look.ledger;
  for (const group of groupByToken(look.launches)) {
    known = await launchGroup(ports, policy, startingFrom(group, image, look.record), group, known);
  }
  if (look.retired) await poke(ports, "scaledown", fleet);
  if (look.unfinished) await poke(ports, "scaleup", fleet);
  else if (look.recheckAt !== undefined) await pokeAt(ports, "scaleup", fleet, look.recheckAt);
}

/** What is launched starts from the image that was made; the ledger keeps the name that was asked for. */
function startingFrom(
  [machine]: readonly Machine[],
  answer: ImageAnswer | undefined,
  record: FleetRecord | undefined,
): FleetRecord | undefined {
  const image = machine?.image ?? (answer?.kind === "ready" ? answer.reference : undefined);
  return image === undefined || record === undefined
    ? record
    : { ...record, spec: { ...record.spec, image } };
}

// --------------------------------------------------------------------------------------------- intents

interface Look {
  readonly record: FleetRecord | undefined;
  /** As it is with what this look has written; undefined when it has written nothing. */
  readonly ledger: Ledger | undefined;
  readonly launches: readonly Machine[];
  readonly givenUp: readonly Job[];
  readonly retired: boolean;
  /** Somebody else has committed before everything was written, or a cap was reached meanwhile: look again. */
  readonly unfinished: boolean;
  readonly recheckAt: number | undefined;
}

const nothing: Look = {
  record: undefined,
  ledger: undefined,
  launches: [],
  givenUp: [],
  retired: false,
  unfinished: false,
  recheckAt: undefined,
};

/** A cap that another fleet reaches in the same moment makes the commit fail; then the counters are read again. */
const overLimitAttempts = 5;

async function recordIntents(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  image: ImageAnswer | undefined,
): Promise<Look> {
  const missing = image === undefined || image.kind === "ready" ? {} : { image };
  for (let attempt = 1; attempt <= overLimitAttempts; attempt++) {
    const context = { ...(await readContext(ports, policy)), ...missing };
    const { result, ledger } = await commitFrom<Intents | "over-limit">(
      ports.store,
      fleet,
      undefined,
      (current) => decide(ports, policy, withSpecOfToday(current, policy), context, image),
      () => "over-limit",
    );
    if (result !== "over-limit") return recordRest(ports, fleet, result, ledger());
  }
  return { ...nothing, unfinished: true };
}

/** What one commit had no room for. It holds as long as nobody else commits; then another look plans the rest. */
async function recordRest(ports: Ports, fleet: FleetId, intents: Intents, first: Ledger): Promise<Look> {
  const { limits, rest } = intents;
  const written = [...intents.first];
  let ledger = first;
  for (const changes of rest) {
    const expected = ledger;
    const next = await commitFrom<boolean>(
      ports.store,
      fleet,
      ledger,
      (current) =>
        current === expected ? { changes, limits, result: true } : { changes: [], result: false },
      () => false,
    );
    ledger = next.ledger();
    if (!next.result) return lookOf(intents, written, ledger, true);
    written.push(...changes);
  }
  return lookOf(intents, written, ledger, false);
}

function lookOf(
  { record, recheckAt }: Intents,
  written: readonly Change[],
  ledger: Ledger,
  unfinished: boolean,
): Look {
  const machines = written.flatMap((change) => (change.put === "machine" ? [change.machine] : []));
  const jobs = written.flatMap((change) => (change.put === "job" ? [change.job] : []));
  return {
    record,
    ledger,
    launches: machines.filter((machine) => machine.state === "requested"),
    givenUp: jobs.filter((job) => job.outcome?.kind === "given-up"),
    retired: machines.some((machine) => machine.state === "retiring"),
    unfinished,
    recheckAt,
  };
}

async function readContext(ports: Ports, policy: Policy): Promise<PlanContext> {
  const counters = await ports.store.counters();
  if (policy.limits.dailyBudgetUsd === undefined) return { counters, spentTodayUsd: 0 };
  const now = ports.clock.now();
  const alive: Machine[] = [];
  for (const fleet of await ports.store.activeFleets()) {
    alive.push(...(await ports.store.load(fleet)).machines);
  }
  // Last, so that a machine that ends meanwhile is counted twice in this look, and never not at all.
  const ended = await ports.store.usage(startOfDay(now));
  return { counters, spentTodayUsd: spentTodayUsd(alive, ended, now) };
}

function decide(
  ports: Ports,
  policy: Policy,
  ledger: Ledger,
  context: PlanContext,
  image: ImageAnswer | undefined,
): Outcome<Intents> {
  const now = ports.clock.now();
  const planned = plan(ledger, policy, context, now);
  const record = recordAfter(ledger.record, planned.blocked);
  const intents = intentsOf(ports, ledger, planned, image, now);
  const all: Change[] = [
    ...intents.machines.map((machine): Change => ({ put: "machine", machine })),
    ...intents.jobs.map((job): Change => ({ put: "job", job })),
  ];
  if (record !== undefined && (all.length > 0 || record !== ledger.record)) {
    all.unshift({ put: "fleet", record });
  }
  const [first = [], ...rest] = inParts(all, ports.store.changesPerCommit);
  const limits = limitsOf(policy, ledger.record?.spec.preset);
  return {
    changes: first,
    limits,
    result: { record, first, rest, limits, recheckAt: planned.recheckAt },
  };
}

/** What a plan wants written, in as many commits as the store needs for it. */
interface Intents {
  readonly record: FleetRecord | undefined;
  readonly first: readonly Change[];
  readonly rest: readonly (readonly Change[])[];
  readonly limits: readonly CounterLimit[];
  readonly recheckAt: number | undefined;
}

function inParts(changes: readonly Change[], size: number): readonly (readonly Change[])[] {
  const count = Math.ceil(changes.length / size);
  return Array.from({ length: count }, (_, index) => changes.slice(index * size, (index + 1) * size));
}

/** The record with the plan's reason for waiting; the same object when nothing changed. */
function recordAfter(record: FleetRecord | undefined, blocked: Blocked | undefined): FleetRecord | undefined {
  if (record === undefined) return undefined;
  const { blocked: before, ...rest } = record;
  if (isSameBlocked(before, blocked)) return record;
  return blocked === undefined ? rest : { ...rest, blocked };
}

function limitsOf(policy: Policy, presetName: string | undefined): readonly CounterLimit[] {
  const preset = policy.presets.find((entry) => entry.name === presetName);
  const total = { counter: totalCounter, max: policy.limits.machines };
  return preset === undefined ? [total] : [total, { counter: presetCounter(preset.name), max: preset.max }];
}

function intentsOf(
  ports: Ports,
  ledger: Ledger,
  planned: Plan,
  image: ImageAnswer | undefined,
  now: number,
): { readonly machines: readonly Machine[]; readonly jobs: readonly Job[] } {
  const machines: Machine[] = [];
  const starts = startsOf(ports, ledger, image);
  const jobs = new Map<number, Job>(
    planned.planned.map((job) => [job.id, plannedJob(ledger.record, job, now)]),
  );
  for (const command of planned.commands) {
    if (command.kind === "launch") {
      machines.push(...requested(ledger, command, starts, now));
      for (const job of command.jobs) {
        const noted = jobs.get(job.id) ?? job;
        if (noted.times.launched === undefined) {
          jobs.set(job.id, { ...noted, times: { ...noted.times, launched: now } });
        }
      }
    } else if (command.kind === "relaunch") {
      machines.push({ ...command.machine, launchAttempts: command.machine.launchAttempts + 1 });
    } else if (command.kind === "retire") {
      const event = { kind: "retire", because: command.because, detail: command.detail } as const;
      machines.push(machineAfter(command.machine, event, now));
    } else {
      const outcome = { kind: "given-up", because: command.because, detail: command.detail } as const;
      jobs.set(command.job.id, jobGivenUp(command.job, outcome, now));
    }
  }
  return { machines, jobs: [...jobs.values()] };
}

function plannedJob(record: FleetRecord | undefined, job: Job, now: number): Job {
  const rerunOf = standsFor(record, job);
  const times = { ...job.times, planned: now };
  return { ...job, times, ...(rerunOf !== undefined && { rerunOf }) };
}

/** Who the next machine is, and what it starts from, where that was made for it. */
type Start = () => { readonly id: MachineId; readonly image?: string };

/** First those by which a new image is judged, then as many others as are asked for. */
function startsOf({ random }: Ports, { record, machines }: Ledger, image: ImageAnswer | undefined): Start {
  const known = new Set(machines.map(({ id }) => id));
  const watched = image?.kind === "ready" ? (image.watched ?? []).filter(({ id }) => !known.has(id)) : [];
  const first = watched.values();
  return () => {
    const { value } = first.next();
    if (value !== undefined) return { id: value.id, image: value.reference };
    const id = machineIdFor(record?.spec.preset ?? "", random);
    return image?.kind === "ready" ? { id, image: image.reference } : { id };
  };
}

/**
 * New machines of one launch share its token: a repetition of the whole launch is one action for the provider. They are
 * alike, so that what starts from another image is another launch.
 */
function requested(
  ledger: Ledger,
  command: Command & { kind: "launch" },
  start: Start,
  now: number,
): readonly Machine[] {
  const spec = ledger.record?.spec;
  if (spec === undefined) return [];
  const starts = Array.from({ length: command.count }, start);
  const tokens = new Map<string | undefined, MachineId>();
  for (const { id, image } of starts) if (!tokens.has(image)) tokens.set(image, id);
  const [repository, ...others] = new Set(command.jobs.map((job) => fullName(job.repository)));
  return starts.map(({ id, image }) => ({
    id,
    fleet: ledger.fleet,
    preset: spec.preset,
    compute: spec.compute,
    state: "requested",
    purchase: command.purchase,
    launchToken: tokens.get(image) ?? id,
    launchAttempts: 1,
    ...(image !== undefined && { image }),
    ...(repository !== undefined && others.length === 0 && { launchedFor: repository }),
    times: { requested: now },
  }));
}

// -------------------------------------------------------------------------------------------- launches

function groupByToken(machines: readonly Machine[]): readonly (readonly Machine[])[] {
  const groups = new Map<string, Machine[]>();
  for (const machine of machines) {
    const group = groups.get(machine.launchToken);
    if (group === undefined) groups.set(machine.launchToken, [machine]);
    else group.push(machine);
  }
  return [...groups.values()];
}

async function launchGroup(
  ports: Ports,
  policy: Policy,
  record: FleetRecord | undefined,
  machines: readonly Machine[],
  known: Ledger | undefined,
): Promise<Ledger | undefined> {
  const first = machines[0];
  if (record === undefined || first === undefined) return known;
  const log = ports.log.with({ stage: "scaleup", fleet: record.id, purchase: first.purchase });
  log.info("Machines are launched.", { machines: machines.map((machine) => machine.id) });
  const outcomes = await launch(ports, record, first, machines);
  if ("refusal" in outcomes) {
    // Whether anything was launched is not known: the machines stay requested and are asked for again.
    log.warn("A launch was not answered.", {
      code: outcomes.refusal.code,
      because: outcomes.refusal.message,
    });
    const ledger = await remember(ports, policy, record.id, outcomes.refusal, known);
    await poke(ports, "scaleup", record.id);
    return ledger;
  }
  const { answers } = outcomes;
  const prices = await pricesOf(ports, record, answers);
  const ledger = await recordOutcomes(ports, policy, first, answers, prices, known);
  const refused = answers.filter((outcome) => outcome.kind === "refused");
  for (const { machineId, failure, code, message } of refused) {
    log.warn("A launch was refused.", {
      launch: first.launchToken,
      machine: machineId,
      failure,
      code,
      because: message,
    });
  }
  if (refused.length > 0) await poke(ports, "scaleup", record.id);
  return ledger;
}

async function launch(
  ports: Ports,
  record: FleetRecord,
  first: Machine,
  machines: readonly Machine[],
): Promise<{ readonly answers: readonly LaunchOutcome[] } | { readonly refusal: LaunchRefusal }> {
  const now = ports.clock.now();
  const compute = ports.compute.get(first.compute);
  if (compute === undefined) {
    const code = "COMPUTE_UNKNOWN";
    const message = `This installation has no compute ${first.compute}. Change the preset ${first.preset}.`;
    return { refusal: { purchase: first.purchase, kind: "configuration", code, message, pools: [] } };
  }
  const avoid = record.refusals.filter(
    (entry) => entry.pool !== everyPool && entry.purchase === first.purchase && entry.until > now,
  );
  const attempt = Math.max(...machines.map((machine) => machine.launchAttempts));
  try {
    const answers = await compute.launch({
      fleet: record.id,
      spec: record.spec,
      purchase: first.purchase,
      token: first.launchToken,
      attempt,
      ...(first.launchedFor !== undefined && { repository: first.launchedFor }),
      machines: machines.map((machine) => {
        const credential = ports.identity.issue(machine.id);
        return { id: machine.id, ...(credential !== undefined && { credential }) };
      }),
      avoidPools: avoid.map((entry) => entry.pool),
      jobTimeoutSeconds: record.spec.jobTimeoutSeconds,
      bootTimeoutSeconds: record.spec.bootTimeoutSeconds,
    });
    return { answers: attempt === 1 ? answers : await withoutEnded(ports, first.compute, answers) };
  } catch (error) {
    const { kind, code, message } = asMayflyError(error, "LAUNCH_FAILED", "It is tried again by itself.");
    const failure = kind === "wait" ? "throttle" : kind === "operator" ? "configuration" : "transient";
    return { refusal: { purchase: first.purchase, kind: failure, code, message, pools: [] } };
  }
}

/** A repeated launch answers all that it ever launched; some of it may have ended meanwhile. */
async function withoutEnded(
  ports: Ports,
  compute: string,
  outcomes: readonly LaunchOutcome[],
): Promise<readonly LaunchOutcome[]> {
  const ended = await endedAmong(ports, compute, outcomes.filter(isNameless));
  return outcomes.filter((outcome) => !isNameless(outcome) || !ended.has(outcome.providerId));
}

type Launched = LaunchOutcome & { readonly kind: "launched" };

/** One of a launch whose machines are interchangeable. */
function isNameless(outcome: LaunchOutcome): outcome is Launched {
  return outcome.kind === "launched" && outcome.machineId === undefined;
}

/** By provider id. */
async function pricesOf(
  ports: Ports,
  record: FleetRecord,
  outcomes: readonly LaunchOutcome[],
): Promise<ReadonlyMap<string, number>> {
  const prices = new Map<string, number>();
  for (const outcome of outcomes) {
    if (outcome.kind !== "launched") continue;
    const price =
      outcome.pricePerHourUsd ??
      (await ports.prices.pricePerHourUsd(record.spec, outcome.purchase, outcome.pool));
    if (price !== undefined) prices.set(outcome.providerId, price);
  }
  return prices;
}

async function recordOutcomes(
  ports: Ports,
  policy: Policy,
  { fleet, purchase, launchToken }: Machine,
  outcomes: readonly LaunchOutcome[],
  prices: ReadonlyMap<string, number>,
  known: Ledger | undefined,
): Promise<Ledger | undefined> {
  const limit = ports.store.changesPerCommit - 1;
  let latest = known;
  let isRemembered = false;
  for (let isWhole = false; !isWhole; isRemembered = true) {
    const written = await commitFrom(ports.store, fleet, latest, (ledger) => {
      const now = ports.clock.now();
      const machines = settle(ledger, launchToken, outcomes).flatMap(({ machine, outcome }) => {
        const after = afterOutcome(machine, outcome, prices, now);
        return after === machine ? [] : [after];
      });
      const changes = machines.slice(0, limit).map((machine): Change => ({ put: "machine", machine }));
      if (ledger.record !== undefined && !isRemembered) {
        const refusals = refusalsAfter(ledger.record.refusals, outcomes, purchase, now, policy);
        if (refusals !== ledger.record.refusals) {
          changes.push({ put: "fleet", record: { ...ledger.record, refusals } });
        }
      }
      return { changes, result: machines.length <= limit };
    });
    isWhole = written.result;
    latest = written.ledger();
  }
  return latest;
}

type MachineOutcome = LaunchOutcome & { readonly kind: "launched" | "refused" };

/** Which machine got which outcome. */
function settle(
  ledger: Ledger,
  launchToken: string,
  outcomes: readonly LaunchOutcome[],
): readonly { readonly machine: Machine; readonly outcome: MachineOutcome }[] {
  const byId = new Map(ledger.machines.map((machine) => [machine.id, machine]));
  const settled: { machine: Machine; outcome: MachineOutcome }[] = [];
  for (const outcome of outcomes) {
    if (outcome.kind === "pools-refused" || outcome.machineId === undefined) continue;
    const machine = byId.get(outcome.machineId);
    if (machine !== undefined) settled.push({ machine, outcome });
  }
  const given = giveInstances(ledger.machines, launchToken, outcomes.filter(isNameless));
  settled.push(...given.map(({ machine, instance }) => ({ machine, outcome: instance })));
  const refusal = outcomes.find((outcome) => outcome.kind === "refused" && outcome.machineId === undefined);
  if (refusal?.kind === "refused") {
    const rest = awaitingMachines(ledger.machines, launchToken).slice(given.length);
    settled.push(...rest.map((machine) => ({ machine, outcome: refusal })));
  }
  return settled;
}

/** What one call refused and granted is one answer: the refusals are what is known last of the market. */
function refusalsAfter(
  before: readonly PoolRefusal[],
  outcomes: readonly LaunchOutcome[],
  purchase: Purchase,
  now: number,
  { timing }: Policy,
): readonly PoolRefusal[] {
  let refusals = before;
  for (const outcome of outcomes) {
    if (outcome.kind === "launched") refusals = forgetRefusals(refusals, outcome.pool, outcome.purchase);
  }
  for (const outcome of outcomes) {
    if (outcome.kind === "launched") continue;
    const refusal = { ...outcome, purchase, kind: outcome.failure };
    const isMarket = outcome.kind === "refused" && outcome.othersLeft !== true;
    refusals = isMarket
      ? rememberRefusal(refusals, refusal, now, timing)
      : rememberPools(refusals, refusal, now, timing);
  }
  return refusals;
}

function afterOutcome(
  machine: Machine,
  outcome: MachineOutcome,
  prices: ReadonlyMap<string, number>,
  now: number,
): Machine {
  if (outcome.kind === "launched") {
    const price = prices.get(outcome.providerId);
    const event = {
      kind: "launched",
      providerId: outcome.providerId,
      pool: outcome.pool,
      purchase: outcome.purchase,
      ...(price !== undefined && { pricePerHourUsd: price }),
    } as const;
    return machineAfter(machine, event, now);
  }
  // The same launch, later, with the same token: the machine stays requested. Unless that token gives no more.
  const maySucceed = outcome.failure === "throttle" || outcome.failure === "transient";
  if (maySucceed && outcome.machineId !== undefined) return machine;
  return machineAfter(machine, { kind: "refused", detail: `${outcome.code}: ${outcome.message}` }, now);
}

async function remember(
  ports: Ports,
  policy: Policy,
  fleet: FleetId,
  refusal: LaunchRefusal,
  known: Ledger | undefined,
): Promise<Ledger> {
  const written = await commitFrom(ports.store, fleet, known, (ledger) => {
    if (ledger.record === undefined) return { changes: [], result: undefined };
    const refusals = rememberRefusal(ledger.record.refusals, refusal, ports.clock.now(), policy.timing);
    return { changes: [{ put: "fleet", record: { ...ledger.record, refusals } }], result: undefined };
  });
  return written.ledger();
}
