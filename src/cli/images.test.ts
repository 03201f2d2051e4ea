import { describe, expect, test } from "vitest";
import { imageStatus } from "../../test/dashboard-scenes.ts";
import { now } from "../../test/support/cli-scenes.ts";
import type { ImageStatus } from "../core/image-status.ts";
import { imageText, needsALook, renderImages, scanText } from "./images-table.ts";

const before = (seconds: number) => new Date(now - seconds * 1000).toISOString();

const ready = imageStatus();
const building: ImageStatus = {
  ...{ ...ready, state: "building", alias: "IMAGE_CREATING", base: "debian:12", waitingJobs: 3 },
  ...{
    reference: null,
    builtAt: null,
    ageSeconds: null,
    attempts: 1,
    buildStartedAt: before(80),
    scan: null,
  },
};
const failed: ImageStatus = {
  ...{ ...building, state: "failed", alias: null, base: "alpine:3", attempts: 2, buildStartedAt: null },
  ...{ reason: "CodeBuild says FAILED", log: "no glibc", failedAt: before(5), nextAttemptAt: before(-115) },
};

const screen = { colours: false, now };

describe("images", () => {
  test("are told one a line, with what waits and why", () => {
    expect(renderImages([ready, building, failed], screen)).toMatchInlineSnapshot(`
      "BASE          ARCHITECTURE  STATE     AGE  ATTEMPTS  WAITING  FLEETS  SCAN           REFERENCE, OR WHY NOT
      ubuntu:24.04  x86_64        ready     2 h                     tasks   1 high, 4 low  1.dkr.ecr.eu-west-1.amazonaws.com/mayfly:01ab
      debian:12     x86_64        building              1  3 jobs   tasks                  begun 1 min 20 s ago
      alpine:3      x86_64        failed                2  3 jobs   tasks                  CodeBuild says FAILED. Tried again, when it is wanted, in 1 min 55 s. Its log ends: no glibc"
    `);
  });

  test("are told in a sentence", () => {
    expect(imageText(failed, now)).toBe(
      "Image alpine:3 (x86_64): failed, CodeBuild says FAILED. Tried again, when it is wanted, in 1 min 55 s. Its log ends: no glibc.",
    );
    expect(imageText({ ...building, reference: ready.reference, scan: ready.scan }, now)).toBe(
      "Image debian:12 (x86_64): building, 1.dkr.ecr.eu-west-1.amazonaws.com/mayfly:01ab (a new one was begun 1 min 20 s ago). The scan of the one that serves says: 1 high, 4 low.",
    );
  });

  test("are worth a look when they fail or their scan is bad", () => {
    expect([ready, building, failed].map(needsALook)).toEqual([true, true, true]);
    const fine = { ...ready, scan: { at: null, findings: { low: 4 } } };
    expect(needsALook(fine)).toBe(false);
    const tried = { reference: "mayfly:02cd", builtAt: before(60), worked: 2, failed: 1 };
    expect(needsALook({ ...fine, trial: tried })).toBe(true);
    expect(imageText({ ...fine, trial: tried }, now)).toContain(
      "mayfly:01ab (on trial: mayfly:02cd, of whose machines 2 worked and 1 did not).",
    );
    expect(scanText({ ...ready, scan: { at: null, findings: {} } })).toBe("nothing found");
    expect(scanText(building)).toBe("");
  });
});
