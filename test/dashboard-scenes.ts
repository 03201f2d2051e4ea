import type { ImageStatus } from "../src/core/image-status.ts";
import type { JobStatus, MachineStatus, StatusDocument, WhyDocument } from "../src/core/status.ts";

/** Status documents for the tests of the page, all seen from this instant. */
const sceneNow = Date.parse("2026-11-21T12:00:00Z");

export function before(seconds: number): string {
  return new Date(sceneNow - seconds * 1000).toISOString();
}

export function emptyStatus(changes: Partial<StatusDocument> = {}): StatusDocument {
  return {
    version: "0.1.0",
    at: before(0),
    state: "ready",
    problems: [],
    jobs: {
      waiting: 0,
      queued: 0,
      running: 0,
      completedLastHour: 0,
      failedLastHour: 0,
      givenUpLastHour: 0,
      refusedLastHour: 0,
    },
    machines: {
      requested: 0,
      launched: 0,
      registered: 0,
      busy: 0,
      retiring: 0,
      alive: 0,
      launchedLastHour: 0,
      endedLastHour: 0,
      launchFailuresLastHour: 0,
    },
    waits: {
      jobs: 0,
      p50Seconds: null,
      p95Seconds: null,
      p99Seconds: null,
      githubP50Seconds: null,
      githubP95Seconds: null,
    },
    cost: { todayUsd: 0, githubHostedTodayUsd: 0, ec2SpotTodayUsd: 0, dailyBudgetUsd: null },
    presets: [
      {
        name: "linux-x64",
        compute: "local",
        labels: ["linux", "x64"],
        machines: 0,
        max: 50,
        status: "ready",
      },
    ],
    fleets: [],
    images: [],
    activeJobs: [],
    recentJobs: [],
    activeMachines: [],
    lastHour: Array.from({ length: 60 }, (_, index) => ({
      at: before((60 - index) * 60),
      started: 0,
      machines: 0,
    })),
    github: [],
    ...changes,
  };
}

export function jobStatus(changes: Partial<JobStatus> = {}): JobStatus {
  return {
    id: 1,
    name: "build",
    workflow: "CI",
    repository: "acme/rocket",
    url: "https://github.com/acme/rocket/actions/runs/7/job/1",
    labels: ["self-hosted", "linux", "x64"],
    fleet: "linux-x64",
    state: "queued",
    outcome: null,
    because: null,
    detail: null,
    waitsFor: "A machine is booting for it.",
    createdAt: before(12),
    startedAt: null,
    completedAt: null,
    waitSeconds: 12,
    runSeconds: null,
    machine: null,
    costUsd: null,
    ...changes,
  };
}

export function runningJob(id: number, changes: Partial<JobStatus> = {}): JobStatus {
  return jobStatus({
    id,
    state: "running",
    waitsFor: null,
    createdAt: before(90 + id),
    startedAt: before(80 + id),
    waitSeconds: 9.4,
    runSeconds: 80 + id,
    machine: `mayfly-linux-x64-${id.toString(36).padStart(8, "k")}`,
    costUsd: 0.004,
    ...changes,
  });
}

export function endedJob(id: number, outcome: string, changes: Partial<JobStatus> = {}): JobStatus {
  return runningJob(id, { state: "done", outcome, completedAt: before(id), runSeconds: 73.2, ...changes });
}

export function machineStatus(id: string, changes: Partial<MachineStatus> = {}): MachineStatus {
  return {
    id,
    preset: "linux-x64",
    fleet: "linux-x64",
    compute: "ec2",
    state: "busy",
    purchase: "spot",
    pool: "m7i.large/eu-west-1a",
    providerId: "i-0abc",
    jobId: 1,
    ageSeconds: 95,
    requestedAt: before(95),
    endedAt: null,
    reason: null,
    detail: null,
    costUsd: 0.004,
    ...changes,
  };
}

