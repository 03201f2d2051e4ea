import type { StatusDocument } from "../../core/status.ts";
import type { Clock } from "../../ports/clock.ts";

const ageMilliseconds = 1000;

/** Reads the status for everyone who asks, at most once a second, however many ask. A failure is not kept. */
export function shareStatus(
  make: () => Promise<StatusDocument>,
  clock: Clock,
): () => Promise<StatusDocument> {
  let made: { readonly at: number; readonly document: Promise<StatusDocument> } | undefined;
  return () => {
    if (made === undefined || clock.now() - made.at >= ageMilliseconds) {
      const document = make();
      made = { at: clock.now(), document };
      document.catch(() => {
        made = undefined;
      });
    }
    return made.document;
  };
}
