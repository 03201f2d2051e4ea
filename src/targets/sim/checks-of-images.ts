import { buildLimitSeconds, type Image, imageKey } from "../../core/image.ts";
import type { FleetSpec, Instant, Job, MachineId } from "../../core/model.ts";
import type { LaunchRequest } from "../../ports/compute.ts";
import type { ImageOrder } from "../../ports/images.ts";
import type { SimBuild } from "./builder.ts";
import type { Facts, Found, WorldView } from "./checks.ts";

/** What the checks remember of images, by their keys, their tags and the tokens of launches. */
export interface ImageMemory {
  readonly intended: Set<string>;
  /** Tags of builds that the ledger says have failed. */
  readonly failed: Set<string>;
  readonly rows: Map<string, FailureRow>;
  readonly imageOfLaunch: Map<string, string | undefined>;
  /** The machines that were asked for, by what they start from. */
  readonly machines: Map<string, ReadonlySet<MachineId>>;
}

/** Builds of one image that failed one after the other. */
interface FailureRow {
  readonly length: number;
  /** Until then, jobs may be given up because of it. */
  readonly isFinalUntil: Instant;
}

export function createImageMemory(): ImageMemory {
  return {
    intended: new Set(),
    failed: new Set(),
    rows: new Map(),
    imageOfLaunch: new Map(),
    machines: new Map(),
  };
}

/** So many failures in a row, and jobs are not made to wait for another try. */
export const failuresInARow = 5;
/** Clocks are wrong, and a slow call begins something later than whoever calls believes. */
const doubtMilliseconds = 2 * 60_000;
/** A look that has read of the last failure may write what it makes of that some minutes later. */
const lateMilliseconds = 10 * 60_000;

export function oneBuildAtATime({ builder, memory }: WorldView, order: ImageOrder): Found {
  const { intended, failed } = memory.images;
  const what = `a build of ${order.base} (${order.tag}) begins`;
  if (!intended.has(order.tag)) return `${what} that no ledger speaks of`;
  for (const other of builder?.builds.values() ?? []) {
    if (!isSameImage(other, order) || failed.has(other.tag) || builder?.hasEnded(other) !== false) continue;
    return `${what} while another one (${other.tag}) runs that is waited for`;
  }
  return undefined;
}

/** What the ledger says of builds is so, but for those of which nothing was heard until their time limit. */
export function imagesAreAsWritten(world: WorldView, { image, before }: Facts["imageCommitted"]): Found {
  const { builder, now } = world;
  const { usable, failure } = image;
  note(world, image, before);
  for (const { reference } of [usable, image.trial].filter((one) => one !== undefined)) {
    const isKnown = [before?.usable, before?.trial].some((one) => one?.reference === reference);
    const build = isKnown ? undefined : builder?.made(reference);
    if (!isKnown && (build === undefined || !isSameImage(build, image)))
      return `${reference} is said to be an image of ${image.base}, and nobody has made it`;
  }
  if (failure === undefined || failure.rolledBack === true || failure.tag === before?.failure?.tag)
    return undefined;
  const truth = builder?.builds.get(failure.tag);
  const hasFailed = truth === undefined || (truth.outcome === "fails" && builder?.hasEnded(truth) === true);
  const limit = now + doubtMilliseconds - buildLimitSeconds * 1_000;
  // One whose order was never answered may have begun at any time since.
  const isUnconfirmed = before?.build?.id === undefined && (before?.build?.startedAt ?? now) <= limit;
  if (hasFailed || isUnconfirmed || (truth?.beganAt ?? 0) <= limit) return undefined;
  return `the build ${failure.tag} of ${image.base} is said to have failed, and it has not`;
}

function note({ memory, now }: WorldView, image: Image, before: Image | undefined): void {
  const { intended, failed, rows } = memory.images;
  const key = imageKey(image.base, image.architecture);
  const row = rows.get(key) ?? { length: 0, isFinalUntil: 0 };
  const ending = row.isFinalUntil > now ? now + lateMilliseconds : row.isFinalUntil;
  const { failure } = image;
  if (failure !== undefined && failure.rolledBack !== true && failure.tag !== before?.failure?.tag) {
    failed.add(failure.tag);
    const length = row.length + 1;
    const isFinal = length % failuresInARow === 0;
    rows.set(key, { length, isFinalUntil: isFinal ? Number.POSITIVE_INFINITY : ending });
  }
  const isNewer = image.trial !== undefined && image.trial.tag !== before?.trial?.tag;
  if (isNewer || image.usable?.reference !== before?.usable?.reference)
    rows.set(key, { length: 0, isFinalUntil: ending });
  if (image.build === undefined || image.build.tag === before?.build?.tag) return;
  intended.add(image.build.tag);
  const { length, isFinalUntil } = rows.get(key) ?? row;
  rows.set(key, { length, isFinalUntil: isFinalUntil > now ? now + lateMilliseconds : isFinalUntil });
}

