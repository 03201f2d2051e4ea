import { repositoryOf } from "./document-source.ts";
import type { Job, ModelState } from "./model-state.ts";
import type { PlannedJob } from "./planned-job.ts";

/** What a runner is told about the job that it was assigned. */
export interface JobMessage {
  readonly jobId: number;
  readonly runId: number;
  readonly runNumber: number;
  readonly attempt: number;
  readonly repository: string;
  readonly workflow: string;
  readonly event: string;
  readonly branch: string;
  readonly sha: string;
  readonly actor: string;
  readonly planned: PlannedJob;
  /** Each needed job by its key; a matrix counts as one, with the worst of its conclusions. */
  readonly needs: Readonly<Record<string, NeededJob>>;
}

interface NeededJob {
  readonly result: string;
  readonly outputs: Readonly<Record<string, string>>;
}

export function jobMessage(state: ModelState, job: Job): JobMessage {
  const repository = repositoryOf(state, job.repositoryId);
  const run = state.runs.get(job.runId);
  if (run === undefined) throw new Error(`The model has no run ${job.runId}.`);
  const needs: Record<string, NeededJob> = {};
  for (const other of run.current) {
    if (other === undefined || !job.planned.needs.includes(other.planned.key)) continue;
    const earlier = needs[other.planned.key] ?? { result: "success", outputs: {} };
    needs[other.planned.key] = {
      result: earlier.result === "success" ? (other.conclusion ?? "success") : earlier.result,
      outputs: { ...earlier.outputs, ...other.outputs },
    };
  }
  return {
    jobId: job.id,
    runId: job.runId,
    runNumber: run.number,
    attempt: job.attempt,
    repository: `${repository.owner}/${repository.name}`,
    workflow: run.workflowName,
    event: run.event,
    branch: run.headBranch,
    sha: run.headSha,
    actor: run.actorLogin,
    planned: job.planned,
    needs,
  };
}
