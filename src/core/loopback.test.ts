import { expect, test } from "vitest";
import { isLoopbackHost } from "./loopback.ts";

test.each([
  ["localhost", true],
  ["LOCALHOST:8080", true],
  [" localhost ", true],
  ["127.0.0.1:80", true],
  ["127.9.9.9", true],
  ["127.255.255.254", true],
  ["[::1]:8080", true],
  ["[::1]", true],
  ["::1", true],
  ["127.0.0.1.evil.example", false],
  ["127.0.0", false],
  ["127.0.0.1000", false],
  ["127.a.b.c", false],
  ["1.127.0.0.1", false],
  ["localhost.evil.example:80", false],
  ["evil.localhost", false],
  ["localhost:80.evil.example", false],
  ["localhost:", false],
  ["localhost:evil", false],
  ["::1.evil.example", false],
  ["[::1].evil.example", false],
  ["[::2]:8080", false],
  ["::2", false],
  ["evil.example", false],
  ["10.0.0.1", false],
  ["0.0.0.0", false],
  ["", false],
])("%s names this machine only: %s", (name, expected) => {
  expect(isLoopbackHost(name)).toBe(expected);
});
