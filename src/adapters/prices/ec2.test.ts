import { describe, expect, it } from "vitest";
import { fleetSpec, preset } from "../../../test/builders.ts";
import { type Ec2Answer, fakeEc2 } from "../../../test/support/fake-ec2.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createEc2Prices } from "./ec2.ts";
import { onDemandPricePerHourUsd, onDemandPrices } from "./ec2-on-demand.ts";
import { createFixedPrices } from "./fixed.ts";

const spec = fleetSpec({ compute: "ec2", instanceTypes: ["m7i.large", "c7i.large"] });

function history(
  entries: readonly (readonly [type: string, zone: string, price: string, at?: string])[],
  nextToken = "",
): string {
  const items = entries.map(
    ([type, zone, price, at = "2026-01-01T00:00:00.000Z"]) =>
      `<item><instanceType>${type}</instanceType><availabilityZone>${zone}</availabilityZone>` +
      `<spotPrice>${price}</spotPrice><timestamp>${at}</timestamp></item>`,
  );
  return `<spotPriceHistorySet>${items.join("")}</spotPriceHistorySet><nextToken>${nextToken}</nextToken>`;
}

function place(answers: readonly Ec2Answer[], region = "us-east-1") {
  const ec2 = fakeEc2({ DescribeSpotPriceHistory: answers });
  const clock = createManualClock();
  const log = createMemoryLog();
  const otherwise = createFixedPrices([preset({ pricePerHourUsd: 9 })]);
  const prices = createEc2Prices({ client: { ...ec2.client, region }, clock, log, otherwise });
  return { ...ec2, clock, log, prices };
}

describe("spot prices", () => {
  it("are those of the type and zone, read once for all types of the fleet", async () => {
    const { prices, callsOf, clock } = place([
      history([
        ["m7i.large", "us-east-1a", "0.0383"],
        ["m7i.large", "us-east-1b", "0.0411"],
        ["c7i.large", "us-east-1a", "0.0301"],
      ]),
    ]);
    const price = (pool: string) => prices.pricePerHourUsd(spec, "spot", pool);
    const all = ["m7i.large/us-east-1a/spot", "m7i.large/us-east-1b/spot", "c7i.large/us-east-1a/spot"].map(
      price,
    );
    expect(await Promise.all(all)).toEqual([0.0383, 0.0411, 0.0301]);
    expect(callsOf("DescribeSpotPriceHistory")).toHaveLength(1);
    expect(Object.fromEntries(callsOf("DescribeSpotPriceHistory")[0] ?? [])).toMatchObject({
      "InstanceType.1": "m7i.large",
      "InstanceType.2": "c7i.large",
      "ProductDescription.1": "Linux/UNIX",
      StartTime: "2026-01-01T00:00:00.000Z",
    });
    await clock.advance(899_000);
    await price("m7i.large/us-east-1a/spot");
    expect(callsOf("DescribeSpotPriceHistory")).toHaveLength(1);
    await clock.advance(1_000);
    await price("m7i.large/us-east-1a/spot");
    expect(callsOf("DescribeSpotPriceHistory")).toHaveLength(2);
  });

  it("are the newest of several, over all pages", async () => {
    const { prices } = place([
      history([["m7i.large", "us-east-1a", "0.05", "2026-01-01T00:00:00.000Z"]], "more"),
      history([["m7i.large", "us-east-1a", "0.04", "2025-12-31T00:00:00.000Z"]]),
    ]);
    expect(await prices.pricePerHourUsd(spec, "spot", "m7i.large/us-east-1a/spot")).toBe(0.05);
  });

  it("that cannot be read, or are of no such pool, are the config's, and nothing fails", async () => {
    const { prices, log, callsOf, clock } = place([
      { status: 403, code: "UnauthorizedOperation", message: "No." },
    ]);
    const pool = "m7i.large/us-east-1a/spot";
    expect(await prices.pricePerHourUsd(spec, "spot", pool)).toBe(9);
    expect(await prices.pricePerHourUsd(spec, "spot", pool)).toBe(9);
    expect(log.text()).toContain("Spot prices could not be read.");
    expect(callsOf("DescribeSpotPriceHistory")).toHaveLength(1);
    await clock.advance(60_000);
    await prices.pricePerHourUsd(spec, "spot", pool);
    expect(callsOf("DescribeSpotPriceHistory")).toHaveLength(2);
    expect(await place([history([])]).prices.pricePerHourUsd(spec, "spot", pool)).toBe(9);
  });
});

describe("on-demand prices", () => {
  it("follow the size within a family", () => {
    const usd = (type: string) => onDemandPricePerHourUsd("us-east-1", type);
    expect(usd("m7i.large")).toBe(0.1008);
    expect(usd("m7i.8xlarge")).toBeCloseTo(1.6128, 10);
    expect(usd("c6g.medium")).toBeCloseTo(0.034, 10);
    expect(usd("t3.micro")).toBeCloseTo(0.0104, 10);
    expect(usd("c7i-flex.2xlarge")).toBeCloseTo(0.33916, 10);
  });

  it.each([
    ["another region", "eu-west-1", "m7i.large"],
    ["a family that is not in the table", "us-east-1", "g6.xlarge"],
    ["a size that is priced by itself", "us-east-1", "m7i.metal-24xl"],
    ["what every object has", "us-east-1", "constructor.toString"],
  ])("are not guessed for %s", (_what, region, type) => {
    expect(onDemandPricePerHourUsd(region, type)).toBeUndefined();
  });

  it("come from the table without a call, and from the config where it has none", async () => {
    const { prices, calls } = place([]);
    expect(await prices.pricePerHourUsd(spec, "on-demand", "m7i.large/us-east-1a/on-demand")).toBe(0.1008);
    expect(await prices.pricePerHourUsd(spec, "on-demand", "g6.xlarge/us-east-1a/on-demand")).toBe(9);
    expect(await place([], "eu-west-1").prices.pricePerHourUsd(spec, "on-demand", "m7i.large/a/b")).toBe(9);
    expect(await prices.pricePerHourUsd(fleetSpec({ compute: "local" }), "on-demand", "local")).toBe(9);
    expect(calls).toEqual([]);
  });

  it("say of when they are", () => {
    expect(onDemandPrices.date).toMatch(/^\d{4}-\d\d-\d\d$/);
  });
});
