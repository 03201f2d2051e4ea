import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editDistance, nearest } from "./nearest.ts";

describe("the distance of two words", () => {
  it.each([
    ["", "", 0],
    ["abc", "", 3],
    ["preset", "presets", 1],
    ["market", "marekt", 1],
    ["linux", "windows", 5],
  ])("%s and %s: %i", (left, right, distance) => {
    expect(editDistance(left, right)).toBe(distance);
  });

  it("is the same from both sides, and 0 for the same word only", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
    fc.assert(
      fc.property(word, word, (left, right) => {
        const distance = editDistance(left, right);
        expect(distance).toBe(editDistance(right, left));
        expect(distance === 0).toBe(left === right);
        expect(distance).toBeGreaterThanOrEqual(Math.abs(left.length - right.length));
        expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
      }),
    );
  });
});

it.each([
  ["lables", " Did you mean labels?"],
  ["LABEL", " Did you mean labels?"],
  ["something", ""],
  ["", ""],
])("for %s it says:%s", (word, hint) => {
  expect(nearest(word, ["labels", "limits", "presets"])).toBe(hint);
});
