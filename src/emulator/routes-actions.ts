import { checkRunDocument, jobDocument, runDocument } from "./documents.ts";
import { tokenCovers } from "./model-installations.ts";
import type { CheckRun, Job, Repository, Run } from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";
import {
  bodyFields,
  type Call,
  idParameter,
  optionalText,
  page,
  type Reply,
  type Route,
  requiredText,
  textParameter,
} from "./route.ts";

const repositoryPath = "/repos/{owner}/{repo}";
const runPath = `${repositoryPath}/actions/runs/{run_id}`;
const jobPath = `${repositoryPath}/actions/jobs/{job_id}`;

/** Runs, jobs and check runs of a repository. */
export const actionsRoutes: readonly Route[] = [
  actions("GET", `${repositoryPath}/actions/runs`, listRuns),
  actions("GET", runPath, (call) => ({ status: 200, body: runDocument(call.context, runOf(call)) })),
  actions("GET", `${runPath}/jobs`, listJobs),
  actions("GET", `${runPath}/attempts/{attempt_number}/jobs`, listJobsOfAttempt),
  actions("GET", jobPath, (call) => ({ status: 200, body: jobDocument(call.context, jobOf(call)) })),
  actions("POST", `${runPath}/rerun`, (call) => changeRun(call, 201, "rerunRun")),
  actions("POST", `${runPath}/rerun-failed-jobs`, (call) => changeRun(call, 201, "rerunFailedJobs")),
  actions("POST", `${runPath}/cancel`, (call) => changeRun(call, 202, "cancelRun")),
  actions("POST", `${runPath}/force-cancel`, (call) => changeRun(call, 202, "forceCancelRun")),
  actions("POST", `${jobPath}/rerun`, rerunJob),
  {
    method: "POST",
    path: `${repositoryPath}/check-runs`,
    access: "installation",
    permission: { name: "checks", level: "write" },
    handle: createCheckRun,
  },
  {
    method: "PATCH",
    path: `${repositoryPath}/check-runs/{check_run_id}`,
    access: "installation",
    permission: { name: "checks", level: "write" },
    handle: updateCheckRun,
  },
];

/** An operation that needs `actions`: reading for GET, writing for everything else. */
export function actions(method: Route["method"], path: string, handle: Route["handle"]): Route {
  const level = method === "GET" ? "read" : "write";
  return { method, path, access: "installation", permission: { name: "actions", level }, handle };
}

/** The repository of the address, if the token may see it; otherwise 404. */
export function repositoryOf(call: Call): Repository {
  const { context, token } = call;
  const repository = context.model.findRepository(textParameter(call, "owner"), textParameter(call, "repo"));
  if (token === undefined || !tokenCovers(context.state, token, repository.id)) throw notFound();
  return repository;
}

function runOf(call: Call): Run {
  const repository = repositoryOf(call);
  const run = call.context.model.findRun(idParameter(call, "run_id"));
  if (run.repositoryId !== repository.id) throw notFound();
  return run;
}

function jobOf(call: Call): Job {
  const repository = repositoryOf(call);
  const job = call.context.model.findJob(idParameter(call, "job_id"));
  if (job.repositoryId !== repository.id) throw notFound();
  return job;
}

/** Newest first, and never more than 1,000 for one search. */
function listRuns(call: Call): Reply {
  const repository = repositoryOf(call);
  const query = call.url.searchParams;
  const status = query.get("status");
  const branch = query.get("branch");
  const event = query.get("event");
  const created = createdFilter(query.get("created") ?? "");
  const runs = [...call.context.state.runs.values()]
    .filter((run) => run.repositoryId === repository.id)
    .filter((run) => status === null || run.status === status || run.conclusion === status)
    .filter((run) => branch === null || run.headBranch === branch)
    .filter((run) => event === null || run.event === event)
    .filter((run) => created(run.createdAt))
    .reverse();
  const { items, headers } = page(call, runs.slice(0, 1000));
  const documents = items.map((run) => runDocument(call.context, run));
  return { status: 200, headers, body: { total_count: runs.length, workflow_runs: documents } };
}

/**
 * The search syntax of dates: `from..until`, both included, `>=from`, `<=until` or one day. GitHub keeps seconds, so
 * what happened within a second is found by that second.
 */
