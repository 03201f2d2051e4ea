import { availableParallelism, cpus, release } from "node:os";

/** One thing that is measured. Runnable alone: `node bench/main.ts <name>`. */
export interface Measure {
  readonly name: string;
  readonly title: string;
  /** `progress` takes short lines for whoever waits. */
  run(progress: Print): Promise<Result>;
}

export type Print = (line: string) => void;

export interface Result {
  readonly tables: readonly Table[];
  /** Sentences below the tables. */
  readonly notes: readonly string[];
  /** The same numbers for programs: what `--json` prints. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The first column is text, the others are numbers that were made readable. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** As Markdown, with columns of equal width, so that it reads well in a terminal and in docs/performance.md. */
export function tableText({ columns, rows }: Table): string {
  const widths = columns.map((column, at) =>
    Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(" | ")} |`;
  const rule = widths.map((width, at) => (at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(columns), line(rule), ...rows.map(line)].join("\n");
}

/** What a reader needs to know of where numbers come from. */
export function machineText(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  return `${availableParallelism()} × ${model}, Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value that the fraction `part` of all values does not pass. NaN when there are none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** Three significant digits, without an exponent. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3);
}
