import type { Image } from "./image.ts";
import { imageKey } from "./image.ts";
import { countsOf, type ImageTrial } from "./image-trial.ts";
import type { Architecture, FleetSpec, Instant, Ledger, Policy } from "./model.ts";

/** An image that is made of another, as people and programs read it. Fields are only ever added. */
export interface ImageStatus {
  /** As the preset or the job names it. */
  readonly base: string;
  readonly architecture: Architecture;
  readonly state: Image["state"];
  /** `IMAGE_CREATING` while it is being built and none of it serves yet: the word of other systems for it. Else null. */
  readonly alias: "IMAGE_CREATING" | null;
  /** Under which machines find the one that serves, and since when; null where there is none. */
  readonly reference: string | null;
  readonly builtAt: string | null;
  readonly ageSeconds: number | null;
  /** Builds in a row that did not succeed, with the one that runs. */
  readonly attempts: number;
  readonly buildStartedAt: string | null;
  /** Of the last build, where it failed: why, the end of its log, and when it is tried again if it is wanted. */
  readonly reason: string | null;
  readonly log: string | null;
  readonly failedAt: string | null;
  readonly nextAttemptAt: string | null;
  /** A newer one that gets one machine at a time until it is trusted or rolled back; null where there is none. */
  readonly trial: ImageTrialStatus | null;
  /** Fleets with jobs or machines that start from it. */
  readonly fleets: readonly { readonly fleet: string; readonly queued: number }[];
  /** Jobs that wait for it: none where one of it serves. */
  readonly waitingJobs: number;
  /** How many findings of each severity a scan has; null where the registry has scanned nothing. */
  readonly scan: { readonly at: string | null; readonly findings: Readonly<Record<string, number>> } | null;
}

export interface ImageTrialStatus {
  readonly reference: string;
  readonly builtAt: string;
  /** Of the machines that started from it, those whose runner listened and those that never came to that. */
  readonly worked: number;
  readonly failed: number;
}

export interface ImageContext {
  readonly ledgers: readonly Ledger[];
  readonly policy: Pick<Policy, "presets">;
  readonly now: Instant;
  /** What scans found, by the reference. */
  readonly findings: ReadonlyMap<string, NonNullable<ImageStatus["scan"]>>;
}

/** By base, then by architecture. */
export function imageStatuses(images: readonly Image[], context: ImageContext): readonly ImageStatus[] {
  return images
    .map((image) => imageStatus(image, context))
    .sort((left, right) => (nameOf(left) < nameOf(right) ? -1 : 1));
}

/** Under which id the image is that machines of this fleet start from; undefined where they start from what it names. */
export function imageKeyOf(
  spec: FleetSpec | undefined,
  { presets }: Pick<Policy, "presets">,
): string | undefined {
  const preset = presets.find(({ name }) => name === spec?.preset);
  if (spec?.image === undefined || preset?.buildsImages !== true) return undefined;
  return imageKey(spec.image, spec.architecture);
}

function imageStatus(image: Image, { ledgers, policy, now, findings }: ImageContext): ImageStatus {
  const { base, architecture, state, usable, failure, build } = image;
  const key = imageKey(base, architecture);
  const fleets = ledgers
    .filter(({ record }) => imageKeyOf(record?.spec, policy) === key)
    .map(({ fleet, jobs }) => ({ fleet, queued: jobs.filter((job) => job.state === "queued").length }));
  const waiting = usable === undefined ? fleets : [];
  return {
    base,
    architecture,
    state,
    alias: state === "building" && usable === undefined ? "IMAGE_CREATING" : null,
    reference: usable?.reference ?? null,
    builtAt: instantOrNull(usable?.builtAt),
    ageSeconds: usable === undefined ? null : Math.max(0, now - usable.builtAt) / 1000,
    attempts: image.attempts,
    buildStartedAt: instantOrNull(build?.startedAt),
    reason: failure?.reason ?? null,
    log: failure?.log ?? null,
    failedAt: instantOrNull(failure?.at),
    nextAttemptAt: state === "failed" ? instantOrNull(failure?.retryAt) : null,
    trial: image.trial === undefined ? null : trialStatus(image.trial),
    fleets,
    waitingJobs: waiting.reduce((sum, { queued }) => sum + queued, 0),
    scan: (usable && findings.get(usable.reference)) ?? null,
  };
}

function trialStatus({ reference, builtAt, machines }: ImageTrial): ImageTrialStatus {
  return { reference, builtAt: new Date(builtAt).toISOString(), ...countsOf(machines, { isNew: true }) };
}

function nameOf({ base, architecture }: ImageStatus): string {
  return `${base} ${architecture}`;
}

function instantOrNull(instant: Instant | undefined): string | null {
  return instant === undefined ? null : new Date(instant).toISOString();
}
