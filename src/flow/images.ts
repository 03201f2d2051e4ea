import { type Image, imageAfter, imageKey, newImage } from "../core/image.ts";
import { type ImageStatus, imageKeyOf, imageStatuses } from "../core/image-status.ts";
import type { Architecture, Ledger, Policy } from "../core/model.ts";
import { imageRefusal, refusedFleet } from "../core/route.ts";
import type { ImageFindings } from "../ports/images.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet } from "./commit-fleet.ts";
import { poke } from "./pokes.ts";

type Ports = Pick<AllPorts, "store" | "images" | "log" | "clock">;

/** What operators see of images and ask for. A build itself is begun and followed by `scaleup`, as any other. */

/** Every image that was ever wanted, with the fleets of these ledgers that want it. */
export async function readImages(
  ports: Ports,
  policy: Policy,
  ledgers: readonly Ledger[],
): Promise<readonly ImageStatus[]> {
  if (!buildsImages(policy)) return [];
  const images = await ports.store.images();
  return imageStatuses(images, {
    ledgers,
    policy,
    now: ports.clock.now(),
    findings: await findingsOf(ports, images),
  });
}

/** The image that machines of this ledger's fleet start from; null where that is none that is made of another. */
export async function readImage(ports: Ports, policy: Policy, ledger: Ledger): Promise<ImageStatus | null> {
  const key = imageKeyOf(ledger.record?.spec, policy);
  const image = key === undefined ? undefined : (await ports.store.load(key)).record?.image;
  if (image === undefined) return null;
  const findings = await findingsOf(ports, [image]);
  const context = { ledgers: [ledger], policy, now: ports.clock.now(), findings };
  return imageStatuses([image], context)[0] ?? null;
}

export type ImageOrderAnswer =
  /** `ready`: there is one, and a new one was not asked for. */
  | { readonly kind: "building" | "ready"; readonly base: string; readonly architecture: Architecture }
  | { readonly kind: "refused"; readonly because: string; readonly next: string };

/**
 * An operator wants this image: at once where there is none, and also beside one that is there with `anew`, which serves
 * meanwhile. One build at a time: where one runs, it is the one.
 */
export async function orderImage(
  ports: Ports & Pick<AllPorts, "work">,
  policy: Policy,
  order: { readonly base: string; readonly architecture?: Architecture; readonly anew: boolean },
): Promise<ImageOrderAnswer> {
  const { images } = ports;
  const found = findArchitecture(policy, order.architecture);
  if (images === undefined || typeof found !== "string") return typeof found === "string" ? notBuilt : found;
  const { base, anew } = order;
  const because = imageRefusal(base, policy);
  if (because !== undefined) {
    return { kind: "refused", because, next: "Add it to images.allow, or name it in a preset." };
  }
  const method = images.methodOf(base);
  if (method === undefined) return { ...notBuilt, because: `Machines start from ${base} as it is.` };
  const id = imageKey(base, found);
  const image = await commitFleet<Image>(ports.store, id, ({ record }) => {
    const before = record?.image ?? newImage(base, found);
    const now = ports.clock.now();
    const wanted = imageAfter(before, { kind: "wanted", ...method }, now);
    // What failed is not left to its pause: somebody is here who wants to know.
    const isOrder = anew || wanted.state === "failed";
    const after = isOrder ? imageAfter(wanted, { kind: "ordered", ...method }, now) : wanted;
    const change = { put: "fleet", record: { ...refusedFleet, id, image: after } } as const;
    return { changes: after === before ? [] : [change], result: after };
  });
  await poke(ports, "scaleup", id);
  return { kind: image.build === undefined ? "ready" : "building", base, architecture: found };
}

export interface ImageLog {
  readonly base: string;
  readonly architecture: Architecture;
  /** The builder's name for the build. */
  readonly build: string;
  readonly lines: readonly string[];
}

/** The last lines of the last build of this image; a sentence where there is none. */
export async function readImageLog(
  ports: Ports,
  policy: Policy,
  wish: { readonly base: string; readonly architecture?: Architecture; readonly lines: number },
): Promise<ImageLog | Extract<ImageOrderAnswer, { kind: "refused" }>> {
  const { base, lines } = wish;
  const found = findArchitecture(policy, wish.architecture);
  if (typeof found !== "string") return found;
  if (ports.images === undefined) return notBuilt;
  const { record } = await ports.store.load(imageKey(base, found));
  const build = record?.image?.lastBuildId;
  if (build === undefined) {
    const next = "See `mayfly images list` for those that were, and for their architectures.";
    return { kind: "refused", because: `No build of ${base} for ${found} was begun.`, next };
  }
  return { base, architecture: found, build, lines: await ports.images.log({ id: build, lines }) };
}

/** What scans found in the images that serve. They are a courtesy: one that cannot be read is left out. */
async function findingsOf(
  { images: builder, log }: Pick<Ports, "images" | "log">,
  images: readonly Image[],
): Promise<ReadonlyMap<string, ImageFindings>> {
  const known = new Map<string, ImageFindings>();
  if (builder === undefined) return known;
  await Promise.all(
    images.map(async ({ usable }) => {
      if (usable === undefined) return;
      try {
        const findings = await builder.findings(usable.reference);
        if (findings !== undefined) known.set(usable.reference, findings);
      } catch (error) {
        log.warn("What a scan found in an image could not be read.", {
          ...{ stage: "status", image: usable.reference, error },
        });
      }
    }),
  );
  return known;
}

function buildsImages({ presets }: Policy): boolean {
  return presets.some((preset) => preset.buildsImages === true);
}

const notBuilt = {
  kind: "refused",
  because: "No images are built here.",
  next: "Set buildImages: true for a preset, and deploy what that needs.",
} as const;

/** The one that was asked for, or the only one for which images are built. */
function findArchitecture(
  { presets }: Policy,
  asked: Architecture | undefined,
): Architecture | Extract<ImageOrderAnswer, { kind: "refused" }> {
  const all = presets
    .filter((preset) => preset.buildsImages === true)
    .map(({ architecture }) => architecture);
  const known = [...new Set(all)];
  const [only] = known;
  if (only === undefined) return notBuilt;
  if (asked === undefined && known.length === 1) return only;
  if (asked !== undefined && known.includes(asked)) return asked;
  const because =
    asked === undefined
      ? `Images are built for ${known.join(" and ")}.`
      : `No images are built for ${asked}, but for ${known.join(" and ")}.`;
  return { kind: "refused", because, next: `Say which with --architecture, for example ${only}.` };
}