function isSameImage(build: SimBuild, { base, architecture }: ImageOrder | Image): boolean {
  return build.base === base && build.architecture === architecture;
}

/** A machine starts from what was made of the image that its fleet names, also when its launch is repeated. */
export function startsFromWhatWasMade(
  { builder, memory, everyPolicy }: WorldView,
  { fleet, token, spec, machines }: LaunchRequest,
): Found {
  const { imageOfLaunch } = memory.images;
  const made = builder?.made(spec.image ?? "");
  const named = /image=([^,]+)/.exec(fleet)?.[1];
  const presets = everyPolicy
    .flatMap(({ policy }) => policy.presets)
    .filter(({ name }) => name === spec.preset);
  const isItsOwn =
    named === undefined ? presets.some(({ image }) => image === made?.base) : made?.base === named;
  if (made === undefined || made.architecture !== spec.architecture || !isItsOwn)
    return `a machine of ${fleet} is launched from ${spec.image}, which is no image that was made for it`;
  const earlier = imageOfLaunch.get(token);
  imageOfLaunch.set(token, spec.image);
  const known = memory.images.machines.get(made.tag) ?? new Set();
  memory.images.machines.set(made.tag, new Set([...known, ...machines.map(({ id }) => id)]));
  if (earlier === undefined || earlier === spec.image) return undefined;
  return `launch ${token} asks for ${spec.image}, and had asked for ${earlier} before`;
}

export function onlyWhatCannotBeMade(world: WorldView, { change, before }: Facts["committed"]): Found {
  const outcome = change.put === "job" ? change.job.outcome : undefined;
  if (change.put !== "job" || outcome?.kind !== "given-up" || outcome.because !== "image-failed")
    return undefined;
  if ((before as Job | undefined)?.outcome !== undefined) return undefined;
  for (const [key, { base }] of world.images) {
    const isHopeless = (world.memory.images.rows.get(key)?.isFinalUntil ?? 0) > world.now;
    if (isHopeless && outcome.detail.includes(` ${base} `)) return undefined;
  }
  return `job ${change.job.id} is given up because of an image that did not fail ${failuresInARow} times in a row`;
}

/** So many machines, at most, are asked for from an image of which none is of any use. What is refused tells nothing. */
export const brokenMachines = 10;

export function newImagesAreTried({ builder, memory, machines }: WorldView, { spec }: LaunchRequest): Found {
  const made = builder?.made(spec.image ?? "");
  if (made?.isBroken !== true) return undefined;
  const asked = [...(memory.images.machines.get(made.tag) ?? [])];
  const count = asked.filter((id) => machines.get(id)?.reason !== "launch-failed").length;
  if (count <= brokenMachines) return undefined;
  return `${count} machines were asked for from ${spec.image}, which is broken`;
}

export function noBrokenImageIsTrusted({ builder }: WorldView, { image }: Facts["imageCommitted"]): Found {
  const { usable, base } = image;
  if (builder?.made(usable?.reference ?? "")?.isBroken !== true) return undefined;
  return `the image ${usable?.reference} of ${base} serves alone, and none of its machines was of any use`;
}

/** Whether machines of this kind have to wait for their image now, as they should. */
export function waitsForItsImage(
  world: WorldView,
  { preset, image: base, architecture }: FleetSpec,
): boolean {
  const isMade = world.policy.presets.some(
    ({ name, buildsImages }) => name === preset && buildsImages === true,
  );
  if (!isMade || base === undefined) return false;
  const image = world.images.get(imageKey(base, architecture));
  if (image === undefined || image.usable !== undefined) return false;
  const { build, failure } = image;
  if (build !== undefined) return build.startedAt + buildLimitSeconds * 1_000 > world.now;
  return failure !== undefined && !failure.isFinal && failure.retryAt > world.now;
}
