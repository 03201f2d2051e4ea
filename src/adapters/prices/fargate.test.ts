import { describe, expect, it } from "vitest";
import { fleetSpec, preset } from "../../../test/builders.ts";
import { createFargatePrices, fargatePerHourUsd } from "./fargate.ts";
import { createFixedPrices } from "./fixed.ts";

describe("the price of a task", () => {
  it("is of its processors, its memory and its disk beyond 20 GiB", () => {
    const medium = { architecture: "x86_64", cpu: 1, memoryGib: 2 } as const;
    expect(fargatePerHourUsd(medium, "on-demand")).toBeCloseTo(0.04937, 8);
    expect(fargatePerHourUsd({ ...medium, diskGib: 20 }, "on-demand")).toBeCloseTo(0.04937, 8);
    expect(fargatePerHourUsd({ ...medium, diskGib: 120 }, "on-demand")).toBeCloseTo(0.06047, 8);
    expect(fargatePerHourUsd({ ...medium, architecture: "arm64" }, "on-demand")).toBeCloseTo(0.0395, 8);
    expect(fargatePerHourUsd({ ...medium, diskGib: 120 }, "spot")).toBeCloseTo(0.014811 + 0.0111, 8);
  });

  it("follows the pool; other regions and computes are the config's", async () => {
    const otherwise = createFixedPrices([preset({ pricePerHourUsd: 9 })]);
    const spec = fleetSpec({ compute: "fargate", instanceTypes: ["fargate-1024-2048"] });
    const here = createFargatePrices({ region: "us-east-1", otherwise });
    expect(await here.pricePerHourUsd(spec, "on-demand")).toBeCloseTo(0.04937, 8);
    const pool = "fargate-arm64-2048-4096/spot";
    expect(await here.pricePerHourUsd(spec, "spot", pool)).toBeCloseTo(0.3 * 0.079, 8);
    expect(await here.pricePerHourUsd(spec, "spot", "constructor/spot")).toBe(9);
    expect(await here.pricePerHourUsd(fleetSpec(), "spot", pool)).toBe(9);
    const elsewhere = createFargatePrices({ region: "eu-west-1", otherwise });
    expect(await elsewhere.pricePerHourUsd(spec, "spot", pool)).toBe(9);
  });
});
