import { asMayflyError } from "../core/errors.ts";
import {
  type Image,
  type ImageAnswer,
  type ImageEvent,
  imageAfter,
  imageAnswer,
  imageKey,
  mayBeImageKey,
  newImage,
} from "../core/image.ts";
import { fateOf, type MachineFate, toWatch, type WatchedMachine } from "../core/image-trial.ts";
import type { FleetId, FleetRecord, Instant, MachineId, Policy } from "../core/model.ts";
import { refusedFleet } from "../core/route.ts";
import { withSpecOfToday } from "../core/scaleup.ts";
import type { BuildMethod } from "../ports/images.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { machineIdFor } from "./machine-id.ts";
import { poke, pokeAt } from "./pokes.ts";

type Ports = Pick<AllPorts, "store" | "images" | "log" | "clock">;
type FleetPorts = Ports & Pick<AllPorts, "random">;

/** An order is two commits; and somebody else who looks at the same image may commit first. */
const attemptsLimit = 6;

/**
 * The image that machines of this fleet are to start from, where that is made of the one that it names. A build is
 * begun, asked about and begun again by whoever looks, and no look waits for it: an event that is lost is found by the
 * next look, at the latest in the next round.
 *
 * ```
 *   look A            look B                ledger                      builder
 *     │── wanted ──────────────────────────▶ building, tag T: COMMIT       │
 *     │                 │── wanted ────────▶ conflict: it is building      │
 *     │── start, tag T ───────────────────────────────────────────────────▶│ build 1
 *     │   (its answer lost, or killed)       │                             │
 *     │                 │── start, tag T, later ──────────────────────────▶│ build 1 again
 * ```
 *
 * Undefined: machines start from what the fleet names.
 */
export async function imageOf(
  ports: FleetPorts,
  policy: Policy,
  fleet: FleetId,
): Promise<ImageAnswer | undefined> {
  const { images } = ports;
  const builds = policy.presets.some(
    ({ name, buildsImages }) => buildsImages === true && (fleet === name || fleet.startsWith(`${name}/`)),
  );
  if (images === undefined || !builds) return undefined;
  const { record, jobs } = withSpecOfToday(await ports.store.load(fleet), policy);
  const { image: base, architecture, preset = fleet } = record?.spec ?? {};
  if (base === undefined || architecture === undefined) return undefined;
  const method = images.methodOf(base);
  if (method === undefined) return undefined;
  const id = imageKey(base, architecture);
  const mayLaunch = jobs.some((job) => job.state === "queued");
  let watched: readonly NewWatched[] = [];
  for (let attempt = 0; attempt < attemptsLimit; attempt++) {
    const { version, record: before } = await ports.store.load(id);
    const image = before?.image ?? newImage(base, architecture);
    const seen = await look({ ...ports, images }, image, method);
    const more = mayLaunch && watched.length === 0 ? watchedNext(ports, seen, preset) : [];
    const now = ports.clock.now();
    const next = more.length === 0 ? seen : imageAfter(seen, { kind: "watched", machines: more }, now);
    if (next === image) return later(withWatched(imageAnswer(next), next, watched), now);
    const isCommitted = await commit(ports, version, { ...refusedFleet, ...before, id, image: next });
    if (isCommitted && more.length > 0) watched = more;
    // The intent is in the ledger: now the build may begin.
    const isOrdered =
      next.build !== undefined && next.build.id === undefined && next.build.lookAt <= ports.clock.now();
    if (isCommitted && !isOrdered)
      return later(withWatched(imageAnswer(next), next, watched), ports.clock.now());
  }
  const detail = `Others look at the image of ${base} at the same time.`;
  return later({ kind: "building", detail, nextAttemptAt: 0, isFinal: false }, ports.clock.now());
}

/**
 * The same for an image by itself, which no fleet may want: an operator has ordered it. Looks again until its build has
 * ended, and begins none again. False: there is no image of this id.
 */
export async function lookAtImage(ports: Ports & Pick<AllPorts, "work">, id: FleetId): Promise<boolean> {
  if (!mayBeImageKey(id)) return false;
  for (let attempt = 0; attempt < attemptsLimit; attempt++) {
    const { version, record } = await ports.store.load(id);
    if (record?.image === undefined) return false;
    const { image } = record;
    const { images, clock } = ports;
    const method = images?.methodOf(image.base);
    if (image.state !== "building" || images === undefined || method === undefined) return true;
    const told = await askAbout({ ...ports, images }, image, clock.now());
    const isOver = told.state !== "building";
    const next = isOver ? told : imageAfter(told, { kind: "wanted", ...method }, clock.now());
    if (next === image) {
      await pokeAt(ports, "scaleup", id, next.build?.lookAt ?? 0);
      return true;
    }
    await commit(ports, version, { ...record, image: next });
  }
  await poke(ports, "scaleup", id, 1);
  return true;
}

