import type {
  FleetRecord,
  FleetSpec,
  Job,
  JobEvent,
  JobTimes,
  Machine,
  MachineTimes,
  Policy,
  Preset,
  Repository,
  Timing,
} from "../src/core/model.ts";

/** When the stories in the tests begin, which is also where the manual clock starts. Defaults are relative to it. */
export const start = Date.UTC(2026, 0, 1);

type WithTimes<Entry, Times> = Omit<Partial<Entry>, "times"> & { readonly times?: Partial<Times> };

/** A queued job of `fleet-a`, created one second before `start` and received at `start`. */
export function job(overrides: WithTimes<Job, JobTimes> = {}): Job {
  const { times, ...rest } = overrides;
  return {
    id: 1001,
    fleet: "fleet-a",
    state: "queued",
    repository: repository(),
    installationId: 7,
    runId: 5001,
    runAttempt: 1,
    name: "build",
    workflowName: "CI",
    labels: ["self-hosted", "linux", "x64"],
    url: "https://github.com/acme/app/actions/runs/5001/job/1001",
    ...rest,
    times: { created: start - 1_000, received: start, ...times },
  };
}

/** A machine of `fleet-a` that was requested at `start` and of which nothing more is known. */
export function machine(overrides: WithTimes<Machine, MachineTimes> = {}): Machine {
  const { times, ...rest } = overrides;
  return {
    id: "mayfly-1",
    fleet: "fleet-a",
    preset: "linux-x64",
    compute: "memory",
    state: "requested",
    purchase: "on-demand",
    launchToken: "launch-1",
    launchAttempts: 1,
    ...rest,
    times: { requested: start, ...times },
  };
}

/** The record of `fleet-a`, which has refused nothing. */
export function fleetRecord(overrides: Partial<FleetRecord> = {}): FleetRecord {
  return { id: "fleet-a", options: {}, spec: fleetSpec(), refusals: [], ...overrides };
}

export function fleetSpec(overrides: Partial<FleetSpec> = {}): FleetSpec {
  return {
    preset: "linux-x64",
    compute: "memory",
    operatingSystem: "linux",
    architecture: "x86_64",
    market: "on-demand-only",
    instanceTypes: [],
    runnerGroup: "default",
    jobTimeoutSeconds: 3_600,
    bootTimeoutSeconds: 300,
    idleTimeoutSeconds: 300,
    ...overrides,
  };
}

export function repository(overrides: Partial<Repository> = {}): Repository {
  return { owner: "acme", name: "app", private: true, ...overrides };
}

/** What GitHub says when `job()` is queued. */
export function jobEvent(overrides: Partial<JobEvent> = {}): JobEvent {
  return {
    action: "queued",
    id: 1001,
    repository: repository(),
    installationId: 7,
    runId: 5001,
    runAttempt: 1,
    name: "build",
    workflowName: "CI",
    labels: ["self-hosted", "linux", "x64"],
    url: "https://github.com/acme/app/actions/runs/5001/job/1001",
    createdAt: start - 1_000,
    receivedAt: start,
    ...overrides,
  };
}

export function preset(overrides: Partial<Preset> = {}): Preset {
  return {
    name: "linux-x64",
    operatingSystem: "linux",
    architecture: "x86_64",
    labels: ["linux", "x64"],
    compute: "memory",
    market: "on-demand-only",
    instanceTypes: [],
    max: 50,
    warm: 0,
    runnerGroup: "default",
    jobTimeoutSeconds: 3_600,
    bootTimeoutSeconds: 300,
    idleTimeoutSeconds: 300,
    pricePerHourUsd: 0.1,
    ...overrides,
  };
}

/** One preset, `preset()`, and limits that no small test reaches. */
export function policy(overrides: Partial<Policy> = {}): Policy {
  return {
    presets: [preset()],
    labelMappings: [],
    classes: {},
    machineTypes: {},
    typesAllowed: ["*"],
    imagesAllowed: [],
    imagesDenied: [],
    registration: "organization",
    limits: { machines: 200, perRepository: 50 },
    rerunsPerJob: 2,
    admission: { repositories: [], publicRepositories: "refuse" },
    timing: timing(),
    ...overrides,
  };
}

export function timing(overrides: Partial<Timing> = {}): Timing {
  return {
    jobDeadlineSeconds: 86_400,
    launchRetrySeconds: 30,
    launchLimitSeconds: 300,
    idleGraceSeconds: 60,
    capacityBackoffSeconds: 60,
    capacityBackoffLimitSeconds: 1_800,
    listingDelaySeconds: 120,
    jobCheckSeconds: 300,
    historySeconds: 7 * 86_400,
    ...overrides,
  };
}
