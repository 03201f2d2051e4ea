import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checks } from "../src/targets/sim/checks.ts";
import { simulateSeed } from "../src/targets/sim/simulate.ts";
import { sabotagedSeed, sabotageSeedsLimit } from "../tools/measure-sabotage.ts";
import { type PlantedBug, plantedBugs } from "./support/sabotages.ts";

/*
 * Proof that the checks of the simulator can fail: bugs are planted at ports, and each must be found, in seeds that are
 * drawn as all others. The page says how many it takes; a search from the first one on takes minutes, so the test begins
 * at the seed of the page.
 */
const page = readFileSync(new URL("../docs/reference/sabotage.md", import.meta.url), "utf8");
const rows = new Map(
  [...page.matchAll(/^\| (.+) \| (\w+) \| (\d+) \|$/gm)].map(([, bug = "", check = "", seed = ""]) => {
    return [bug, { check, seed: Number(seed) }];
  }),
);
const names = checks.map((check) => check.name);

it.each(plantedBugs)("$name", { timeout: 300_000 }, async (bug) => {
  expect(names).toContain(await findBug(bug));
});

describe("docs/reference/sabotage.md", () => {
  it("names every planted bug, and how many seeds it took", () => {
    expect([...rows.keys()]).toEqual(plantedBugs.map(({ name }) => name));
    for (const { seed } of rows.values()) expect(seed).toBeLessThanOrEqual(sabotageSeedsLimit);
  });

  it("has a bug for every check that speaks of what must hold", () => {
    const spoken = new Set([...rows.values()].map((row) => row.check));
    expect(names.filter((name) => !spoken.has(name))).toEqual([]);
  });
});

async function findBug(bug: PlantedBug): Promise<string> {
  const { name, check } = bug;
  const inOrder = Array.from({ length: sabotageSeedsLimit }, (_, index) => index + 1);
  for (const number of [rows.get(name)?.seed ?? 1, ...inOrder]) {
    const { violation } = await simulateSeed(sabotagedSeed(bug, number));
    if (violation !== undefined && (check ?? violation.check) === violation.check) return violation.check;
  }
  throw new Error(`${name}: not found in ${sabotageSeedsLimit} seeds`);
}
