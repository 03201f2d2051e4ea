import { expect, it } from "vitest";
import { fleetSpec, job, machine, start } from "../../test/builders.ts";
import {
  ec2SpotPriceUsd,
  githubHostedPriceUsd,
  hostedMinutes,
  machineCostUsd,
  machineSeconds,
  runSeconds,
  sizeOf,
  spentTodayUsd,
  startOfDay,
  typicalPricePerHourUsd,
} from "./cost.ts";

const hour = 3_600_000;
const priced = machine({ pricePerHourUsd: 0.5, times: { launched: start + hour, ended: start + 3 * hour } });

it("GitHub-hosted minutes are rounded up, on the smallest runner that is large enough", () => {
  expect([0, 1, 60, 61].map(hostedMinutes)).toEqual([1, 1, 1, 2]);
  expect(githubHostedPriceUsd({ architecture: "x86_64", cpu: 2 }, 2)).toBeCloseTo(0.012);
  expect(githubHostedPriceUsd({ architecture: "x86_64", cpu: 3 }, 1)).toBeCloseTo(0.012);
  expect(githubHostedPriceUsd({ architecture: "arm64", cpu: 1_000 }, 1)).toBeCloseTo(0.098);
  expect(githubHostedPriceUsd({ architecture: "x86_64" }, 1)).toBeCloseTo(0.006);
});

it("each size of GitHub-hosted runner has its own price, and the larger costs more", () => {
  const sizes = { x86_64: [1, 2, 4, 8, 16, 32, 64, 96], arm64: [2, 4, 8, 16, 32, 64] } as const;
  for (const architecture of ["x86_64", "arm64"] as const) {
    const prices = sizes[architecture].map((cpu) => githubHostedPriceUsd({ architecture, cpu }, 1));
    expect(prices).toEqual([...new Set(prices)].sort((left, right) => left - right));
  }
});

it("a machine of a fleet has the size that its fleet asks for", () => {
  expect(sizeOf(fleetSpec({ architecture: "arm64", cpu: 4 }))).toStrictEqual({
    architecture: "arm64",
    cpu: 4,
  });
  expect(sizeOf(fleetSpec({ architecture: "arm64" }))).toStrictEqual({ architecture: "arm64" });
  expect(sizeOf(undefined)).toStrictEqual({ architecture: "x86_64" });
});

it("spot costs a part of on-demand", () => {
  expect(ec2SpotPriceUsd({ architecture: "x86_64", cpu: 2 }, 3_600)).toBeCloseTo(0.0339, 3);
  expect(ec2SpotPriceUsd(sizeOf(undefined), 0)).toBe(0);
  expect(typicalPricePerHourUsd({ architecture: "arm64", cpu: 4 }, "on-demand")).toBeCloseTo(0.145);
  expect(typicalPricePerHourUsd({ architecture: "arm64", cpu: 4 }, "spot")).toBeCloseTo(0.0551);
});

it("a machine costs from its launch to its end, and only what lies in between the two instants", () => {
  expect(machineSeconds(priced, 0, start + 9 * hour)).toBe(7_200);
  expect(machineSeconds(priced, start + 2 * hour, start + 9 * hour)).toBe(3_600);
  expect(machineSeconds(priced, 0, start + 2 * hour)).toBe(3_600);
  expect(machineSeconds(priced, start + 4 * hour, start + 9 * hour)).toBe(0);
  expect(machineSeconds(machine(), 0, start + 9 * hour)).toBe(0);
  expect(machineCostUsd(priced, 0, start + 9 * hour)).toBeCloseTo(1);
  const { pricePerHourUsd: _, ...free } = priced;
  expect(machineCostUsd(free, 0, start + 9 * hour)).toBe(0);
});

it("the day begins at midnight UTC", () => {
  expect(startOfDay(start + 5 * hour)).toBe(start);
  expect(spentTodayUsd([priced, priced], [], start + 2 * hour)).toBeCloseTo(1);
  expect(spentTodayUsd([priced], [], start + 25 * hour)).toBe(0);
  const ended = { fleet: "fleet-a", hostedMinutes: 0, machineSeconds: 60, costUsd: 3 };
  expect(spentTodayUsd([priced], [ended, ended], start + 2 * hour)).toBeCloseTo(6.5);
});

it("a job runs from its start to its end, or until now", () => {
  expect(runSeconds(job(), start)).toBe(0);
  expect(runSeconds(job({ times: { started: start } }), start + 5_000)).toBe(5);
  expect(runSeconds(job({ times: { started: start, completed: start + 2_000 } }), start + 5_000)).toBe(2);
});
