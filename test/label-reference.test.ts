import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { checkConfig } from "../src/config/load.ts";
import { routeJob } from "../src/core/route.ts";
import { configBlocks } from "./support/markdown.ts";

/** docs/reference/labels.md: every row of its tables against the configuration at its top. */
const page = readFileSync(new URL("../docs/reference/labels.md", import.meta.url), "utf8");
const [config] = configBlocks(page);
const policy = checkConfig(config?.text ?? "", { path: "mayfly.yaml", environment: {} }).loaded?.policy;

const rows = [
  ...page.matchAll(/^\| (`[^|]+`) \| (refused: `[a-z-]+`|left to others|`[^|]+`) \| [^|]*\|$/gm),
].map(([, labels = "", fleet = ""]) => ({ labels, fleet }));

test("the page has examples", () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.length).toBe(page.match(/^\| `.*(refused|left to others|linux-).*\|$/gm)?.length);
});

test.each(rows)("$labels leads to $fleet", ({ labels, fleet }) => {
  if (policy === undefined) throw new Error("The configuration of the page is not valid.");
  const route = routeJob(
    [...labels.matchAll(/`([^`]+)`/g)].map(([, label = ""]) => label),
    policy,
  );
  if (route.kind === "routed") expect(`\`${route.record.id}\``).toBe(fleet);
  else if (route.kind === "refused") expect(`refused: \`${route.because}\``).toBe(fleet);
  else expect(fleet).toBe("left to others");
});
