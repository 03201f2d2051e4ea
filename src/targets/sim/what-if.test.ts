import { describe, expect, test } from "vitest";
import { policy, preset, start } from "../../../test/builders.ts";
import { createSeededRandom } from "../../adapters/random/seeded.ts";
import { fargateMachineTypes } from "../../config/fargate-sizes.ts";
import type { TracedJob } from "../../core/job-trace.ts";
import type { Policy } from "../../core/model.ts";
import { type CloudAssumptions, type Replay, replayJobs, typicalCloud } from "./replay.ts";
import { type WhatIfReport, whatIfReport } from "./what-if.ts";

const linux = ["self-hosted", "linux", "x64"];
const hour = 3_600_000;
const monday = Date.UTC(2026, 0, 5);

/** Jobs of a morning: most ask for what there is, some for a size, some for what nobody has, some for GitHub's own. */
function morning(count: number): readonly TracedJob[] {
  const random = createSeededRandom("morning");
  const wishes = [linux, linux, linux, ["mayfly/arm"], ["self-hosted", "gpu"], ["ubuntu-latest"]];
  return Array.from({ length: count }, (_, index) => ({
    queuedAt: Math.round(monday + 8 * hour + (index / count) * (hour / 2)),
    durationSeconds: Math.round(random.fraction() * 900),
    labels: wishes[index % wishes.length] ?? linux,
    repository: index % 2 === 0 ? "acme/app" : "acme/site",
  }));
}

const twoPresets: Policy = policy({
  presets: [
    preset({ market: "spot-preferred", cpu: 4, pricePerHourUsd: 0, max: 12 }),
    preset({ name: "arm", architecture: "arm64", labels: ["arm64"], pricePerHourUsd: 0.2 }),
  ],
});

async function whatIf(
  jobs: readonly TracedJob[],
  given: { readonly policy?: Policy; readonly cloud?: Partial<CloudAssumptions> } = {},
): Promise<{ readonly replay: Replay; readonly report: WhatIfReport }> {
  const chosen = given.policy ?? twoPresets;
  const replay = await replayJobs({
    jobs,
    policy: chosen,
    cloud: { ...typicalCloud, ...given.cloud },
    seed: "test",
  });
  return { replay, report: whatIfReport({ config: "mayfly.yaml", policy: chosen, jobs, replay }) };
}

