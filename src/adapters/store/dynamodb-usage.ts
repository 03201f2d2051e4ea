import { type FleetUsage, hostedMinutes, startOfDay } from "../../core/cost.ts";
import type { FleetId, Instant, Job, Machine } from "../../core/model.ts";
import { type DynamoAdd, type DynamoCalls, inPartition } from "./dynamodb-calls.ts";
import {
  type Entry,
  expiry,
  type Item,
  keyOf,
  numberOf,
  text,
  textOf,
  usagePartition,
  usageSort,
} from "./dynamodb-table.ts";
import { sumByFleet } from "./rules.ts";

/*
 * What has ended is added to sums of its fleet and day, in the transaction that writes it: a day of ten thousand jobs
 * is one item to read. A machine's time is split between the days in which it lived, so that a day's sum is what was
 * used since its midnight.
 */

const day = 24 * 60 * 60 * 1000;
/** Nobody asks for the day before yesterday; a machine that lived for a week must not need seven items. */
const daysOfMachine = 2;

/** The writes that count `ended` and no longer count `before`, which these entries were in the history. */
export function usageWrites(
  ended: readonly Entry[],
  before: readonly Entry[],
  historySeconds: number,
): readonly DynamoAdd[] {
  const sums = new Map<string, Sum>();
  const signed = [
    ...ended.flatMap((entry) => usesOf(entry, 1)),
    ...before.flatMap((entry) => usesOf(entry, -1)),
  ];
  for (const use of signed) {
    const sort = usageSort(use.at, use.fleet);
    const sum = sums.get(sort);
    sums.set(sort, {
      ...use,
      uses: use.uses + (sum?.uses ?? 0),
      minutes: use.minutes + (sum?.minutes ?? 0),
      milliseconds: use.milliseconds + (sum?.milliseconds ?? 0),
      usd: use.usd + (sum?.usd ?? 0),
    });
  }
  return [...sums].map(([sort, { fleet, at, ...add }]) => ({
    key: keyOf(usagePartition, sort),
    add,
    set: { fleet: text(fleet), expires: expiry(at, historySeconds) },
  }));
}

/** From the midnight before `since` on. */
export async function readUsage(calls: DynamoCalls, since: Instant): Promise<readonly FleetUsage[]> {
  const { names, values } = inPartition("pk", usagePartition);
  const condition = {
    expression: "#pk = :pk AND #sk >= :from",
    names: [...names, "sk"],
    values: { ...values, from: text(usageSort(since)) },
  };
  const found: FleetUsage[] = [];
  for await (const page of calls.query({ condition }))
    found.push(...page.filter((item) => numberOf(item, "uses") !== 0).map(usageIn));
  return sumByFleet(found);
}

function usageIn(item: Item): FleetUsage {
  return {
    fleet: textOf(item, "fleet") ?? "",
    hostedMinutes: numberOf(item, "minutes") ?? 0,
    machineSeconds: (numberOf(item, "milliseconds") ?? 0) / 1000,
    costUsd: numberOf(item, "usd") ?? 0,
  };
}

interface Sum {
  readonly fleet: FleetId;
  /** In the day. */
  readonly at: Instant;
  /** How many entries it is the sum of. */
  readonly uses: number;
  readonly minutes: number;
  readonly milliseconds: number;
  readonly usd: number;
}

function usesOf({ kind, value, endedAt = 0 }: Entry, sign: 1 | -1): readonly Sum[] {
  const uses = kind === "job" ? usesOfJob(value as Job, endedAt) : usesOfMachine(value as Machine, endedAt);
  return uses.map((use) => ({
    ...use,
    uses: sign,
    minutes: sign * use.minutes,
    milliseconds: sign * use.milliseconds,
    usd: sign * use.usd,
  }));
}

function usesOfJob({ fleet, times }: Job, endedAt: Instant): readonly Sum[] {
  if (times.started === undefined) return [];
  const minutes = hostedMinutes((endedAt - times.started) / 1000);
  return [{ fleet, at: endedAt, uses: 1, minutes, milliseconds: 0, usd: 0 }];
}

function usesOfMachine({ fleet, times, pricePerHourUsd = 0 }: Machine, endedAt: Instant): readonly Sum[] {
  const { launched } = times;
  if (launched === undefined) return [];
  return Array.from({ length: daysOfMachine }, (_, index) => startOfDay(endedAt) - index * day)
    .filter((midnight, index) => index === 0 || midnight + day > launched)
    .map((midnight) => {
      const milliseconds = Math.max(0, Math.min(endedAt, midnight + day) - Math.max(launched, midnight));
      return {
        fleet,
        at: midnight,
        uses: 1,
        minutes: 0,
        milliseconds,
        usd: (milliseconds * pricePerHourUsd) / 3_600_000,
      };
    });
}
