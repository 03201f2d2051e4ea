import type { JobAction, JobEvent } from "../../core/model.ts";
import { labelLengthLimit, labelsLimit } from "../../core/webhook.ts";
import type { RepositoryAddress } from "../../ports/github.ts";
import { fields, instant, isId, list } from "./answer.ts";

const textLengthLimit = 1024;

/**
 * A job as the REST API shows it, as the event that would have told us. Undefined where an id, the labels or the
 * time of creation are missing, and where the labels are more or longer than a delivery may have: then nothing is known
 * about the job.
 *
 * | status                         | action        |
 * |--------------------------------|---------------|
 * | `queued`                       | `queued`      |
 * | `waiting`, `requested`, `pending` | `waiting`  |
 * | `in_progress`                  | `in_progress` |
 * | `completed`                    | `completed`   |
 */
export function jobEventOf(
  value: unknown,
  repository: RepositoryAddress,
  receivedAt: number,
): JobEvent | undefined {
  const job = fields(value);
  const createdAt = instant(job?.created_at) ?? instant(job?.started_at);
  const action = actionOf(job?.status);
  if (job === undefined || createdAt === undefined || action === undefined) return undefined;
  const labels = labelsOf(job.labels);
  if (!isId(job.id) || !isId(job.run_id) || labels === undefined) return undefined;

  const { owner, name, private: isPrivate, installationId } = repository;
  const startedAt = instant(job.started_at);
  const completedAt = instant(job.completed_at);
  const taken = action === "in_progress" || action === "completed";
  const runnerName = text(job.runner_name);
  return {
    action,
    id: job.id,
    repository: { owner, name, private: isPrivate },
    installationId,
    runId: job.run_id,
    runAttempt: isId(job.run_attempt) ? job.run_attempt : 1,
    name: text(job.name) ?? `job ${job.id}`,
    workflowName: text(job.workflow_name) ?? "",
    labels,
    url: text(job.html_url) ?? "",
    createdAt,
    // Before a job has started, started_at is the time at which it was queued, and a runner is a former one.
    ...(taken && startedAt !== undefined && { startedAt }),
    ...(taken && runnerName !== undefined && { runnerName }),
    ...(action === "completed" && completedAt !== undefined && { completedAt }),
    ...(action === "completed" && { conclusion: text(job.conclusion) ?? "unknown" }),
    receivedAt,
  };
}

function labelsOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const labels = list(value).filter((label): label is string => typeof label === "string" && label !== "");
  const isTooMuch = labels.length > labelsLimit || labels.some((label) => label.length > labelLengthLimit);
  return isTooMuch ? undefined : labels;
}

function actionOf(status: unknown): JobAction | undefined {
  switch (status) {
    case "queued":
    case "in_progress":
    case "completed":
      return status;
    case "waiting":
    case "requested":
    case "pending":
      return "waiting";
    default:
      return undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.slice(0, textLengthLimit) : undefined;
}
