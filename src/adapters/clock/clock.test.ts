import { expect, test } from "vitest";
import { createManualClock, manualClockStart } from "./manual.ts";
import { createSystemClock } from "./system.ts";

test("sleepers wake in order, each at its own instant, also those that go to sleep meanwhile", async () => {
  const clock = createManualClock();
  const seen: string[] = [];
  const sleepTwice = async (name: string, first: number, second: number): Promise<void> => {
    for (const time of [first, second]) {
      await clock.sleep(time);
      seen.push(`${name}@${clock.now() - manualClockStart}`);
    }
  };
  const both = Promise.all([sleepTwice("a", 30, 30), sleepTwice("b", 20, 50)]);
  await clock.advance(65);
  expect(seen).toEqual(["b@20", "a@30", "a@60"]);
  expect(clock.now() - manualClockStart).toBe(65);
  await clock.advance(100);
  await both;
  expect(seen.at(-1)).toBe("b@70");
});

test.each([
  ["manual", createManualClock()],
  ["system", createSystemClock()],
])("the %s clock's sleep ends at once when the signal aborts, before or during it", async (_name, clock) => {
  const controller = new AbortController();
  const sleeping = clock.sleep(3_600_000, controller.signal);
  controller.abort();
  await sleeping;
  await clock.sleep(3_600_000, controller.signal);
  await clock.sleep(-1);
});

test("the system's clock sleeps at least as long as it was asked to", async () => {
  const clock = createSystemClock();
  const before = performance.now();
  await clock.sleep(20);
  expect(performance.now() - before).toBeGreaterThanOrEqual(19);
});
