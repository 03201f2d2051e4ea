import type { Document } from "./document-source.ts";
import { runnerDocument, runnerGroupDocument } from "./documents.ts";
import { encodeJitConfig } from "./jit-config.ts";
import { tokenCovers } from "./model-installations.ts";
import { publicGroupId } from "./model-runners.ts";
import type { Runner, Scope } from "./model-state.ts";
import { notFound } from "./refusal.ts";
import {
  bodyFields,
  type Call,
  idParameter,
  optionalText,
  page,
  type Reply,
  type Route,
  requiredInteger,
  requiredText,
  requiredTexts,
  textParameter,
} from "./route.ts";

/** Runners of organisations and repositories: the same operations in two places. */
export const runnerRoutes: readonly Route[] = [
  ...runnerRoutesOf("/orgs/{org}", "organization_self_hosted_runners"),
  ...runnerRoutesOf("/repos/{owner}/{repo}", "administration"),
  {
    method: "GET",
    path: "/orgs/{org}/actions/runner-groups",
    access: "installation",
    permission: { name: "organization_self_hosted_runners", level: "read" },
    handle: listGroups,
  },
  {
    method: "GET",
    path: "/orgs/{org}/actions/runner-groups/{runner_group_id}",
    access: "installation",
    permission: { name: "organization_self_hosted_runners", level: "read" },
    handle: getGroup,
  },
];

function runnerRoutesOf(prefix: string, permission: string): readonly Route[] {
  const read = { name: permission, level: "read" } as const;
  const write = { name: permission, level: "write" } as const;
  const runners = `${prefix}/actions/runners`;
  const runner = `${runners}/{runner_id}`;
  return [
    {
      method: "POST",
      path: `${runners}/generate-jitconfig`,
      access: "installation",
      permission: write,
      resource: "actions_runner_registration",
      handle: generateJitConfig,
    },
    { method: "GET", path: runners, access: "installation", permission: read, handle: listRunners },
    { method: "GET", path: runner, access: "installation", permission: read, handle: getRunner },
    { method: "DELETE", path: runner, access: "installation", permission: write, handle: deleteRunner },
  ];
}

function generateJitConfig(call: Call): Reply {
  const scope = scopeOf(call);
  const fields = bodyFields(call);
  const workFolder = optionalText(fields, "work_folder");
  const runner = call.context.model.registerRunner(call.now, scope, {
    name: requiredText(fields, "name"),
    runnerGroupId: requiredInteger(fields, "runner_group_id"),
    labels: requiredTexts(fields, "labels"),
    ...(workFolder === undefined ? {} : { workFolder }),
  });
  const encoded = encodeJitConfig(runner, call.context.addresses.api);
  return { status: 201, body: { runner: describe(call, runner), encoded_jit_config: encoded } };
}

function listRunners(call: Call): Reply {
  const name = call.url.searchParams.get("name") ?? undefined;
  const runners = call.context.model.listRunners(call.now, scopeOf(call), name);
  const { items, headers } = page(call, runners);
  const body = { total_count: runners.length, runners: items.map((runner) => describe(call, runner)) };
  return { status: 200, headers, body };
}

function getRunner(call: Call): Reply {
  const runner = call.context.model.findRunner(call.now, scopeOf(call), idParameter(call, "runner_id"));
  return { status: 200, body: describe(call, runner) };
}

function deleteRunner(call: Call): Reply {
  call.context.model.deleteRunner(call.now, scopeOf(call), idParameter(call, "runner_id"));
  return { status: 204 };
}

function listGroups(call: Call): Reply {
  const scope = scopeOf(call);
  const groups = call.context.model.listRunnerGroups(scope.owner);
  const { items, headers } = page(call, groups);
  const documents = items.map((group) => runnerGroupDocument(call.context, group, publicGroupId(group)));
  return { status: 200, headers, body: { total_count: groups.length, runner_groups: documents } };
}

function getGroup(call: Call): Reply {
  const id = idParameter(call, "runner_group_id");
  const groups = call.context.model.listRunnerGroups(scopeOf(call).owner);
  const group = groups.find((candidate) => publicGroupId(candidate) === id);
  if (group === undefined) throw notFound();
  return { status: 200, body: runnerGroupDocument(call.context, group, id) };
}

function describe(call: Call, runner: Runner): Document {
  const { model, state } = call.context;
  const group = state.runnerGroups.get(runner.groupId);
  return runnerDocument(runner, group === undefined ? 1 : publicGroupId(group), model.looksBusy(runner));
}

/** The organisation or repository of the address, if the token may see it; otherwise 404. */
function scopeOf(call: Call): Scope {
  const { context, token } = call;
  const organization = call.parameters.org;
  if (organization !== undefined) {
    const installation = context.state.installations.get(token?.installationId ?? -1);
    if (installation?.accountLogin.toLowerCase() !== organization.toLowerCase()) throw notFound();
    return { kind: "organization", owner: organization };
  }
  const repository = context.model.findRepository(textParameter(call, "owner"), textParameter(call, "repo"));
  if (token === undefined || !tokenCovers(context.state, token, repository.id)) throw notFound();
  return { kind: "repository", owner: repository.owner, name: repository.name };
}
