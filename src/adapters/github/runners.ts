import type { Scope } from "../../core/model.ts";
import { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Github, MintRequest, MintResult, Runner } from "../../ports/github.ts";
import { type Answer, fields, isId, list, messageOf } from "./answer.ts";
import type { GithubClient, GithubRequest } from "./client.ts";
import { brokenAnswerError, type Purpose, refusalError, refusalsOfAll } from "./errors.ts";

/** The part of the port that is about runners: mint, fence, list. */
export function createRunnerRequests(
  client: GithubClient,
  clock: Clock,
): Pick<Github, "mintRunner" | "findRunner" | "deleteRunner" | "listRunners"> {
  const groups = createGroupNames(client, clock);
  const reach = createReachMemory(clock);

  return {
    async mintRunner(request) {
      const groupId = await groups.find(request);
      if (typeof groupId !== "number") return groupId;
      const answer = await client.call(mintRequest(request, groupId));
      const result = readMintResult(answer, request, clock.now());
      if (result.kind === "minted") reach.saw(request.scope);
      // A group that was deleted and made again has another id.
      if (answer.status === 404) groups.forget(request.scope);
      return result;
    },

    async findRunner(scope, name) {
      const runners = await client.pages({
        ...scopeRequest(scope, "GET", "/actions/runners", `find the runner ${name} in ${scopeName(scope)}`),
        priority: "fence",
        ...withParameters(scope, { name }),
        read: readRunners,
        pagesLimit: 10,
      });
      reach.saw(scope);
      return runners.find((runner) => runner.name === name);
    },

    async deleteRunner(scope, runnerId) {
      const what = `remove the runner ${runnerId} from ${scopeName(scope)}`;
      const { status } = await client.call({
        ...scopeRequest(scope, "DELETE", "/actions/runners/{runner_id}", what),
        ...withParameters(scope, { runner_id: runnerId }),
        priority: "fence",
        accept: [404, 422],
      });
      if (status === 422) return "running-a-job";
      if (status !== 404) {
        reach.saw(scope);
        return "deleted";
      }
      // 404 is also what GitHub says when we may no longer see the scope. Then the runner may exist and run a
      // job, so it is believed only of a scope that we could see a moment ago.
      if (!reach.isRecent(scope)) {
        await client.call({
          ...scopeRequest(scope, "GET", "/actions/runners", `list the runners of ${scopeName(scope)}`),
          ...withParameters(scope, { per_page: 1 }),
          priority: "fence",
        });
        reach.saw(scope);
      }
      return "absent";
    },

    listRunners: (scope) =>
      client.pages({
        ...scopeRequest(scope, "GET", "/actions/runners", `list the runners of ${scopeName(scope)}`),
        priority: "sweep",
        read: readRunners,
        pagesLimit: 200,
        conditional: true,
      }),
  };
}

// -------------------------------------------------------------------------------------------------- mint

function mintRequest(request: MintRequest, groupId: number): GithubRequest {
  const what = `register the runner ${request.name} in ${scopeName(request.scope)}`;
  return {
    ...scopeRequest(request.scope, "POST", "/actions/runners/generate-jitconfig", what),
    ...withParameters(request.scope, {
      name: request.name,
      runner_group_id: groupId,
      labels: request.labels,
      work_folder: "_work",
    }),
    priority: "mint",
    resource: "actions_runner_registration",
    accept: [403, 404, 409, 422],
  };
}

function readMintResult(answer: Answer, request: MintRequest, now: number): MintResult {
  if (answer.status >= 400) return mintRefusal(answer, mintRequest(request, 0), now);
  const body = fields(answer.data);
  const runnerId = fields(body?.runner)?.id;
  const jitConfig = body?.encoded_jit_config;
  if (isId(runnerId) && typeof jitConfig === "string" && jitConfig !== "") {
    return { kind: "minted", runnerId, jitConfig: new Secret(jitConfig) };
  }
  throw brokenAnswerError(mintRequest(request, 0), "it has no runner with a JIT configuration");
}

/** What a refused registration means. A suspended installation or a full group is nothing that this one job is refused for. */
export function mintRefusal(answer: Answer, purpose: Purpose, now: number): MintResult {
  const { status } = answer;
  if (status === 409) return { kind: "name-taken" };
  const error = refusalError(answer, purpose, now);
  if (refusalsOfAll.has(error.code)) throw error;
  return { kind: "refused", status, message: messageOf(answer) };
}

// ------------------------------------------------------------------------------------------------ groups