type NewWatched = Pick<WatchedMachine, "id" | "isNew">;

/**
 * Machines by whose fate a new image is judged, should this look launch any. Their ids are noted with the image first:
 * whatever becomes of this look, each of them is counted once or never, in whichever fleet it is.
 */
function watchedNext(
  { random }: FleetPorts,
  { trial }: Pick<Image, "trial">,
  preset: string,
): readonly NewWatched[] {
  return trial === undefined
    ? []
    : toWatch(trial).map(({ isNew }) => ({ id: machineIdFor(preset, random), isNew }));
}

function withWatched(
  answer: ImageAnswer,
  { trial }: Pick<Image, "trial">,
  watched: readonly NewWatched[],
): ImageAnswer {
  if (answer.kind !== "ready" || trial === undefined || watched.length === 0) return answer;
  const { reference } = answer;
  return {
    ...answer,
    watched: watched.map(({ id, isNew }) => ({ id, reference: isNew ? trial.reference : reference })),
  };
}

/** The image with what became of the machines that are watched. */
async function judged(ports: Ports, image: Image): Promise<Image> {
  const fates = new Map<MachineId, MachineFate>();
  for (const watched of image.trial?.machines ?? []) {
    if (watched.worked !== undefined) continue;
    const fate = fateOf(await ports.store.findMachine(watched.id), watched, ports.clock.now());
    if (fate !== undefined) fates.set(watched.id, fate);
  }
  const after = imageAfter(image, { kind: "seen", fates }, ports.clock.now());
  if (image.trial !== undefined && after.trial === undefined) {
    const { base, architecture, trial } = image;
    const log = ports.log.with({ stage: "scaleup", image: base, architecture, tag: trial.tag });
    if (after.usable?.reference === trial.reference) log.info("A new image is trusted.", {});
    else log.warn("A new image is rolled back, as its machines are of no use.", {});
  }
  return after;
}

/** Time goes by while it is looked; the next look comes after now. */
function later(answer: ImageAnswer, now: Instant): ImageAnswer {
  if (answer.kind === "ready") return answer;
  return { ...answer, nextAttemptAt: Math.max(answer.nextAttemptAt, now + 1_000) };
}

type Builder = Ports & { readonly images: NonNullable<Ports["images"]> };

/** What is true of the image now. Committing it is the caller's; what was begun for nothing is begun again. */
async function look(
  ports: Builder,
  image: Image | Omit<Image, "state">,
  method: BuildMethod,
): Promise<Image> {
  const now = ports.clock.now();
  const told = "state" in image ? await judged(ports, await askAbout(ports, image, now)) : image;
  return imageAfter(told, { kind: "wanted", ...method }, now);
}

/** The image with what its builder says of it. A build whose intent is in the ledger is begun here. */
async function askAbout(ports: Builder, image: Image, now: Instant): Promise<Image> {
  const { build } = image;
  if (build === undefined || build.lookAt > now) return image;
  const { tag, id } = build;
  const { base, architecture } = image;
  const log = ports.log.with({ stage: "scaleup", image: base, architecture, tag });
  try {
    if (id === undefined) {
      const started = await ports.images.start({ base, architecture, tag });
      log.info("An image is being built.", { build: started.id });
      return imageAfter(image, { kind: "started", tag, id: started.id }, now);
    }
    const progress = await ports.images.look({ id, tag });
    if (progress.kind !== "running") log.info("An image's build has ended.", { build: id, ...progress });
    return imageAfter(image, { ...progress, tag } as ImageEvent, now);
  } catch (error) {
    const { kind, code, message } = asMayflyError(error, "IMAGE_BUILDER_FAILED", "It is asked again.");
    log.warn("The builder of images did not answer well.", { code, because: message });
    // Nothing is known to have happened: the same is asked again, with the same tag.
    if (kind === "retry" || kind === "wait") return imageAfter(image, { kind: "running", tag }, now);
    return imageAfter(image, { kind: "failed", tag, reason: message }, now);
  }
}

/** It has neither jobs nor machines: a fleet's record is what the store keeps under one version. */
async function commit(ports: Ports, version: number, record: FleetRecord): Promise<boolean> {
  const { kind } = await ports.store.commit(record.id, version, [{ put: "fleet", record }]);
  return kind === "committed";
}
