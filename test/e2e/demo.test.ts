import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DemoSummary } from "../../src/targets/box/demo.ts";
import { killMachines, machineProcesses } from "../support/machine-leftovers.ts";
import { type MayflyProcess, startMayfly, until } from "../support/server-process.ts";

/* `mayfly demo` as a newcomer runs it, with a temporary folder of its own, so that what it leaves can be seen. */

const examples = fileURLToPath(new URL("../../examples/workflows/", import.meta.url));

const stalledDemo = fileURLToPath(new URL("../support/stalled-demo.ts", import.meta.url));

let temporary: string;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), "mayfly-demo-test-"));
});
afterEach(async () => {
  await killMachines(temporary);
  rmSync(temporary, { recursive: true, force: true });
});

function demo(...words: readonly string[]): MayflyProcess {
  return startMayfly(["demo", ...words], { TMPDIR: temporary });
}

/** The last line of standard output, which is documented. */
function summaryOf(run: MayflyProcess): DemoSummary {
  return JSON.parse(run.stdout().trimEnd().split("\n").at(-1) ?? "") as DemoSummary;
}

async function expectNothingLeft(): Promise<void> {
  expect(await machineProcesses(temporary)).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
}

test("12 jobs with light faults: all end, the last line says so, and nothing is left", async () => {
  const run = demo("--jobs", "12", "--faults", "light", "--json");
  expect(await run.ended, run.stderr()).toBe(0);
  expect(summaryOf(run)).toMatchObject({
    jobs: { queued: 12, completed: 12, givenUp: 0 },
    machines: { alive: 0 },
    ok: true,
  });
  const { machines, waitSeconds } = summaryOf(run);
  expect(machines.launched).toBeGreaterThanOrEqual(12);
  expect(machines.ended).toBe(machines.launched);
  expect(waitSeconds.p50).toBeGreaterThan(0);
  expect(waitSeconds.p95).toBeGreaterThanOrEqual(waitSeconds.p50 ?? 0);
  // One line for programs, and progress for people elsewhere.
  expect(run.stdout().trimEnd().split("\n")).toHaveLength(1);
  expect(run.stderr()).toContain("Page: http://127.0.0.1:");
  await expectNothingLeft();
}, 120_000);

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s in the middle: it ends soon, not well, and nothing is left",
  async (signal) => {
    const run = demo("--jobs", "40", "--json");
    await until(
      async () => (await machineProcesses(temporary)).length > 3,
      60,
      () => `no machine works: ${run.stderr()}`,
    );
    run.child.kill(signal);
    expect(await run.ended).toBe(1);
    expect(summaryOf(run)).toMatchObject({ ok: false });
    await expectNothingLeft();
  },
  120_000,
);

test("a second Ctrl-C while it clears away does no harm", async () => {
  const run = demo("--jobs", "40", "--json");
  await until(
    async () => (await machineProcesses(temporary)).length > 3,
    60,
    () => `no machine works: ${run.stderr()}`,
  );
  run.child.kill("SIGINT");
  run.child.kill("SIGINT");
  expect(await run.ended).toBe(1);
  await expectNothingLeft();
}, 120_000);

test("Ctrl-C before the first machine", async () => {
  const run = demo("--jobs", "4", "--json");
  await until(
    () => run.stderr().includes("Page:") || readdirSync(temporary).length > 0,
    60,
    () => run.stderr(),
  );
  run.child.kill("SIGINT");
  expect([1, "SIGINT"]).toContain(await run.ended);
  await expectNothingLeft();
}, 120_000);

test("a runner without a listener: the demo gives up, says why and has the exit status 1", async () => {
  const runner = mkdtempSync(join(tmpdir(), "mayfly-no-runner-"));
  const run = startMayfly([runner, "10"], { TMPDIR: temporary }, { file: stalledDemo });
  expect(await run.ended).toBe(1);
  expect(summaryOf(run)).toMatchObject({ jobs: { queued: 2, completed: 0 }, ok: false });
  expect(run.stderr()).toContain("The demo did not end well.");
  await expectNothingLeft();
  rmSync(runner, { recursive: true });
}, 120_000);

describe("workflow files", () => {
  const files = readdirSync(examples).filter((name) => /\.ya?ml$/.test(name));
  test("there are some", () => expect(files.length).toBeGreaterThan(0));

  test.each(files)(
    "%s ends well",
    async (name) => {
      const run = demo("--workflow", join(examples, name), "--json");
      expect(await run.ended, run.stderr()).toBe(0);
      const { jobs, ok } = summaryOf(run);
      expect(ok).toBe(true);
      expect(jobs.queued).toBeGreaterThan(0);
      expect(jobs.completed).toBe(jobs.queued);
      await expectNothingLeft();
    },
    120_000,
  );

  test("one that is not there, and one that is none, get a sentence", async () => {
    const missing = demo("--workflow", join(temporary, "none.yml"), "--json");
    expect(await missing.ended).toBe(1);
    expect(missing.stderr()).toMatch(/^error: .*none\.yml/m);
    expect(missing.stderr()).not.toMatch(/^\s+at /m);
    const folder = mkdtempSync(join(tmpdir(), "mayfly-workflow-"));
    const path = join(folder, "broken.yml");
    writeFileSync(path, "jobs: [");
    const broken = demo("--workflow", path, "--json");
    expect(await broken.ended).toBe(1);
    expect(broken.stderr()).toMatch(/^error: /m);
    expect(broken.stderr()).not.toMatch(/^\s+at /m);
    rmSync(folder, { recursive: true });
    await expectNothingLeft();
  }, 60_000);
});
