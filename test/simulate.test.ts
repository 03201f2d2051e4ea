import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { type RecordedSeed, recordedScenario } from "../src/targets/sim/recorded-seed.ts";
import { simulateSeed } from "../src/targets/sim/simulate.ts";

const execute = promisify(execFile);
const folder = new URL("./seeds/", import.meta.url);
/** The same on every machine, however fast it is; `npm run simulate:long` is what a release needs. */
const seedsOfThisTest = 100;

describe("seeds that once found a bug", () => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  it.each(files)("%s", { timeout: 60_000 }, async (name) => {
    const recorded = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as RecordedSeed;
    expect(recorded.why.length).toBeGreaterThan(20);
    const scenario = recordedScenario(recorded);
    const { violation } = await simulateSeed({ seed: scenario.seed, hours: scenario.hours, scenario });
    expect(violation).toBeUndefined();
  });
});

it("nothing that must always hold is violated in the first seeds", { timeout: 600_000 }, async () => {
  for (let seed = 1; seed <= seedsOfThisTest; seed++) {
    const { violation } = await simulateSeed({ seed: `test ${seed}`, hours: 6 });
    expect(violation).toBeUndefined();
  }
});

it("one seed gives one trace, to the byte, in two processes", { timeout: 60_000 }, async () => {
  const module = fileURLToPath(new URL("../src/targets/sim/simulate.ts", import.meta.url));
  const script = `
    import { createHash } from "node:crypto";
    const { simulateSeed } = await import(${JSON.stringify(module)});
    const hash = createHash("sha256");
    const { fingerprint, steps } = await simulateSeed({ seed: "same 3", hours: 4, onLine: (line) => hash.update(line) });
    console.log(fingerprint, steps, hash.digest("hex"));`;
  const run = () => execute(process.execPath, ["--input-type=module", "--eval", script]);
  const [one, other] = await Promise.all([run(), run()]);
  expect(one.stdout).toBe(other.stdout);
  expect(one.stdout).toMatch(/^[0-9a-f]{16} \d{4,} [0-9a-f]{64}\n$/);
});

it("another seed gives another trace", { timeout: 60_000 }, async () => {
  const [one, other] = [
    await simulateSeed({ seed: "a", hours: 1 }),
    await simulateSeed({ seed: "b", hours: 1 }),
  ];
  expect(one.fingerprint).not.toBe(other.fingerprint);
});
