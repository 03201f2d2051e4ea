import { createMemoryLog } from "../adapters/log/memory.ts";
import { loadConfig } from "../config/load.ts";
import type { Finding } from "../core/diagnosis.ts";
import { examineBox } from "../targets/box/doctor.ts";
import { configPath } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { countText } from "./phrases.ts";
import { paint, type Screen, type Style, type Terminal } from "./terminal.ts";

export interface DoctorOptions {
  readonly config?: string;
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
  const { config } = await loadConfig({ path: configPath(options) });
  const findings = await examineBox(config, { version: options.version, log: createMemoryLog() });
  const document = { healthy: findings.every(({ verdict }) => verdict !== "problem"), findings };
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderDoctor(document, terminal.screen));
  return document.healthy ? exitCodes.ok : exitCodes.failed;
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
  const end = document.healthy
    ? paint(screen, "good", "Nothing keeps jobs from running.")
    : paint(screen, "bad", `${countText(problems, "problem")} to solve.`);
  return `${lines.join("\n")}\n\n${end}`;
}
