import type { StatusDocument } from "../core/status.ts";
import type { Clock } from "../ports/clock.ts";
import type { HttpHandler, HttpStream } from "../ports/http.ts";
import type { Log } from "../ports/log.ts";

export interface StatusEventsOptions {
  readonly readStatus: () => Promise<StatusDocument>;
  readonly clock: Clock;
  readonly log: Log;
  /** The status is read and compared so often while somebody listens. Default 1. */
  readonly intervalSeconds?: number;
  /** A document that changed in nothing but ages and totals is sent so often. Default 15. */
  readonly refreshSeconds?: number;
}

/**
 * Answers with server-sent events: at once, and then whenever something has changed, a `status` event whose data
 * is the whole document. All listeners share one reading of the status; with no listener, nothing is read.
 *
 * A status that cannot be read is logged and tried again; listeners get a comment meanwhile, so that they know
 * the connection is alive.
 */
export function createStatusEvents(options: StatusEventsOptions): HttpHandler {
  const newest = shareReading(options);
  const intervalMilliseconds = (options.intervalSeconds ?? 1) * 1000;

  const stream: HttpStream = async (write, signal) => {
    let sent: string | undefined;
    let quietSince = options.clock.now();
    await write("retry: 2000\n\n");
    while (!signal.aborted) {
      const event = await newest();
      if (event !== undefined && event !== sent) {
        await write(event);
        sent = event;
        quietSince = options.clock.now();
      } else if (options.clock.now() - quietSince >= heartbeatMilliseconds) {
        await write(": heartbeat\n\n");
        quietSince = options.clock.now();
      }
      await options.clock.sleep(intervalMilliseconds, signal);
    }
  };
  const headers = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    // Proxies of the nginx family hold answers back until they are complete, unless told otherwise.
    "x-accel-buffering": "no",
  };
  return () => ({ status: 200, headers, stream });
}

const heartbeatMilliseconds = 10_000;

/** The newest event, the same text for all who ask within one interval. Undefined before the first success. */
function shareReading(options: StatusEventsOptions): () => Promise<string | undefined> {
  const intervalMilliseconds = (options.intervalSeconds ?? 1) * 1000;
  const refreshMilliseconds = (options.refreshSeconds ?? 15) * 1000;
  let event: string | undefined;
  let shape = "";
  let sentAt = Number.NEGATIVE_INFINITY;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  const read = async () => {
    try {
      const status = await options.readStatus();
      const now = options.clock.now();
      const newShape = JSON.stringify(status, withoutClocks);
      if (newShape === shape && now - sentAt < refreshMilliseconds) return;
      shape = newShape;
      sentAt = now;
      event = `event: status\ndata: ${JSON.stringify(status)}\n\n`;
    } catch (error) {
      options.log.warn("The status could not be read for the page", { stage: "status", error });
    }
  };
  return async () => {
    // Half an interval: listeners that came at different moments still share a reading.
    if (reading === undefined && options.clock.now() - readAt >= intervalMilliseconds / 2) {
      readAt = options.clock.now();
      reading = read().finally(() => {
        reading = undefined;
      });
    }
    await reading;
    return event;
  };
}

/** What changes with time alone. The page counts ages by itself. */
const clocks = new Set(["at", "ageSeconds", "waitSeconds", "runSeconds", "costUsd", "cost", "lastHour"]);

function withoutClocks(key: string, value: unknown): unknown {
  return clocks.has(key) ? undefined : value;
}