/** A working day: `count` active jobs, about a third of them queued. */
export function busyStatus(count: number): StatusDocument {
  const names = [
    "build",
    "test (ubuntu, 22)",
    "lint",
    "e2e / chromium",
    "release",
    "integration (postgres 17, redis 8)",
  ];
  const repositories = ["acme/rocket", "acme/website", "acme/payments-service", "acme/data-platform"];
  const activeJobs = Array.from({ length: count }, (_, index) => {
    const job = { name: names[index % 6] ?? "", repository: repositories[index % 4] ?? "" };
    if (index % 3 !== 0) return runningJob(index + 1, job);
    const waitsFor =
      index % 2 === 0
        ? "A machine is booting for it."
        : "The preset linux-x64 is at its limit of 200 machines.";
    return jobStatus({ ...job, id: index + 1, waitsFor, createdAt: before(5 + index) });
  });
  const running = activeJobs.filter((job) => job.state === "running");
  const queued = activeJobs.length - running.length;
  const states = ["requested", "launched", "registered", "retiring"] as const;
  const activeMachines = [
    ...running.map((job) =>
      machineStatus(job.machine ?? "", { jobId: job.id, requestedAt: before(100 + job.id) }),
    ),
    ...states.map((state, index) =>
      machineStatus(`mayfly-linux-arm64-${state}`, {
        state,
        jobId: null,
        requestedAt: before(4 + index * 9),
        pool: null,
      }),
    ),
  ];
  return emptyStatus({
    jobs: {
      waiting: 0,
      queued,
      running: running.length,
      completedLastHour: 1240,
      failedLastHour: 31,
      givenUpLastHour: 1,
      refusedLastHour: 2,
    },
    machines: {
      requested: 1,
      launched: 1,
      registered: 1,
      busy: running.length,
      retiring: 1,
      alive: activeMachines.length,
      launchedLastHour: 1260,
      endedLastHour: 1061,
      launchFailuresLastHour: 3,
    },
    waits: {
      jobs: 1240,
      p50Seconds: 8.2,
      p95Seconds: 41.7,
      p99Seconds: 95.3,
      githubP50Seconds: 0.9,
      githubP95Seconds: 3.4,
    },
    cost: { todayUsd: 12.417, githubHostedTodayUsd: 88.64, ec2SpotTodayUsd: 11.9, dailyBudgetUsd: 60 },
    presets: [
      {
        name: "linux-x64",
        compute: "ec2",
        labels: ["linux", "x64"],
        machines: 198,
        max: 200,
        status: "ready",
      },
      {
        name: "linux-arm64",
        compute: "ec2",
        labels: ["linux", "arm64"],
        machines: 4,
        max: 50,
        status: "ready",
      },
      {
        name: "gpu",
        compute: "ec2",
        labels: ["linux", "x64", "gpu"],
        machines: 0,
        max: 4,
        status: "blocked",
      },
    ],
    activeJobs,
    activeMachines,
    recentJobs: [
      endedJob(9001, "refused", {
        because: "public-repository",
        detail: "acme/rocket is public: anyone could run code here.",
        completedAt: before(300),
        machine: null,
      }),
      endedJob(9002, "refused", {
        because: "no-preset",
        detail: "No preset matches the labels.",
        name: "build-windows",
        completedAt: before(420),
        machine: null,
      }),
      endedJob(9003, "given-up", {
        because: "deadline-passed",
        detail: "The job could not be served until its deadline.",
        name: "train",
        completedAt: before(900),
        machine: null,
      }),
      ...Array.from({ length: 25 }, (_, index) =>
        endedJob(9100 + index, index % 7 === 3 ? "failure" : "success", {
          name: names[index % 6] ?? "",
          repository: repositories[index % 4] ?? "",
        }),
      ),
    ],
    lastHour: Array.from({ length: 60 }, (_, index) => ({
      at: before((60 - index) * 60),
      started: Math.round(20 + 14 * Math.sin(index / 7) + ((index * 37) % 11)),
      machines: Math.round(110 + 80 * Math.sin(index / 11)),
    })),
    github: [{ installationId: 4711, remaining: 4310, limit: 5000, resetAt: before(-1500) }],
  });
}

export function imageStatus(changes: Partial<ImageStatus> = {}): ImageStatus {
  return {
    base: "ubuntu:24.04",
    architecture: "x86_64",
    state: "ready",
    alias: null,
    reference: "1.dkr.ecr.eu-west-1.amazonaws.com/mayfly:01ab",
    builtAt: before(7_200),
    ageSeconds: 7_200,
    attempts: 0,
    buildStartedAt: null,
    reason: null,
    log: null,
    failedAt: null,
    nextAttemptAt: null,
    trial: null,
    fleets: [{ fleet: "tasks", queued: 3 }],
    waitingJobs: 0,
    scan: { at: null, findings: { low: 4, high: 1 } },
    ...changes,
  };
}

export function problemStatus(): StatusDocument {
  const busy = busyStatus(12);
  return {
    ...busy,
    state: "degraded",
    images: [
      imageStatus(),
      imageStatus({ base: "debian:12", state: "failed", reason: "No space left on device." }),
    ],
    problems: [
      "GitHub refuses the App's key (401): the private key does not belong to App 123456. Put the newest key where the configuration points to.",
      "The preset gpu cannot be launched: the account may run 0 vCPUs of this family. Ask the provider for a higher quota.",
    ],
    fleets: [
      {
        fleet: "gpu",
        preset: "gpu",
        queued: 3,
        running: 0,
        machines: 0,
        blocked: {
          because: "launch-refused",
          alias: null,
          detail: "EC2 refused every launch: VcpuLimitExceeded.",
          since: before(620),
          nextAttemptAt: before(-300),
        },
      },
    ],
  };
}

export function whyDocument(job: JobStatus): WhyDocument {
  return {
    job,
    summary: "It runs on mayfly-linux-x64-k1 since 80 seconds.",
    steps: [
      { at: job.createdAt, what: "GitHub created the job.", afterSeconds: 0 },
      { at: before(88), what: "The delivery arrived; the preset linux-x64 serves it.", afterSeconds: 1.2 },
      { at: before(87), what: "A machine was asked for: m7i.large in eu-west-1a, spot.", afterSeconds: 0.4 },
      { at: before(83), what: "The machine claimed it and received its registration.", afterSeconds: 5.1 },
      { at: before(80), what: "The job started.", afterSeconds: 2.8 },
    ],
    next: { what: "It is stopped when it runs for longer than 60 minutes.", at: before(-3520) },
    machines: job.machine === null ? [] : [machineStatus(job.machine, { jobId: job.id })],
    image: null,
    limitation: null,
  };
}
