import { createHash } from "node:crypto";
import {
  type ImageTrial,
  type MachineFate,
  trialAfter,
  verdictOf,
  type WatchedMachine,
} from "./image-trial.ts";
import type { Architecture, Instant, MachineId } from "./model.ts";
import { backoffSeconds } from "./retry.ts";

/**
 * An image that is made of another: the base that a preset or a job names, with the runner in it. There is one of each
 * base and processor, however many fleets and jobs want it, and at most one build of it at a time.
 *
 * | state      | wanted                                               | started  | succeeded     | failed  | seen     | ordered  |
 * |------------|------------------------------------------------------|----------|---------------|---------|----------|----------|
 * | (none)     | building                                             | –        | –             | –       | –        | building |
 * | `building` | silent past its limit: `failed`                      | its id   | `ready` ¹     | `failed`| – ²      | –        |
 * | `ready`    | too old, or of another recipe: building, and it serves meanwhile | – | –         | –       | `failed` ² | building |
 * | `failed`   | its pause is over: building                          | –        | `ready`, late ¹ | –     | – ²      | building |
 *
 * ¹ where one serves already, the new one is on trial (core/image-trial.ts). ² the trial is over: the new one is trusted
 * and serves alone, or it is rolled back: it has failed with that reason, and the one before goes on.
 *
 * `told` is no state: whoever hears that a build has ended has its builder asked at once, and not only at `lookAt`.
 *
 * What a build says is about its tag: what is said of a build that nobody waits for any more changes nothing. An image
 * that served before goes on to serve while another is built in its place, and when that fails; but not for ever: what
 * is older than `servesSeconds` has missed two months of fixes, and its repository may drop it some time later.
 */
export interface Image {
  /** As the preset or the job names it, for example `ubuntu:22.04`. */
  readonly base: string;
  readonly architecture: Architecture;
  readonly state: "building" | "ready" | "failed";
  /** Builds in a row that did not succeed, with the one that runs. */
  readonly attempts: number;
  /** The one that runs. */
  readonly build?: ImageBuild;
  /** The builder's name for the one that was begun last, which may have ended: it has a log. */
  readonly lastBuildId?: string;
  /** The newest that can be used. */
  readonly usable?: { readonly reference: string; readonly recipe: string; readonly builtAt: Instant };
  /** A newer one, which serves few machines until it is trusted. */
  readonly trial?: ImageTrial;
  /** The last build, where it failed, or what it made did. */
  readonly failure?: ImageFailure;
}

export interface ImageBuild {
  /** The name of what is built, and the token under which it is asked for. */
  readonly tag: string;
  readonly recipe: string;
  /** It has failed when it did not end within so long. Absent: `buildLimitSeconds`. */
  readonly limitSeconds?: number;
  readonly startedAt: Instant;
  /** The builder's name for it. Absent: its answer is not known yet. */
  readonly id?: string;
  /** When the builder is asked for it, or about it, next. */
  readonly lookAt: Instant;
}

export interface ImageFailure {
  readonly tag: string;
  readonly recipe: string;
  readonly reason: string;
  /** The last lines of its log. */
  readonly log?: string;
  readonly at: Instant;
  /** It is not built again before this. */
  readonly retryAt: Instant;
  /** It failed so often that jobs are not made to wait for the next one. */
  readonly isFinal: boolean;
  /** It was built, and its machines were of no use. */
  readonly rolledBack?: true;
}

export type ImageEvent =
  /** A fleet needs it now; how it would be built today, and how long that may take. */
  | { readonly kind: "wanted"; readonly recipe: string; readonly limitSeconds?: number }
  /** An operator wants a new one, whatever there is; it begins anew. */
  | { readonly kind: "ordered"; readonly recipe: string; readonly limitSeconds?: number }
  | { readonly kind: "started"; readonly tag: string; readonly id: string }
  /** It was asked about, and goes on. */
  | { readonly kind: "running"; readonly tag: string }
  /** It is said to have ended, however it did: its builder knows. */
  | { readonly kind: "told"; readonly tag: string }
  | { readonly kind: "succeeded"; readonly tag: string; readonly reference: string }
  /** These machines are about to be launched, if any are. */
  | { readonly kind: "watched"; readonly machines: readonly Pick<WatchedMachine, "id" | "isNew">[] }
  /** What became of machines that are watched. */
  | { readonly kind: "seen"; readonly fates: ReadonlyMap<MachineId, MachineFate> }
  | { readonly kind: "failed"; readonly tag: string; readonly reason: string; readonly log?: string };

