import { imageAfter, imageKey } from "../core/image.ts";
import type { LifecycleEvent } from "../core/model.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { commitFleet, type Outcome } from "./commit-fleet.ts";
import { poke } from "./pokes.ts";

type Ports = Pick<AllPorts, "store" | "work" | "log" | "clock">;

/**
 * A build of an image is said to have ended. Its builder is not asked here: the fleets that wait for the image look at
 * once, and the first of them asks. So a message that is forged, late or comes twice changes when it is looked, and
 * never what is found; one that is lost costs the time until the next look.
 */
export async function imageTold(
  ports: Ports,
  { base, architecture, tag, buildId }: LifecycleEvent & { readonly kind: "image" },
): Promise<void> {
  const isNews = await commitFleet(ports.store, imageKey(base, architecture), (ledger): Outcome<boolean> => {
    const before = ledger.record?.image;
    if (ledger.record === undefined || before === undefined) return { changes: [], result: false };
    const { build } = before;
    const isIt = build !== undefined && (tag === undefined ? build.id === buildId : build.tag === tag);
    if (!isIt) return { changes: [], result: false };
    const image = imageAfter(before, { kind: "told", tag: build.tag }, ports.clock.now());
    if (image === before) return { changes: [], result: true };
    return { changes: [{ put: "fleet", record: { ...ledger.record, image } }], result: true };
  });
  if (!isNews) return;
  ports.log.info("An image's build is said to have ended.", {
    stage: "lifecycle",
    image: base,
    architecture,
    build: tag ?? buildId,
  });
  // An operator may have ordered it, so that no fleet waits.
  await poke(ports, "scaleup", imageKey(base, architecture));
  for (const fleet of await ports.store.activeFleets()) {
    const { record } = await ports.store.load(fleet);
    if (record?.spec.image === base && record.spec.architecture === architecture) {
      await poke(ports, "scaleup", fleet);
    }
  }
}