function createdFilter(text: string): (instant: number) => boolean {
  if (text === "") return () => true;
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z..${text}T23:59:59Z` : text;
  const [from = "", until = ""] = day.startsWith(">=")
    ? [day.slice(2)]
    : day.startsWith("<=")
      ? ["", day.slice(2)]
      : day.split("..");
  const [first, last] = [Date.parse(from || "1970-01-01"), Date.parse(until || "9999-01-01")];
  if (Number.isNaN(first) || Number.isNaN(last)) throw new GithubRefusal(422, "Invalid created");
  return (instant) => instant >= first && Math.floor(instant / 1000) * 1000 <= last;
}

function listJobs(call: Call): Reply {
  const run = runOf(call);
  const filter = call.url.searchParams.get("filter") === "all" ? "all" : "latest";
  return answerJobs(call, call.context.model.jobsOf(run, filter));
}

function listJobsOfAttempt(call: Call): Reply {
  const attempt = idParameter(call, "attempt_number");
  const run = runOf(call);
  if (attempt < 1 || attempt > run.attempt) throw notFound();
  const jobs = call.context.model.jobsOf(run, "all");
  return answerJobs(
    call,
    jobs.filter((job) => job.attempt === attempt),
  );
}

function answerJobs(call: Call, jobs: readonly Job[]): Reply {
  const { items, headers } = page(call, jobs);
  const documents = items.map((job) => jobDocument(call.context, job));
  return { status: 200, headers, body: { total_count: jobs.length, jobs: documents } };
}

function changeRun(
  call: Call,
  status: number,
  change: "rerunRun" | "rerunFailedJobs" | "cancelRun" | "forceCancelRun",
): Reply {
  call.context.model[change](call.now, runOf(call).id);
  return { status, body: {} };
}

function rerunJob(call: Call): Reply {
  call.context.model.rerunJob(call.now, jobOf(call).id);
  return { status: 201, body: {} };
}

function createCheckRun(call: Call): Reply {
  const { state } = call.context;
  const fields = bodyFields(call);
  const check: CheckRun = {
    id: state.identifiers.checkRun++,
    repositoryId: repositoryOf(call).id,
    headSha: requiredText(fields, "head_sha"),
    name: requiredText(fields, "name"),
    status: "queued",
    conclusion: undefined,
    externalId: "",
    detailsUrl: undefined,
    startedAt: call.now,
    completedAt: undefined,
    title: undefined,
    summary: undefined,
    text: undefined,
  };
  fillCheckRun(call, check, fields);
  state.checkRuns.set(check.id, check);
  return { status: 201, body: checkRunDocument(call.context, check) };
}

function updateCheckRun(call: Call): Reply {
  const repository = repositoryOf(call);
  const check = call.context.state.checkRuns.get(idParameter(call, "check_run_id"));
  if (check?.repositoryId !== repository.id) throw notFound();
  const fields = bodyFields(call);
  check.name = optionalText(fields, "name") ?? check.name;
  fillCheckRun(call, check, fields);
  return { status: 200, body: checkRunDocument(call.context, check) };
}

function fillCheckRun(call: Call, check: CheckRun, fields: Readonly<Record<string, unknown>>): void {
  const status = optionalText(fields, "status");
  const conclusion = optionalText(fields, "conclusion");
  if (status === "completed" && conclusion === undefined) {
    throw new GithubRefusal(422, 'Invalid request.\n\n"conclusion" wasn\'t supplied.');
  }
  if (status === "queued" || status === "in_progress" || status === "completed") check.status = status;
  if (conclusion !== undefined) {
    check.status = "completed";
    check.conclusion = conclusion;
    check.completedAt = call.now;
  }
  check.externalId = optionalText(fields, "external_id") ?? check.externalId;
  check.detailsUrl = optionalText(fields, "details_url") ?? check.detailsUrl;
  const { output } = fields;
  if (typeof output === "object" && output !== null) {
    const shown: Readonly<Record<string, unknown>> = { ...output };
    check.title = requiredText(shown, "title");
    check.summary = requiredText(shown, "summary");
    check.text = optionalText(shown, "text") ?? check.text;
  }
}
