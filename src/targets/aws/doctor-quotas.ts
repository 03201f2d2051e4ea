import { inspectQuota } from "../../adapters/aws/inspection.ts";
import type { Finding } from "../../core/diagnosis.ts";
import type { Market } from "../../core/model.ts";
import { look, trouble, warning } from "../doctor/look.ts";
import type { Examination } from "./doctor.ts";

/** What a preset takes at most. */
export interface Need {
  readonly compute: string;
  readonly market: Market;
  /** At once. */
  readonly machines: number;
  /** With how many processors (vCPU) each has. */
  readonly types: readonly { readonly name: string; readonly processors: number }[];
}

interface Quota {
  readonly service: "ec2" | "fargate";
  readonly bought: "spot" | "on-demand";
  readonly code: string;
  /** As Service Quotas calls what it limits. */
  readonly name: string;
}

/**
 * The quotas of processors (vCPU) that run at the same time, as Service Quotas numbers them: one for each kind of
 * machine type and each way to buy it.
 */
const kinds: readonly {
  readonly families: RegExp;
  readonly name: string;
  readonly codes: readonly [string, string];
}[] = [
  { families: /^(inf)/, name: "Inf", codes: ["L-B5D1601B", "L-1945791B"] },
  { families: /^(trn)/, name: "Trn", codes: ["L-6B0D517C", "L-2C3B7624"] },
  { families: /^(g|vt)/, name: "G and VT", codes: ["L-3819A6DF", "L-DB2E81BA"] },
  { families: /^p/, name: "P", codes: ["L-7212CCBC", "L-417A185B"] },
  { families: /^x/, name: "X", codes: ["L-E3A00192", "L-7295265B"] },
  { families: /^f/, name: "F", codes: ["L-88CF9481", "L-74FC7D96"] },
  {
    families: /^[acdhimrtz]\d/,
    name: "Standard (A, C, D, H, I, M, R, T, Z)",
    codes: ["L-34B43A08", "L-1216C47A"],
  },
];

const ofFargate: Readonly<Record<Quota["bought"], Quota>> = {
  spot: { service: "fargate", bought: "spot", code: "L-36FBB829", name: "Fargate Spot vCPU resource count" },
  "on-demand": {
    service: "fargate",
    bought: "on-demand",
    code: "L-3032A538",
    name: "Fargate On-Demand vCPU resource count",
  },
};

/** Each quota that the presets use, against what they may take at the same time. */
export function examineQuotas(
  { client }: Examination,
  machinesLimit: number,
  needs: readonly Need[],
): Promise<readonly Finding[]> {
  const used = new Map<string, { readonly quota: Quota; readonly loads: Load[] }>();
  for (const need of needs) {
    for (const { quota, load } of loadsOf(need)) {
      const entry = used.get(quota.code) ?? { quota, loads: [] };
      entry.loads.push(load);
      used.set(quota.code, entry);
    }
  }
  return Promise.all(
    [...used.values()].map(({ quota, loads }) =>
      look(`quota ${quota.name}, ${quota.bought}`, async () => {
        const allowed = await inspectQuota(client, quota.service, quota.code);
        if (allowed === undefined) {
          return {
            ...warning(`AWS knows no quota ${quota.code} here.`, "Look for it by its name."),
            verdict: "unknown",
          };
        }
        const largest = Math.max(...loads.map(({ processors }) => processors));
        const most = mostAtOnce(loads, machinesLimit);
        const request =
          "aws service-quotas request-service-quota-increase " +
          `--service-code ${quota.service} --quota-code ${quota.code} --desired-value ${Math.ceil(most)}`;
        if (allowed < largest) {
          return trouble(`It allows ${allowed} vCPU, and one machine has ${largest}.`, request);
        }
        if (allowed < most) {
          const says = `It allows ${allowed} vCPU, and the caps of the configuration ${most}: what is above it waits.`;
          return warning(says, `${request}, or lower max and limits.machines.`);
        }
        return `It allows ${allowed} vCPU, and the caps of the configuration ${most}.`;
      }),
    ),
  );
}

interface Load {
  readonly machines: number;
  /** Of one machine, the largest of the preset. */
  readonly processors: number;
}

function loadsOf(need: Need): readonly { readonly quota: Quota; readonly load: Load }[] {
  const ways = (["spot", "on-demand"] as const).filter((bought) => need.market !== other[bought]);
  const largest = new Map<string, { readonly quota: Quota; readonly processors: number }>();
  for (const { name, processors } of need.types) {
    for (const bought of ways) {
      const quota = need.compute === "fargate" ? ofFargate[bought] : quotaOf(name, bought);
      if (quota === undefined || processors === 0) continue;
      const known = largest.get(quota.code)?.processors ?? 0;
      largest.set(quota.code, { quota, processors: Math.max(known, processors) });
    }
  }
  const { machines } = need;
  return [...largest.values()].map(({ quota, processors }) => ({ quota, load: { machines, processors } }));
}

/** The market that buys nothing in this way. */
const other = { spot: "on-demand-only", "on-demand": "spot-only" } as const;

function quotaOf(type: string, bought: Quota["bought"]): Quota | undefined {
  const kind = kinds.find(({ families }) => families.test(type));
  if (kind === undefined) return undefined;
  const [spot, onDemand] = kind.codes;
  return { service: "ec2", bought, code: bought === "spot" ? spot : onDemand, name: kind.name };
}

/** The most processors that so many machines can have: the largest first. */
function mostAtOnce(loads: readonly Load[], machinesLimit: number): number {
  let left = machinesLimit;
  let processors = 0;
  for (const load of [...loads].sort((one, another) => another.processors - one.processors)) {
    const machines = Math.min(load.machines, left);
    processors += machines * load.processors;
    left -= machines;
  }
  return processors;
}
