import type { Announcement } from "../../core/announcement.ts";
import type { Announcer } from "../../ports/announcer.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { callJson } from "../aws/json.ts";

export interface EventBridgeOptions {
  readonly client: AwsClient;
  readonly log: Log;
  /** Its name or its ARN. */
  readonly bus: string;
  /** By which several deployments on one bus are told apart. */
  readonly deployment: string;
}

/** PutEvents takes so many at once, and together so many bytes, of which 256 KiB is what every region takes. */
const entriesLimit = 10;
const bytesLimit = 200_000;

/**
 * Events on a bus of EventBridge: `mayfly.job` and `mayfly.machine`, as docs/reference/events.md describes them. They
 * are sent in batches, one after the other; what cannot be sent is logged and is lost.
 */
export function createEventBridgeAnnouncer(options: EventBridgeOptions): Announcer {
  const { log } = options;
  let waiting: Entry[] = [];
  let sending: Promise<void> = Promise.resolve();

  function send(): void {
    const batch = waiting;
    waiting = [];
    sending = sending.then(() => putEvents(options, batch));
  }

  return {
    tell(announcements) {
      for (const announcement of announcements) {
        const entry = entryOf(announcement, options);
        const bytes = waiting.reduce((sum, each) => sum + each.Detail.length, entry.Detail.length);
        if (waiting.length > 0 && bytes > bytesLimit) send();
        waiting.push(entry);
        if (waiting.length >= entriesLimit) send();
      }
    },
    async flush() {
      if (waiting.length > 0) send();
      await sending.catch((error: unknown) => log.error("Events could not be published.", { error }));
    },
  };
}

interface Entry {
  readonly EventBusName: string;
  readonly Source: "mayfly";
  readonly DetailType: "mayfly.job" | "mayfly.machine";
  readonly Time: number;
  readonly Detail: string;
}

function entryOf(announcement: Announcement, { bus, deployment }: EventBridgeOptions): Entry {
  const { kind, at, ...rest } = announcement;
  const detail = { version: 1, deployment, at: new Date(at).toISOString(), ...rest };
  return {
    EventBusName: bus,
    Source: "mayfly",
    DetailType: `mayfly.${kind}`,
    Time: Math.floor(at / 1000),
    // Characters outside of ASCII are escaped, so that its length is its bytes.
    Detail: JSON.stringify(detail).replace(/[\u007f-\uffff]/g, escaped),
  };
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

interface Answer {
  readonly FailedEntryCount?: number;
  readonly Entries?: readonly { readonly ErrorCode?: string; readonly ErrorMessage?: string }[];
}

/** Never rejects: nobody could do anything about it. */
async function putEvents({ client, bus, log }: EventBridgeOptions, entries: readonly Entry[]): Promise<void> {
  try {
    const { FailedEntryCount = 0, Entries = [] } = await callJson<Answer>(client, {
      service: "events",
      action: "PutEvents",
      resource: `the event bus ${bus}`,
      input: { Entries: entries },
      limits: { timeoutSeconds: 3, attempts: 2 },
    });
    if (FailedEntryCount === 0) return;
    const codes = new Set(Entries.flatMap(({ ErrorCode }) => ErrorCode ?? []));
    log.warn("Events could not be published and are lost.", { lost: FailedEntryCount, codes: [...codes] });
  } catch (error) {
    log.warn("Events could not be published and are lost.", { lost: entries.length, error });
  }
}
