import { clientId } from "./app-authentication.ts";
import {
  accountOf,
  type Document,
  type DocumentSource,
  nodeId,
  repositoryOf,
  timestamp,
} from "./document-source.ts";
import { repositoryDocument, userDocument } from "./documents-accounts.ts";
import type {
  App,
  CheckRun,
  Delivery,
  Installation,
  InstallationToken,
  Job,
  JobStep,
  Run,
  Runner,
  RunnerGroup,
} from "./model-state.ts";

export function runDocument(source: DocumentSource, run: Run): Document {
  const repository = repositoryOf(source.state, run.repositoryId);
  const api = `${source.addresses.api}/repos/${repository.owner}/${repository.name}`;
  const url = `${api}/actions/runs/${run.id}`;
  const actor = userDocument(source.addresses, { id: 319_655, login: run.actorLogin, kind: "User" });
  return {
    id: run.id,
    name: run.workflowName,
    node_id: nodeId("WorkflowRun", run.id),
    head_branch: run.headBranch,
    head_sha: run.headSha,
    path: run.workflowPath,
    display_title: run.title,
    run_number: run.number,
    event: run.event,
    status: run.status,
    conclusion: run.conclusion ?? null,
    workflow_id: run.workflowId,
    check_suite_id: run.id - 1_000_000,
    check_suite_node_id: nodeId("CheckSuite", run.id - 1_000_000),
    url,
    html_url: `${source.addresses.web}/${repository.owner}/${repository.name}/actions/runs/${run.id}`,
    pull_requests: [],
    created_at: timestamp(run.createdAt),
    updated_at: timestamp(run.updatedAt),
    actor,
    run_attempt: run.attempt,
    referenced_workflows: [],
    run_started_at: timestamp(run.attemptStartedAt),
    triggering_actor: actor,
    jobs_url: `${url}/jobs`,
    logs_url: `${url}/logs`,
    check_suite_url: `${api}/check-suites/${run.id - 1_000_000}`,
    artifacts_url: `${url}/artifacts`,
    cancel_url: `${url}/cancel`,
    rerun_url: `${url}/rerun`,
    previous_attempt_url: run.attempt > 1 ? `${url}/attempts/${run.attempt - 1}` : null,
    workflow_url: `${api}/actions/workflows/${run.workflowId}`,
    head_commit: commitDocument(run),
    repository: repositoryDocument(source, repository),
    head_repository: repositoryDocument(source, repository),
  };
}

/** A job as the REST API and the webhook show it: `runs-on` labels only, and no runner before it has one. */
export function jobDocument(source: DocumentSource, job: Readonly<Job>): Document {
  const repository = repositoryOf(source.state, job.repositoryId);
  const run = source.state.runs.get(job.runId);
  const path = `${repository.owner}/${repository.name}`;
  const api = `${source.addresses.api}/repos/${path}`;
  const hasRunner = job.runnerName !== undefined;
  return {
    id: job.id,
    run_id: job.runId,
    workflow_name: run?.workflowName ?? null,
    head_branch: run?.headBranch ?? null,
    run_url: `${api}/actions/runs/${job.runId}`,
    run_attempt: job.attempt,
    node_id: nodeId("CheckRun", job.id),
    head_sha: run?.headSha ?? "",
    url: `${api}/actions/jobs/${job.id}`,
    html_url: `${source.addresses.web}/${path}/actions/runs/${job.runId}/job/${job.id}`,
    status: job.status,
    conclusion: job.conclusion ?? null,
    created_at: timestamp(job.createdAt),
    started_at: timestamp(job.startedAt ?? job.createdAt),
    completed_at: timestampOrNull(job.completedAt),
    name: job.planned.name,
    steps: job.steps.map(stepDocument),
    check_run_url: `${api}/check-runs/${job.id}`,
    labels: job.planned.labels,
    runner_id: hasRunner ? (job.runnerId ?? null) : null,
    runner_name: job.runnerName ?? null,
    runner_group_id: job.runnerGroupId ?? null,
    runner_group_name: job.runnerGroupName ?? null,
  };
}

/** `busy` is given by the caller, because a fault can make it wrong. */
export function runnerDocument(runner: Runner, groupId: number, busy: boolean): Document {
  return {
    id: runner.id,
    name: runner.name,
    os: runner.operatingSystem,
    status: runner.online ? "online" : "offline",
    busy,
    ephemeral: true,
    ...(runner.version === undefined ? {} : { version: runner.version }),
    runner_group_id: groupId,
    labels: runner.labels.map((name, index) => ({
      id: index + 1,
      name,
      type: ownLabels.has(name.toLowerCase()) ? "read-only" : "custom",
    })),
  };
}

export function runnerGroupDocument(source: DocumentSource, group: RunnerGroup, id: number): Document {
  const url = `${source.addresses.api}/orgs/${group.owner}/actions/runner-groups/${id}`;
  return {
    id,
    name: group.name,
    visibility: group.visibility,
    default: group.isDefault,
    ...(group.visibility === "selected" ? { selected_repositories_url: `${url}/repositories` } : {}),
    runners_url: `${url}/runners`,
    hosted_runners_url: `${url}/hosted-runners`,
    inherited: false,
    allows_public_repositories: group.allowsPublicRepositories,
    restricted_to_workflows: false,
    selected_workflows: [],
    workflow_restrictions_read_only: false,
  };
}

