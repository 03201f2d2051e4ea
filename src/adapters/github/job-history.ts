import type { Instant, JobEvent } from "../../core/model.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Github, RepositoryAddress } from "../../ports/github.ts";
import { fields, isId, list } from "./answer.ts";
import { createGithubAppClient, type GithubAppOptions } from "./app.ts";
import type { GithubClient } from "./client.ts";
import { jobEventOf } from "./job-event.ts";
import { repositoryRequest } from "./jobs.ts";
import { createRepositoryRequests } from "./repositories.ts";

/** What GitHub remembers of jobs that are over. Errors are those of the port `Github`. */
export interface GithubJobHistory extends Pick<Github, "listRepositories"> {
  /** The ids of the runs that were created within these instants, each once. */
  listRuns(repository: RepositoryAddress, from: Instant, until: Instant): Promise<readonly number[]>;
  /** The completed jobs of all attempts at a run. */
  listCompletedJobs(repository: RepositoryAddress, runId: number): Promise<readonly JobEvent[]>;
}

/**
 * Reading the past is urgent for nobody: half of the hourly limit stays for a server that works with the same
 * installation, which counts together with us.
 */
const reserveFraction = { mint: 0, fence: 0.02, sweep: 0.5 };

/** Makes no request before the first call. */
export function createGithubJobHistory(options: GithubAppOptions): GithubJobHistory {
  const { client } = createGithubAppClient({ ...options, budget: { reserveFraction, ...options.budget } });
  return {
    ...createRepositoryRequests(client),
    async listRuns(repository, from, until) {
      return [...new Set(await listRuns(client, repository, from, until))];
    },
    listCompletedJobs: (repository, runId) => listCompletedJobs(client, options.clock, repository, runId),
  };
}

/** GitHub gives no more for one search, however many there are. */
const runsPerSearch = 1_000;
const shortestSearchMilliseconds = 1_000;

async function listRuns(
  client: GithubClient,
  repository: RepositoryAddress,
  from: Instant,
  until: Instant,
): Promise<readonly number[]> {
  let total = 0;
  const what = `list the runs of ${repository.owner}/${repository.name}`;
  const created = `${new Date(from).toISOString()}..${new Date(until).toISOString()}`;
  const tooMany = (): boolean => total > runsPerSearch && until - from > shortestSearchMilliseconds;
  const runs = await client.pages({
    ...repositoryRequest(repository, "/actions/runs", what, { created }),
    read(data) {
      const found = fields(data)?.workflow_runs;
      total = Number(fields(data)?.total_count ?? 0);
      if (!Array.isArray(found)) return undefined;
      return list(found)
        .map((run) => fields(run)?.id)
        .filter(isId);
    },
    pagesLimit: runsPerSearch / 100,
    enough: (ids) => tooMany() || ids.length >= Math.min(total, runsPerSearch),
  });
  if (!tooMany()) return runs;
  const middle = Math.floor((from + until) / 2);
  const [older, newer] = [
    await listRuns(client, repository, from, middle),
    await listRuns(client, repository, middle, until),
  ];
  return [...older, ...newer];
}

async function listCompletedJobs(
  client: GithubClient,
  clock: Clock,
  repository: RepositoryAddress,
  runId: number,
): Promise<readonly JobEvent[]> {
  const what = `list the jobs of the run ${runId} of ${repository.owner}/${repository.name}`;
  const parameters = { run_id: runId, filter: "all" };
  return client.pages({
    ...repositoryRequest(repository, "/actions/runs/{run_id}/jobs", what, parameters),
    read(data) {
      const jobs = fields(data)?.jobs;
      if (!Array.isArray(jobs)) return undefined;
      const events = list(jobs).map((job) => jobEventOf(job, repository, clock.now()));
      return events.filter((event) => event !== undefined).filter((event) => event.action === "completed");
    },
    pagesLimit: 100,
  });
}
