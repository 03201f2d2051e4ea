import type { FleetSpec, Purchase } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { Prices } from "../../ports/prices.ts";
import type { AwsClient } from "../aws/client.ts";
import { callQuery, type XmlElement } from "../aws/query.ts";
import { onDemandPricePerHourUsd } from "./ec2-on-demand.ts";

export interface Ec2PricesOptions {
  readonly client: AwsClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Asked where nothing is known here: the prices of the config. */
  readonly otherwise: Prices;
}

/** Spot prices move slowly; a budget that is some minutes late is late by cents. */
const keptSeconds = 900;
const failureKeptSeconds = 60;
/** A price is not worth waiting for: the machines that it is of exist already and wait to be written down. */
const limits = { timeoutSeconds: 3, attempts: 1 };

/**
 * Spot prices as EC2 charges them now, per type and zone; on-demand prices from the table that comes with this
 * version. One call gives the prices of all types of a fleet in all zones, and serves for a quarter of an hour.
 *
 * A failure to ask is logged and costs nothing but the price: never rejects.
 */
export function createEc2Prices({ client, clock, log, otherwise }: Ec2PricesOptions): Prices {
  const kept = new Map<string, { readonly prices: Promise<SpotPrices>; readonly until: number }>();

  function spotPrices(types: readonly string[]): Promise<SpotPrices> {
    const key = [...types].sort().join();
    const known = kept.get(key);
    if (known !== undefined && known.until > clock.now()) return known.prices;
    const prices: Promise<SpotPrices> = readSpotPrices(client, types, clock.now()).catch((error: unknown) => {
      log.warn("Spot prices could not be read.", { stage: "scaleup", error });
      kept.set(key, { prices, until: clock.now() + failureKeptSeconds * 1_000 });
      return new Map<string, number>();
    });
    kept.set(key, { prices, until: clock.now() + keptSeconds * 1_000 });
    return prices;
  }

  async function price(spec: FleetSpec, purchase: Purchase, pool: string): Promise<number | undefined> {
    const [instanceType = "", zone = ""] = pool.split("/");
    if (purchase === "on-demand") return onDemandPricePerHourUsd(client.region, instanceType);
    const types = spec.instanceTypes.includes(instanceType) ? spec.instanceTypes : [instanceType];
    return (await spotPrices(types)).get(`${instanceType}/${zone}`);
  }

  return {
    async pricePerHourUsd(spec, purchase, pool) {
      if (spec.compute !== "ec2") return otherwise.pricePerHourUsd(spec, purchase, pool);
      const known = pool === undefined ? undefined : await price(spec, purchase, pool);
      return known ?? otherwise.pricePerHourUsd(spec, purchase, pool);
    },
  };
}

/** By `type/zone`. */
type SpotPrices = ReadonlyMap<string, number>;

/** The price in force now is the last one before now, which is what a history that begins now tells. */
async function readSpotPrices(client: AwsClient, types: readonly string[], now: number): Promise<SpotPrices> {
  const prices = new Map<string, { readonly usd: number; readonly at: string }>();
  let nextToken: string | undefined;
  do {
    const answer: XmlElement = await callQuery(client, {
      service: "ec2",
      action: "DescribeSpotPriceHistory",
      resource: `${types.length} types`,
      input: {
        StartTime: new Date(now).toISOString(),
        InstanceType: types,
        ProductDescription: ["Linux/UNIX"],
        MaxResults: 1_000,
        NextToken: nextToken,
      },
      limits,
    });
    for (const item of itemsOf(answer)) {
      const { instanceType, availabilityZone, spotPrice, timestamp } = item;
      const key = `${String(instanceType)}/${String(availabilityZone)}`;
      const at = String(timestamp ?? "");
      const usd = Number(spotPrice);
      if (Number.isFinite(usd) && (prices.get(key)?.at ?? "") <= at) prices.set(key, { usd, at });
    }
    nextToken =
      typeof answer.nextToken === "string" && answer.nextToken !== "" ? answer.nextToken : undefined;
  } while (nextToken !== undefined);
  return new Map([...prices].map(([key, { usd }]) => [key, usd]));
}

function itemsOf(answer: XmlElement): readonly XmlElement[] {
  const list = answer.spotPriceHistorySet;
  const items = typeof list === "object" && !Array.isArray(list) ? (list as XmlElement).item : undefined;
  return Array.isArray(items) ? (items as readonly XmlElement[]) : [];
}
