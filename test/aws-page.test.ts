import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { metricsDocuments } from "../src/targets/aws/embedded-metrics.ts";
import { functions, queues } from "../src/targets/aws/functions.ts";

/* docs/operating/aws.md against what is deployed. */

const page = readFileSync(new URL("../docs/operating/aws.md", import.meta.url), "utf8");

test("the table has every function, with its limits", () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \|[^|]*\| (\d+) \| (\d+) \|/gm)].map(
    ([, name, seconds, mebibytes]) => [name, Number(seconds), Number(mebibytes)],
  );
  expect(rows.sort()).toEqual(
    functions.map(({ name, timeoutSeconds, memoryMib }) => [name, timeoutSeconds, memoryMib]).sort(),
  );
});

test("dead letters come and go as the page says", () => {
  for (const { attemptsLimit, deadLetterSeconds } of Object.values(queues)) {
    expect([attemptsLimit, deadLetterSeconds]).toEqual([10, 14 * 86_400]);
  }
  expect(page).toContain("A message that failed ten times lies there for two weeks.");
});

test("the table has every metric, with its dimension", () => {
  const one = new Map([["x", 1]]);
  const measures = {
    waitSeconds: [1],
    githubSeconds: [1],
    launches: 1,
    ...{ refusals: one, machinesEnded: one, jobsEnded: one, jobs: one, machines: one },
  };
  const budgets = [{ installationId: 7, limit: 5_000, remaining: 1, resetAt: 0 }];
  const published = metricsDocuments({ namespace: "Mayfly", at: 0, measures, budgets } as never).flatMap(
    (document) => {
      const [directive] = (document._aws as { CloudWatchMetrics: readonly Directive[] }).CloudWatchMetrics;
      return (directive?.Metrics ?? []).map(
        ({ Name }) => `${Name} ${directive?.Dimensions[0]?.join() ?? ""}`,
      );
    },
  );
  const rows = [...page.matchAll(/^\| (`[A-Z]\w+`(?:, `\w+`)?) \| (?:`(\w+)` )?\|/gm)].flatMap(
    ([, names = "", dimension = ""]) =>
      names.split(", ").map((name) => `${name.replaceAll("`", "")} ${dimension}`),
  );
  expect(rows.sort()).toEqual(published.sort());
});

test("every alarm of the template is there", () => {
  const template = readFileSync(
    new URL("../infra/aws/cloudformation/template.yaml", import.meta.url),
    "utf8",
  );
  const alarms = [...template.matchAll(/AlarmName:\s+Fn::Sub: \$\{Deployment\}-(\S+)/g)].map(
    ([, name]) => name,
  );
  const named = [...page.matchAll(/`(…-)?([a-z-]+)`/g)].map(([, part, name = ""]) => ({ part, name }));
  const isNamed = (alarm = ""): boolean =>
    named.some(({ part, name }) => (part === undefined ? alarm === name : alarm.endsWith(`-${name}`)));
  expect(alarms.length).toBeGreaterThan(0);
  expect(alarms.filter((alarm) => !isNamed(alarm))).toEqual([]);
});

interface Directive {
  readonly Metrics: readonly { readonly Name: string }[];
  readonly Dimensions: readonly (readonly string[])[];
}
