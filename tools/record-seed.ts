import { writeFileSync } from "node:fs";
import { drawScenario } from "../src/targets/sim/scenario.ts";

/**
 * Keeps a seed that found a bug: node tools/record-seed.ts <file name> <seed> <hours> "<one sentence why>"
 */
const [name, seed, hours, why] = process.argv.slice(2);
if (name === undefined || seed === undefined || hours === undefined || why === undefined) {
  process.stderr.write('node tools/record-seed.ts <file name> <seed> <hours> "<one sentence why>"\n');
  process.exitCode = 1;
} else {
  const file = new URL(`../test/seeds/${name}.json`, import.meta.url);
  writeFileSync(file, `${JSON.stringify({ why, scenario: drawScenario(seed, Number(hours)) }, null, 2)}\n`);
}
