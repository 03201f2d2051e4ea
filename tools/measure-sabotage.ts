import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { drawScenario } from "../src/targets/sim/scenario.ts";
import { type SeedOptions, simulateSeed } from "../src/targets/sim/simulate.ts";
import { type PlantedBug, plantedBugs } from "../test/support/sabotages.ts";

/**
 * Writes the table of docs/reference/sabotage.md: for every planted bug, how many seeds the simulator needs to find it,
 * from the first one on, and which check spoke. Takes some minutes.
 */
export const sabotageSeedsLimit = 300;
const hours = 6;

/** The world of this number, as it is drawn, but for what the bug needs in order to matter. */
export function sabotagedSeed({ plant, faults }: PlantedBug, number: number): SeedOptions {
  const seed = `sabotage ${number}`;
  const drawn = drawScenario(seed, hours);
  return { seed, hours, sabotage: plant(), scenario: { ...drawn, faults: { ...drawn.faults, ...faults } } };
}

async function main(): Promise<void> {
  const rows: string[] = [];
  for (const bug of plantedBugs) {
    const row = await search(bug);
    process.stdout.write(`${row}\n`);
    rows.push(row);
  }
  const file = new URL("../docs/reference/sabotage.md", import.meta.url);
  const page = await readFile(file, "utf8");
  const [before = "", after = ""] = page.split(/<!-- sabotage -->[\s\S]*<!-- \/sabotage -->/);
  const table = ["| planted bug | check | seeds |", "|---|---|--:|", ...rows].join("\n");
  await writeFile(file, `${before}<!-- sabotage -->\n${table}\n<!-- /sabotage -->${after}`);
}

async function search(bug: PlantedBug): Promise<string> {
  const { name, check } = bug;
  for (let number = 1; number <= sabotageSeedsLimit; number++) {
    const { violation } = await simulateSeed(sabotagedSeed(bug, number));
    if (violation !== undefined && (check ?? violation.check) === violation.check)
      return `| ${name} | ${violation.check} | ${number} |`;
  }
  return `| ${name} | – | not in ${sabotageSeedsLimit} |`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
