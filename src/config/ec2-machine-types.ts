import type { MachineType } from "../core/model.ts";

/*
 * The instance types of EC2 that jobs usually run on: families c, m and r of the generations 5 to 8, and t, with and
 * without local disks, as AWS offered them in 2026. Others can be named in presets and mappings; what is known here is
 * what `cpu=` and `ram=` choose from, and what is understood as a label by itself.
 */

const upTo16 = ["large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"];

/** Sizes by families; the newest generation first, as it costs the least for what it does. */
const families: readonly (readonly [families: string, sizes: readonly string[]])[] = [
  ["c8g m8g r8g c8a m8a r8a c8gd m8gd r8gd", ["medium", ...upTo16, "24xlarge", "48xlarge"]],
  ["c8i m8i r8i c8id m8id r8id", [...upTo16, "24xlarge", "32xlarge", "48xlarge"]],
  ["c8i-flex m8i-flex r8i-flex c7i-flex m7i-flex", upTo16],
  ["c7a m7a r7a", ["medium", ...upTo16, "24xlarge", "32xlarge", "48xlarge"]],
  ["c7i m7i r7i", [...upTo16, "24xlarge", "48xlarge"]],
  ["c7g m7g r7g c7gd m7gd r7gd c6g m6g r6g c6gd m6gd r6gd", ["medium", ...upTo16]],
  ["c6a m6a r6a", [...upTo16, "24xlarge", "32xlarge", "48xlarge"]],
  ["c6i m6i r6i c6id m6id r6id", [...upTo16, "24xlarge", "32xlarge"]],
  ["c5a m5 m5a m5d r5 r5a r5d", [...upTo16, "24xlarge"]],
  ["c5 c5d", ["large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "12xlarge", "18xlarge", "24xlarge"]],
  ["t4g t3a t3", ["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge"]],
];

/** GiB of memory for each processor, by the first letter of a family. */
const memoryPerCpu: Readonly<Record<string, number>> = { c: 2, m: 4, r: 8 };

/** A type that bursts has two processors up to `large`, and memory of its own. */
const burstableMemoryGib: Readonly<Record<string, number>> = {
  ...{ nano: 0.5, micro: 1, small: 2, medium: 4, large: 8, xlarge: 16, "2xlarge": 32 },
};

let known: readonly MachineType[] | undefined;

export function ec2MachineTypes(): readonly MachineType[] {
  known ??= families.flatMap(([names, sizes]) =>
    names.split(" ").flatMap((family) => sizes.map((size) => machineTypeOf(family, size))),
  );
  return known;
}

function machineTypeOf(family: string, size: string): MachineType {
  const name = `${family}.${size}`;
  // AWS marks its own processors with a g after the generation.
  const architecture = /^[a-z]\d+g/.test(family) ? "arm64" : "x86_64";
  if (family.startsWith("t")) {
    const cpu = Math.max(2, cpuOf(size));
    return { name, cpu, memoryGib: burstableMemoryGib[size] ?? 0, architecture, burstable: true };
  }
  const cpu = cpuOf(size);
  return { name, cpu, memoryGib: cpu * (memoryPerCpu[family.charAt(0)] ?? 0), architecture };
}

/** `large` has two processors, and every `xlarge` is four. */
function cpuOf(size: string): number {
  const [, times] = /^(\d*)xlarge$/.exec(size) ?? [];
  if (times !== undefined) return 4 * Number(times || 1);
  return size === "large" ? 2 : 1;
}
