import { afterEach, describe, expect, test } from "vitest";
import { createSystemClock } from "../src/adapters/clock/system.ts";
import { createGithubJobHistory, type GithubJobHistory } from "../src/adapters/github/job-history.ts";
import { createMemoryLog } from "../src/adapters/log/memory.ts";
import { MayflyError } from "../src/core/errors.ts";
import { Secret } from "../src/core/secret.ts";
import type { Limits } from "../src/emulator/model-limits.ts";
import { plannedJob } from "../src/emulator/planned-job.ts";
import type { RepositoryAddress } from "../src/ports/github.ts";
import { validateExchange } from "./openapi-validator.ts";
import { type EmulatedGithub, emulatedGithub } from "./support/emulated-github.ts";
import { runJob } from "./support/emulated-jobs.ts";
import { type RecordingProxy, startRecordingProxy } from "./support/recording-proxy.ts";

/* What the App reads of GitHub's past, from the emulator; every exchange is held against GitHub's description. */

const hour = 3_600_000;
const yesterday = Math.floor(Date.now() / hour) * hour - 24 * hour;

let github: EmulatedGithub;
let proxy: RecordingProxy;

afterEach(async () => {
  await proxy.close();
  await github.close();
  const problems = proxy.exchanges.flatMap((exchange) => validateExchange(exchange));
  expect(problems).toEqual([]);
});

async function setUp(limits: Partial<Limits> = {}): Promise<{
  readonly history: GithubJobHistory;
  readonly repository: RepositoryAddress;
}> {
  github = await emulatedGithub({ limits });
  proxy = await startRecordingProxy(github.emulator.url);
  const history = createGithubJobHistory({
    server: proxy.url,
    appId: github.emulator.model.state.app.id,
    secrets: { read: async () => [new Secret(github.privateKey)] },
    clock: createSystemClock(),
    log: createMemoryLog(),
    version: "0.0.0-test",
  });
  const { installationId } = github;
  return { history, repository: { owner: "octo-org", name: "demo", private: true, installationId } };
}

/** Runs of one job that is skipped at once, a second apart from each other. */
function startRuns(count: number, from: number): readonly number[] {
  const { model } = github.emulator;
  const repositoryId = model.findRepository("octo-org", "demo").id;
  return Array.from({ length: count }, (_, index) => {
    const jobs = [plannedJob({ labels: ["linux"], condition: "never" })];
    const run = { repositoryId, workflowName: "CI", workflowPath: ".github/workflows/ci.yml", jobs };
    return model.startRun(from + index * 1_000, run).id;
  });
}

describe("the runs of a time", () => {
  test("are those that were created in it", async () => {
    const { history, repository } = await setUp();
    const runs = startRuns(5, yesterday);
    expect(await history.listRuns(repository, yesterday + 1_000, yesterday + 3_000)).toEqual(
      expect.arrayContaining(runs.slice(1, 4)),
    );
    expect(await history.listRuns(repository, yesterday + hour, yesterday + 2 * hour)).toEqual([]);
  });

  test("are all of them, also where GitHub gives no more than 1,000 for one search", async () => {
    const { history, repository } = await setUp();
    const runs = startRuns(1_205, yesterday);
    const found = await history.listRuns(repository, yesterday - 3 * hour, yesterday + hour);
    expect(found).toHaveLength(1_205);
    expect(new Set(found)).toEqual(new Set(runs));
  }, 30_000);
});

test("the jobs of a run are those that ended, of every attempt", async () => {
  const { history, repository } = await setUp();
  const { model } = github.emulator;
  const first = runJob(model, { at: yesterday, seconds: 60, conclusion: "failure" });
  model.rerunFailedJobs(yesterday + 2 * hour, first.runId);
  const jobs = await history.listCompletedJobs(repository, first.runId);
  expect(jobs).toMatchObject([
    {
      id: first.id,
      labels: ["self-hosted", "linux"],
      createdAt: yesterday,
      completedAt: first.completedAt,
      conclusion: "failure",
    },
  ]);
});

test("half of the hourly limit is left to others", async () => {
  const { history, repository } = await setUp({ requestsPerHour: 20 });
  const [run = 0] = startRuns(1, yesterday);
  const refusal = await (async () => {
    for (let requests = 0; requests < 20; requests++) await history.listCompletedJobs(repository, run);
  })().catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(MayflyError);
  expect(refusal).toMatchObject({ kind: "wait", retryAt: expect.any(Number) });
  const asked = proxy.exchanges.filter(({ path }) => path.includes("/jobs"));
  expect(asked).toHaveLength(10);
});
