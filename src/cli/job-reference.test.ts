import { expect, test } from "vitest";
import { parseJobReference } from "./job-reference.ts";

test.each([
  "12345",
  " 12345 ",
  "https://github.com/o/r/actions/runs/1/job/12345",
  "https://github.com/o/r/actions/runs/1/job/12345?pr=7#step:3:1",
  "https://github.com/o/r/actions/runs/1/attempts/2/job/12345/",
  "https://git.example.com:8443/o/r/actions/runs/1/job/12345",
  "https://api.github.com/repos/o/r/actions/jobs/12345",
])("%s", (text) => {
  expect(parseJobReference(text)).toBe(12_345);
});

test.each([
  ["https://github.com/o/r/actions/runs/1", "whole run"],
  ["https://github.com/o/r/actions/runs/1/attempts/2", "whole run"],
  ["https://github.com/o/r", "neither the id"],
  ["-3", "neither the id"],
  ["9999999999999999999999", "neither the id"],
  ["", "An empty text is neither"],
])("%s is refused", (text, message) => {
  expect(() => parseJobReference(text)).toThrow(message);
});
