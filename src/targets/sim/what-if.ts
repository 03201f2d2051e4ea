import {
  githubHostedPriceUsd,
  hostedMinutes,
  machineCostUsd,
  machineSeconds,
  runSeconds,
  sizeOf,
} from "../../core/cost.ts";
import type { TracedJob } from "../../core/job-trace.ts";
import type { FleetSpec, Job, Machine, Policy } from "../../core/model.ts";
import { mostAtOnce, type Span } from "../../core/most-at-once.ts";
import { refusedFleet, resolveSpec, routeJob } from "../../core/route.ts";
import { iso, percentile, waitBegan } from "../../core/status.ts";
import { type Replay, simulatedPricePerHourUsd, type UnservedJobs } from "./replay.ts";

/** What would have come of the jobs of a trace with one config. Documented in docs/reference/cli-json.md. */
export interface WhatIfReport {
  /** The path of the config. */
  readonly config: string;
  readonly jobs: WhatIfJobs;
  readonly waits: Waits;
  readonly machines: WhatIfMachines;
  readonly cost: WhatIfCost;
  readonly presets: readonly WhatIfPreset[];
  readonly unserved: readonly UnservedJobs[];
  readonly timeline: readonly TimelinePoint[];
}

export interface WhatIfJobs {
  /** All jobs of the trace: those that ran, were refused, given up and ignored. */
  readonly total: number;
  readonly ran: number;
  readonly refused: number;
  /** Given up by Mayfly, or cancelled by GitHub after a day in the queue. */
  readonly givenUp: number;
  /** Left to others; they are not in the ledger. */
  readonly ignored: number;
  /** Of those that ran: the cloud took their machine back. */
  readonly interrupted: number;
  /** Of those that ran: longer than their preset allows, and ended there. */
  readonly overLimit: number;
  readonly runHours: number;
}

/** From the instant at which GitHub queued a job to its start. Null where no job ran. */
export interface Waits {
  readonly p50Seconds: number | null;
  readonly p95Seconds: number | null;
  readonly p99Seconds: number | null;
  readonly longestSeconds: number | null;
}

export interface WhatIfMachines {
  readonly launched: number;
  readonly spot: number;
  readonly onDemand: number;
  /** Of those launched: no job ran on them. */
  readonly unused: number;
  readonly interrupted: number;
  readonly mostAtOnce: number;
  readonly spotHours: number;
  readonly onDemandHours: number;
}

export interface WhatIfCost {
  readonly spotUsd: number;
  readonly onDemandUsd: number;
  readonly totalUsd: number;
  /** The same minutes of the same jobs on GitHub's own runners of the same size. */
  readonly githubHostedUsd: number;
}

export interface WhatIfPreset {
  readonly preset: string;
  /** As the configuration names it. */
  readonly compute: string;
  readonly jobs: number;
  readonly waits: Waits;
  readonly machines: WhatIfMachines;
  readonly cost: WhatIfCost;
  /** What one machine was taken to cost, without the options of single jobs. */
  readonly spotUsdPerHour: number;
  readonly onDemandUsdPerHour: number;
}

/** The most machines that were alive, and the most jobs that waited, between this instant and the next. */
export interface TimelinePoint {
  readonly at: string;
  readonly machines: number;
  readonly waiting: number;
}

export interface WhatIfInput {
  readonly config: string;
  readonly policy: Policy;
  readonly jobs: readonly TracedJob[];
  readonly replay: Replay;
}

/**
 * What the ledger of a replay says. Nothing is counted elsewhere, so that the sums are the ledger's; only jobs that are
 * ignored never get there.
 */
export function whatIfReport({ config, policy, jobs, replay }: WhatIfInput): WhatIfReport {
  const { machines, jobs: known } = replay.history;
  const specOf = specReader(policy);
  const ran = known.filter((job) => job.times.started !== undefined);
  const refused = count(known, (job) => job.outcome?.kind === "refused");
  const lost = new Set(
    machines.filter((machine) => machine.reason === "interrupted").map(({ jobId }) => jobId),
  );
  return {
    config,
    jobs: {
      total: jobs.length,
      ran: ran.length,
      refused,
      givenUp: known.length - ran.length - refused,
      ignored: jobs.length - known.length,
      interrupted: count(ran, (job) => lost.has(job.id)),
      overLimit: count(ran, (job) => isCancelled(job) && !lost.has(job.id)),
      runHours: sum(ran, (job) => runSeconds(job, 0)) / 3600,
    },
    waits: waitsOf(ran),
    machines: machinesOf(machines),
    cost: costOf(ran, machines, specOf),
    presets: policy.presets.map((preset): WhatIfPreset => {
      const own = ran.filter((job) => specOf(job).preset === preset.name);
      const ownMachines = machines.filter((machine) => machine.preset === preset.name);
      const spec = resolveSpec(preset, {}, policy);
      return {
        preset: preset.name,
        compute: preset.compute,
        jobs: own.length,
        waits: waitsOf(own),
        machines: machinesOf(ownMachines),
        cost: costOf(own, ownMachines, specOf),
        spotUsdPerHour: simulatedPricePerHourUsd(policy, spec, "spot"),
        onDemandUsdPerHour: simulatedPricePerHourUsd(policy, spec, "on-demand"),
      };
    }),
    unserved: replay.unserved,
    timeline: timelineOf(replay),
  };
}

