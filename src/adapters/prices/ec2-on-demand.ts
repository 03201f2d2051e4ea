/**
 * US dollars an hour of `<family>.large`, Linux, on demand, in us-east-1: AWS's public list prices as they stood on
 * 2026-02-09; those in the project's own notes of 2026-07-20 are the same. Within a family the price follows the size.
 * Other regions cost more by factors that are in no table here.
 */
export const onDemandPrices = {
  region: "us-east-1",
  date: "2026-02-09",
  largePerHourUsd: {
    ...{ c5: 0.085, c5a: 0.077, c5d: 0.096, c6a: 0.0765, c6g: 0.068, c6gd: 0.0768, c6i: 0.085, c6id: 0.1008 },
    ...{ c7a: 0.10264, c7g: 0.0725, c7gd: 0.0907, c7i: 0.08925, "c7i-flex": 0.08479 },
    ...{ c8a: 0.10777, c8g: 0.07976, c8gd: 0.09798, c8i: 0.09371, "c8i-flex": 0.08902, c8id: 0.11088 },
    ...{
      m5: 0.096,
      m5a: 0.086,
      m5d: 0.113,
      m6a: 0.0864,
      m6g: 0.077,
      m6gd: 0.0904,
      m6i: 0.096,
      m6id: 0.11865,
    },
    ...{ m7a: 0.11592, m7g: 0.0816, m7gd: 0.1068, m7i: 0.1008, "m7i-flex": 0.09576 },
    ...{ m8a: 0.12172, m8g: 0.08976, m8gd: 0.11532, m8i: 0.10584, "m8i-flex": 0.10055, m8id: 0.13052 },
    ...{
      r5: 0.126,
      r5a: 0.113,
      r5d: 0.144,
      r6a: 0.1134,
      r6g: 0.1008,
      r6gd: 0.1152,
      r6i: 0.126,
      r6id: 0.1512,
    },
    ...{ r7a: 0.15215, r7g: 0.1071, r7gd: 0.1361, r7i: 0.1323 },
    ...{ r8a: 0.15976, r8g: 0.11782, r8gd: 0.14696, r8i: 0.13892, "r8i-flex": 0.13197, r8id: 0.16632 },
    ...{ t3: 0.0832, t3a: 0.0752, t4g: 0.0672 },
  } as Readonly<Record<string, number>>,
};

/** How much larger than `large`. Metal is priced by itself and is in no table here. */
const factors: Readonly<Record<string, number>> = {
  nano: 1 / 16,
  micro: 1 / 8,
  small: 1 / 4,
  medium: 1 / 2,
  large: 1,
  xlarge: 2,
};

/** Undefined: another region, or a type that is not in the table. Nothing is guessed. */
export function onDemandPricePerHourUsd(region: string, instanceType: string): number | undefined {
  if (region !== onDemandPrices.region) return undefined;
  const [family = "", size = ""] = instanceType.split(".");
  const { largePerHourUsd } = onDemandPrices;
  const large = Object.hasOwn(largePerHourUsd, family) ? largePerHourUsd[family] : undefined;
  const [, times] = /^(\d+)xlarge$/.exec(size) ?? [];
  const factor =
    times === undefined ? (Object.hasOwn(factors, size) ? factors[size] : undefined) : 2 * Number(times);
  return large === undefined || factor === undefined ? undefined : large * factor;
}
