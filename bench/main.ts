import { burst } from "./burst.ts";
import { coldStart } from "./cold-start.ts";
import { deliveries } from "./deliveries.ts";
import { functionStarts } from "./functions.ts";
import { type Measure, machineText, tableText } from "./measure.ts";
import { planning } from "./plan.ts";
import { reaction } from "./reaction.ts";
import { simulator } from "./simulator.ts";
import { benchStore } from "./store.ts";

/*
 * npm run bench                       all measures, as tables
 * node bench/main.ts deliveries plan  only these
 * node bench/main.ts plan --json      one JSON line for each measure
 */
const store: Measure = {
  name: "store",
  title: "Store and queue on SQLite, without HTTP",
  async run(progress) {
    const lines: string[] = [];
    await benchStore((line) => {
      progress(line);
      lines.push(line);
    });
    return { tables: [], notes: [lines.map((line) => `- ${line}`).join("\n")], values: { lines } };
  },
};
const measures: readonly Measure[] = [
  deliveries,
  reaction,
  burst,
  planning,
  coldStart,
  functionStarts,
  simulator,
  store,
];

const parameters = process.argv.slice(2);
const json = parameters.includes("--json");
const names = parameters.filter((parameter) => parameter !== "--json");
const unknown = names.filter((name) => !measures.some((measure) => measure.name === name));
if (unknown.length > 0) {
  const known = measures.map((measure) => measure.name).join(", ");
  process.stderr.write(`There is no measure ${unknown.join(", ")}. There are: ${known}.\n`);
  process.exit(2);
}

if (!json) process.stdout.write(`${machineText()}\n`);
for (const measure of measures) {
  if (names.length > 0 && !names.includes(measure.name)) continue;
  const begun = performance.now();
  const progress = (line: string): void => {
    process.stderr.write(`  ${measure.name}: ${line}\n`);
  };
  const result = await measure.run(progress);
  const tookSeconds = Math.round((performance.now() - begun) / 1000);
  if (json) {
    const head = { measure: measure.name, machine: machineText(), tookSeconds };
    process.stdout.write(`${JSON.stringify({ ...head, ...result.values })}\n`);
    continue;
  }
  const blocks = [`## ${measure.title}`, ...result.tables.map(tableText), ...result.notes];
  process.stdout.write(`\n${blocks.join("\n\n")}\n\n(${tookSeconds} s)\n`);
}
