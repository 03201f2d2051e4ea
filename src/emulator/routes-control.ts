import { timestamp } from "./document-source.ts";
import { type FaultPreset, type Faults, faultPresets, noFaults } from "./model-faults.ts";
import type { Job, ModelState, Run } from "./model-state.ts";
import { GithubRefusal } from "./refusal.ts";
import {
  bodyFields,
  type Call,
  idParameter,
  optionalText,
  type Reply,
  type Route,
  requiredText,
} from "./route.ts";
import { startWorkflow } from "./routes-workflows.ts";

/** Our own surface: what a developer does to the emulated GitHub, as on its web pages. */
export const controlRoutes: readonly Route[] = [
  { method: "POST", path: "/_emulator/runs", access: "anyone", handle: startRun },
  { method: "GET", path: "/_emulator/runs", access: "anyone", handle: listRuns },
  { method: "GET", path: "/_emulator/state", access: "anyone", handle: getState },
  { method: "PUT", path: "/_emulator/faults", access: "anyone", handle: setFaults },
  { method: "POST", path: "/_emulator/jobs/{job_id}/approve", access: "anyone", handle: approve },
  { method: "POST", path: "/_emulator/jobs/{job_id}/reject", access: "anyone", handle: reject },
  { method: "POST", path: "/_emulator/installations/{id}/suspend", access: "anyone", handle: suspend },
  { method: "POST", path: "/_emulator/installations/{id}/unsuspend", access: "anyone", handle: unsuspend },
  { method: "POST", path: "/_emulator/rate-limits/exhaust", access: "anyone", handle: exhaust },
];

/** How many of everything there are. Runs that only exist to steal a runner are counted apart. */
interface EmulatorSummary {
  readonly runs: { readonly going: number; readonly completed: number; readonly foreign: number };
  readonly jobs: Readonly<Record<Job["status"], number>>;
  readonly conclusions: Readonly<Record<string, number>>;
  readonly runners: { readonly registered: number; readonly online: number; readonly busy: number };
  readonly deliveries: { readonly sent: number; readonly failed: number };
}

function summarize(state: ModelState): EmulatorSummary {
  const runs = { going: 0, completed: 0, foreign: 0 };
  for (const run of state.runs.values()) {
    if (run.foreign) runs.foreign += 1;
    else runs[run.status === "completed" ? "completed" : "going"] += 1;
  }
  const jobs = { waiting: 0, queued: 0, in_progress: 0, completed: 0 };
  const conclusions: Record<string, number> = {};
  for (const job of state.jobs.values()) {
    if (state.runs.get(job.runId)?.foreign === true) continue;
    jobs[job.status] += 1;
    if (job.conclusion !== undefined) conclusions[job.conclusion] = (conclusions[job.conclusion] ?? 0) + 1;
  }
  const runners = [...state.runners.values()];
  const sent = [...state.deliveries.values()].filter((delivery) => delivery.deliveredAt !== undefined);
  return {
    runs,
    jobs,
    conclusions,
    runners: {
      registered: runners.length,
      online: runners.filter((runner) => runner.online).length,
      busy: runners.filter((runner) => runner.jobId !== undefined).length,
    },
    deliveries: {
      sent: sent.length,
      failed: sent.filter((delivery) => delivery.statusCode >= 400).length,
    },
  };
}

function startRun(call: Call): Reply {
  const fields = bodyFields(call);
  const [owner, name, ...more] = requiredText(fields, "repository").split("/");
  if (owner === undefined || name === undefined || more.length > 0) {
    throw new GithubRefusal(422, "The repository has to be written as owner/name.");
  }
  const { model } = call.context;
  const event = optionalText(fields, "event");
  const branch = optionalText(fields, "branch");
  const run = startWorkflow(call.context, {
    repository: model.addRepository(call.now, { owner, name }),
    text: requiredText(fields, "workflow"),
    path: optionalText(fields, "path") ?? ".github/workflows/ci.yml",
    ...(event === undefined ? {} : { event }),
    ...(branch === undefined ? {} : { branch }),
  });
  return { status: 201, body: describeRun(call, run) };
}

function listRuns(call: Call): Reply {
  return { status: 200, body: [...call.context.state.runs.values()].map((run) => describeRun(call, run)) };
}

function getState(call: Call): Reply {
  return { status: 200, body: summarize(call.context.state) };
}

function setFaults(call: Call): Reply {
  const { preset, ...changes } = bodyFields(call);
  const { model, state } = call.context;
  if (preset !== undefined && !isPreset(preset)) {
    throw new GithubRefusal(422, "The presets are none, light and heavy.");
  }
  const base: Faults = preset === undefined ? state.faults : faultPresets[preset];
  for (const [name, value] of Object.entries(changes)) {
    if (name in noFaults && typeof value === "number" && value >= 0) continue;
    throw new GithubRefusal(422, `There is no fault ${name} with the value ${JSON.stringify(value)}.`);
  }
  model.setFaults({ ...base, ...changes });
  return { status: 200, body: state.faults };
}

function isPreset(value: unknown): value is FaultPreset {
  return value === "none" || value === "light" || value === "heavy";
}

function approve(call: Call): Reply {
  call.context.model.approveJob(call.now, idParameter(call, "job_id"));
  return { status: 200, body: {} };
}

function reject(call: Call): Reply {
  call.context.model.rejectJob(call.now, idParameter(call, "job_id"));
  return { status: 200, body: {} };
}

function suspend(call: Call): Reply {
  call.context.model.suspendInstallation(call.now, idParameter(call, "id"), true);
  return { status: 200, body: {} };
}

function unsuspend(call: Call): Reply {
  call.context.model.suspendInstallation(call.now, idParameter(call, "id"), false);
  return { status: 200, body: {} };
}

function exhaust(call: Call): Reply {
  const fields = bodyFields(call);
  const resource = optionalText(fields, "resource") === "core" ? "core" : "actions_runner_registration";
  call.context.model.exhaustRateLimit(call.now, requiredText(fields, "caller"), resource);
  return { status: 200, body: {} };
}

function describeRun(call: Call, run: Run): Readonly<Record<string, unknown>> {
  const jobs = call.context.model.jobsOf(run, "latest");
  return {
    id: run.id,
    workflow: run.workflowName,
    attempt: run.attempt,
    status: run.status,
    conclusion: run.conclusion ?? null,
    created_at: timestamp(run.createdAt),
    foreign: run.foreign,
    jobs: jobs.map((job) => ({
      id: job.id,
      name: job.planned.name,
      labels: job.planned.labels,
      status: job.status,
      conclusion: job.conclusion ?? null,
      runner_name: job.runnerName ?? null,
    })),
  };
}
