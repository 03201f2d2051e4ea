import { MayflyError } from "../../core/errors.ts";
import { buildLimitSeconds } from "../../core/image.ts";
import type { Instant } from "../../core/model.ts";
import type { ImageBuilder, ImageOrder, ImageProgress } from "../../ports/images.ts";
import type { Random } from "../../ports/random.ts";
import { chance, skewed, wholeBetween } from "./draw.ts";
import type { Faults } from "./faults.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Tasks } from "./tasks.ts";

export interface SimBuild extends ImageOrder {
  readonly id: string;
  readonly beganAt: Instant;
  readonly endsAt: Instant;
  readonly outcome: "succeeds" | "fails" | "is never told";
  /** What it makes is of no use. */
  readonly isBroken: boolean;
}

export interface BuilderOptions {
  readonly scheduler: Pick<Scheduler, "now" | "after">;
  readonly random: Random;
  readonly tasks: Tasks;
  /** Of this instant: they heal. */
  readonly faults: () => Faults;
  /** Whether an image serves in whose place this one would come. */
  readonly isReplacement: (order: ImageOrder) => boolean;
  /** A build is about to begin. */
  readonly onBuild: (order: ImageOrder) => void;
  /** It has ended, and the builder's own event says so. */
  readonly onEnd: (build: SimBuild) => void;
}

/** The builder ends what takes longer, before the flow stops waiting for it. */
const longestSeconds = buildLimitSeconds - 5 * 60;
const buildSpread = 0.3;

/**
 * Builds images in virtual time: orders that are refused, lost after they were taken, or to be given later; builds that
 * fail, for a while or always, and builds of whose end nobody is ever told. One order for each tag, as the port says.
 */
export class SimBuilder {
  /** What processes are given. */
  readonly images: ImageBuilder;
  /** By tag, in the order in which they began. */
  readonly builds = new Map<string, SimBuild>();
  readonly #options: BuilderOptions;
  readonly #refused = new Set<string>();
  #recipes = 1;

  constructor(options: BuilderOptions) {
    this.#options = options;
    this.images = {
      methodOf: () => ({ recipe: `recipe-${this.#recipes}`, limitSeconds: buildLimitSeconds }),
      start: async (order) => this.#start(order),
      look: async (build) => this.#look(build),
      log: async () => [],
      findings: async () => undefined,
    };
  }

  /** A new runner, or a new release: every image is to be made anew. */
  changeRecipe(): void {
    this.#recipes += 1;
  }

  /** The build that has made what machines find under this reference. */
  made(reference: string): SimBuild | undefined {
    const build = this.builds.get(reference.slice(referencePrefix.length));
    return build?.outcome === "succeeds" && this.hasEnded(build) ? build : undefined;
  }

  hasEnded({ endsAt }: SimBuild): boolean {
    return endsAt <= this.#options.scheduler.now;
  }

  isBroken(base: string): boolean {
    return this.#options.tasks.brokenBases.includes(base);
  }

  #start(order: ImageOrder): { readonly id: string } {
    const { random, faults, onBuild } = this.#options;
    this.#failSometimes();
    const known = this.builds.get(order.tag);
    if (known !== undefined) return { id: known.id };
    if (this.#refused.has(order.tag)) throw refused(order);
    const fails = this.isBroken(order.base) || chance(random, faults().buildFailedFraction);
    if (fails && chance(random, 0.25)) {
      this.#refused.add(order.tag);
      throw refused(order);
    }
    onBuild(order);
    const build = this.#begin(order, fails);
    if (chance(random, faults().buildAnswerLostFraction)) throw unreachable("The builder's answer was lost.");
    return { id: build.id };
  }

  #begin(order: ImageOrder, fails: boolean): SimBuild {
    const { random, faults, tasks, scheduler, isReplacement, onEnd } = this.#options;
    const isSilent = chance(random, faults().buildSilentFraction);
    const drawn = skewed(random, tasks.buildMedianSeconds, buildSpread);
    const seconds = isSilent ? longestSeconds : Math.min(drawn, longestSeconds);
    const isBroken = isReplacement(order) && chance(random, faults().imageBrokenFraction);
    const build: SimBuild = {
      ...order,
      isBroken,
      id: `build-${this.builds.size + 1}`,
      beganAt: scheduler.now,
      endsAt: scheduler.now + seconds * 1_000,
      outcome: isSilent ? "is never told" : fails ? "fails" : "succeeds",
    };
    this.builds.set(order.tag, build);
    if (!isSilent) scheduler.after(seconds * 1_000, `${build.id} ends`, () => onEnd(build));
    return build;
  }

  #look({ id, tag }: { readonly id: string; readonly tag: string }): ImageProgress {
    this.#failSometimes();
    const build = this.builds.get(tag);
    if (build?.id !== id) return { kind: "failed", reason: `There is no build ${id}.` };
    if (!this.hasEnded(build) || build.outcome === "is never told") return { kind: "running" };
    if (build.outcome === "succeeds") return { kind: "succeeded", reference: `${referencePrefix}${tag}` };
    return { kind: "failed", reason: "The base has no shell.", log: "sh: not found" };
  }

  #failSometimes(): void {
    const { random, scheduler, faults } = this.#options;
    if (!chance(random, faults().buildThrottledFraction)) return;
    if (chance(random, 0.5)) throw unreachable("The builder cannot be reached.");
    throw new MayflyError({
      kind: "wait",
      code: "BUILDER_THROTTLED",
      message: "The builder wants fewer calls.",
      suggestion: "Call later.",
      retryAt: scheduler.now + wholeBetween(random, 1, 20) * 1_000,
    });
  }
}

const referencePrefix = "built:";

function refused({ base }: ImageOrder): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "BUILD_REFUSED",
    message: `The builder takes no order for ${base}.`,
    suggestion: "Name another image.",
  });
}

function unreachable(message: string): MayflyError {
  return new MayflyError({ kind: "retry", code: "BUILDER_UNREACHABLE", message, suggestion: "Call again." });
}
