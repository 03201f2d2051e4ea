import { decideClaim, jobClaimedBy } from "../core/claim.ts";
import { repositoryCounter } from "../core/counters.ts";
import { asMayflyError } from "../core/errors.ts";
import { isBeforeMachineState, jobGivenUp, machineAfter } from "../core/lifecycle.ts";
import {
  type Binding,
  type Change,
  type FleetRecord,
  fullName,
  type Job,
  type Ledger,
  type Machine,
  type MachineId,
  type MachineName,
  type Policy,
  type Registration,
  type Scope,
} from "../core/model.ts";
import type { Secret } from "../core/secret.ts";
import type { MintResult } from "../ports/github.ts";
import type { Proof } from "../ports/identity.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { askingMachine, type Turned } from "./asking-machine.ts";
import { commitFleet, commitFrom, type Outcome } from "./commit-fleet.ts";
import { sayGivenUp } from "./give-up.ts";
import { poke } from "./pokes.ts";

type Ports = Pick<AllPorts, "identity" | "store" | "github" | "work" | "log" | "clock">;

/**
 * What a machine is told. `refused` has an HTTP status: 401 unproven, 404 unknown, 409 had its answer, 503 not known
 * yet; only after the last does it ask again.
 */
export type ClaimAnswer =
  | {
      readonly kind: "run";
      readonly jitConfig: Secret;
      readonly jobTimeoutSeconds: number;
      readonly idleTimeoutSeconds: number;
    }
  | { readonly kind: "wait"; readonly afterSeconds: number }
  | { readonly kind: "shut-down"; readonly because: string }
  | { readonly kind: "refused"; readonly status: Turned["status"] | 409; readonly because: string };

const retrySeconds = 5;
/** Where only a person can change the cause, such as a suspended App: asking more often fills the log and nothing else. */
const operatorRetrySeconds = 30;
const waitLimitSeconds = 60;
const contactNoteSeconds = 20;
/** Another machine may take the last place of a repository right after the counters were read. */
const overLimitAttempts = 3;
/** A registration that GitHub has refused so often in a row will not be granted by asking again. */
const mintRefusalsLimit = 5;

/**
 * Stage **claim**: a booted machine asks what it is for.
 *
 * ```
 *   machine            claim                                     GitHub
 *      │── who am I ────▶│ bind to the neediest job: COMMIT          │
 *      │                 │── remove an earlier registration ────────▶│  refused while a job runs → 409
 *      │                 │── mint the JIT config ───────────────────▶│  409 name taken → remove, mint once more
 *      │                 │ note the registration: COMMIT             │  retired meanwhile → remove it again
 *      │◀─ JIT config ───│                                           │
 * ```
 *
 * A crash at any line leaves a bound machine that claims again and finds its earlier registration by its name.
 */
export async function answerClaim(
  ports: Ports,
  policy: Policy,
  name: MachineName,
  proof: Proof,
): Promise<ClaimAnswer> {
  const machine = await askingMachine(ports, name, proof);
  if ("because" in machine) return { kind: "refused", ...machine };
  try {
    const bound = await bind(ports, policy, machine);
    if ("answer" in bound) return bound.answer;
    return await register(ports, bound, bound.ledger);
  } catch (error) {
    return { kind: "wait", afterSeconds: secondsUntilRetry(ports, machine, error) };
  }
}

interface Bound {
  readonly machine: Machine;
  readonly job: Job;
  readonly binding: Binding;
  readonly record: FleetRecord;
  /** What it was bound to before, if it was: a registration may be left from it. */
  readonly earlier: Machine | undefined;
}

