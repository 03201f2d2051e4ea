import type { Clock } from "../../ports/clock.ts";
import type { Github, RepositoryAddress, RerunResult } from "../../ports/github.ts";
import { type Answer, fields, isId, messageOf } from "./answer.ts";
import type { GithubClient, GithubRequest } from "./client.ts";
import { brokenAnswerError, type Purpose, refusalError } from "./errors.ts";
import { listJobs, nameOf, repositoryRequest } from "./jobs.ts";

/** The part of the port that is about whole runs. */
export function createRunRequests(
  client: GithubClient,
  clock: Clock,
): Pick<Github, "getRun" | "listRunJobs" | "rerun"> {
  return {
    async getRun(repository, runId) {
      const request = runRequest(repository, runId);
      const answer = await client.call(request);
      if (answer.status === 404) return undefined;
      const run = fields(answer.data);
      if (run === undefined || !isId(run.run_attempt) || typeof run.status !== "string") {
        throw brokenAnswerError(request, "it is not a run");
      }
      const { conclusion } = run;
      return {
        attempt: run.run_attempt,
        ended: run.status === "completed",
        ...(typeof conclusion === "string" && { conclusion }),
      };
    },

    async listRunJobs(repository, runId) {
      const now = clock.now();
      return (await listJobs(client, repository, runId)).map((job) => ({ ...job, receivedAt: now }));
    },

    async rerun(repository, runId, which) {
      const request = rerunRequest(repository, runId, which);
      const answer = await client.call(request);
      return answer.status < 300 ? { kind: "started" } : rerunRefusal(answer, request, clock.now());
    },
  };
}

function runRequest(repository: RepositoryAddress, runId: number): GithubRequest {
  const what = `show the run ${runId} of ${nameOf(repository)}`;
  return {
    ...repositoryRequest(repository, "/actions/runs/{run_id}", what, { run_id: runId }),
    accept: [404],
  };
}

function rerunRequest(
  repository: RepositoryAddress,
  runId: number,
  which: "failed-jobs" | number,
): GithubRequest {
  const what = `run ${which === "failed-jobs" ? "the failed jobs" : `the job ${which}`} of the run ${runId} of ${nameOf(repository)} again`;
  const request =
    which === "failed-jobs"
      ? repositoryRequest(repository, "/actions/runs/{run_id}/rerun-failed-jobs", what, { run_id: runId })
      : repositoryRequest(repository, "/actions/jobs/{job_id}/rerun", what, { job_id: which });
  return { ...request, permission: "actions: write", method: "POST", accept: [403, 404, 409, 422] };
}

/** What a refusal to run something again means. A suspended installation is nothing that this one run is refused for. */
export function rerunRefusal(answer: Answer, purpose: Purpose, now: number): RerunResult {
  const message = messageOf(answer);
  if (answer.status === 403 && /already running/i.test(message)) return { kind: "still-running" };
  const error = refusalError(answer, purpose, now);
  if (error.code === "GITHUB_INSTALLATION_SUSPENDED") throw error;
  return { kind: "refused", message: error.message };
}