/** Of builds whose builder names no limit. */
export const buildLimitSeconds = 45 * 60;
const lookSeconds = 15;
const retrySeconds = 60;
const retryLimitSeconds = 15 * 60;
const attemptsLimit = 5;
/** After so many failures in a row, the next one is not tried before this. */
const pauseSeconds = 60 * 60;
/** Bases get security fixes. */
const refreshSeconds = 7 * 24 * 60 * 60;
/** No machine is started from an image that was built longer ago. The repository has to keep it longer. */
export const servesSeconds = 60 * 24 * 60 * 60;

type Method = Pick<Extract<ImageEvent, { kind: "wanted" }>, "recipe" | "limitSeconds">;

/** An image that nothing is known of yet. */
export function newImage(base: string, architecture: Architecture): Omit<Image, "state"> {
  return { base, architecture, attempts: 0 };
}

/** The image after the event; the same object when it changes nothing. */
export function imageAfter(image: Image | Omit<Image, "state">, event: ImageEvent, now: Instant): Image {
  const isWanted = event.kind === "wanted" || event.kind === "ordered";
  if (!("state" in image)) return isWanted ? building(image, event, now) : never();
  switch (event.kind) {
    case "wanted":
      return afterWanted(image, event, now);
    case "ordered":
      return image.state === "building" ? image : afterOrdered(image, event, now);
    case "started":
      return afterStarted(image, event.tag, event.id, now);
    case "running":
      return withBuild(image, event.tag, (build) => ({ ...build, lookAt: now + lookSeconds * 1000 }));
    case "told":
      return withBuild(image, event.tag, (build) => {
        return build.lookAt <= now ? undefined : { ...build, lookAt: now };
      });
    case "succeeded":
      return afterSucceeded(image, event.tag, event.reference, now);
    case "watched":
      return afterWatched(image, event.machines, now);
    case "seen":
      return afterSeen(image, event.fates, now);
    case "failed":
      return image.build?.tag === event.tag ? failed(image, image.build, event, now) : image;
  }
}

/** What is made of this base, with this recipe, from now on: no two bases, however they are spelled, share a tag. */
export function imageTag(image: Pick<Image, "base" | "architecture">, recipe: string, now: Instant): string {
  const content = JSON.stringify([image.base, image.architecture, recipe, now]);
  return createHash("sha256").update(content).digest("hex").slice(0, 32);
}

/** Under which name the ledger keeps it. */
export function imageKey(base: string, architecture: Architecture): string {
  const hash = createHash("sha256").update(JSON.stringify([base, architecture]));
  return `image/${hash.digest("hex").slice(0, 32)}`;
}

/** Whether the ledger may keep an image under this id. A fleet of a preset that is called `image` may look the same. */
export function mayBeImageKey(id: string): boolean {
  return /^image\/[0-9a-f]{32}$/.test(id);
}

/** What a fleet that wants it does: use it, or wait and say why. */
export type ImageAnswer = ImageReady | ImageMissing;

export interface ImageReady {
  readonly kind: "ready";
  readonly reference: string;
  /** The first machines that are launched now are these. */
  readonly watched?: readonly { readonly id: MachineId; readonly reference: string }[];
}

export interface ImageMissing {
  readonly kind: "building" | "failed";
  readonly detail: string;
  readonly nextAttemptAt: Instant;
  /** Jobs are given up, with `detail`. */
  readonly isFinal: boolean;
}

export function imageAnswer(image: Image): ImageAnswer {
  const { usable, failure, build, base, attempts } = image;
  if (usable !== undefined) return { kind: "ready", reference: usable.reference };
  if (build !== undefined) {
    const again = failure === undefined ? "" : ` for the ${ordinal(attempts)} time: ${failure.reason}`;
    const detail = `The image of ${base} is being built${again || ", as it is needed for the first time"}.`;
    return {
      kind: "building",
      detail: detail.replace("..", "."),
      nextAttemptAt: build.lookAt,
      isFinal: false,
    };
  }
  const { reason = "", log, retryAt = 0, isFinal = false } = failure ?? {};
  const said = log === undefined ? "" : ` Its log ends: ${log}`;
  const times = attempts === 1 ? "" : ` ${attempts} times in a row`;
  const detail = `The image of ${base} could not be built${times}: ${reason.replace(/\.?$/, ".")}${said}`;
  return { kind: "failed", detail, nextAttemptAt: retryAt, isFinal };
}

// ---------------------------------------------------------------------------------------------- transitions

function afterWanted(before: Image, method: Method, now: Instant): Image {
  const { recipe } = method;
  const image = withoutTooOld(before, now);
  const { state, build, usable, failure } = image;
  if (state === "building" && build !== undefined) {
    const { limitSeconds = buildLimitSeconds } = build;
    const isSilent = build.startedAt + limitSeconds * 1000 <= now;
    if (!isSilent) return image;
    const reason = `It did not end within ${limitSeconds / 60} minutes.`;
    return failed(image, build, { reason }, now);
  }
  if (failure !== undefined && state === "failed") {
    // Another recipe may be what it needed.
    const isOver = failure.retryAt <= now || failure.recipe !== recipe;
    return isOver ? building(image, method, now) : image;
  }
  const newest = image.trial ?? usable;
  const isFresh =
    newest !== undefined && newest.recipe === recipe && newest.builtAt + refreshSeconds * 1000 > now;
  return isFresh ? image : building(image, method, now);
}

