import fc from "fast-check";
import { expect, it } from "vitest";
import { createSecretFinder } from "./secret-finder.ts";

const secret = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_+/AbCdEf";

it("finds a secret wherever it begins a piece of its own, and nothing else", () => {
  const finder = createSecretFinder(["short one"]);
  finder.add("a token", secret);
  const noise = fc.string({ unit: fc.constantFrom("a", "Z", "7", "-", " ", '"', ":", "é"), maxLength: 120 });
  fc.assert(
    fc.property(noise, noise, fc.nat(6), (before, after, cut) => {
      const shown = secret.slice(0, secret.length - cut);
      expect(finder.contains(`${before} ${shown}${after}`)).toBe("a token");
      expect(finder.contains(`${before}${after}`)).toBeUndefined();
      expect(finder.contains(`${before} ${secret.slice(0, 39)} ${after}`)).toBeUndefined();
    }),
  );
  expect(finder.contains(secret)).toBe("a token");
  expect(finder.contains('{"text":"a short one"}')).toBe("a secret of the installation");
});
