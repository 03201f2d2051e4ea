import type { AwsClient } from "../../adapters/aws/client.ts";
import { createEc2Images } from "../../adapters/compute/ec2-images.ts";
import {
  imageReferencesInUse,
  type OwnImage,
  ownEc2Images,
  type RemovedImage,
  removeEc2Image,
} from "../../adapters/compute/ec2-own-images.ts";
import { MayflyError } from "../../core/errors.ts";
import type { Instant, Policy } from "../../core/model.ts";
import { imageKindOf } from "../../core/route.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Store } from "../../ports/store.ts";

/** What becomes of one image, and why. */
export interface PruneDecision {
  readonly image: OwnImage;
  readonly isDeleted: boolean;
  readonly because: "old" | "in-use" | "young" | "newest" | "of-unknown-age";
}

export interface PruneRules {
  readonly olderThanDays: number;
  /** So many of the newest of each pipeline and processor stay, however old they are. */
  readonly keep: number;
}

/** Decides of each image; the oldest last. Pure. */
export function pruneDecisions(
  images: readonly OwnImage[],
  inUse: ReadonlySet<string>,
  { olderThanDays, keep }: PruneRules,
  now: Instant,
): readonly PruneDecision[] {
  const newest = new Map<string, number>();
  return [...images]
    .sort((left, right) => right.createdAt - left.createdAt)
    .map((image): PruneDecision => {
      const kind = `${image.tags.get("mayfly:pipeline") ?? ""} ${image.architecture}`;
      const before = newest.get(kind) ?? 0;
      newest.set(kind, before + 1);
      const kept = (because: PruneDecision["because"]) => ({ image, isDeleted: false, because });
      if (inUse.has(image.id)) return kept("in-use");
      if (Number.isNaN(image.createdAt)) return kept("of-unknown-age");
      if (before < keep) return kept("newest");
      if (image.createdAt > now - olderThanDays * 86_400_000) return kept("young");
      return { image, isDeleted: true, because: "old" };
    });
}

export interface PrunePlace {
  readonly client: AwsClient;
  readonly clock: Clock;
  readonly store: Pick<Store, "images" | "activeFleets" | "load">;
  readonly policy: Policy;
  readonly deployment: string;
}

/** Looks at everything that may use an image, and decides. Rejects when any of it cannot be read. */
export async function planPrune(place: PrunePlace, rules: PruneRules): Promise<readonly PruneDecision[]> {
  const images = await ownEc2Images(place.client, place.deployment);
  return pruneDecisions(images, await imagesInUse(place), rules, place.clock.now());
}

/**
 * Deletes what was decided, one after the other. Each is looked at again right before it goes: what has come into use
 * since stays.
 */
export async function* prune(
  place: PrunePlace,
  decisions: readonly PruneDecision[],
): AsyncGenerator<{ readonly image: OwnImage; readonly removed: RemovedImage | "in-use" }> {
  for (const { image, isDeleted } of decisions) {
    if (!isDeleted) continue;
    const inUse = await imagesInUse(place);
    if (inUse.has(image.id)) yield { image, removed: "in-use" };
    else yield { image, removed: await removeEc2Image(place.client, image) };
  }
}

/** Ids of images that the ledger, a preset, a label, a launch template or an instance names. */
async function imagesInUse({ client, clock, store, policy }: PrunePlace): Promise<ReadonlySet<string>> {
  const named = new Set<string>([
    ...(await imageReferencesInUse(client)),
    ...[...policy.presets, ...policy.labelMappings].flatMap(({ image }) => image ?? []),
    ...idsIn(await store.images()),
  ]);
  for (const fleet of await store.activeFleets()) {
    for (const id of idsIn(await store.load(fleet))) named.add(id);
  }
  const find = createEc2Images({ client, clock });
  const ids = new Set<string>();
  for (const reference of named) {
    if (/^ami-/.test(reference)) ids.add(reference);
    else for (const id of await resolved(find, reference)) ids.add(id);
  }
  return ids;
}

/** Whatever bears an image's id, in whichever member it stands. */
function idsIn(record: unknown): readonly string[] {
  return JSON.stringify(record).match(/\bami-[0-9a-f]{8,17}\b/g) ?? [];
}

/** Of both processors. A reference to nothing uses nothing. */
async function resolved(
  find: ReturnType<typeof createEc2Images>,
  reference: string,
): Promise<readonly string[]> {
  const name = reference.replace(/^resolve:/, "");
  if (imageKindOf(name) !== "machine") return [];
  const ids: string[] = [];
  for (const architecture of ["x86_64", "arm64"] as const) {
    try {
      ids.push((await find(name, architecture)).id);
    } catch (error) {
      const isNothing = error instanceof MayflyError && nothingThere.has(error.code);
      if (!isNothing) throw error;
    }
  }
  return ids;
}

const nothingThere = new Set(["EC2_IMAGE_UNUSABLE", "AWS_NOT_FOUND"]);
