import { expect, test } from "vitest";
import { emptyStatus, runningJob } from "../../test/dashboard-scenes.ts";
import { createManualClock } from "../adapters/clock/manual.ts";
import { createMemoryLog } from "../adapters/log/memory.ts";
import type { StatusDocument } from "../core/status.ts";
import { createStatusEvents } from "./events.ts";

test("sends the document at once, and again only when something has changed", async () => {
  const { clock, source, listen } = setUp();
  const events = listen();
  await clock.advance(3000);
  expect(events.statuses()).toHaveLength(1);
  source.status = emptyStatus({ activeJobs: [runningJob(1)] });
  await clock.advance(2000);
  expect(events.statuses()).toHaveLength(2);
  expect(events.statuses()[1]?.activeJobs[0]?.id).toBe(1);
});

test("sends ages and totals now and then, and heartbeats between", async () => {
  const { clock, source, listen } = setUp();
  const events = listen();
  await clock.advance(1000);
  source.status = emptyStatus({ at: "2026-11-21T12:00:05.000Z" });
  await clock.advance(11_000);
  expect(events.statuses()).toHaveLength(1);
  expect(events.text()).toContain(": heartbeat\n\n");
  await clock.advance(5000);
  expect(events.statuses()[1]?.at).toBe("2026-11-21T12:00:05.000Z");
});

test("reads once for all listeners, and not at all when there is none", async () => {
  const { clock, source, listen } = setUp();
  await clock.advance(10_000);
  expect(source.readings).toBe(0);
  for (let listeners = 0; listeners < 3; listeners += 1) listen();
  await clock.advance(10_000);
  expect(source.readings).toBeGreaterThan(9);
  expect(source.readings).toBeLessThan(12);
});

test("goes on when the status cannot be read, and says so in the log", async () => {
  const { clock, source, listen, log } = setUp();
  source.failure = new Error("the disk is gone");
  const events = listen();
  await clock.advance(2000);
  expect(events.statuses()).toHaveLength(0);
  source.failure = undefined;
  await clock.advance(2000);
  expect(events.statuses()).toHaveLength(1);
  expect(log.text()).toContain("the disk is gone");
});

test("ends when its listener leaves", async () => {
  const { clock, source, listen } = setUp();
  const events = listen();
  await clock.advance(2000);
  events.leave();
  await events.ended;
  const { readings } = source;
  await clock.advance(60_000);
  expect(source.readings).toBe(readings);
});

interface Source {
  status: StatusDocument;
  failure: Error | undefined;
  readings: number;
}

function setUp() {
  const clock = createManualClock();
  const log = createMemoryLog();
  const source: Source = { status: emptyStatus(), failure: undefined, readings: 0 };
  const readStatus = async () => {
    source.readings += 1;
    if (source.failure !== undefined) throw source.failure;
    return source.status;
  };
  const handle = createStatusEvents({ readStatus, clock, log });

  const listen = () => {
    const chunks: string[] = [];
    const listener = new AbortController();
    const request = {
      method: "GET",
      path: "/",
      query: "",
      headers: {},
      body: new Uint8Array(),
      remoteAddress: "",
    };
    const open = async () => {
      const response = await handle(request);
      await response.stream?.(async (chunk) => void chunks.push(String(chunk)), listener.signal);
    };
    const text = () => chunks.join("");
    return { ended: open(), leave: () => listener.abort(), text, statuses: () => statusesIn(text()) };
  };
  return { clock, log, source, listen };
}

function statusesIn(text: string): StatusDocument[] {
  const found = text.matchAll(/^event: status\ndata: (.*)\n\n/gm);
  return [...found].map((match) => JSON.parse(match[1] ?? "") as StatusDocument);
}
