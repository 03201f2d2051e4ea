import { offerRunner, withdrawRunner } from "./model-assignment.ts";
import {
  happens,
  type Job,
  type ModelState,
  type Runner,
  type RunnerGroup,
  type RunnerRemoval,
  type Scope,
  scopeKey,
} from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";

/**
 * Runners from registration to removal. All of them are ephemeral: one job, then gone.
 *
 *   registered (offline) ──connect──▶ online, idle ──assigned──▶ busy ──job done──▶ removed
 *        └─ never connected: removed       ├─ no job for minutes: removed
 *                                          └─ disconnected: believed online for a while, then offline
 */
export interface Registration {
  readonly name: string;
  readonly runnerGroupId: number;
  readonly labels: readonly string[];
  readonly workFolder?: string;
}

/**
 * Registers a runner that will run at most one job. Names are unique within a scope (409); the group must exist
 * (404) and have room (422); the scope must allow runners of its own (403).
 */
export function registerRunner(state: ModelState, now: number, scope: Scope, request: Registration): Runner {
  refuseClosedScope(state, scope);
  const group = findGroup(state, scope, request.runnerGroupId);
  if (group === undefined) throw notFound();
  refuseBadRegistration(request);
  if (state.runnerIdsByName.has(nameKey(scope, request.name))) {
    throw new GithubRefusal(409, `Already exists - A runner with the name "${request.name}" already exists.`);
  }
  if (group.runnerCount >= state.limits.runnersPerGroup) {
    const limit = state.limits.runnersPerGroup;
    throw new GithubRefusal(422, `Runner group ${group.id} has reached max limit of ${limit} runners.`);
  }
  countRegistration(state, now, scope);
  return addRunner(state, now, scope, request);
}

/** The same, for whoever has found that nothing speaks against it. 404 when there is no such group. */
export function addRunner(state: ModelState, now: number, scope: Scope, request: Registration): Runner {
  const group = findGroup(state, scope, request.runnerGroupId);
  if (group === undefined) throw notFound();
  const runner: Runner = {
    id: state.identifiers.runner++,
    name: request.name,
    scope,
    groupId: group.id,
    labels: [...request.labels],
    workFolder: request.workFolder ?? "_work",
    registeredAt: now,
    credential: Buffer.from(state.random.bytes(32)).toString("hex"),
    online: false,
    connected: false,
    connection: 0,
    idleSince: undefined,
    version: undefined,
    operatingSystem: "unknown",
    jobId: undefined,
  };
  state.runners.set(runner.id, runner);
  state.runnerIdsByName.set(nameKey(scope, runner.name), runner.id);
  group.runnerCount += 1;
  const at = now + state.limits.neverConnectedRemovalSeconds * 1000;
  state.schedule.add(at, { kind: "never-connected", runnerId: runner.id });
  return runner;
}

/** The runner's listener is there. A runner that GitHub does not know any more is refused with 404. */
export function connectRunner(
  state: ModelState,
  now: number,
  runnerId: number,
  software: { readonly version: string; readonly operatingSystem: string },
): void {
  const runner = state.runners.get(runnerId);
  if (runner === undefined) throw notFound();
  const wasOnline = runner.online;
  runner.connected = true;
  runner.connection += 1;
  runner.version = software.version;
  runner.operatingSystem = software.operatingSystem;
  runner.online = true;
  if (runner.jobId === undefined && !wasOnline) becomeIdle(state, now, runner);
}

/**
 * The listener's connection is gone. GitHub does not notice at once: an idle runner stays online for a while
 * and may even be given a job; a busy one is missed when the lock of its job is not renewed.
 */
export function disconnectRunner(state: ModelState, now: number, runnerId: number): void {
  const runner = state.runners.get(runnerId);
  if (runner === undefined || !runner.connected) return;
  runner.connected = false;
  runner.connection += 1;
  const { connection } = runner;
  const { disconnectNoticeSeconds, jobLockSeconds } = state.limits;
  state.schedule.add(now + disconnectNoticeSeconds * 1000, {
    kind: "disconnect-noticed",
    runnerId,
    connection,
  });
  state.schedule.add(now + jobLockSeconds * 1000, { kind: "job-lock-expired", runnerId, connection });
}

/** A disconnected runner that has no job is offline from now on. */
export function noticeDisconnect(state: ModelState, runner: Runner): void {
  if (runner.jobId !== undefined) return;
  runner.online = false;
  runner.idleSince = undefined;
  withdrawRunner(state, runner);
}

/** The job left the runner without having run: the runner may get another one. */
export function releaseRunner(state: ModelState, now: number, runner: Runner): void {
  runner.jobId = undefined;
  if (runner.connected) becomeIdle(state, now, runner);
  else runner.online = false;
}

/** Deletes a runner on request. A runner with a job cannot be deleted: that refusal is what a fence relies on. */
export function deleteRunner(state: ModelState, scope: Scope, runnerId: number): void {
  const runner = findRunner(state, scope, runnerId);
  if (runner.jobId !== undefined) {
    throw new GithubRefusal(
      422,
      `Bad request - Runner "${runner.name}" is currently running a job and cannot be deleted.`,
    );
  }
  removeRunner(state, runner, "deleted");
}

