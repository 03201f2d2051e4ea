import type { Clock } from "../../ports/clock.ts";
import type { ImageBuilder, ImageFindings, ImageOrder } from "../../ports/images.ts";

export interface MemoryImagesOptions {
  readonly clock: Clock;
  readonly buildSeconds?: number;
}

/** A builder in memory: for the simulator, and for tests. What is beyond the port are levers. */
export interface MemoryImages extends ImageBuilder {
  recipe: string;
  /** Every build that was begun, in order. */
  readonly builds: readonly (ImageOrder & { readonly id: string })[];
  /** The next builds fail, each with one of these reasons. */
  failNext(...reasons: readonly string[]): void;
  /** What scans found, by the reference. */
  readonly scans: Map<string, ImageFindings>;
}

/** Images of machines, which exist already. */
const notBuilt = /^(ami-|ssm:|name:)/;

export function createMemoryImages({ clock, buildSeconds = 60 }: MemoryImagesOptions): MemoryImages {
  const builds: (ImageOrder & { readonly id: string; readonly endsAt: number; readonly fails?: string })[] =
    [];
  const reasons: string[] = [];
  const scans = new Map<string, ImageFindings>();
  return {
    scans,
    recipe: "memory-1",
    methodOf(base) {
      return notBuilt.test(base) ? undefined : { recipe: this.recipe, limitSeconds: 45 * 60 };
    },
    builds,
    failNext: (...more) => void reasons.push(...more),
    async start(order) {
      const known = builds.find(({ tag }) => tag === order.tag);
      if (known !== undefined) return { id: known.id };
      const fails = reasons.shift();
      const id = `build-${builds.length + 1}`;
      const endsAt = clock.now() + buildSeconds * 1_000;
      builds.push({ ...order, id, endsAt, ...(fails !== undefined && { fails }) });
      return { id };
    },
    async look({ id }) {
      const build = builds.find((entry) => entry.id === id);
      if (build === undefined) return { kind: "failed", reason: "There is no such build." };
      if (build.endsAt > clock.now()) return { kind: "running" };
      if (build.fails !== undefined) return { kind: "failed", reason: build.fails, log: "the last line" };
      return { kind: "succeeded", reference: `built:${build.tag}` };
    },
    log: async ({ id, lines }) => {
      const build = builds.find((entry) => entry.id === id);
      if (build === undefined) return [];
      return [`FROM ${build.base}`, build.fails ?? "the last line"].slice(-lines);
    },
    findings: async (reference) => scans.get(reference),
  };
}
