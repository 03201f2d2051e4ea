import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { checks } from "../src/targets/sim/checks.ts";

test("ARCHITECTURE.md has the checks of the simulator, with their bounds", () => {
  const page = readFileSync(new URL("../ARCHITECTURE.md", import.meta.url), "utf8");
  const [, table] = /<!-- invariants -->\n(.*)\n<!-- \/invariants -->/s.exec(page) ?? [];
  const rows = checks.map(({ name, says, bound }) => `| ${name} | ${says} | ${bound} |`);
  expect(table?.split("\n")).toEqual(["| | what must hold | bound |", "|---|---|---|", ...rows]);
});
