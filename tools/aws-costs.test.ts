import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import {
  breakEvenJobs,
  costTables,
  countsOfTemplate,
  idleLines,
  jobCostsUsd,
  jobUse,
  kinds,
  withTables,
} from "./aws-costs.ts";

test("docs/operating/costs.md has what is computed; otherwise run `node tools/aws-costs.ts`", async () => {
  const page = await readFile(new URL("../docs/operating/costs.md", import.meta.url), "utf8");
  const tables = costTables(await countsOfTemplate());
  expect(withTables(page, tables)).toBe(page);
  for (const name of Object.keys(tables)) expect(page).toContain(`<!-- costs: ${name} -->`);
});

test("a job by itself costs what the page's formula gives", () => {
  const { writeUnits, readUnits, messages, requests, starts } = jobUse.alone;
  const thousand =
    (0.625 * writeUnits + 0.125 * readUnits + 3 * 0.4 * messages + requests + 0.2 * starts) / 1000;
  const computed = 1000 * Object.values(jobCostsUsd(jobUse.alone)).reduce((sum, usd) => sum + usd, 0);
  expect(computed).toBeCloseTo(thousand + 0.0133334 * starts * 0.1 * 0.375 + 0.005, 6);
});

test("docs/operating/aws.md says about what a job and an idle month cost", async () => {
  const counts = await countsOfTemplate();
  const lines = idleLines(counts);
  const [listed, free] = [lines.map(({ usd }) => usd), lines.map(({ afterFreeUsd }) => afterFreeUsd)].map(
    (values) => Math.round(values.reduce((sum, usd) => sum + usd, 0)),
  );
  expect([free, listed]).toEqual([2, 4]);
  expect(counts.polledQueues).toBe(3);
});

test("own machines are cheaper from the number of jobs on at which what is saved pays for the month", () => {
  const jobs = breakEvenJobs(kinds.spot, 5, 4);
  const costs = (kind: (typeof kinds)[keyof typeof kinds], many: number) => many * kind.jobUsd(5);
  expect(costs(kinds.spot, jobs) + 4).toBeLessThanOrEqual(costs(kinds.hosted, jobs));
  expect(costs(kinds.spot, jobs - 1) + 4).toBeGreaterThan(costs(kinds.hosted, jobs - 1));
});
