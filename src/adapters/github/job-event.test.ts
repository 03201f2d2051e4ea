import { expect, test } from "vitest";
import { jobEventOf } from "./job-event.ts";

const repository = { owner: "acme", name: "app", private: true, installationId: 7 };
const job = {
  id: 11,
  run_id: 5,
  run_attempt: 2,
  name: "build",
  workflow_name: "CI",
  html_url: "https://github.com/acme/app/actions/runs/5/job/11",
  status: "queued",
  conclusion: null,
  labels: ["self-hosted"],
  created_at: "2026-01-01T00:00:00Z",
  started_at: "2026-01-01T00:00:01Z",
  completed_at: null,
  runner_name: "GitHub Actions 5",
};

test("a queued job has neither a start nor the runner of an earlier attempt", () => {
  expect(jobEventOf(job, repository, 99)).toEqual({
    action: "queued",
    id: 11,
    repository: { owner: "acme", name: "app", private: true },
    installationId: 7,
    runId: 5,
    runAttempt: 2,
    name: "build",
    workflowName: "CI",
    labels: ["self-hosted"],
    url: "https://github.com/acme/app/actions/runs/5/job/11",
    createdAt: Date.UTC(2026, 0, 1),
    receivedAt: 99,
  });
});

test.each(["waiting", "pending", "requested"])("a job that is %s waits", (status) => {
  expect(jobEventOf({ ...job, status }, repository, 99)?.action).toBe("waiting");
});

test("a completed job has its times, its conclusion and its runner", () => {
  const completed = {
    ...job,
    status: "completed",
    conclusion: "success",
    completed_at: "2026-01-01T00:01:00Z",
  };
  expect(jobEventOf(completed, repository, 99)).toMatchObject({
    action: "completed",
    conclusion: "success",
    startedAt: Date.UTC(2026, 0, 1, 0, 0, 1),
    completedAt: Date.UTC(2026, 0, 1, 0, 1),
    runnerName: "GitHub Actions 5",
  });
});

test.each([
  undefined,
  null,
  "x",
  [],
  {},
  { ...job, id: "11" },
  { ...job, labels: null },
  { ...job, status: "odd" },
])("%j is no job", (value) => {
  expect(jobEventOf(value, repository, 99)).toBeUndefined();
});

test("a job with labels that a delivery would be refused for is not known", () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => `label-${index}`);
  expect(jobEventOf({ ...job, labels: many(100) }, repository, 99)?.labels).toHaveLength(100);
  expect(jobEventOf({ ...job, labels: many(101) }, repository, 99)).toBeUndefined();
  expect(jobEventOf({ ...job, labels: ["x".repeat(256)] }, repository, 99)?.labels).toHaveLength(1);
  expect(jobEventOf({ ...job, labels: ["x".repeat(257)] }, repository, 99)).toBeUndefined();
});