export function appDocument(source: DocumentSource, app: App): Document {
  return {
    id: app.id,
    client_id: clientId(app.id),
    slug: app.slug,
    node_id: nodeId("App", app.id),
    owner: userDocument(source.addresses, accountOf(source.state, app.ownerLogin)),
    name: app.name,
    description: "",
    external_url: `${source.addresses.web}/${app.slug}`,
    html_url: `${source.addresses.web}/apps/${app.slug}`,
    created_at: timestamp(app.createdAt),
    updated_at: timestamp(app.createdAt),
    permissions: app.permissions,
    events: app.events,
    installations_count: source.state.installations.size,
  };
}

export function installationDocument(source: DocumentSource, installation: Installation): Document {
  const { api, web } = source.addresses;
  const account = accountOf(source.state, installation.accountLogin);
  const suspended = installation.suspendedAt !== undefined;
  return {
    id: installation.id,
    account: userDocument(source.addresses, account),
    repository_selection: installation.repositories === "all" ? "all" : "selected",
    access_tokens_url: `${api}/app/installations/${installation.id}/access_tokens`,
    repositories_url: `${api}/installation/repositories`,
    html_url: `${web}/organizations/${account.login}/settings/installations/${installation.id}`,
    app_id: source.state.app.id,
    app_slug: source.state.app.slug,
    target_id: account.id,
    target_type: account.kind,
    permissions: installation.permissions,
    events: installation.events,
    created_at: timestamp(installation.createdAt),
    updated_at: timestamp(installation.suspendedAt ?? installation.createdAt),
    single_file_name: null,
    has_multiple_single_files: false,
    single_file_paths: [],
    suspended_by: suspended ? userDocument(source.addresses, account) : null,
    suspended_at: timestampOrNull(installation.suspendedAt),
  };
}

export function tokenDocument(source: DocumentSource, token: InstallationToken): Document {
  const ids = token.repositoryIds;
  return {
    token: token.text,
    expires_at: timestamp(token.expiresAt),
    permissions: token.permissions,
    repository_selection: ids === undefined ? "all" : "selected",
    ...(ids === undefined
      ? {}
      : {
          repositories: [...ids].map((id) => repositoryDocument(source, repositoryOf(source.state, id))),
        }),
  };
}

export function deliveryDocument(delivery: Delivery): Document {
  return {
    id: delivery.id,
    guid: delivery.guid,
    delivered_at: timestamp(delivery.deliveredAt ?? 0),
    redelivery: delivery.isRedelivery,
    duration: delivery.durationSeconds,
    status: delivery.status,
    status_code: delivery.statusCode,
    event: delivery.event.name,
    action: delivery.event.action,
    installation_id: delivery.installationId,
    repository_id: delivery.repositoryId ?? null,
    throttled_at: null,
  };
}

export function checkRunDocument(source: DocumentSource, check: CheckRun): Document {
  const repository = repositoryOf(source.state, check.repositoryId);
  const path = `${repository.owner}/${repository.name}`;
  const url = `${source.addresses.api}/repos/${path}/check-runs/${check.id}`;
  return {
    id: check.id,
    head_sha: check.headSha,
    node_id: nodeId("CheckRun", check.id),
    external_id: check.externalId,
    url,
    html_url: `${source.addresses.web}/${path}/runs/${check.id}`,
    details_url: check.detailsUrl ?? null,
    status: check.status,
    conclusion: check.conclusion ?? null,
    started_at: timestampOrNull(check.startedAt),
    completed_at: timestampOrNull(check.completedAt),
    output: {
      title: check.title ?? null,
      summary: check.summary ?? null,
      text: check.text ?? null,
      annotations_count: 0,
      annotations_url: `${url}/annotations`,
    },
    name: check.name,
    check_suite: { id: check.id - 1_000_000 },
    app: appDocument(source, source.state.app),
    pull_requests: [],
  };
}

const ownLabels = new Set(["self-hosted", "linux", "windows", "macos", "x64", "arm", "arm64"]);

function timestampOrNull(instant: number | undefined): string | null {
  return instant === undefined ? null : timestamp(instant);
}

function stepDocument(step: JobStep): Document {
  return {
    name: step.name,
    status: step.status,
    conclusion: step.conclusion ?? null,
    number: step.number,
    started_at: timestampOrNull(step.startedAt),
    completed_at: timestampOrNull(step.completedAt),
  };
}

function commitDocument(run: Run): Document {
  const person = { name: "Mona Lisa", email: "octocat@example.com" };
  return {
    id: run.headSha,
    tree_id: run.headSha,
    message: run.title,
    timestamp: timestamp(run.createdAt),
    author: person,
    committer: person,
  };
}