async function bind(
  ports: Ports,
  policy: Policy,
  known: Machine,
): Promise<(Bound & { readonly ledger: Ledger }) | { readonly answer: ClaimAnswer }> {
  // The commit checks the caps. How full they are is asked only when one was in the way, as it seldom is.
  let counters: Readonly<Record<string, number>> = {};
  for (let attempt = 1; attempt <= overLimitAttempts; attempt++) {
    const { result: bound, ledger } = await commitFrom<
      Bound | { readonly answer: ClaimAnswer } | "over-limit"
    >(
      ports.store,
      known.fleet,
      undefined,
      (current) => decideBinding(ports, policy, current, known.id, counters),
      () => "over-limit",
    );
    if (bound === "over-limit") {
      counters = await ports.store.counters();
      continue;
    }
    if (!("answer" in bound)) return { ...bound, ledger: ledger() };
    if (bound.answer.kind === "shut-down") await poke(ports, "scaledown", known.fleet);
    return bound;
  }
  return { answer: { kind: "wait", afterSeconds: retrySeconds } };
}

function decideBinding(
  ports: Ports,
  policy: Policy,
  ledger: Ledger,
  machineId: MachineId,
  counters: Readonly<Record<string, number>>,
): Outcome<Bound | { readonly answer: ClaimAnswer }> {
  const now = ports.clock.now();
  const machine = ledger.machines.find((entry) => entry.id === machineId);
  if (machine === undefined || ledger.record === undefined) {
    const because = "The machine has ended.";
    return { changes: [], result: { answer: { kind: "refused", status: 409, because } } };
  }
  const decision = decideClaim(ledger, machine, policy, counters);
  switch (decision.kind) {
    case "refuse":
      return {
        changes: [],
        result: { answer: { kind: "refused", status: 409, because: decision.because } },
      };
    case "shut-down": {
      const event = { kind: "retire", because: "surplus", detail: decision.because } as const;
      const retired = machineAfter(machine, event, now);
      return { changes: [{ put: "machine", machine: retired }], result: { answer: decision } };
    }
    case "wait": {
      const recent = (machine.contactedAt ?? 0) + contactNoteSeconds * 1000 > now;
      const noted = machineAfter(machine, { kind: "contacted" }, now);
      const { afterSeconds } = decision;
      return {
        changes: recent ? [] : [{ put: "machine", machine: noted }],
        result: { answer: { kind: "wait", afterSeconds } },
      };
    }
    case "bind": {
      const { job, binding, earlier } = decision;
      const bound = machineAfter(machine, { kind: "bound", binding }, now);
      const claimed = jobClaimedBy(job, bound, now);
      const changes: Change[] = [
        { put: "machine", machine: bound },
        { put: "job", job: claimed },
      ];
      const limit = { counter: repositoryCounter(binding.repository), max: policy.limits.perRepository };
      const result: Bound = {
        machine: bound,
        job: claimed,
        binding,
        record: ledger.record,
        earlier: earlier ? machine : undefined,
      };
      return { changes, limits: [limit], result };
    }
  }
}

async function register(ports: Ports, bound: Bound, ledger: Ledger): Promise<ClaimAnswer> {
  const { machine, binding, record } = bound;
  if (bound.earlier !== undefined && !(await removeEarlier(ports, bound.earlier))) return alreadyRunning;
  let minted = await mint(ports, bound);
  if (minted.kind === "name-taken") {
    // By its name: what the ledger notes may be older than the runner that is there.
    if (!(await removeNamed(ports, binding.scope, machine.id))) return alreadyRunning;
    minted = await mint(ports, bound);
  }
  if (minted.kind === "name-taken") return { kind: "wait", afterSeconds: retrySeconds };
  if (minted.kind === "refused") return await noteMintRefusal(ports, bound, minted);

  const { jobTimeoutSeconds } = record.spec;
  const registration = { runnerId: minted.runnerId, scope: binding.scope, jobTimeoutSeconds };
  if (!(await noteRegistration(ports, bound, registration, ledger))) {
    await ports.github.deleteRunner(binding.scope, minted.runnerId);
    return { kind: "wait", afterSeconds: retrySeconds };
  }
  ports.log.info("A machine was registered.", {
    stage: "claim",
    machine: machine.id,
    job: bound.job.id,
    repository: binding.repository,
  });
  return {
    kind: "run",
    jitConfig: minted.jitConfig,
    jobTimeoutSeconds,
    idleTimeoutSeconds: record.spec.idleTimeoutSeconds,
  };
}

