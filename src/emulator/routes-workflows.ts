import { workflowId } from "./model-runs.ts";
import type { Repository, Run } from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";
import {
  bodyFields,
  type Call,
  type EmulatorContext,
  type Reply,
  type Route,
  requiredText,
  textParameter,
} from "./route.ts";
import { actions, repositoryOf } from "./routes-actions.ts";
import { planWorkflow } from "./workflow.ts";
import { WorkflowError } from "./workflow-error.ts";

/** Workflows that the emulator was given, and their start. */
export const workflowRoutes: readonly Route[] = [
  actions("POST", "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches", dispatch),
];

export interface WorkflowStart {
  readonly repository: Repository;
  /** The text of the workflow file. */
  readonly text: string;
  /** Its path in the repository; the dispatch finds it again by this, its file name, or its id. */
  readonly path: string;
  readonly event?: string;
  readonly branch?: string;
}

/** Starts a run of a workflow file. A file that is wrong is refused with 422 and the place of the mistake. */
export function startWorkflow(context: EmulatorContext, start: WorkflowStart): Run {
  const { repository, text, path } = start;
  try {
    const workflow = planWorkflow(text, {
      path,
      ...(context.runsOn === undefined ? {} : { runsOn: context.runsOn }),
    });
    rememberWorkflow(context, start);
    return context.model.startRun(context.now(), {
      repositoryId: repository.id,
      workflowName: workflow.name,
      workflowPath: path,
      jobs: workflow.jobs,
      ...(start.event === undefined ? {} : { event: start.event }),
      ...(start.branch === undefined ? {} : { headBranch: start.branch }),
    });
  } catch (error) {
    if (error instanceof WorkflowError) throw new GithubRefusal(422, error.message);
    throw error;
  }
}

const knownWorkflows = new WeakMap<EmulatorContext, Map<string, WorkflowStart>>();

function rememberWorkflow(context: EmulatorContext, start: WorkflowStart): void {
  const known = knownWorkflows.get(context) ?? new Map<string, WorkflowStart>();
  knownWorkflows.set(context, known);
  known.set(`${start.repository.id} ${start.path}`, start);
}

function dispatch(call: Call): Reply {
  const repository = repositoryOf(call);
  const wanted = textParameter(call, "workflow_id");
  const fields = bodyFields(call);
  const branch = requiredText(fields, "ref").replace(/^refs\/heads\//, "");
  for (const start of knownWorkflows.get(call.context)?.values() ?? []) {
    if (start.repository.id !== repository.id) continue;
    const names = [start.path, start.path.split("/").at(-1), String(workflowId(repository, start.path))];
    if (!names.includes(wanted)) continue;
    const run = startWorkflow(call.context, { ...start, event: "workflow_dispatch", branch });
    if (fields.return_run_details !== true) return { status: 204 };
    const { api, web } = call.context.addresses;
    const path = `${repository.owner}/${repository.name}/actions/runs/${run.id}`;
    const body = { workflow_run_id: run.id, run_url: `${api}/repos/${path}`, html_url: `${web}/${path}` };
    return { status: 200, body };
  }
  throw notFound();
}
