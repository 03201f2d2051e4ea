import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fleetSpec, preset } from "../../../test/builders.ts";
import { githubHostedPriceUsd } from "../../core/cost.ts";
import { onDemandPricePerHourUsd } from "./ec2-on-demand.ts";
import { createFargatePrices, type FargateTask, fargatePerHourUsd } from "./fargate.ts";
import { createFixedPrices } from "./fixed.ts";

describe("the price of a task", () => {
  it("is the one that the guide has", () => {
    const guide = readFileSync(new URL("../../../docs/guides/fargate.md", import.meta.url), "utf8");
    const row = (name: string, perMinute: number) => {
      const costs = [1, 5, 30].map((minutes) => `$${((minutes + 1) * perMinute).toFixed(5)}`);
      return `| ${name} | $${perMinute.toFixed(6)} | ${costs.join(" | ")} |`;
    };
    const large = { architecture: "x86_64", cpu: 2, memoryGib: 4 } as const;
    const perMinute = (task: FargateTask, purchase: "spot" | "on-demand") =>
      fargatePerHourUsd(task, purchase) / 60;
    const arm = { ...large, architecture: "arm64" } as const;
    expect(guide).toContain(row("Fargate `class:large`", perMinute(large, "on-demand")));
    expect(guide).toContain(row("the same on spot", perMinute(large, "spot")));
    expect(guide).toContain(row("Fargate `class:large`, arm64", perMinute(arm, "on-demand")));
    // By the minute, and without a start that anybody pays for.
    const hosted = [1, 5, 30].map(
      (minutes) => `$${githubHostedPriceUsd({ architecture: "x86_64", cpu: 2 }, minutes).toFixed(5)}`,
    );
    expect(guide).toContain(`| GitHub-hosted, 2 vCPU | $0.006000 | ${hosted.join(" | ")} |`);
    const c7i = (onDemandPricePerHourUsd("us-east-1", "c7i.large") ?? 0) / 60;
    expect(guide).toContain(row("EC2 `c7i.large`", c7i));
    expect(guide).toContain(row("the same on spot, at 38 %", c7i * 0.38));
  });

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
