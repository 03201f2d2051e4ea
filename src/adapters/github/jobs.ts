import { MayflyError } from "../../core/errors.ts";
import type { JobEvent } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Github, GivenUpReport, RepositoryAddress } from "../../ports/github.ts";
import { fields, isId, list } from "./answer.ts";
import type { GithubClient, GithubRequest } from "./client.ts";
import { brokenAnswerError } from "./errors.ts";
import { jobEventOf } from "./job-event.ts";

const runsLimit = 1_000;
const runsAtOnce = 5;
/** In these there may be jobs that have not ended. */
const openStatuses = ["queued", "in_progress", "waiting"] as const;

/** The part of the port that is about jobs. */
export function createJobRequests(
  client: GithubClient,
  clock: Clock,
): Pick<Github, "getJob" | "listOpenJobs" | "reportGivenUp"> {
  const forbidden = new Map<number, number>();

  return {
    async getJob(repository, id) {
      const request = jobRequest(repository, id);
      const answer = await client.call(request);
      if (answer.status === 404) return undefined;
      const event = jobEventOf(answer.data, repository, clock.now());
      if (event === undefined) throw brokenAnswerError(request, "it is not a job");
      return event;
    },

    async listOpenJobs(repository) {
      const lists = [];
      for (const status of openStatuses) lists.push(await listRuns(client, repository, status));
      // Runs change their status while the lists are read, so one may be in two of them.
      const newestFirst = [...new Set(lists.flat())].sort((left, right) => right - left).slice(0, runsLimit);
      const now = clock.now();
      const jobs = await mapInTurns(newestFirst, runsAtOnce, (run) => listJobs(client, repository, run));
      return jobs
        .flat()
        .filter(({ action }) => action !== "completed")
        .map((job) => ({ ...job, receivedAt: now }));
    },

    async reportGivenUp(report) {
      const { installationId } = report.repository;
      if (clock.now() < (forbidden.get(installationId) ?? 0)) return "not-permitted";
      const reported = await createCheckRun(client, report, await headOf(client, report));
      if (reported === "not-permitted") forbidden.set(installationId, clock.now() + forbiddenMilliseconds);
      return reported;
    },
  };
}

function jobRequest(repository: RepositoryAddress, id: number): GithubRequest {
  return {
    ...repositoryRequest(
      repository,
      "/actions/jobs/{job_id}",
      `show the job ${id} of ${nameOf(repository)}`,
      {
        job_id: id,
      },
    ),
    accept: [404],
  };
}

/** A request about a repository. It reads what Actions did there, unless the caller says otherwise. */
export function repositoryRequest(
  repository: RepositoryAddress,
  path: string,
  what: string,
  parameters: Readonly<Record<string, unknown>>,
): GithubRequest {
  return {
    what,
    permission: "actions: read",
    caller: repository.installationId,
    priority: "sweep",
    method: "GET",
    endpoint: `/repos/{owner}/{repo}${path}`,
    parameters: { ...parameters, owner: repository.owner, repo: repository.name },
  };
}

function listRuns(
  client: GithubClient,
  repository: RepositoryAddress,
  status: (typeof openStatuses)[number],
): Promise<readonly number[]> {
  const what = `list the ${status} runs of ${nameOf(repository)}`;
  return client.pages({
    ...repositoryRequest(repository, "/actions/runs", what, { status }),
    read(data) {
      const runs = fields(data)?.workflow_runs;
      return Array.isArray(runs)
        ? list(runs)
            .map((run) => fields(run)?.id)
            .filter(isId)
        : undefined;
    },
    pagesLimit: runsLimit / 100,
    enough: (runs) => runs.length >= runsLimit,
    conditional: true,
  });
}

/** The jobs of a run, each with its newest attempt. */
export function listJobs(
  client: GithubClient,
  repository: RepositoryAddress,
  runId: number,
): Promise<readonly JobEvent[]> {
  const what = `list the jobs of the run ${runId} of ${nameOf(repository)}`;
  return client.pages({
    ...repositoryRequest(repository, "/actions/runs/{run_id}/jobs", what, {
      run_id: runId,
      filter: "latest",
    }),
    read(data) {
      const jobs = fields(data)?.jobs;
      if (!Array.isArray(jobs)) return undefined;
      return list(jobs)
        .map((job) => jobEventOf(job, repository, 0))
        .filter((event) => event !== undefined);
    },
    pagesLimit: 30,
    conditional: true,
  });
}

async function mapInTurns<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  act: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += atOnce) {
    results.push(...(await Promise.all(items.slice(start, start + atOnce).map(act))));
  }
  return results;
}

// -------------------------------------------------------------------------------------------- check runs

const forbiddenMilliseconds = 3_600_000;

/** The commit that the job is for. */
async function headOf(client: GithubClient, { repository, jobId, runId }: GivenUpReport): Promise<string> {
  const what = `show the run ${runId} of ${nameOf(repository)}`;
  const run = repositoryRequest(repository, "/actions/runs/{run_id}", what, { run_id: runId });
  for (const request of [jobRequest(repository, jobId), { ...run, accept: [404] }]) {
    const head = fields((await client.call(request)).data)?.head_sha;
    if (typeof head === "string" && /^[0-9a-f]{40,64}$/i.test(head)) return head;
  }
  throw new MayflyError({
    kind: "give-up",
    code: "GITHUB_JOB_GONE",
    message: `It cannot be reported on a commit that the job ${jobId} of ${nameOf(repository)} was given up: GitHub knows neither the job nor its run.`,
    suggestion: "Nothing needs to be done; the reason is in the status of Mayfly.",
  });
}

async function createCheckRun(
  client: GithubClient,
  report: GivenUpReport,
  headSha: string,
): Promise<"reported" | "not-permitted"> {
  const { repository, jobName, jobId } = report;
  const what = `report on a commit of ${nameOf(repository)} that a job was given up`;
  const request: GithubRequest = {
    ...repositoryRequest(repository, "/check-runs", what, {
      name: `Mayfly: ${jobName}`.slice(0, 200),
      head_sha: headSha,
      status: "completed",
      conclusion: "failure",
      external_id: String(jobId),
      output: {
        title: `No machine could be given to this job: ${report.because}`.slice(0, 200),
        summary: report.detail.slice(0, 60_000) || report.because,
      },
    }),
    permission: "checks: write",
    method: "POST",
  };
  try {
    await client.call(request);
    return "reported";
  } catch (error) {
    if (error instanceof MayflyError && error.code === "GITHUB_PERMISSION_MISSING") return "not-permitted";
    throw error;
  }
}

export function nameOf(repository: RepositoryAddress): string {
  return `${repository.owner}/${repository.name}`;
}
