import { createMemoryLog } from "../adapters/log/memory.ts";
import { processEnvironment } from "../config/environment.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import type { Finding } from "../core/diagnosis.ts";
import { configPath } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { countText } from "./phrases.ts";
import { paint, type Screen, type Style, type Terminal } from "./terminal.ts";

export interface DoctorOptions {
  readonly config?: string;
  /** On AWS: what everything of the deployment is called by. */
  readonly deployment: string;
  /** On AWS: the stack of CloudFormation. Default: called as the deployment. */
  readonly stack?: string;
  readonly json?: boolean;
  readonly version: string;
}

/** What `mayfly doctor --json` prints. Fields are only ever added. */
export interface DoctorDocument {
  /** Whether nothing was found that keeps jobs from running. */
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
}

/** `mayfly doctor`: looks at all that the first job needs, and says how to cure what is not as it should be. */
export async function doctorCommand(options: DoctorOptions, terminal: Terminal): Promise<ExitCode> {
  const loaded = await loadConfig({ path: configPath(options) });
  const findings = await examine(loaded, options);
  const document = { healthy: findings.every(({ verdict }) => verdict !== "problem"), findings };
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderDoctor(document, terminal.screen));
  return document.healthy ? exitCodes.ok : exitCodes.failed;
}

/** Presets of a box run here; all others run on AWS, where functions launch them. */
async function examine(loaded: LoadedConfig, options: DoctorOptions): Promise<readonly Finding[]> {
  const { version, deployment, stack = deployment } = options;
  const log = createMemoryLog();
  const computes = Object.values(loaded.config.compute).map(({ compute }) => compute);
  if (computes.every((compute) => compute === "ec2" || compute === "fargate")) {
    const { examineAws } = await import("../targets/aws/doctor.ts");
    return examineAws(loaded, { deployment, stack, version, log, environment: processEnvironment() });
  }
  const { examineBox } = await import("../targets/box/doctor.ts");
  return examineBox(loaded.config, { version, log });
}

const marks: Readonly<Record<Finding["verdict"], { readonly text: string; readonly style: Style }>> = {
  ok: { text: "ok", style: "good" },
  warning: { text: "warning", style: "doubtful" },
  problem: { text: "problem", style: "bad" },
  unknown: { text: "unknown", style: "doubtful" },
};

export function renderDoctor(document: DoctorDocument, screen: Screen): string {
  const width = Math.max(...Object.values(marks).map(({ text }) => text.length));
  const lines = document.findings.map(({ about, verdict, says, cure }) => {
    const { text, style } = marks[verdict];
    const mark = paint(screen, style, text.padEnd(width));
    const line = `${mark}  ${paint(screen, "strong", printable(about))}: ${printable(says)}`;
    return cure === null ? line : `${line}\n${" ".repeat(width)}  next: ${printable(cure)}`;
  });
  const problems = document.findings.filter(({ verdict }) => verdict === "problem").length;
  const unknown = document.findings.filter(({ verdict }) => verdict === "unknown").length;
  const unseen = unknown === 0 ? "" : ` ${unknown} of ${document.findings.length} could not be told.`;
  const end = document.healthy
    ? `${paint(screen, "good", "Nothing was found that keeps jobs from running.")}${unseen}`
    : `${paint(screen, "bad", `${countText(problems, "problem")} to solve.`)}${unseen}`;
  return `${lines.join("\n")}\n\n${end}`;
}
