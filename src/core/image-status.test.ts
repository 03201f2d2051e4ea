import { describe, expect, it } from "vitest";
import { fleetRecord, fleetSpec, job, policy, preset, start } from "../../test/builders.ts";
import { type Image, imageKey } from "./image.ts";
import { type ImageContext, imageKeyOf, imageStatuses } from "./image-status.ts";

const base = "ubuntu:22.04";
const rules = policy({ presets: [preset({ image: base, buildsImages: true })] });
const spec = fleetSpec({ image: base });
const now = start + 60_000;

function contextWith(changes: Partial<ImageContext> = {}): ImageContext {
  return { ledgers: [], policy: rules, now, findings: new Map(), ...changes };
}

function statusOf(image: Partial<Image>, changes: Partial<ImageContext> = {}) {
  const whole: Image = { base, architecture: "x86_64", state: "ready", attempts: 0, ...image };
  return imageStatuses([whole], contextWith(changes))[0];
}

const usable = { reference: "repository:1", recipe: "1", builtAt: start };
const queued = {
  fleet: "fleet-a",
  version: 1,
  record: fleetRecord({ spec }),
  jobs: [job(), job({ id: 1002 }), job({ id: 1003, state: "running" })],
  machines: [],
};

describe("the status of an image", () => {
  it("that serves has its reference, its age, and no job that waits for it", () => {
    expect(statusOf({ usable }, { ledgers: [queued] })).toEqual({
      ...{ base, architecture: "x86_64", state: "ready", alias: null, attempts: 0 },
      ...{ reference: "repository:1", builtAt: "2026-01-01T00:00:00.000Z", ageSeconds: 60 },
      ...{ buildStartedAt: null, reason: null, log: null, failedAt: null, nextAttemptAt: null },
      ...{ trial: null, fleets: [{ fleet: "fleet-a", queued: 2 }], waitingJobs: 0, scan: null },
    });
    expect(statusOf({ usable }, { now: start - 5_000 })?.ageSeconds).toBe(0);
  });

  it("that is built for the first time has the word of other systems, and says who waits", () => {
    const build = { tag: "t", recipe: "1", startedAt: start, lookAt: start };
    const building = { state: "building", attempts: 1, build } as const;
    const other = { ...queued, fleet: "fleet-b", jobs: [job({ fleet: "fleet-b" })] };
    expect(statusOf(building, { ledgers: [queued, other] })).toMatchObject({
      ...{ alias: "IMAGE_CREATING", reference: null, builtAt: null, ageSeconds: null, attempts: 1 },
      ...{ buildStartedAt: "2026-01-01T00:00:00.000Z", waitingJobs: 3, scan: null },
    });
    expect(statusOf({ ...building, usable }, { ledgers: [queued] })).toMatchObject({
      alias: null,
      waitingJobs: 0,
    });
  });

  it("that failed says why, and when it is tried again: only while it is to be", () => {
    const failure = { tag: "t", recipe: "1", reason: "No space", at: start, retryAt: now, isFinal: false };
    expect(statusOf({ state: "failed", failure: { ...failure, log: "the end" } })).toMatchObject({
      ...{ alias: null, reason: "No space", log: "the end", failedAt: "2026-01-01T00:00:00.000Z" },
      nextAttemptAt: "2026-01-01T00:01:00.000Z",
    });
    expect(statusOf({ state: "building", failure })).toMatchObject({ log: null, nextAttemptAt: null });
  });

  it("has the trial of a newer one, with its own machines and not those of the one that serves", () => {
    const machines = [
      { id: "a", isNew: true, since: start, worked: true },
      { id: "b", isNew: true, since: start, worked: false },
      { id: "c", isNew: true, since: start },
      { id: "d", isNew: false, since: start, worked: true },
    ];
    const trial = { tag: "t", reference: "repository:2", recipe: "2", builtAt: start, machines };
    expect(statusOf({ usable, trial })?.trial).toEqual({
      ...{ reference: "repository:2", builtAt: "2026-01-01T00:00:00.000Z", worked: 1, failed: 1 },
    });
  });

  it("has what a scan found in the one that serves", () => {
    const scan = { at: null, findings: { high: 1 } };
    const findings = new Map([["repository:1", scan]]);
    expect(statusOf({ usable }, { findings })?.scan).toBe(scan);
    expect(statusOf({ usable: { ...usable, reference: "repository:2" } }, { findings })?.scan).toBeNull();
  });

  it("comes by base, then by architecture", () => {
    const image = (name: string, architecture: "x86_64" | "arm64"): Image => {
      return { base: name, architecture, state: "ready", attempts: 0 };
    };
    const images = [image("ubuntu", "x86_64"), image("debian", "x86_64"), image("ubuntu", "arm64")];
    const names = imageStatuses(images, contextWith()).map((each) => [each.base, each.architecture]);
    expect(names).toEqual([
      ["debian", "x86_64"],
      ["ubuntu", "arm64"],
      ["ubuntu", "x86_64"],
    ]);
  });
});

describe("the image of a fleet", () => {
  it("is one that is built, where its preset has images built", () => {
    expect(imageKeyOf(spec, rules)).toBe(imageKey(base, "x86_64"));
    expect(imageKeyOf(undefined, rules)).toBeUndefined();
    expect(imageKeyOf(fleetSpec(), rules)).toBeUndefined();
    expect(imageKeyOf(fleetSpec({ image: base, preset: "other" }), rules)).toBeUndefined();
    expect(imageKeyOf(spec, policy({ presets: [preset({ image: base })] }))).toBeUndefined();
  });

  it("is not that of a fleet of another image, processor or preset", () => {
    const arm = { ...queued, record: fleetRecord({ spec: { ...spec, architecture: "arm64" } }) } as const;
    const other = { ...queued, record: fleetRecord({ spec: { ...spec, image: "debian:12" } }) };
    const without = { ...queued, record: undefined };
    for (const ledger of [arm, other, without]) {
      expect(statusOf({ state: "building" }, { ledgers: [ledger] })).toMatchObject({
        fleets: [],
        waitingJobs: 0,
      });
    }
  });
});