/** The machine that a job gets by its labels; jobs of a trace have few different ones. */
function specReader(policy: Policy): (job: Job) => FleetSpec {
  const known = new Map<string, FleetSpec>();
  return ({ labels }) => {
    const key = JSON.stringify(labels);
    const spec = known.get(key) ?? specOfLabels(labels, policy);
    known.set(key, spec);
    return spec;
  };
}

function specOfLabels(labels: readonly string[], policy: Policy): FleetSpec {
  const route = routeJob(labels, policy);
  return route.kind === "routed" ? route.record.spec : refusedFleet.spec;
}

function waitsOf(ran: readonly Job[]): Waits {
  const seconds = ran.map((job) => ((job.times.started ?? 0) - waitBegan(job)) / 1000);
  seconds.sort((one, other) => one - other);
  return {
    p50Seconds: percentile(seconds, 0.5),
    p95Seconds: percentile(seconds, 0.95),
    p99Seconds: percentile(seconds, 0.99),
    longestSeconds: seconds.at(-1) ?? null,
  };
}

function machinesOf(machines: readonly Machine[]): WhatIfMachines {
  const launched = machines.filter((machine) => machine.times.launched !== undefined);
  const [spot, onDemand] = byPurchase(launched);
  const [whole] = mostAtOnce(launched.map(lifeOf), { from: 0, step: Number.MAX_SAFE_INTEGER, count: 1 });
  return {
    launched: launched.length,
    spot: spot.length,
    onDemand: onDemand.length,
    unused: count(launched, (machine) => machine.jobId === undefined),
    interrupted: count(launched, (machine) => machine.reason === "interrupted"),
    mostAtOnce: whole ?? 0,
    spotHours: sum(spot, hoursOf),
    onDemandHours: sum(onDemand, hoursOf),
  };
}

function costOf(
  ran: readonly Job[],
  machines: readonly Machine[],
  specOf: (job: Job) => FleetSpec,
): WhatIfCost {
  const [spotUsd, onDemandUsd] = byPurchase(machines).map((list) => sum(list, costOfMachine));
  return {
    spotUsd: spotUsd ?? 0,
    onDemandUsd: onDemandUsd ?? 0,
    totalUsd: (spotUsd ?? 0) + (onDemandUsd ?? 0),
    githubHostedUsd: sum(ran, (job) =>
      githubHostedPriceUsd(sizeOf(specOf(job)), hostedMinutes(runSeconds(job, 0))),
    ),
  };
}

function byPurchase(machines: readonly Machine[]): readonly [readonly Machine[], readonly Machine[]] {
  const isSpot = (machine: Machine): boolean => machine.purchase === "spot";
  return [machines.filter(isSpot), machines.filter((machine) => !isSpot(machine))];
}

function hoursOf(machine: Machine): number {
  return machineSeconds(machine, 0, Number.POSITIVE_INFINITY) / 3600;
}

function costOfMachine(machine: Machine): number {
  return machineCostUsd(machine, 0, Number.POSITIVE_INFINITY);
}

/** Cut off by GitHub or by its time limit: nobody cancels anything in a replay. */
function isCancelled(job: Job): boolean {
  return job.outcome?.kind === "completed" && job.outcome.conclusion === "cancelled";
}

// ------------------------------------------------------------------------------------------- over time

const minuteMilliseconds = 60_000;
/** Round to read, and few enough points for a chart: 288 for a day. */
const stepsMinutes = [1, 5, 15, 60, 180, 720];
const pointsAtMost = 300;

function timelineOf({ history, shiftMilliseconds }: Replay): readonly TimelinePoint[] {
  const waits = history.jobs
    .filter((job) => job.outcome?.kind !== "refused")
    .map((job) => ({ from: waitBegan(job), until: job.times.started ?? job.times.completed }));
  const lives = history.machines.filter((machine) => machine.times.launched !== undefined).map(lifeOf);
  const spans = [...waits, ...lives];
  if (spans.length === 0) return [];
  const earliest = spans.reduce((first, span) => Math.min(first, span.from), Number.POSITIVE_INFINITY);
  const latest = spans.reduce((last, span) => Math.max(last, span.until ?? span.from), 0);
  const minutes = (latest - earliest) / minuteMilliseconds;
  const stepMinutes = stepsMinutes.find((step) => minutes / step < pointsAtMost) ?? 1_440;
  const step = stepMinutes * minuteMilliseconds;
  const from = Math.floor(earliest / step) * step;
  const steps = { from, step, count: Math.floor((latest - from) / step) + 1 };
  const waiting = mostAtOnce(waits, steps);
  return mostAtOnce(lives, steps).map((machines, index) => ({
    at: iso(from + index * step + shiftMilliseconds),
    machines,
    waiting: waiting[index] ?? 0,
  }));
}

function lifeOf({ times }: Machine): Span {
  return { from: times.launched ?? times.requested, until: times.ended };
}

function count<Entry>(entries: readonly Entry[], matches: (entry: Entry) => boolean): number {
  return entries.reduce((found, entry) => found + Number(matches(entry)), 0);
}

function sum<Entry>(entries: readonly Entry[], measure: (entry: Entry) => number): number {
  return entries.reduce((total, entry) => total + measure(entry), 0);
}
