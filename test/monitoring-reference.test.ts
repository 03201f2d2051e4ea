import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { metricsText } from "../src/targets/routes/metrics.ts";
import { busyStatus } from "./support/cli-scenes.ts";

/** docs/operating/monitoring.md against what `/metrics` prints. */
const page = readFileSync(new URL("../docs/operating/monitoring.md", import.meta.url), "utf8");
const printed = metricsText(busyStatus(), { total: 1 });

test("the table names every metric, its labels and its help, and no other", () => {
  const rows = [...page.matchAll(/^\| `(mayfly_\w+)` \|([^|]*)\| (.+) \|$/gm)].map(
    ([, name = "", labels = "", help = ""]) => ({ name, labels: labels.replaceAll("`", "").trim(), help }),
  );
  const families = [...printed.matchAll(/^# HELP (\w+) (.+)$/gm)].map(([, name = "", help = ""]) => ({
    name,
    labels: labelsOf(name),
    help,
  }));
  expect(rows).toEqual(families);
});

test("alerts ask for metrics and label values that there are", () => {
  const rules = /^## Alerts$([\s\S]*?)^## /m.exec(page)?.[1] ?? "";
  const asked = [...rules.matchAll(/mayfly_\w+(?:\{[^}]*\})?/g)].map(([metric]) => metric);
  expect(asked.length).toBeGreaterThan(5);
  expect(asked.filter((metric) => !printed.includes(metric))).toEqual([]);
});

function labelsOf(name: string): string {
  const sample = new RegExp(`^${name}(?:\\{(.*)\\})? `, "m").exec(printed);
  if (sample === null) throw new Error(`The scene has no sample of ${name}.`);
  return [...(sample[1] ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label).join(", ");
}