const groupsKeptMilliseconds = 5 * 60_000;
const defaultGroupId = 1;

interface GroupNames {
  /** The id of the request's runner group, or why there is none. */
  find(request: MintRequest): Promise<number | Extract<MintResult, { kind: "refused" }>>;
  forget(scope: Scope): void;
}

/** Runner groups by name. The default one has the id 1 everywhere, which is known without a request. */
function createGroupNames(client: GithubClient, clock: Clock): GroupNames {
  const cached = new Map<string, { readonly until: number; readonly ids: ReadonlyMap<string, number> }>();
  const read = async (scope: Scope): Promise<ReadonlyMap<string, number>> => {
    const known = cached.get(scopeKey(scope));
    if (known !== undefined && clock.now() < known.until) return known.ids;
    const what = `list the runner groups of ${scopeName(scope)}`;
    const groups = await client.pages({
      ...scopeRequest(scope, "GET", "/actions/runner-groups", what),
      priority: "mint",
      read: readGroups,
      pagesLimit: 20,
    });
    const ids = new Map(groups.map(({ name, id }) => [name.toLowerCase(), id]));
    cached.set(scopeKey(scope), { until: clock.now() + groupsKeptMilliseconds, ids });
    return ids;
  };
  return {
    async find({ scope, runnerGroup }) {
      const name = runnerGroup.toLowerCase();
      if (name === "default") return defaultGroupId;
      if (scope.kind === "repository") {
        const message = `A repository has only the default runner group, not ${runnerGroup}.`;
        return { kind: "refused", status: 422, message };
      }
      const id = (await read(scope)).get(name);
      if (id !== undefined) return id;
      const message = `There is no runner group ${runnerGroup} in ${scope.owner}, or the App may not see it.`;
      return { kind: "refused", status: 404, message };
    },
    forget: (scope) => cached.delete(scopeKey(scope)),
  };
}

function readGroups(data: unknown): readonly { readonly name: string; readonly id: number }[] | undefined {
  const groups = fields(data)?.runner_groups;
  if (!Array.isArray(groups)) return undefined;
  return list(groups).flatMap((entry) => {
    const group = fields(entry);
    return typeof group?.name === "string" && isId(group.id) ? [{ name: group.name, id: group.id }] : [];
  });
}

// ------------------------------------------------------------------------------------------------ scopes

function scopeRequest(
  scope: Scope,
  method: GithubRequest["method"],
  path: string,
  what: string,
): Pick<GithubRequest, "caller" | "method" | "endpoint" | "parameters" | "what" | "permission"> & {
  readonly permission: string;
} {
  const organization = scope.kind === "organization";
  return {
    caller: scope.installationId,
    method,
    endpoint: `${organization ? "/orgs/{org}" : "/repos/{owner}/{repo}"}${path}`,
    what,
    permission: organization ? "organization_self_hosted_runners: write" : "administration: write",
    ...withParameters(scope, {}),
  };
}

function withParameters(
  scope: Scope,
  more: Readonly<Record<string, unknown>>,
): Pick<GithubRequest, "parameters"> {
  const own = scope.kind === "organization" ? { org: scope.owner } : { owner: scope.owner, repo: scope.name };
  return { parameters: { ...more, ...own } };
}

function scopeName(scope: Scope): string {
  return scope.kind === "organization" ? scope.owner : `${scope.owner}/${scope.name}`;
}

function scopeKey(scope: Scope): string {
  return `${scope.installationId}:${scopeName(scope).toLowerCase()}`;
}

const reachMilliseconds = 60_000;

/** When each scope was last seen to exist and to be open to us. */
function createReachMemory(clock: Clock): { saw(scope: Scope): void; isRecent(scope: Scope): boolean } {
  const seen = new Map<string, number>();
  return {
    saw: (scope) => seen.set(scopeKey(scope), clock.now()),
    isRecent: (scope) => clock.now() - (seen.get(scopeKey(scope)) ?? 0) < reachMilliseconds,
  };
}

function readRunners(data: unknown): readonly Runner[] | undefined {
  const entries = fields(data)?.runners;
  if (!Array.isArray(entries)) return undefined;
  const runners: Runner[] = [];
  for (const entry of entries) {
    const runner = fields(entry);
    // One runner that cannot be read could be the one that matters: then the page is not used at all.
    if (runner === undefined || !isId(runner.id) || typeof runner.name !== "string") return undefined;
    runners.push({
      id: runner.id,
      name: runner.name,
      online: runner.status === "online",
      busy: runner.busy === true,
    });
  }
  return runners;
}
