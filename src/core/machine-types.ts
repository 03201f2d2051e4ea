import type { Architecture, MachineType, Policy } from "./model.ts";

/** Below so many processors a machine is one that bursts; such types are for little else. */
const burstableBelowCpu = 2;
/** More types than these make no pool that is worth more. */
const typesLimit = 20;

/**
 * The smallest types that offer at least so much, by processors and then by memory, and those beside them that have
 * as many processors and up to twice the memory: where one has no capacity, another may. Of exact types it is the smallest alone. None fits: empty.
 */
export function typesThatFit(
  types: readonly MachineType[],
  wish: {
    readonly architecture: Architecture;
    readonly cpu?: number | undefined;
    readonly memoryGib?: number | undefined;
  },
): readonly string[] {
  const { architecture, cpu = 0, memoryGib = 0 } = wish;
  const isSmall = cpu > 0 && cpu < burstableBelowCpu;
  const fitting = types
    .filter((type) => type.architecture === architecture && type.cpu >= cpu && type.memoryGib >= memoryGib)
    .sort((left, right) => left.cpu - right.cpu || left.memoryGib - right.memoryGib);
  const usual = fitting.filter((type) => (type.burstable === true) === isSmall);
  const candidates = usual.length > 0 ? usual : fitting;
  const [smallest] = candidates;
  if (smallest === undefined) return [];
  if (smallest.exact === true) return [smallest.name];
  return candidates
    .filter((type) => type.cpu === smallest.cpu && type.memoryGib <= 2 * smallest.memoryGib)
    .slice(0, typesLimit)
    .map((type) => type.name);
}

/** The type of this name, in any of the computes or in this one. Undefined: no catalogue has it. */
export function machineType(
  policy: Pick<Policy, "machineTypes">,
  name: string,
  compute?: string,
): MachineType | undefined {
  const lower = name.toLowerCase();
  const catalogues =
    compute === undefined ? Object.values(policy.machineTypes) : [policy.machineTypes[compute] ?? []];
  return catalogues.flat().find((type) => type.name === lower);
}
