import type { FleetRecord, Job, Ledger, Machine } from "../../src/core/model.ts";
import { type StatusDocument, statusDocument, type WhyDocument } from "../../src/core/status.ts";
import { whyDocument } from "../../src/core/why.ts";
import { fleetRecord, job, machine, policy, preset, start } from "../builders.ts";

/** Half a minute after the stories begin. */
export const now = start + 30_000;

/** One job runs, one waits because GitHub holds it back, and one is blocked by the limit of its preset. */
export function busyStatus(): StatusDocument {
  return statusOf(
    [
      job({ id: 1001, state: "running", machineId: "mayfly-1", times: { started: start + 4_000 } }),
      job({ id: 1002, state: "waiting", name: "deploy" }),
      job({ id: 1003, name: "test (windows, 22)" }),
    ],
    [
      machine({
        id: "mayfly-1",
        state: "busy",
        jobId: 1001,
        times: { launched: start + 1_000, started: start + 4_000 },
      }),
    ],
    fleetRecord({
      blocked: {
        because: "preset-limit",
        detail: "The preset linux-x64 has all of its 1 machines.",
        since: start + 2_000,
        nextAttemptAt: now + 12_000,
      },
    }),
  );
}

export function quietStatus(): StatusDocument {
  return statusOf([], [], fleetRecord());
}

/** A job that ran to its end on the second machine: the first was taken back. */
export function interruptedWhy(): WhyDocument {
  const ended = job({
    state: "done",
    machineId: "mayfly-2",
    runnerName: "mayfly-2",
    outcome: { kind: "completed", conclusion: "success" },
    times: { planned: start + 100, started: start + 20_000, completed: start + 29_000 },
  });
  const machines = [
    machine({
      id: "mayfly-1",
      state: "ended",
      purchase: "spot",
      reason: "interrupted",
      detail: "The provider took it back.",
      interruptedAt: start + 8_000,
      times: { launched: start + 1_000, retiring: start + 9_000, ended: start + 10_000 },
    }),
    machine({
      id: "mayfly-2",
      state: "ended",
      jobId: 1001,
      reason: "completed",
      times: { launched: start + 11_000, started: start + 20_000, ended: start + 29_500 },
    }),
  ];
  return whyDocument(ended, ledgerOf([], [], fleetRecord()), machines, policy(), now);
}

export function waitingWhy(): WhyDocument {
  const queued = job({ times: { planned: start + 100 } });
  const record = fleetRecord({
    blocked: {
      because: "no-capacity",
      detail: "Every pool refuses: InsufficientInstanceCapacity.",
      since: start,
      nextAttemptAt: now + 75_000,
    },
  });
  return whyDocument(queued, ledgerOf([queued], [], record), [], policy(), now);
}

function statusOf(jobs: readonly Job[], machines: readonly Machine[], record: FleetRecord): StatusDocument {
  return statusDocument({
    version: "1.2.3",
    now,
    policy: policy({ presets: [preset({ max: 1 })] }),
    ledgers: [ledgerOf(jobs, machines, record)],
    history: { jobs: [], machines: [] },
    usage: [],
    budgets: [{ installationId: 7, limit: 5000, remaining: 4987, resetAt: now + 600_000 }],
    problems: [],
    listLimit: 100,
  });
}

function ledgerOf(jobs: readonly Job[], machines: readonly Machine[], record: FleetRecord): Ledger {
  return { fleet: "fleet-a", version: 3, record, jobs, machines };
}
