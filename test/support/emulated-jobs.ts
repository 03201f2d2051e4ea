import type { GithubModel } from "../../src/emulator/model.ts";
import type { Conclusion, Job } from "../../src/emulator/model-state.ts";
import { plannedJob } from "../../src/emulator/planned-job.ts";

export interface PastJob {
  /** When it is queued, in milliseconds since the epoch; no two jobs overlap. */
  readonly at: number;
  readonly seconds: number;
  readonly labels?: readonly string[];
  readonly conclusion?: Conclusion;
}

/** So long a job waits for its runner. */
const waitSeconds = 30;

/** A job of octo-org/demo that runs from its beginning to its end, on a runner of the organisation. */
export function runJob(model: GithubModel, job: PastJob): Job {
  const labels = job.labels ?? ["self-hosted", "linux"];
  const run = model.startRun(job.at, {
    repositoryId: model.findRepository("octo-org", "demo").id,
    workflowName: "CI",
    workflowPath: ".github/workflows/ci.yml",
    jobs: [plannedJob({ labels })],
  });
  const started = job.at + waitSeconds * 1_000;
  const scope = { kind: "organization", owner: "octo-org" } as const;
  const runner = model.registerRunner(started - 1_000, scope, {
    name: `runner-${run.id}`,
    runnerGroupId: 1,
    labels,
  });
  model.connectRunner(started - 1_000, runner.id);
  const [planned] = run.current;
  if (planned === undefined) throw new Error("The run has no job.");
  model.pickUpJob(started, runner.id, planned.id);
  model.finishJob(started + job.seconds * 1_000, runner.id, planned.id, job.conclusion ?? "success");
  return planned;
}
