import { fargatePerHourUsd, fargatePrices } from "../adapters/prices/fargate.ts";
import { loadConfig } from "../config/load.ts";
import type { Architecture, Policy } from "../core/model.ts";
import { configPath } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { policyWithStored } from "./stored-classes.ts";
import { renderTable } from "./table.ts";
import type { Screen, Terminal } from "./terminal.ts";

export interface ClassesOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** What `mayfly classes --json` prints. Fields are only ever added. */
export interface ClassesDocument {
  readonly classes: readonly ClassEntry[];
  /** Of which region and month the prices are; null where no preset is on Fargate. */
  readonly prices: { readonly region: string; readonly date: string } | null;
}

interface ClassEntry {
  readonly name: string;
  readonly cpu: number;
  readonly memoryGib: number;
  /** By architecture of the presets on Fargate; empty where there is none. */
  readonly usdPerMinute: Readonly<Partial<Record<Architecture, ClassPrice>>>;
}

interface ClassPrice {
  readonly onDemand: number;
  readonly spot: number;
}

/** `mayfly classes`: the sizes that jobs name with `class:<name>`, and what they cost on Fargate. */
export async function classesCommand(options: ClassesOptions, terminal: Terminal): Promise<ExitCode> {
  const loaded = await loadConfig({ path: configPath(options) });
  const document = classesDocument(await policyWithStored(loaded, terminal));
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderClasses(document, terminal.screen));
  return exitCodes.ok;
}

export function classesDocument({ classes, presets }: Pick<Policy, "classes" | "presets">): ClassesDocument {
  const onFargate = presets.filter(({ compute }) => compute === "fargate");
  const architectures = [...new Set(onFargate.map(({ architecture }) => architecture))];
  const { region, date } = fargatePrices;
  return {
    classes: Object.entries(classes).map(([name, size]) => ({
      name,
      ...size,
      usdPerMinute: Object.fromEntries(
        architectures.map((architecture) => {
          const task = { architecture, ...size };
          const perMinute = (purchase: "spot" | "on-demand") =>
            Number((fargatePerHourUsd(task, purchase) / 60).toFixed(8));
          return [architecture, { onDemand: perMinute("on-demand"), spot: perMinute("spot") }];
        }),
      ),
    })),
    prices: architectures.length > 0 ? { region, date } : null,
  };
}

export function renderClasses({ classes, prices }: ClassesDocument, screen: Screen): string {
  if (classes.length === 0) return "The configuration has no classes: labels.classes.";
  const priceOf = (architecture: Architecture, kind: keyof ClassPrice) => (entry: ClassEntry) => {
    const usd = entry.usdPerMinute[architecture]?.[kind];
    return usd === undefined ? "" : `$${usd.toFixed(6)}`;
  };
  const price = (architecture: Architecture, kind: keyof ClassPrice, title: string) =>
    ({ title: `${title} ${architecture}`, cell: priceOf(architecture, kind), align: "right" }) as const;
  const table = renderTable(
    [
      { title: "CLASS", cell: ({ name }) => name },
      { title: "VCPU", cell: ({ cpu }) => String(cpu), align: "right" },
      { title: "GIB", cell: ({ memoryGib }) => String(memoryGib), align: "right" },
      price("x86_64", "onDemand", "MINUTE"),
      price("x86_64", "spot", "SPOT"),
      price("arm64", "onDemand", "MINUTE"),
      price("arm64", "spot", "SPOT"),
    ],
    classes,
    screen,
  );
  if (prices === null) return table;
  const note = `US dollars a minute on Fargate in ${prices.region} as of ${prices.date}, a minute at least; spot is about that.`;
  return `${table}\n\n${note}`;
}
