import type { Architecture, FleetId, FleetSpec, Instant, Job, Machine, Purchase } from "./model.ts";

/**
 * What things cost, in US dollars. Prices of machines are noted on the machine when it is launched; the tables here
 * are for comparison only.
 */

/**
 * GitHub-hosted Linux runners per minute, by architecture and vCPU, since 2026-01-01. Each job is rounded up to a
 * whole minute. Source: GitHub's actions-runner-pricing reference, read 2026-11-21.
 */
const githubHostedPerMinuteUsd: Readonly<Record<Architecture, readonly (readonly [number, number])[]>> = {
  x86_64: [
    [1, 0.002],
    [2, 0.006],
    [4, 0.012],
    [8, 0.022],
    [16, 0.042],
    [32, 0.082],
    [64, 0.162],
    [96, 0.252],
  ],
  arm64: [
    [2, 0.005],
    [4, 0.008],
    [8, 0.014],
    [16, 0.026],
    [32, 0.05],
    [64, 0.098],
  ],
};

/** EC2 on-demand per vCPU and hour: c7i.large and c7g.large in us-east-1, 2026-07-20. */
const ec2OnDemandPerCpuHourUsd: Readonly<Record<Architecture, number>> = { x86_64: 0.044625, arm64: 0.03625 };
/** What spot costs of on-demand; 60 to 65 % off is typical for these types in 2026. */
export const spotFraction = 0.38;
const assumedCpu = 2;

export interface Size {
  readonly architecture: Architecture;
  readonly cpu?: number;
}

/** What so many minutes cost on the smallest GitHub-hosted Linux runner that has at least as many vCPUs; on the largest beyond. */
export function githubHostedPriceUsd(size: Size, minutes: number): number {
  const table = githubHostedPerMinuteUsd[size.architecture];
  const cpu = size.cpu ?? assumedCpu;
  const row = table.find(([cores]) => cores >= cpu) ?? table.at(-1);
  return minutes * (row?.[1] ?? 0);
}

/** The minutes of a job that ran so long, as GitHub counts them. */
export function hostedMinutes(runSeconds: number): number {
  return Math.max(1, Math.ceil(runSeconds / 60));
}

export function ec2SpotPriceUsd(size: Size, machineSeconds: number): number {
  return (typicalPricePerHourUsd(size, "spot") / 3600) * machineSeconds;
}

/** What a machine of this size costs an hour on EC2, typically: for comparison, and where no price is known. */
export function typicalPricePerHourUsd(size: Size, purchase: Purchase): number {
  const onDemand = ec2OnDemandPerCpuHourUsd[size.architecture] * (size.cpu ?? assumedCpu);
  return purchase === "spot" ? onDemand * spotFraction : onDemand;
}

/** For how long a machine has cost something, between two instants. */
export function machineSeconds(machine: Machine, from: Instant, until: Instant): number {
  const start = machine.times.launched;
  if (start === undefined) return 0;
  const end = Math.min(machine.times.ended ?? until, until);
  return Math.max(0, end - Math.max(start, from)) / 1000;
}

/** What a machine has cost between two instants. A machine without a known price costs nothing. */
export function machineCostUsd(machine: Machine, from: Instant, until: Instant): number {
  return ((machine.pricePerHourUsd ?? 0) / 3600) * machineSeconds(machine, from, until);
}

/** What those of one fleet have used that are over: sums since an instant, as `Store.usage` gives them. */
export interface FleetUsage {
  readonly fleet: FleetId;
  /** Of jobs that ran: whole minutes of each, from its start. */
  readonly hostedMinutes: number;
  /** Of machines: from the instant, or from their launch. */
  readonly machineSeconds: number;
  readonly costUsd: number;
}

/** What these machines, which are alive, and those that `ended` have cost since midnight UTC. */
export function spentTodayUsd(alive: readonly Machine[], ended: readonly FleetUsage[], now: Instant): number {
  const midnight = startOfDay(now);
  let sum = 0;
  for (const machine of alive) sum += machineCostUsd(machine, midnight, now);
  for (const usage of ended) sum += usage.costUsd;
  return sum;
}

/** How long a job ran; 0 when it never started. */
export function runSeconds(job: Job, now: Instant): number {
  if (job.times.started === undefined) return 0;
  return Math.max(0, (job.times.completed ?? now) - job.times.started) / 1000;
}

export function sizeOf(spec: Pick<FleetSpec, "architecture" | "cpu"> | undefined): Size {
  if (spec === undefined) return { architecture: "x86_64" };
  return { architecture: spec.architecture, ...(spec.cpu !== undefined && { cpu: spec.cpu }) };
}

export function startOfDay(now: Instant): Instant {
  const day = 24 * 60 * 60 * 1000;
  return Math.floor(now / day) * day;
}
