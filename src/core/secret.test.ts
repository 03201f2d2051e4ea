import { inspect } from "node:util";
import fc from "fast-check";
import { expect, it } from "vitest";
import { equalInConstantTime, Secret } from "./secret.ts";

it("a secret shows itself to nobody but who asks for it", () => {
  const secret = new Secret("hunter2");
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret, list: [secret] }),
    inspect(secret),
    inspect({ deep: { secret } }, { depth: 9, showHidden: true }),
    Object.entries(secret).join(),
    String(new Error(`Failed with ${secret}`)),
    JSON.stringify(structuredClone({ ...secret })),
  ];
  for (const text of shown) expect(text).not.toContain("hunter2");
  expect([`${secret}`, JSON.stringify([secret]), inspect(secret)]).toEqual([
    "[secret]",
    '["[secret]"]',
    "[secret]",
  ]);
  expect(secret.reveal()).toBe("hunter2");
});

it("texts are equal exactly when they are", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (left, right) => {
      expect(equalInConstantTime(left, right)).toBe(left === right);
      expect(equalInConstantTime(left, Buffer.from(left))).toBe(true);
    }),
  );
});
