import { expect, test } from "vitest";
import { nextSpan, type Span } from "./measured-span.ts";

const minute = 60_000;
const noon = Date.UTC(2026, 0, 1, 12);

test("spans are whole minutes that follow one another, a minute behind, whenever they are asked for", () => {
  const spans: Span[] = [];
  for (const seconds of [5, 40, 65, 125, 130, 190]) {
    const span = nextSpan(spans.at(-1), noon + seconds * 1000);
    if (span !== undefined) spans.push(span);
  }
  expect(spans).toEqual([
    { from: noon - 2 * minute, until: noon - minute },
    { from: noon - minute, until: noon },
    { from: noon, until: noon + minute },
    { from: noon + minute, until: noon + 2 * minute },
  ]);
});

test("rounds that were left out are measured by the next one, but not a whole night", () => {
  const first = nextSpan(undefined, noon)!;
  expect(nextSpan(first, noon + 5 * minute)).toEqual({ from: first.until, until: noon + 4 * minute });
  const late = nextSpan(first, noon + 600 * minute)!;
  expect(late.until - late.from).toBe(15 * minute);
});
