import type { Architecture, FleetSpec, Purchase } from "../../core/model.ts";
import type { Prices } from "../../ports/prices.ts";

/**
 * US dollars an hour for each vCPU, each GiB of memory, and each GiB of disk beyond 20, Linux, on demand, in us-east-1:
 * AWS's public list prices of 2026, in which three trackers of prices agree (2026-03). Tasks are billed by the second,
 * for a minute at least. Other regions cost more by factors that are in no table here.
 */
export const fargatePrices = {
  region: "us-east-1",
  date: "2026-03",
  perHourUsd: {
    x86_64: { cpu: 0.04048, memoryGib: 0.004445 },
    arm64: { cpu: 0.03238, memoryGib: 0.00356 },
  } satisfies Readonly<Record<Architecture, { readonly cpu: number; readonly memoryGib: number }>>,
  diskGibPerHourUsd: 0.000111,
  /** What spot costs of on-demand, where AWS says "up to 70 % off"; no API tells the price of the day. */
  spotFraction: 0.3,
};

const includedDiskGib = 20;

export interface FargateTask {
  readonly architecture: Architecture;
  readonly cpu: number;
  readonly memoryGib: number;
  readonly diskGib?: number | undefined;
}

/** What a task costs an hour, by the prices of us-east-1. */
export function fargatePerHourUsd(task: FargateTask, purchase: Purchase): number {
  const { perHourUsd, diskGibPerHourUsd, spotFraction } = fargatePrices;
  const { cpu, memoryGib } = perHourUsd[task.architecture];
  const size = task.cpu * cpu + task.memoryGib * memoryGib;
  const disk = Math.max(0, (task.diskGib ?? 0) - includedDiskGib) * diskGibPerHourUsd;
  return (purchase === "spot" ? size * spotFraction : size) + disk;
}

/**
 * What tasks of Fargate cost, from the table that comes with this version. Another region than the table's is told by
 * the config, or not at all: nothing is guessed.
 */
export function createFargatePrices(options: {
  readonly region: string;
  readonly otherwise: Prices;
}): Prices {
  const { region, otherwise } = options;
  return {
    async pricePerHourUsd(spec, purchase, pool) {
      const isKnown = spec.compute === "fargate" && region === fargatePrices.region;
      const price = isKnown ? listedPerHourUsd(spec, purchase, pool) : undefined;
      return price ?? otherwise.pricePerHourUsd(spec, purchase, pool);
    },
  };
}

/** By the size that the pool or the fleet names; undefined where that is none of a task. */
export function listedPerHourUsd(spec: FleetSpec, purchase: Purchase, pool?: string): number | undefined {
  const task = taskOf(pool?.split("/")[0] ?? spec.instanceTypes[0] ?? "");
  return task && fargatePerHourUsd({ ...task, diskGib: spec.diskGib }, purchase);
}

/** `fargate-1024-2048`, as the catalogue of sizes names them. */
function taskOf(type: string): FargateTask | undefined {
  const [, arm, cpu, memory] = /^fargate(-arm64)?-(\d+)-(\d+)$/.exec(type) ?? [];
  if (cpu === undefined || memory === undefined) return undefined;
  const architecture = arm === undefined ? "x86_64" : "arm64";
  return { architecture, cpu: Number(cpu) / 1024, memoryGib: Number(memory) / 1024 };
}
