import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { checks } from "../src/targets/sim/checks.ts";
import { simulateSeed } from "../src/targets/sim/simulate.ts";
import { bugsNotFoundYet, type PlantedBug, plantedBugs } from "./support/sabotages.ts";

/*
 * Proof that the checks of the simulator can fail: bugs are planted at ports, and each must be found. The seeds are those
 * that any bug gets: nothing in them is chosen for the bug.
 */
const seedsLimit = 300;
const hours = 6;

interface Caught {
  readonly bug: string;
  readonly check: string;
  readonly seeds: number;
}

const table: Caught[] = [];

it.each(plantedBugs)("$name", { timeout: 300_000 }, async (bug) => {
  const caught = await findBug(bug);
  table.push(caught);
  expect(checks.map((check) => check.name)).toContain(caught.check);
});

afterAll(() => {
  process.stdout.write(
    `\n${table.map(({ bug, check, seeds }) => `| ${bug} | ${check} | ${seeds} |`).join("\n")}\n`,
  );
});

it("docs/reference/sabotage.md names every planted bug", () => {
  const page = readFileSync(new URL("../docs/reference/sabotage.md", import.meta.url), "utf8");
  const missing = [...plantedBugs, ...bugsNotFoundYet].filter(({ name }) => !page.includes(`| ${name} |`));
  expect(missing.map(({ name }) => name)).toEqual([]);
});

/** Begins where it was found last, because a search from the first seed on takes minutes. */
async function findBug({ name, foundAt, plant }: PlantedBug): Promise<Caught> {
  const inOrder = Array.from({ length: seedsLimit }, (_, index) => index + 1);
  for (const number of [foundAt, ...inOrder]) {
    const { violation } = await simulateSeed({ seed: `sabotage ${number}`, hours, sabotage: plant() });
    if (violation !== undefined) return { bug: name, check: violation.check, seeds: number };
  }
  throw new Error(`${name}: not found in ${seedsLimit} seeds`);
}
