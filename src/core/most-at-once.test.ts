import fc from "fast-check";
import { expect, test } from "vitest";
import { mostAtOnce } from "./most-at-once.ts";

const spans = fc
  .array(fc.tuple(fc.nat(60), fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined })))
  .map((list) =>
    list.map(([from, length]) => ({ from, until: length === undefined ? undefined : from + length })),
  );

test("the most at once in a step is the most at any of its instants", () => {
  fc.assert(
    fc.property(spans, fc.integer({ min: 1, max: 9 }), fc.nat(20), (list, step, from) => {
      const at = (instant: number): number =>
        list.filter((span) => span.from <= instant && instant < (span.until ?? Number.POSITIVE_INFINITY))
          .length;
      const expected = Array.from({ length: 12 }, (_, index) => {
        const first = from + index * step;
        return Math.max(...Array.from({ length: step }, (_, instant) => at(first + instant)));
      });
      expect(mostAtOnce(list, { from, step, count: 12 })).toEqual(expected);
    }),
  );
});