function withoutTooOld(image: Image, now: Instant): Image {
  const { usable, ...rest } = image;
  if (usable === undefined || usable.builtAt + servesSeconds * 1000 > now) return image;
  return rest.trial === undefined ? rest : withoutTrial(rest, rest.trial);
}

function building(image: Omit<Image, "state">, { recipe, limitSeconds }: Method, now: Instant): Image {
  const tag = imageTag(image, recipe, now);
  // What failed for good begins anew.
  const attempts = image.failure?.isFinal === true ? 1 : image.attempts + 1;
  const limit = limitSeconds === undefined ? {} : { limitSeconds };
  const build = { tag, recipe, ...limit, startedAt: now, lookAt: now };
  return { ...image, state: "building", attempts, build };
}

function afterOrdered({ failure: _, ...image }: Image, method: Method, now: Instant): Image {
  return building({ ...image, attempts: 0 }, method, now);
}

function afterStarted(image: Image, tag: string, id: string, now: Instant): Image {
  const started = withBuild(image, tag, ({ id: before, ...build }) => {
    if (before === id) return undefined;
    // It may have begun just now, however long ago it was wanted.
    return { ...build, id, startedAt: now, lookAt: now + lookSeconds * 1000 };
  });
  return started === image ? image : { ...started, lastBuildId: id };
}

function withBuild(image: Image, tag: string, change: (build: ImageBuild) => ImageBuild | undefined): Image {
  if (image.build?.tag !== tag) return image;
  const build = change(image.build);
  return build === undefined ? image : { ...image, build };
}

function afterSucceeded(image: Image, tag: string, reference: string, now: Instant): Image {
  const { build, failure, ...rest } = image;
  const isLate = image.state === "failed" && failure?.tag === tag && failure.rolledBack !== true;
  const recipe = build?.tag === tag ? build.recipe : isLate ? failure.recipe : undefined;
  if (recipe === undefined) return image;
  const made = { reference, recipe, builtAt: now };
  const after = { ...rest, state: "ready", attempts: 0 } as const;
  return image.usable === undefined
    ? { ...after, usable: made }
    : { ...after, trial: { ...made, tag, machines: [] } };
}

/** The image with this one as the one that serves. */
function withoutTrial({ trial: _, ...image }: Image, { reference, recipe, builtAt }: ImageTrial): Image {
  return { ...image, usable: { reference, recipe, builtAt } };
}

function afterWatched(
  image: Image,
  watched: readonly Pick<WatchedMachine, "id" | "isNew">[],
  now: Instant,
): Image {
  const { trial } = image;
  if (trial === undefined || watched.length === 0) return image;
  const machines = [...trial.machines, ...watched.map((machine) => ({ ...machine, since: now }))];
  return { ...image, trial: { ...trial, machines } };
}

function afterSeen(image: Image, fates: ReadonlyMap<MachineId, MachineFate>, now: Instant): Image {
  if (image.trial === undefined || fates.size === 0) return image;
  const trial = trialAfter(image.trial, fates);
  const verdict = verdictOf(trial);
  if (verdict === "trusted") return withoutTrial(image, trial);
  if (verdict === undefined) return { ...image, trial };
  const { trial: _, ...rest } = image;
  const { tag, recipe } = trial;
  const reason = "Its machines ended before their runner listened, and those of the image before did not.";
  const retryAt = now + pauseSeconds * 1000;
  const failure = { tag, recipe, reason, at: now, retryAt, isFinal: false, rolledBack: true } as const;
  // Where another is being built already, that one is tried next.
  return { ...rest, state: image.state === "building" ? "building" : "failed", failure };
}

function failed(
  image: Image,
  { tag, recipe }: ImageBuild,
  { reason, log }: { readonly reason: string; readonly log?: string },
  now: Instant,
): Image {
  const { build: _, ...rest } = image;
  const isFinal = image.attempts >= attemptsLimit;
  const seconds = isFinal ? pauseSeconds : backoffSeconds(image.attempts, retrySeconds, retryLimitSeconds);
  const failure = { tag, recipe, reason, at: now, retryAt: now + seconds * 1000, isFinal };
  return { ...rest, state: "failed", failure: log === undefined ? failure : { ...failure, log } };
}

function never(): never {
  throw new Error("Nothing can be told of an image that nobody has wanted.");
}

function ordinal(count: number): string {
  return `${count}${["th", "st", "nd", "rd"][count] ?? "th"}`;
}
