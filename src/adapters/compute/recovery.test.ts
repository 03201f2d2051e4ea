import { expect, it, vi } from "vitest";
import { recoverOnce } from "./recovery.ts";

it("first calls that come together wait for one recovery, and later ones for none", async () => {
  const recovery = Promise.withResolvers<void>();
  const recover = vi.fn(() => recovery.promise);
  const ready = recoverOnce(recover);
  let answered = 0;
  const calls = [ready(), ready()].map((call) => call.then(() => answered++));
  await Promise.resolve();
  expect(answered).toBe(0);
  recovery.resolve();
  await Promise.all(calls);
  await ready();
  expect(recover).toHaveBeenCalledTimes(1);
});

it("a recovery that failed rejects the calls that waited for it, and the next call tries again", async () => {
  const recover = vi
    .fn<() => Promise<void>>()
    .mockRejectedValueOnce(new Error("no engine"))
    .mockResolvedValue();
  const ready = recoverOnce(recover);
  await expect(Promise.all([ready(), ready()])).rejects.toThrow("no engine");
  await ready();
  expect(recover).toHaveBeenCalledTimes(2);
});
