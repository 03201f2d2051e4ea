import { expect, it } from "vitest";
import { asMayflyError, MayflyError } from "./errors.ts";

const options = {
  kind: "wait",
  code: "GITHUB_RATE_LIMITED",
  message: "No more.",
  suggestion: "Wait.",
} as const;

it("an error says what happened, and what its caller does next", () => {
  const cause = new Error("429");
  const error = new MayflyError({ ...options, retryAt: 7, cause });
  expect(error).toMatchObject({ ...options, name: "MayflyError", retryAt: 7, cause });
  expect(error).toBeInstanceOf(Error);
  expect("cause" in new MayflyError(options)).toBe(false);
});

it("whatever was thrown is one of ours, to be tried again when nothing better is known of it", () => {
  const own = new MayflyError(options);
  expect(asMayflyError(own, "STORE", "Look.")).toBe(own);
  const disk = new Error("The disk is full.");
  const known = { kind: "retry", code: "STORE", suggestion: "Look." };
  expect(asMayflyError(disk, "STORE", "Look.")).toMatchObject({
    ...known,
    message: disk.message,
    cause: disk,
  });
  expect(asMayflyError("nothing", "STORE", "Look.")).toMatchObject({
    ...known,
    message: "nothing",
    cause: "nothing",
  });
});