/** Forgets the runner and tells its listener, if one is connected. */
export function removeRunner(state: ModelState, runner: Runner, because: RunnerRemoval): void {
  withdrawRunner(state, runner);
  state.runners.delete(runner.id);
  state.runnerIdsByName.delete(nameKey(runner.scope, runner.name));
  const group = state.runnerGroups.get(runner.groupId);
  if (group !== undefined) group.runnerCount -= 1;
  state.effects.push({ kind: "runner-removed", runnerId: runner.id, because });
}

/** The runner of that scope, or 404. */
export function findRunner(state: ModelState, scope: Scope, runnerId: number): Runner {
  const runner = state.runners.get(runnerId);
  if (runner === undefined || scopeKey(runner.scope) !== scopeKey(scope)) throw notFound();
  return runner;
}

/** The runners of a scope in the order of their registration, all or those of one name. */
export function listRunners(state: ModelState, scope: Scope, name?: string): readonly Runner[] {
  if (name !== undefined) {
    const id = state.runnerIdsByName.get(nameKey(scope, name));
    const runner = id === undefined ? undefined : state.runners.get(id);
    return runner === undefined ? [] : [runner];
  }
  const key = scopeKey(scope);
  return [...state.runners.values()].filter((runner) => scopeKey(runner.scope) === key);
}

/** What GitHub shows in `busy`; a fault makes it wrong for a runner that has a job. */
export function looksBusy(state: ModelState, runner: Runner): boolean {
  return runner.jobId !== undefined && !happens(state.random, state.faults.runnerFalselyIdleFraction);
}

/** The groups of a scope. A repository has only the default group. */
export function listGroups(state: ModelState, owner: string): readonly RunnerGroup[] {
  const login = owner.toLowerCase();
  return [...state.runnerGroups.values()].filter((group) => group.owner.toLowerCase() === login);
}

/** The id by which the API names a group: every owner's default group is 1. */
export function publicGroupId(group: RunnerGroup): number {
  return group.isDefault ? 1 : group.id;
}

/** What a job shows about the runner that has it. */
export function copyRunnerInto(state: ModelState, job: Job, runner: Runner): void {
  const group = state.runnerGroups.get(runner.groupId);
  job.runnerId = runner.id;
  job.runnerName = runner.name;
  job.runnerGroupId = group === undefined ? undefined : publicGroupId(group);
  job.runnerGroupName = group?.name;
}

function findGroup(state: ModelState, scope: Scope, id: number): RunnerGroup | undefined {
  return listGroups(state, scope.owner).find(
    (group) => publicGroupId(group) === id && (scope.kind === "organization" || group.isDefault),
  );
}

/** Whether this organisation or repository may have runners of its own. */
export function refuseClosedScope(state: ModelState, scope: Scope): void {
  if (scope.kind === "organization") {
    if (state.accounts.get(scope.owner.toLowerCase())?.kind !== "Organization") throw notFound();
    return;
  }
  const repository = state.repositories.get(state.repositoryIds.get(scopeKey(scope)) ?? -1);
  if (repository === undefined) throw notFound();
  if (!repository.actionsEnabled) {
    throw new GithubRefusal(403, "GitHub Actions is disabled on this repository.");
  }
  if (!repository.repositoryRunnersEnabled) {
    throw new GithubRefusal(403, "Repository level self-hosted runners are disabled on this repository.");
  }
}

function refuseBadRegistration(request: Registration): void {
  const { name, labels } = request;
  if (name.length === 0 || name.length > 64) {
    throw new GithubRefusal(422, "Invalid request.\n\nRunner names must have 1 to 64 characters.");
  }
  if (labels.length === 0 || labels.length > 100) {
    throw new GithubRefusal(422, "Invalid request.\n\nA runner must have 1 to 100 labels.");
  }
  if (labels.some((label) => label.length === 0 || label.length > 256)) {
    throw new GithubRefusal(422, "Invalid request.\n\nLabels must have 1 to 256 characters.");
  }
}

function countRegistration(state: ModelState, now: number, scope: Scope): void {
  const key = scopeKey(scope);
  const recent = (state.recentRegistrations.get(key) ?? []).filter((at) => at > now - 300_000);
  state.recentRegistrations.set(key, recent);
  const oldest = recent[0];
  if (oldest !== undefined && recent.length >= state.limits.registrationsPerFiveMinutes) {
    const retryAfter = String(Math.ceil((oldest + 300_000 - now) / 1000));
    throw new GithubRefusal(429, "Too many runner registrations. Please wait before you try again.", {
      "retry-after": retryAfter,
    });
  }
  recent.push(now);
}

function becomeIdle(state: ModelState, now: number, runner: Runner): void {
  runner.idleSince = now;
  if (happens(state.random, state.faults.runnerForgottenFraction))
    state.effects.push({ kind: "runner-forgotten", runnerId: runner.id });
  else offerRunner(state, now, runner);
  if (runner.jobId !== undefined) return;
  const { idleRemovalMinimumSeconds: minimum, idleRemovalMaximumSeconds: maximum } = state.limits;
  const seconds = minimum + state.random.fraction() * (maximum - minimum);
  const at = Math.ceil(now + seconds * 1000);
  state.schedule.add(at, { kind: "idle-removal-due", runnerId: runner.id, idleSince: now });
}

function nameKey(scope: Scope, name: string): string {
  return `${scopeKey(scope)}:${name.toLowerCase()}`;
}
