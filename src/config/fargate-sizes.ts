import type { Architecture, MachineType } from "../core/model.ts";

/*
 * The sizes that a Fargate task may have on Linux (ECS developer guide, "Task CPU and memory"), in vCPU and GiB. Fargate
 * has no names for them; ours say what they are: `fargate-1024-2048` has 1024 units of CPU, which are one vCPU, and
 * 2048 MiB.
 */
const pairs: readonly (readonly [cpu: number, memoryGib: readonly number[]])[] = [
  [0.25, [0.5, 1, 2]],
  [0.5, upTo(1, 4, 1)],
  [1, upTo(2, 8, 1)],
  [2, upTo(4, 16, 1)],
  [4, upTo(8, 30, 1)],
  [8, upTo(16, 60, 4)],
  [16, upTo(32, 120, 8)],
];

export interface FargateSize {
  readonly cpu: number;
  readonly memoryGib: number;
}

const sizes: readonly FargateSize[] = pairs.flatMap(([cpu, memories]) =>
  memories.map((memoryGib) => ({ cpu, memoryGib })),
);

const architectures: readonly Architecture[] = ["x86_64", "arm64"];
let known: readonly MachineType[] | undefined;

/** As machine types: a job's `cpu=` and `ram=` get the smallest size that has as much. */
export function fargateMachineTypes(): readonly MachineType[] {
  known ??= architectures.flatMap((architecture) =>
    sizes.map((size) => ({ name: nameOf(size, architecture), ...size, architecture, exact: true })),
  );
  return known;
}

/**
 * Undefined: a task may have this size. Otherwise the valid size nearest to it: the smallest that has as much of both,
 * or the largest of all.
 */
export function nearestFargateSize(wish: {
  readonly cpu?: number | undefined;
  readonly memoryGib?: number | undefined;
}): FargateSize | undefined {
  const { cpu, memoryGib } = wish;
  const isValid = sizes.some(
    (size) =>
      (cpu === undefined || size.cpu === cpu) && (memoryGib === undefined || size.memoryGib === memoryGib),
  );
  if (isValid) return undefined;
  const enough = sizes.find((size) => size.cpu >= (cpu ?? 0) && size.memoryGib >= (memoryGib ?? 0));
  return enough ?? sizes.at(-1);
}

function nameOf({ cpu, memoryGib }: FargateSize, architecture: Architecture): string {
  return `fargate${architecture === "arm64" ? "-arm64" : ""}-${cpu * 1024}-${memoryGib * 1024}`;
}

function upTo(first: number, last: number, step: number): readonly number[] {
  return Array.from({ length: (last - first) / step + 1 }, (_, index) => first + index * step);
}
