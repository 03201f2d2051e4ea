import {
  type Binding,
  fullName,
  type Instant,
  type Job,
  type Ledger,
  type Machine,
  type Policy,
  type Scope,
} from "./model.ts";

/**
 * Which queued jobs of a fleet already have a machine, and which do not. Scale-up, claim and status share this
 * one view, so that they cannot disagree.
 *
 * An unclaimed machine can serve any job of its fleet. A registered one can serve only what GitHub would give it:
 * jobs in its scope whose labels its registration has. GitHub may give it another job than the one it claimed, so
 * the claim is a hint and only scope and labels count.
 */
export interface Demand {
  /** Queued jobs that no registered or claiming machine can serve, oldest first. */
  readonly unserved: readonly Job[];
  /** Registered or claiming machines that no queued job needs, newest first. */
  readonly surplus: readonly Machine[];
  /** Machines that were asked for and have not claimed yet. */
  readonly unclaimed: readonly Machine[];
}

export function demandOf(ledger: Ledger): Demand {
  const queued = ledger.jobs
    .filter((job) => job.state === "queued" && !isPresumedRunning(job))
    .sort((left, right) => left.times.created - right.times.created || left.id - right.id);
  // Most machines of a busy fleet run a job: the others alone are sorted.
  const unclaimed = ledger.machines.filter(isUnclaimed).sort(byClaim);
  const keyOf = labelKeys();
  const offers = new Map<string, Offer>();
  for (const machine of ledger.machines.filter(isOffered).sort(byClaim)) {
    offer(offers, machine.binding, machine, keyOf);
  }
  const unserved = takeOffers(queued, offers, keyOf);
  const surplus = [...offers.values()].flatMap((entry) => entry.machines.slice(entry.taken));
  surplus.sort(byClaim).reverse();
  return { unserved, surplus, unclaimed };
}

/** So many machines are kept, unclaimed, beside the demand: for a fleet without options only. */
export function warmTargetOf({ record }: Ledger, policy: Policy): number {
  if (record === undefined || Object.keys(record.options).length > 0) return 0;
  return policy.presets.find((preset) => preset.name === record.spec.preset)?.warm ?? 0;
}

/** The scope in which a runner for this job is registered. */
export function scopeOf(job: Pick<Job, "repository" | "installationId">, policy: Policy): Scope {
  const { owner, name } = job.repository;
  const { installationId } = job;
  return policy.registration === "organization"
    ? { kind: "organization", installationId, owner }
    : { kind: "repository", installationId, owner, name };
}

export function scopeName(scope: Scope): string {
  return scope.kind === "organization" ? scope.owner : fullName(scope);
}

function isUnclaimed(machine: Machine): boolean {
  return (machine.state === "requested" || machine.state === "launched") && machine.binding === undefined;
}

/** Claimed, perhaps registered, and as far as we know without a job. */
function isOffered(machine: Machine): machine is Machine & { binding: Binding } {
  if (machine.binding === undefined || machine.times.started !== undefined) return false;
  return machine.state === "requested" || machine.state === "launched" || machine.state === "registered";
}

/**
 * A job that is queued as far as GitHub has told us, while the machine that claimed it said that it runs a job:
 * GitHub's event is late or lost. It is not served a second time until GitHub was asked, even when the machine has
 * ended long since.
 */
export function isPresumedRunning(job: Job): job is Job & { readonly presumedAt: Instant } {
  return job.state === "queued" && job.presumedAt !== undefined && (job.checkedAt ?? 0) <= job.presumedAt;
}

/** Machines of one scope and one set of labels: GitHub would give them the same jobs. Oldest first. */
interface Offer {
  /** In lower case, as are the labels. */
  readonly scope: string;
  readonly labels: ReadonlySet<string>;
  readonly machines: Machine[];
  taken: number;
}

/**
 * Gives every queued job an offered machine that GitHub could give it, exact labels first, and returns the jobs
 * that got none. A job looks only at offers of its own repository and organisation: there may be many others.
 */
function takeOffers(
  queued: readonly Job[],
  offers: ReadonlyMap<string, Offer>,
  keyOf: LabelKeys,
): readonly Job[] {
  let free = 0;
  for (const { machines } of offers.values()) free += machines.length;
  /** The jobs that get none. When nothing is left to give, the rest of the line is not looked at. */
  const without = (jobs: readonly Job[], takes: (job: Job) => boolean): readonly Job[] => {
    if (free === 0) return jobs;
    return jobs.filter((job) => {
      if (free === 0 || !takes(job)) return true;
      free -= 1;
      return false;
    });
  };
  const left = without(queued, (job) => {
    const labels = keyOf(job.labels);
    return scopesOfJob(job).some((scope) => take(offers.get(`${scope} ${labels}`)));
  });
  if (free === 0 || left.length === 0) return left;
  const byScope = Map.groupBy(offers.values(), (offer) => offer.scope);
  return without(left, (job) => {
    const labels = job.labels.map((label) => label.toLowerCase());
    return scopesOfJob(job)
      .flatMap((scope) => byScope.get(scope) ?? [])
      .some((offer) => labels.every((label) => offer.labels.has(label)) && take(offer));
  });
}

function take(offer: Offer | undefined): boolean {
  if (offer === undefined || offer.taken >= offer.machines.length) return false;
  offer.taken += 1;
  return true;
}

/** Whether GitHub could give the job to the runner of this machine: it is in reach and has all labels. */
export function canServe(machine: Machine, job: Job): boolean {
  const { binding } = machine;
  if (binding === undefined || !scopesOfJob(job).includes(scopeName(binding.scope).toLowerCase()))
    return false;
  const offered = new Set(binding.labels.map((label) => label.toLowerCase()));
  return job.labels.every((label) => offered.has(label.toLowerCase()));
}

/** The repository and its organisation: a runner of either can get the job. */
function scopesOfJob(job: Job): readonly string[] {
  return [fullName(job.repository).toLowerCase(), job.repository.owner.toLowerCase()];
}

/** Labels as a key, whatever their order and case. */
type LabelKeys = (labels: readonly string[]) => string;

/** Most jobs of a fleet have the same labels, so each list is brought into its form once. */
function labelKeys(): LabelKeys {
  const known = new Map<string, string>();
  return (labels) => {
    const text = labels.join("\n");
    const before = known.get(text);
    if (before !== undefined) return before;
    const key = labels
      .map((label) => label.toLowerCase())
      .sort()
      .join("\n");
    known.set(text, key);
    return key;
  };
}

function offer(offers: Map<string, Offer>, binding: Binding, machine: Machine, keyOf: LabelKeys): void {
  const scope = scopeName(binding.scope).toLowerCase();
  const key = `${scope} ${keyOf(binding.labels)}`;
  const known = offers.get(key);
  if (known !== undefined) {
    known.machines.push(machine);
    return;
  }
  const labels = new Set(binding.labels.map((label) => label.toLowerCase()));
  offers.set(key, { scope, labels, machines: [machine], taken: 0 });
}

function byClaim(left: Machine, right: Machine): number {
  const leftAt = left.times.claimed ?? left.times.requested;
  const rightAt = right.times.claimed ?? right.times.requested;
  return leftAt - rightAt || (left.id < right.id ? -1 : 1);
}
