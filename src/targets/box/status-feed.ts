import type { StatusDocument } from "../../core/status.ts";

/** The status document for everyone who reads it: made at most once a second, however many ask. */
export interface StatusFeed {
  /** At most a second old. */
  read(): Promise<StatusDocument>;
  /** Writes server-sent events: the document at once, then whenever it has changed, until `signal` aborts. */
  follow(write: (text: string) => Promise<void>, signal: AbortSignal): Promise<void>;
}

const ageMilliseconds = 1000;
/** A stream that is silent for longer may be cut off by something on its way. */
const heartbeatMilliseconds = 15_000;

export function createStatusFeed(make: () => Promise<StatusDocument>): StatusFeed {
  let made: { readonly at: number; readonly document: Promise<StatusDocument> } | undefined;
  const read = (): Promise<StatusDocument> => {
    const now = performance.now();
    if (made === undefined || now - made.at > ageMilliseconds) {
      const document = make();
      made = { at: now, document };
      // A failure is for those who asked; the next reader asks anew.
      document.catch(() => {
        made = undefined;
      });
    }
    return made.document;
  };
  return {
    read,
    async follow(write, signal) {
      let last = "";
      let writtenAt = performance.now();
      while (!signal.aborted) {
        const document = await read();
        const content = JSON.stringify({ ...document, at: "" });
        if (content !== last) {
          last = content;
          writtenAt = performance.now();
          await write(`event: status\ndata: ${JSON.stringify(document)}\n\n`);
        } else if (performance.now() - writtenAt > heartbeatMilliseconds) {
          writtenAt = performance.now();
          await write(": still here\n\n");
        }
        await pause(ageMilliseconds, signal);
      }
    },
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
