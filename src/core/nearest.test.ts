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

  /** The same by its definition: slow, and plain to see. */
  function distanceSlowly(left: string, right: string): number {
    if (left === "" || right === "") return left.length + right.length;
    const swapped = left.length > 1 && left[0] === right[1] && left[1] === right[0];
    return Math.min(
      distanceSlowly(left.slice(1), right) + 1,
      distanceSlowly(left, right.slice(1)) + 1,
      distanceSlowly(left.slice(1), right.slice(1)) + (left[0] === right[0] ? 0 : 1),
      ...(swapped ? [distanceSlowly(left.slice(2), right.slice(2)) + 1] : []),
    );
  }

  it("is that of its definition, and the same from both sides", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 5 });
    fc.assert(
      fc.property(word, word, (left, right) => {
        expect(editDistance(left, right)).toBe(distanceSlowly(left, right));
        expect(editDistance(right, left)).toBe(distanceSlowly(left, right));
      }),
    );
  });
});

it.each([
  ["a swap", "lables", " Did you mean labels?"],
  ["another case", "LABEL", " Did you mean labels?"],
  ["two letters of six", "lobals", " Did you mean labels?"],
  ["three of six", "lobolz", ""],
  ["one of two", "cb", " Did you mean ca?"],
  ["nothing like it", "something", ""],
  ["nothing", "", ""],
])("%s, %j, gets the hint:%s", (_what, word, hint) => {
  // Of two that are as near, ca and cd, the first.
  expect(nearest(word, ["labels", "limits", "presets", "ca", "cd"])).toBe(hint);
});
