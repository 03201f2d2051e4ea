import { loadConfig } from "../config/load.ts";
import type { FleetOptions, FleetSpec } from "../core/model.ts";
import { type Considered, type Route, routeJob } from "../core/route.ts";
import { configPath } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { durationText } from "./phrases.ts";
import { policyWithStored } from "./stored-classes.ts";
import { renderFields, renderTable } from "./table.ts";
import { paint, type Screen, type Terminal } from "./terminal.ts";

export interface ConfigExplainOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** What `mayfly config explain --json` prints. Fields are only ever added. */
export interface ConfigExplainDocument {
  readonly labels: readonly string[];
  readonly result: Route["kind"];
  /** Null where no machine is made for such a job; so are the three below. */
  readonly preset: string | null;
  readonly fleet: string | null;
  /** What the labels ask for beyond the preset. */
  readonly options: FleetOptions | null;
  /** The machine that the job would get. */
  readonly machine: FleetSpec | null;
  /** Why the job is refused; null otherwise. */
  readonly because: string | null;
  readonly detail: string | null;
  /** What jobs cannot do on such a machine; null where there is nothing to say. */
  readonly limitation: string | null;
  readonly considered: readonly Considered[];
}

/** `mayfly config explain <labels…>`: what a job with these labels gets; 1 when it gets no machine. */
export async function configExplainCommand(
  labels: readonly string[],
  options: ConfigExplainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const loaded = await loadConfig({ path: configPath(options) });
  const namesClass = labels.some((label) => /^class:/i.test(label));
  const policy = namesClass ? await policyWithStored(loaded, terminal) : loaded.policy;
  const document = explainDocument(labels, routeJob(labels, policy));
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderConfigExplain(document, terminal.screen));
  return document.result === "routed" ? exitCodes.ok : exitCodes.failed;
}

export function explainDocument(labels: readonly string[], route: Route): ConfigExplainDocument {
  const routed = route.kind === "routed" ? route : undefined;
  return {
    labels,
    result: route.kind,
    preset: routed?.preset.name ?? null,
    fleet: routed?.record.id ?? null,
    options: routed?.record.options ?? null,
    machine: routed?.record.spec ?? null,
    because: route.kind === "refused" ? route.because : null,
    detail: route.kind === "routed" ? null : route.detail,
    limitation: routed?.preset.limitation ?? null,
    considered: route.considered,
  };
}

export function renderConfigExplain(document: ConfigExplainDocument, screen: Screen): string {
  const labels = printable(document.labels.join(", "));
  const blocks = [`${verdict(document, screen)}\nLabels: ${labels}`];
  const { machine } = document;
  if (machine !== null) blocks.push(machineText(document, machine, screen));
  if (document.limitation !== null) blocks.push(paint(screen, "doubtful", printable(document.limitation)));
  if (document.considered.length > 0) {
    blocks.push(
      renderTable(
        [
          {
            title: "PRESET",
            cell: (entry) => entry.preset,
            style: (entry) => (entry.preset === document.preset ? "strong" : undefined),
          },
          { title: "RESULT", cell: (entry) => resultOf(entry, document) },
          { title: "BECAUSE", cell: (entry) => becauseOf(entry, document), shrinksTo: 20 },
        ],
        document.considered,
        screen,
      ),
    );
  }
  return blocks.join("\n\n");
}

function verdict(document: ConfigExplainDocument, screen: Screen): string {
  if (document.result === "routed") {
    return `A job with these labels gets a machine of preset ${paint(screen, "good", document.preset ?? "")}.`;
  }
  const detail = printable(document.detail ?? "");
  if (document.result === "ignored") {
    return `${paint(screen, "doubtful", "A job with these labels is left to others.")} ${detail}`;
  }
  return `${paint(screen, "bad", `A job with these labels is refused (${document.because}).`)} ${detail}`;
}

function machineText(document: ConfigExplainDocument, machine: FleetSpec, screen: Screen): string {
  const options = Object.entries(document.options ?? {}).map(
    ([name, value]) => `${name} ${Array.isArray(value) ? value.join(", ") : value}`,
  );
  const size = [
    machine.cpu === undefined ? "" : `${machine.cpu} vCPU`,
    machine.memoryGib === undefined ? "" : `${machine.memoryGib} GiB memory`,
    machine.diskGib === undefined ? "" : `${machine.diskGib} GiB disk`,
  ].filter((part) => part !== "");
  return renderFields(
    [
      ["fleet", document.fleet ?? ""],
      ["options", options.length === 0 ? "none: the preset as it is" : options.join("; ")],
      ["compute", `${machine.compute}, ${machine.operatingSystem} on ${machine.architecture}`],
      ["market", machine.market],
      ["size", size.join(", ")],
      ["types", typesText(machine)],
      ["image", machine.image],
      ["runner group", machine.runnerGroup],
      ["job limit", durationText(machine.jobTimeoutSeconds)],
    ],
    screen,
  );
}

function typesText({ instanceTypes, typesAlike }: FleetSpec): string {
  const types = instanceTypes.join(", ");
  return typesAlike === true ? `${types} (chosen by size, none preferred)` : types;
}

function resultOf(entry: Considered, document: ConfigExplainDocument): string {
  if (entry.preset === document.preset) return "taken";
  return entry.matches ? "matches" : "no";
}

function becauseOf(entry: Considered, document: ConfigExplainDocument): string {
  if (!entry.matches || entry.preset === document.preset) return entry.because;
  return document.preset === null
    ? `${entry.because}, but the labels ask for something that is refused`
    : `${entry.because}, but ${document.preset} comes before it`;
}
