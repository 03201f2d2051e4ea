import { announceInstallation, coversRepository } from "./model-deliveries.ts";
import type {
  Account,
  Installation,
  InstallationToken,
  ModelState,
  Repository,
  RunnerGroup,
} from "./model-state.ts";
import { repositoryKey } from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";

/** Adds an organisation or a user, with the default runner group. Adding one twice changes nothing. */
export function addAccount(state: ModelState, login: string, kind: Account["kind"]): Account {
  const known = state.accounts.get(login.toLowerCase());
  if (known !== undefined) return known;
  const account: Account = { id: state.identifiers.account++, login, kind };
  state.accounts.set(login.toLowerCase(), account);
  addRunnerGroup(state, { owner: login, name: "Default", isDefault: true });
  return account;
}

export interface NewRunnerGroup {
  readonly owner: string;
  readonly name: string;
  readonly isDefault?: boolean;
  readonly visibility?: RunnerGroup["visibility"];
  readonly selectedRepositoryIds?: readonly number[];
  readonly allowsPublicRepositories?: boolean;
}

export function addRunnerGroup(state: ModelState, group: NewRunnerGroup): RunnerGroup {
  const added: RunnerGroup = {
    id: state.identifiers.runnerGroup++,
    owner: group.owner,
    name: group.name,
    isDefault: group.isDefault ?? false,
    visibility: group.visibility ?? "all",
    selectedRepositoryIds: new Set(group.selectedRepositoryIds ?? []),
    allowsPublicRepositories: group.allowsPublicRepositories ?? false,
    runnerCount: 0,
  };
  state.runnerGroups.set(added.id, added);
  return added;
}

export interface NewRepository {
  readonly owner: string;
  readonly name: string;
  /** Private unless said otherwise: runners of a group serve public repositories only when it allows them. */
  readonly private?: boolean;
  readonly protectedEnvironments?: readonly string[];
}

/** Adds a repository, and its owner as an organisation if there is none. Adding one twice changes nothing. */
export function addRepository(state: ModelState, now: number, repository: NewRepository): Repository {
  const key = repositoryKey(repository.owner, repository.name);
  const known = state.repositories.get(state.repositoryIds.get(key) ?? -1);
  if (known !== undefined) return known;
  addAccount(state, repository.owner, "Organization");
  const added: Repository = {
    id: state.identifiers.repository++,
    owner: repository.owner,
    name: repository.name,
    private: repository.private ?? true,
    createdAt: now,
    defaultBranch: "main",
    protectedEnvironments: new Set(repository.protectedEnvironments ?? []),
    actionsEnabled: true,
    repositoryRunnersEnabled: true,
    runCount: 0,
  };
  state.repositories.set(added.id, added);
  state.repositoryIds.set(key, added.id);
  return added;
}

/** The repository of that name, or 404. */
export function findRepository(state: ModelState, owner: string, name: string): Repository {
  const id = state.repositoryIds.get(repositoryKey(owner, name));
  const repository = id === undefined ? undefined : state.repositories.get(id);
  if (repository === undefined) throw notFound();
  return repository;
}

export interface NewInstallation {
  readonly account: string;
  readonly repositories?: "all" | readonly number[];
  readonly permissions?: Readonly<Record<string, "read" | "write">>;
  readonly events?: readonly string[];
}

/** Installs the App on an account. */
export function addInstallation(state: ModelState, now: number, installation: NewInstallation): Installation {
  addAccount(state, installation.account, "Organization");
  const repositories = installation.repositories ?? "all";
  const added: Installation = {
    id: state.identifiers.installation++,
    accountLogin: installation.account,
    createdAt: now,
    permissions: installation.permissions ?? {
      actions: "write",
      administration: "write",
      checks: "write",
      metadata: "read",
      organization_self_hosted_runners: "write",
    },
    events: installation.events ?? ["workflow_job"],
    repositories: repositories === "all" ? "all" : new Set(repositories),
    suspendedAt: undefined,
  };
  state.installations.set(added.id, added);
  return added;
}

/** Suspends an installation or lifts that. While suspended it has no tokens and hears of no events. */
export function suspendInstallation(
  state: ModelState,
  now: number,
  installation: Installation,
  suspended: boolean,
): void {
  installation.suspendedAt = suspended ? now : undefined;
  if (suspended) {
    for (const token of state.tokens.values()) {
      if (token.installationId === installation.id) state.tokens.delete(token.text);
    }
  }
  const action = suspended ? "suspend" : "unsuspend";
  announceInstallation(state, now, installation.id, { name: "installation", action });
}

