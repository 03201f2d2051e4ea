import { expect, test } from "vitest";
import { countText, durationText, instantText, moneyText, numberText, relativeText } from "./phrases.ts";

test.each([
  [-1, "0 s"],
  [0, "0 s"],
  [0.449, "0.4 s"],
  [9.94, "9.9 s"],
  [9.96, "10 s"],
  [59.4, "59 s"],
  [59.6, "1 min"],
  [200, "3 min 20 s"],
  [3599.9, "1 h"],
  [7500, "2 h 5 min"],
  [270_000, "3 d 3 h"],
] as const)("%d seconds are %s", (seconds, text) => {
  expect(durationText(seconds)).toBe(text);
});

test("instants are told relative to the present, and in UTC", () => {
  const now = Date.UTC(2026, 0, 1, 12);
  expect(relativeText("2026-01-01T11:58:30.000Z", now)).toBe("1 min 30 s ago");
  expect(relativeText("2026-01-01T12:00:12.000Z", now)).toBe("in 12 s");
  expect(relativeText("2026-01-01T12:00:00.400Z", now)).toBe("now");
  expect(relativeText("soon", now)).toBe("soon");
  expect(instantText("2026-01-01T11:58:30.123Z")).toBe("2026-01-01 11:58:30");
});

test("small money is not called nothing", () => {
  expect([0, 0.004, 0.25, 12].map(moneyText)).toEqual(["$0.00", "$0.0040", "$0.25", "$12.00"]);
});

test("counts", () => {
  expect([0, 1, 12_345].map((count) => countText(count, "job"))).toEqual(["no jobs", "1 job", "12,345 jobs"]);
  expect(numberText(1_234_567)).toBe("1,234,567");
});