/**
 * False: the registration must not be handed out. While GitHub made it the machine was retired, so the fence may
 * have passed already, or another claim of the same machine was registered, so the fence would ask for that one.
 */
async function noteRegistration(
  ports: Ports,
  { machine, job }: Bound,
  registration: Registration,
  known: Ledger,
): Promise<boolean> {
  const noted = await commitFrom(ports.store, machine.fleet, known, (ledger) => {
    const before = ledger.machines.find((entry) => entry.id === machine.id);
    const retired = before === undefined || !isBeforeMachineState(before.state, "busy");
    if (retired || before.registration?.runnerId !== machine.registration?.runnerId) {
      return { changes: [], result: false };
    }
    const after = machineAfter(before, { kind: "minted", registration }, ports.clock.now());
    const changes: Change[] = [{ put: "machine", machine: after }];
    const refusedBefore = ledger.jobs.find((entry) => entry.id === job.id && (entry.mintRefusals ?? 0) > 0);
    if (refusedBefore !== undefined) changes.push({ put: "job", job: { ...refusedBefore, mintRefusals: 0 } });
    return { changes, result: true };
  });
  return noted.result;
}

const alreadyRunning: ClaimAnswer = {
  kind: "refused",
  status: 409,
  because: "The machine's runner is running a job already.",
};

function mint(ports: Ports, bound: Bound): Promise<MintResult> {
  return ports.github.mintRunner({
    scope: bound.binding.scope,
    name: bound.machine.id,
    labels: bound.binding.labels,
    runnerGroup: bound.record.spec.runnerGroup,
  });
}

/** Removes what an earlier answer registered. False: GitHub refuses, because a job runs on it. */
async function removeEarlier(ports: Ports, machine: Machine): Promise<boolean> {
  const scope = machine.registration?.scope ?? machine.binding?.scope;
  if (scope === undefined) return true;
  const runnerId = machine.registration?.runnerId;
  if (runnerId === undefined) return removeNamed(ports, scope, machine.id);
  return (await ports.github.deleteRunner(scope, runnerId)) !== "running-a-job";
}

async function removeNamed(ports: Ports, scope: Scope, name: string): Promise<boolean> {
  const runner = await ports.github.findRunner(scope, name);
  if (runner === undefined) return true;
  return (await ports.github.deleteRunner(scope, runner.id)) !== "running-a-job";
}

async function noteMintRefusal(
  ports: Ports,
  bound: Bound,
  refusal: MintResult & { kind: "refused" },
): Promise<ClaimAnswer> {
  const repository = fullName(bound.job.repository);
  const detail = `GitHub refuses to register a runner for ${repository} (${refusal.status}): ${refusal.message}`;
  ports.log.warn("GitHub refused a registration.", {
    stage: "claim",
    machine: bound.machine.id,
    repository,
    status: refusal.status,
    message: refusal.message,
  });
  const job = await commitFleet<Job | undefined>(ports.store, bound.machine.fleet, (ledger) => {
    const before = ledger.jobs.find((entry) => entry.id === bound.job.id);
    if (before === undefined) return { changes: [], result: undefined };
    const noted = { ...before, mintRefusals: (before.mintRefusals ?? 0) + 1 };
    const outcome = { kind: "given-up", because: "registration-refused", detail } as const;
    const after =
      noted.mintRefusals < mintRefusalsLimit ? noted : jobGivenUp(noted, outcome, ports.clock.now());
    return { changes: [{ put: "job", job: after }], result: after };
  });
  if (job !== undefined) await sayGivenUp(ports, job);
  return { kind: "wait", afterSeconds: retrySeconds };
}

function secondsUntilRetry(ports: Ports, machine: Machine, error: unknown): number {
  const known = asMayflyError(error, "CLAIM_FAILED", "The machine asks again by itself.");
  ports.log.warn("A claim could not be answered yet.", { stage: "claim", machine: machine.id, error: known });
  if (known.retryAt === undefined) return known.kind === "operator" ? operatorRetrySeconds : retrySeconds;
  const seconds = Math.ceil((known.retryAt - ports.clock.now()) / 1000);
  return Math.min(Math.max(seconds, 1), waitLimitSeconds);
}