/** The installation does not cover the repository any more. */
export function removeInstallationRepository(
  state: ModelState,
  now: number,
  installation: Installation,
  repositoryId: number,
): void {
  const covered = repositoriesOf(state, installation).map((repository) => repository.id);
  installation.repositories = new Set(covered.filter((id) => id !== repositoryId));
  const repositoryIds = [repositoryId];
  announceInstallation(state, now, installation.id, {
    name: "installation_repositories",
    action: "removed",
    repositoryIds,
  });
}

/** The repositories that an installation covers, in the order in which they were added. */
export function repositoriesOf(state: ModelState, installation: Installation): readonly Repository[] {
  return [...state.repositories.values()].filter((repository) =>
    coversRepository(state, installation.id, repository.id),
  );
}

export interface TokenRequest {
  readonly repositories?: readonly string[];
  readonly repositoryIds?: readonly number[];
  readonly permissions?: Readonly<Record<string, "read" | "write">>;
}

/**
 * A token of the installation, narrowed to the repositories and permissions that are asked for. Asking for
 * more than the installation has is refused with 422, a suspended installation with 403.
 */
export function createToken(
  state: ModelState,
  now: number,
  installation: Installation,
  request: TokenRequest,
): InstallationToken {
  if (installation.suspendedAt !== undefined) {
    throw new GithubRefusal(403, "This installation has been suspended");
  }
  const token: InstallationToken = {
    text: createTokenText(state),
    installationId: installation.id,
    expiresAt: now + state.limits.tokenLifetimeSeconds * 1000,
    permissions: narrowPermissions(installation, request.permissions),
    repositoryIds: narrowRepositories(state, installation, request),
  };
  for (const old of state.tokens.values()) {
    if (old.expiresAt > now) break;
    state.tokens.delete(old.text);
  }
  state.tokens.set(token.text, token);
  return token;
}

/** The token with that text, if it is known, not expired, and its installation not suspended. */
export function findToken(state: ModelState, now: number, text: string): InstallationToken | undefined {
  const token = state.tokens.get(text);
  return token !== undefined && token.expiresAt > now ? token : undefined;
}

/** Whether the token may do something that needs this permission. */
export function tokenAllows(token: InstallationToken, permission: string, level: "read" | "write"): boolean {
  const granted = token.permissions[permission];
  return granted === "write" || (granted === "read" && level === "read");
}

/** Whether the token may see the repository. */
export function tokenCovers(state: ModelState, token: InstallationToken, repositoryId: number): boolean {
  if (token.repositoryIds !== undefined && !token.repositoryIds.has(repositoryId)) return false;
  return coversRepository(state, token.installationId, repositoryId);
}

function narrowPermissions(
  installation: Installation,
  wanted: TokenRequest["permissions"],
): InstallationToken["permissions"] {
  if (wanted === undefined) return installation.permissions;
  for (const [name, level] of Object.entries(wanted)) {
    const granted = installation.permissions[name];
    if (granted === "write" || granted === level) continue;
    throw new GithubRefusal(422, "The permissions requested are not granted to this installation.");
  }
  return { metadata: "read", ...wanted };
}

function narrowRepositories(
  state: ModelState,
  installation: Installation,
  request: TokenRequest,
): ReadonlySet<number> | undefined {
  if (request.repositories === undefined && request.repositoryIds === undefined) return undefined;
  const covered = repositoriesOf(state, installation);
  const named = (request.repositories ?? []).map(
    (name) => covered.find((repository) => repository.name.toLowerCase() === name.toLowerCase())?.id,
  );
  const wanted = [...named, ...(request.repositoryIds ?? [])];
  const ids = new Set(covered.map((repository) => repository.id));
  const found = wanted.filter((id): id is number => id !== undefined && ids.has(id));
  if (found.length !== wanted.length) {
    throw new GithubRefusal(
      422,
      "There is at least one repository that does not exist or is not accessible to the parent installation.",
    );
  }
  return new Set(found);
}

/** The format that GitHub has been moving to: `ghs_<App id>_<JWT>`, longer than any fixed column. */
function createTokenText(state: ModelState): string {
  const part = (bytes: number): string => Buffer.from(state.random.bytes(bytes)).toString("base64url");
  const header = Buffer.from('{"alg":"ES256","typ":"JWT"}').toString("base64url");
  return `ghs_${state.app.id}_${header}.${part(90)}.${part(64)}`;
}
