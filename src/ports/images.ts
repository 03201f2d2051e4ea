import type { Architecture } from "../core/model.ts";

/**
 * Makes images of others: a base with the runner in it.
 *
 * Contract, for every adapter:
 * - What is built has no more rights than to be pushed under `tag`; the base is text that somebody wrote into a label.
 * - Errors are `MayflyError`s: of kind `retry` or `wait` where nothing is known to have happened, else nothing was begun
 *   and the same order will not be taken.
 */
export interface ImageBuilder {
  /** How images of this base are built. Undefined: they are not, and machines start from the base as it is. */
  methodOf(base: string): BuildMethod | undefined;

  /** Begins a build. An order with a tag that was given before is the same build, and gives the same id. */
  start(order: ImageOrder): Promise<{ readonly id: string }>;

  /** How a build is. What the builder no longer knows has failed. */
  look(build: { readonly id: string; readonly tag: string }): Promise<ImageProgress>;

  /** The last lines of a build's log, oldest first, as many as asked for at most. None: it has no log, or not any more. */
  log(build: { readonly id: string; readonly lines: number }): Promise<readonly string[]>;

  /**
   * What a scan found in what is there under this reference; undefined where it was not scanned. May be some minutes old:
   * every look at the status asks for it.
   */
  findings(reference: string): Promise<ImageFindings | undefined>;
}

export interface ImageFindings {
  /** When it was scanned: ISO 8601 in UTC, or null where that is not known. */
  readonly at: string | null;
  /** How many there are by severity, in lower case: `critical`, `high`, … Empty: nothing was found. */
  readonly findings: Readonly<Record<string, number>>;
}

export interface BuildMethod {
  /** What images are built by, runner included: another text makes another image of the same base. */
  readonly recipe: string;
  /** A build that is not told to have ended for so long has failed; its builder ends it before that. */
  readonly limitSeconds: number;
}

export interface ImageOrder {
  /** As the preset or the job names it. It matches the policy's patterns, and holds no space and no quote. */
  readonly base: string;
  readonly architecture: Architecture;
  readonly tag: string;
}

export type ImageProgress =
  | { readonly kind: "running" }
  /** `reference`: under which machines find it. */
  | { readonly kind: "succeeded"; readonly reference: string }
  /** `log`: its last lines, one sentence or a few. */
  | { readonly kind: "failed"; readonly reason: string; readonly log?: string };
