import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

/*
 * Writes the table of docs/reference/mutation.md from what the last `npm run mutate` reported.
 */

/** As much of Stryker's report as the table needs. */
export interface MutationReport {
  readonly files: Readonly<Record<string, { readonly mutants: readonly { readonly status: string }[] }>>;
}

/** One row for each file in which a fault was planted, and their sum. Faults that broke the run are in no column. */
export function mutationTable({ files }: MutationReport): string {
  const rows = Object.entries(files)
    .map(([file, { mutants }]) => ({ file: basename(file), statuses: mutants.map(({ status }) => status) }))
    .sort((left, right) => (left.file < right.file ? -1 : 1));
  const all = { file: "**all**", statuses: rows.flatMap(({ statuses }) => statuses) };
  return [
    "| file | faults | killed | timed out | survived | not reached | score |",
    "|---|--:|--:|--:|--:|--:|--:|",
    ...[...rows, all].flatMap(({ file, statuses }) => row(file, statuses)),
  ].join("\n");
}

/** A fault is noticed when a test fails or does not end; the score is the part that is. */
function row(file: string, statuses: readonly string[]): readonly string[] {
  const [killed = 0, timedOut = 0, survived = 0, notReached = 0] = [
    "Killed",
    "Timeout",
    "Survived",
    "NoCoverage",
  ].map((status) => statuses.filter((each) => each === status).length);
  const faults = killed + timedOut + survived + notReached;
  if (faults === 0) return [];
  const score = ((100 * (killed + timedOut)) / faults).toFixed(1);
  return [`| ${file} | ${faults} | ${killed} | ${timedOut} | ${survived} | ${notReached} | ${score} % |`];
}

async function main(): Promise<void> {
  const report = JSON.parse(await readFile(new URL("../.stryker/report.json", import.meta.url), "utf8"));
  const file = new URL("../docs/reference/mutation.md", import.meta.url);
  const page = await readFile(file, "utf8");
  const [before = "", after = ""] = page.split(/<!-- mutation -->[\s\S]*<!-- \/mutation -->/);
  const table = mutationTable(report);
  await writeFile(file, `${before}<!-- mutation -->\n${table}\n<!-- /mutation -->${after}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