describe("a what-if report", () => {
  test("has the totals of the simulator's own ledger", async () => {
    const { replay, report } = await whatIf(morning(120), { cloud: { interruptionsPercent: 60 } });
    const { jobs } = replay.history;
    // A launch that is refused, here because its pool has just taken a machine back, makes none.
    const machines = replay.history.machines.filter((machine) => machine.times.launched !== undefined);

    // Summed here from the entries of the ledger, each in its own way.
    let [spotSeconds, onDemandSeconds, spotUsd, onDemandUsd] = [0, 0, 0, 0];
    for (const { times, purchase, pricePerHourUsd } of machines) {
      const seconds = (times.ended! - times.launched!) / 1000;
      if (purchase === "spot")
        [spotSeconds, spotUsd] = [spotSeconds + seconds, spotUsd + (seconds / 3600) * pricePerHourUsd!];
      else {
        onDemandSeconds += seconds;
        onDemandUsd += (seconds / 3600) * pricePerHourUsd!;
      }
    }
    expect(report.machines.launched).toBe(machines.length);
    expect(report.machines.spotHours * 3600).toBeCloseTo(spotSeconds);
    expect(report.machines.onDemandHours * 3600).toBeCloseTo(onDemandSeconds);
    expect(report.cost.spotUsd).toBeCloseTo(spotUsd);
    expect(report.cost.totalUsd).toBeCloseTo(spotUsd + onDemandUsd);
    expect([spotUsd, onDemandUsd].every((dollars) => dollars > 0)).toBe(true);

    const ran = jobs.filter((job) => job.times.started !== undefined);
    const seconds = ran.map((job) => (job.times.completed! - job.times.started!) / 1000);
    expect(report.jobs.ran).toBe(ran.length);
    expect(report.jobs.runHours * 3600).toBeCloseTo(seconds.reduce((sum, each) => sum + each, 0));
    expect(report.jobs.refused).toBe(jobs.filter((job) => job.outcome?.kind === "refused").length);
    const { total, refused, givenUp, ignored } = report.jobs;
    expect([total, refused, ignored]).toEqual([120, 20, 20]);
    expect(ran.length + refused + givenUp + ignored).toBe(total);
    expect(report.jobs.interrupted).toBeGreaterThan(0);

    // GitHub's prices a minute: 4 processors of x86_64, and 2 of arm64.
    const minutes = (arm: boolean) =>
      ran
        .filter((job) => job.fleet.startsWith("arm") === arm)
        .reduce(
          (sum, { times }) => sum + Math.max(1, Math.ceil((times.completed! - times.started!) / 60_000)),
          0,
        );
    expect(report.cost.githubHostedUsd).toBeCloseTo(minutes(false) * 0.012 + minutes(true) * 0.005);

    for (const key of [
      "launched",
      "spot",
      "onDemand",
      "unused",
      "interrupted",
      "spotHours",
      "onDemandHours",
    ] as const) {
      const parts = report.presets.reduce((sum, each) => sum + each.machines[key], 0);
      expect(parts, key).toBeCloseTo(report.machines[key]);
    }
    expect(report.presets.reduce((sum, each) => sum + each.cost.totalUsd, 0)).toBeCloseTo(
      report.cost.totalUsd,
    );
    expect(report.presets.reduce((sum, each) => sum + each.jobs, 0)).toBe(ran.length);
  }, 30_000);

  test("counts the most machines at once, and never more than the preset allows", async () => {
    const { replay, report } = await whatIf(morning(120));
    const lives = replay.history.machines.filter((machine) => machine.preset === "linux-x64");
    const alive = lives.map(
      ({ times }) =>
        lives.filter((each) => each.times.launched! <= times.launched! && each.times.ended! > times.launched!)
          .length,
    );
    expect(report.presets[0]?.machines.mostAtOnce).toBe(Math.max(...alive));
    expect(Math.max(...alive)).toBe(12);
    expect(Math.max(...report.timeline.map((point) => point.machines))).toBe(report.machines.mostAtOnce);
    expect(report.timeline[0]?.at).toBe("2026-01-05T08:00:00.000Z");
  }, 30_000);

  test("says which jobs nobody serves, and why, as config explain does", async () => {
    const jobs = [...morning(60), { ...morning(1)[0]!, repository: "other/app" }];
    const admission = { repositories: ["acme/*"], publicRepositories: "refuse" } as const;
    const { report } = await whatIf(jobs, { policy: { ...twoPresets, admission } });
    expect(report.unserved).toEqual([
      {
        labels: ["self-hosted", "gpu"],
        result: "refused",
        jobs: 10,
        detail: expect.stringContaining("No preset matches the labels."),
      },
      {
        labels: ["ubuntu-latest"],
        result: "ignored",
        jobs: 10,
        detail: expect.stringContaining("No preset offers these labels"),
      },
      {
        labels: linux,
        result: "refused",
        jobs: 1,
        detail: expect.stringContaining("other/app matches no entry"),
      },
    ]);
  }, 30_000);

  test("shows what a smaller limit costs in waiting, and a limit of time in jobs", async () => {
    const jobs = morning(120);
    const wide = await whatIf(jobs, { policy: { ...twoPresets, presets: [preset({ max: 50 })] } });
    const narrow = await whatIf(jobs, {
      policy: { ...twoPresets, presets: [preset({ max: 2, jobTimeoutSeconds: 600 })] },
    });
    expect(wide.report.waits.p95Seconds).toBeLessThan(90);
    expect(narrow.report.waits.p95Seconds).toBeGreaterThan(1_000);
    expect(wide.report.jobs.overLimit).toBe(0);
    const long = jobs.filter((job) => job.labels === linux && job.durationSeconds > 600);
    expect(narrow.report.jobs.overLimit).toBe(long.length);
    expect(narrow.report.machines.mostAtOnce).toBe(2);
  }, 30_000);

  test("is the same again with the same seed, and a boot that takes longer is a longer wait", async () => {
    const jobs = morning(30);
    const [one, again, slow] = [
      await whatIf(jobs),
      await whatIf(jobs),
      await whatIf(jobs, { cloud: { bootSeconds: 120 } }),
    ];
    expect(again.report).toEqual(one.report);
    const difference = slow.report.waits.p50Seconds! - one.report.waits.p50Seconds!;
    expect(difference).toBeGreaterThan(60);
    expect(difference).toBeLessThan(130);
  }, 30_000);

  test("has tasks for presets of Fargate, which start later and cost by their processors and their memory", async () => {
    const jobs = morning(60).filter(({ labels }) => labels === linux || labels[0] === "mayfly/arm");
    const fargate = preset({
      ...{ compute: "fargate", image: "ubuntu:24.04", buildsImages: true, imageKind: "container" },
      ...{ cpu: 1, memoryGib: 2, market: "spot-preferred", pricePerHourUsd: 0 },
    });
    const mixed = policy({
      presets: [
        fargate,
        preset({ name: "arm", architecture: "arm64", labels: ["arm64"], buildsImages: true }),
      ],
      machineTypes: { fargate: fargateMachineTypes() },
    });
    const { replay, report } = await whatIf(jobs, { policy: mixed });
    const waits = report.presets.map((each) => each.waits.p50Seconds ?? 0);
    expect(waits[0]! - waits[1]!).toBeGreaterThan(12);
    expect(report.presets[0]).toMatchObject({ compute: "fargate", jobs: 30, machines: { onDemand: 0 } });
    expect(report.presets[0]?.machines.launched).toBeLessThanOrEqual(31);
    // 1 vCPU and 2 GiB in us-east-1, and 30 % of that on spot.
    expect(report.presets[0]?.onDemandUsdPerHour).toBeCloseTo(0.04937);
    expect(report.presets[0]?.spotUsdPerHour).toBeCloseTo(0.014811);
    const { spotHours } = report.presets[0]!.machines;
    expect(report.presets[0]?.cost.totalUsd).toBeCloseTo(spotHours * 0.014811);
    expect(new Set(replay.history.machines.map(({ compute }) => compute))).toEqual(
      new Set(["fargate", "cloud"]),
    );
    const ownPrice = policy({ ...mixed, presets: [{ ...fargate, pricePerHourUsd: 0.1 }] });
    const other = await whatIf(jobs.slice(0, 5), { policy: ownPrice });
    expect(other.report.presets[0]?.spotUsdPerHour).toBeCloseTo(0.03);
  }, 30_000);

  test("of a trace in which nothing can be served has no machines and no waits", async () => {
    const { report } = await whatIf([
      { queuedAt: start, durationSeconds: 1, labels: ["macos-15"], repository: "a/b" },
    ]);
    expect(report.machines.launched).toBe(0);
    expect(report.waits.p50Seconds).toBeNull();
    expect(report.timeline).toEqual([]);
  });
});
