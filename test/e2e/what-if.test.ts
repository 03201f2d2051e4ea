import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { WhatIfDocument } from "../../src/cli/what-if.ts";
import { processEnvironment } from "../../src/config/environment.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const mainFile = join(root, "src/cli/main.ts");
const examples = join(root, "examples/what-if");

let folder: string;
let trace: string;

/** The first jobs of the example's afternoon, and one that nobody serves. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-what-if-"));
  trace = join(folder, "afternoon <&>.jsonl");
  const lines = (await readFile(join(examples, "working-day.jsonl"), "utf8")).split("\n");
  const afternoon = lines.filter((line) => line.includes("T14:")).slice(0, 24);
  const gpu = { ...JSON.parse(afternoon[0] ?? ""), labels: ["self-hosted", "gpu"] };
  await writeFile(trace, [...afternoon, JSON.stringify(gpu), ""].join("\n"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("mayfly simulate --trace", () => {
  test("compares two configurations, in words, as a document and as a chart", async () => {
    const chart = join(folder, "chart.svg");
    const words = ["--trace", trace, "--config", config("spot"), "--against", config("on-demand")];
    const shown = mayfly(...words);
    expect(shown.status, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/^25 jobs of \d repositories, queued 2026-01-05 14:/);
    expect(shown.stdout).toMatch(/^ALL IN ALL +spot\.yaml +on-demand\.yaml +CHANGE$/m);
    expect(shown.stdout).toMatch(/^linux-x64 +on-demand\.yaml +\d+ /m);
    expect(shown.stdout).toContain("  1 job with self-hosted, gpu: refused. No preset matches the labels.");
    expect(shown.stderr).toBe("");

    const asJson = mayfly(...words, "--chart", chart, "--json");
    const { reports, trace: replayed, ...rest } = JSON.parse(asJson.stdout) as WhatIfDocument;
    expect(rest).toEqual({
      assumptions: { bootSeconds: 25, taskSeconds: 45, interruptionsPercent: 0, seed: "1" },
      chart,
    });
    expect(replayed.jobs).toBe(25);
    const [spot, onDemand] = reports;
    expect(spot?.jobs).toMatchObject({ total: 25, refused: 1, givenUp: 0 });
    expect(spot?.machines.onDemand).toBe(0);
    expect(onDemand?.machines.spot).toBe(0);
    expect(onDemand?.cost.totalUsd).toBeGreaterThan(spot?.cost.totalUsd ?? 0);
    expect(onDemand?.cost.githubHostedUsd).toBe(spot?.cost.githubHostedUsd);

    const svg = await readFile(chart, "utf8");
    expect(svg).toContain("afternoon &lt;&amp;&gt;.jsonl");
    expect(svg.match(/class="line (first|second)" d="M[\d.]+ [\d.]+H/g)).toHaveLength(4);
    for (const text of [
      "machines alive, the most",
      "jobs waiting, the most",
      "time (UTC)",
      "prefers-color-scheme: dark",
    ])
      expect(svg).toContain(text);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  }, 60_000);

  test("names the line that is wrong, and what would be right", async () => {
    const broken = join(folder, "broken.jsonl");
    await writeFile(broken, `${await readFile(trace, "utf8")}{"queued_at":"today"}\n`);
    const { status, stdout, stderr } = mayfly("--trace", broken, "--config", config("spot"));
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain(
      '  line 26: queued_at must be an instant with its time zone. Write it like "2026-01-05',
    );
    expect(mayfly("--trace", folder, "--config", config("spot")).stderr).toMatch(
      /^error: The trace .* cannot be read: /,
    );
  });

  test.each([
    [["--against", "a.yaml"], "--against is about the replay of a trace"],
    [["--boot-seconds", "5"], "--boot-seconds is about the replay of a trace"],
    [["--trace", "a", "--seeds", "3"], "--seeds is about simulations without a trace"],
    [["--trace", "a", "--hours", "3"], "--hours is about simulations without a trace"],
    [["--trace", "a", "--interruptions", "100"], "It must be a number from 0 to less than 100."],
  ])("does not understand %s", (words, said) => {
    const { status, stderr } = mayfly(...words);
    expect(stderr).toContain(said);
    expect(status).toBe(2);
  });

  test("says where a chart cannot be written", () => {
    const words = ["--trace", trace, "--config", config("spot"), "--chart", join(folder, "no", "chart.svg")];
    const { status, stderr } = mayfly(...words);
    expect(stderr).toMatch(/^error: The chart cannot be written: .*\nnext: {2}Name a file with --chart/);
    expect(status).toBe(1);
  }, 60_000);
});

function config(name: string): string {
  return join(examples, `${name}.yaml`);
}

function mayfly(...words: readonly string[]) {
  const { PATH, HOME } = processEnvironment();
  return spawnSync(process.execPath, [mainFile, "simulate", ...words], {
    cwd: folder,
    env: { PATH, HOME },
    encoding: "utf8",
  });
}
