import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { start } from "../../../test/builders.ts";
import type { Measures } from "../../core/measures.ts";
import { type MetricsDocument, metricsDocuments } from "./embedded-metrics.ts";

/** What CloudWatch demands of a document, so that it does not throw it away in silence. */
const specification = new Ajv({ allowUnionTypes: true }).compile({
  type: "object",
  required: ["_aws"],
  properties: {
    _aws: {
      type: "object",
      required: ["Timestamp", "CloudWatchMetrics"],
      additionalProperties: false,
      properties: {
        Timestamp: { type: "integer", minimum: 1_500_000_000_000, maximum: 5_000_000_000_000 },
        CloudWatchMetrics: {
          type: "array",
          minItems: 1,
          items: {
            type: "object",
            required: ["Namespace", "Dimensions", "Metrics"],
            additionalProperties: false,
            properties: {
              Namespace: { type: "string", minLength: 1, maxLength: 1024 },
              Dimensions: {
                type: "array",
                minItems: 1,
                items: {
                  type: "array",
                  maxItems: 30,
                  items: { type: "string", minLength: 1, maxLength: 250 },
                },
              },
              Metrics: {
                type: "array",
                minItems: 1,
                maxItems: 100,
                items: {
                  type: "object",
                  required: ["Name"],
                  additionalProperties: false,
                  properties: {
                    Name: { type: "string", minLength: 1, maxLength: 1024 },
                    Unit: { enum: ["Seconds", "Count"] },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
});

function problemsOf(document: MetricsDocument): readonly string[] {
  const problems = specification(document)
    ? []
    : (specification.errors ?? []).map(({ message }) => `${message}`);
  const { _aws } = document as {
    _aws: { CloudWatchMetrics: { Dimensions: string[][]; Metrics: { Name: string }[] }[] };
  };
  for (const { Dimensions, Metrics } of _aws.CloudWatchMetrics) {
    for (const name of Dimensions.flat()) {
      const value = document[name];
      if (typeof value !== "string" || value === "" || value.length > 1024)
        problems.push(`dimension ${name}`);
    }
    for (const { Name } of Metrics) {
      const values = [document[Name]].flat();
      const isNumeric = values.every((value) => typeof value === "number" && Number.isFinite(value));
      if (!isNumeric || values.length === 0 || values.length > 100) problems.push(`metric ${Name}`);
    }
  }
  return problems;
}

const quiet: Measures = {
  waitSeconds: [],
  githubSeconds: [],
  launches: 0,
  refusals: new Map(),
  machinesEnded: new Map(),
  jobsEnded: new Map(),
  jobs: new Map(),
  machines: new Map(),
};

function documents(
  measures: Partial<Measures>,
  budgets: Parameters<typeof metricsDocuments>[0]["budgets"] = [],
) {
  const input = { namespace: "Mayfly", at: start, measures: { ...quiet, ...measures }, budgets };
  return metricsDocuments(input);
}

test("every document is one that CloudWatch takes, and holds its values at the place that it names", () => {
  const all = documents(
    {
      waitSeconds: [41.5, 60],
      githubSeconds: [1.5, 0],
      launches: 2,
      refusals: new Map([["capacity", 1]]),
      machinesEnded: new Map([["completed", 3]]),
      jobsEnded: new Map([["success", 3]]),
      jobs: new Map([["queued", 4]]),
      machines: new Map([["busy", 5]]),
    },
    [{ installationId: 7, limit: 5000, remaining: 4987, resetAt: start }],
  );
  expect(all.flatMap(problemsOf)).toEqual([]);
  expect(all.map(({ _aws, ...values }) => values)).toEqual([
    { QueueToStart: [41.5, 60], GithubDelay: [1.5, 0] },
    { Launches: 2 },
    { Class: "capacity", LaunchRefusals: 1 },
    { Reason: "completed", MachinesEnded: 3 },
    { Outcome: "success", JobsEnded: 3 },
    { State: "queued", Jobs: 4 },
    { State: "busy", Machines: 5 },
    { Installation: "7", GithubRequestsRemaining: 4987 },
  ]);
  expect(all[2]?._aws).toEqual({
    Timestamp: start,
    CloudWatchMetrics: [
      { Namespace: "Mayfly", Dimensions: [["Class"]], Metrics: [{ Name: "LaunchRefusals", Unit: "Count" }] },
    ],
  });
});

test("more values than one document takes are several documents, and none is lost", () => {
  const waits = Array.from({ length: 250 }, (_, index) => index);
  const all = documents({ waitSeconds: waits, githubSeconds: waits });
  expect(all.flatMap(problemsOf)).toEqual([]);
  expect(all.flatMap((document) => document.QueueToStart)).toEqual(waits);
  expect(all.flatMap((document) => document.GithubDelay)).toEqual(waits);
});

test("where nothing is to be said, nothing is published", () => {
  expect(documents({})).toEqual([]);
});

test("the check of this test finds what CloudWatch would throw away", () => {
  const [good] = documents({ launches: 1 });
  expect(problemsOf(good!)).toEqual([]);
  expect(problemsOf({ ...good, Launches: "1" })).toEqual(["metric Launches"]);
  expect(problemsOf({ ...good, Launches: Array.from({ length: 101 }, () => 1) })).toEqual([
    "metric Launches",
  ]);
});
