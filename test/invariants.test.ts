import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { checks } from "../src/targets/sim/checks.ts";
import { drawFaults } from "../src/targets/sim/faults.ts";
import { failures } from "../tools/failures.ts";

test("ARCHITECTURE.md has the checks of the simulator, with their bounds", () => {
  const page = readFileSync(new URL("../ARCHITECTURE.md", import.meta.url), "utf8");
  const [, table] = /<!-- invariants -->\n(.*)\n<!-- \/invariants -->/s.exec(page) ?? [];
  const rows = checks.map(({ name, says, bound }) => `| ${name} | ${says} | ${bound} |`);
  expect(table?.split("\n")).toEqual(["| | what must hold | bound |", "|---|---|---|", ...rows]);
});

test("every seed that is kept has its story", () => {
  const page = readFileSync(
    new URL("../docs/reference/bugs-the-simulator-found.md", import.meta.url),
    "utf8",
  );
  const kept = readdirSync(new URL("./seeds/", import.meta.url));
  expect(kept.filter((name) => !page.includes(`(../../test/seeds/${name})`))).toEqual([]);
});

test("every fault of the simulator is one of the failures that are measured, and the page has them all", () => {
  const page = readFileSync(new URL("../docs/operating/failures.md", import.meta.url), "utf8");
  expect(failures.filter(({ what }) => !page.includes(`\n| ${what} |`))).toEqual([]);
  const { github, outageKinds: _, ...others } = drawFaults("1", 1);
  const measured = new Set(failures.flatMap((one) => Object.keys({ ...one.faults, ...one.github })));
  const all = [...Object.keys(others), ...Object.keys(github)];
  expect(all.filter((name) => !measured.has(name))).toEqual([]);
});
