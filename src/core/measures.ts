import type { EndReason, Instant, Job, JobState, LaunchFailureKind, Ledger, MachineState } from "./model.ts";
import { everyPool } from "./retry.ts";
import { secondsBetween, waitBegan } from "./status.ts";

/** What happened within a span of time, and what is there now. For metrics; nothing decides by it. */
export interface Measures {
  /** Of each job that started in the span: from its creation, or an approval, to its start. */
  readonly waitSeconds: readonly number[];
  /** Of the same jobs, in the same order, GitHub's part: from the creation to the delivery that told us. */
  readonly githubSeconds: readonly number[];
  readonly launches: number;
  /** Launches that were refused as a whole, by what the refusal means. One fleet and market counts once. */
  readonly refusals: ReadonlyMap<LaunchFailureKind, number>;
  readonly machinesEnded: ReadonlyMap<EndReason, number>;
  /** By conclusion of GitHub, or `given-up`, or `refused`. */
  readonly jobsEnded: ReadonlyMap<string, number>;
  readonly jobs: ReadonlyMap<JobState, number>;
  readonly machines: ReadonlyMap<MachineState, number>;
}

export interface MeasuresInput {
  readonly ledgers: readonly Ledger[];
  /** All that ended at or after `from`, at least. */
  readonly history: { readonly jobs: readonly Job[]; readonly machines: Ledger["machines"] };
  /** Included. */
  readonly from: Instant;
  /** Excluded. */
  readonly until: Instant;
}

/**
 * What is counted by an instant is counted in exactly one of the spans that follow one another, if it was written
 * down when its span is measured: an event that GitHub tells of late needs spans that lie a little in the past.
 */
export function measuresBetween({ ledgers, history, from, until }: MeasuresInput): Measures {
  const within = (at: Instant | undefined): boolean => at !== undefined && at >= from && at < until;
  const active = ledgers.flatMap((ledger) => ledger.jobs);
  const alive = ledgers.flatMap((ledger) => ledger.machines);
  const started = [...active, ...history.jobs].filter((job) => within(job.times.started));
  const refusals = ledgers.flatMap((ledger) => ledger.record?.refusals ?? []);
  return {
    waitSeconds: started.map((job) => secondsBetween(waitBegan(job), job.times.started)),
    githubSeconds: started.map((job) => secondsBetween(job.times.created, job.times.received)),
    launches: [...alive, ...history.machines].filter((machine) => within(machine.times.launched)).length,
    refusals: tally(
      refusals.filter((refusal) => refusal.pool === everyPool && within(refusal.at)),
      (refusal) => refusal.kind,
    ),
    machinesEnded: tally(
      history.machines.filter((machine) => within(machine.times.ended)),
      (machine) => machine.reason ?? "lost",
    ),
    jobsEnded: tally(
      history.jobs.filter((job) => within(job.times.completed)),
      ({ outcome }) => (outcome?.kind === "completed" ? outcome.conclusion : (outcome?.kind ?? "unknown")),
    ),
    jobs: tally(active, (job) => job.state),
    machines: tally(alive, (machine) => machine.state),
  };
}

/** Whether there is nothing to say: then nothing is published, and nothing is paid for. */
export function isQuiet({ launches, ...measures }: Measures): boolean {
  const { waitSeconds, githubSeconds, ...tallies } = measures;
  return launches === 0 && waitSeconds.length === 0 && Object.values(tallies).every(({ size }) => size === 0);
}

function tally<Entry, Kind>(
  entries: readonly Entry[],
  kindOf: (entry: Entry) => Kind,
): ReadonlyMap<Kind, number> {
  const counts = new Map<Kind, number>();
  for (const entry of entries) {
    const kind = kindOf(entry);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
