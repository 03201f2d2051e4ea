import { writeSync } from "node:fs";
import { createPinoLog } from "../../adapters/log/pino.ts";
import { loadConfig } from "../../config/load.ts";
import { percentile, type StatusDocument } from "../../core/status.ts";
import type { FaultPreset } from "../../emulator/model-faults.ts";
import { readStatus } from "../../flow/status.ts";
import { createDemoView, type DemoView } from "./demo-view.ts";
import { createDemoWorld, type DemoWorld } from "./demo-world.ts";
import { openBox, type RunningBox } from "./wiring.ts";

export interface DemoOptions {
  readonly version: string;
  /** A workflow file to run instead of the sample. */
  readonly workflowPath?: string;
  readonly jobs: number;
  readonly faults: FaultPreset;
  /** Stay up for the page when all jobs have ended, until Ctrl-C. */
  readonly keep: boolean;
  /** The summary is one line of JSON on standard output; progress goes to standard error. */
  readonly json: boolean;
  /** Another runner than the emulator's own. */
  readonly runnerDirectory?: string;
  /** When nothing has moved for so long, the demo gives up and says so. Without it, 180. */
  readonly stallSeconds?: number;
  /** Where log lines of the box go; without it, to a file in the demo's folder that is shown when something failed. */
  readonly onLogLine?: (line: string) => void;
}

/** The documented contract of `mayfly demo --json`. */
export interface DemoSummary {
  readonly jobs: { readonly queued: number; readonly completed: number; readonly givenUp: number };
  readonly machines: { readonly launched: number; readonly ended: number; readonly alive: number };
  readonly waitSeconds: { readonly p50: number | null; readonly p95: number | null };
  readonly cost: { readonly githubHostedUsd: number; readonly ec2SpotUsd: number };
  readonly ok: boolean;
}

const lookMilliseconds = 250;
const usualStallSeconds = 180;
const logLinesKept = 200;

/**
 * The whole product on one machine: an emulated GitHub, a box, and a local machine for every job. Ends when all
 * jobs have ended and no machine is left. Whatever ends it, no process and no folder stays behind.
 */
export async function runDemo(options: DemoOptions): Promise<DemoSummary> {
  const logLines: string[] = [];
  const keepLine = (line: string): void => {
    options.onLogLine?.(line);
    if (logLines.push(line) > logLinesKept) logLines.shift();
  };
  const interrupted = interruption();
  const { runnerDirectory } = options;
  const world = await createDemoWorld({
    faults: options.faults,
    ...(runnerDirectory !== undefined && { runnerDirectory }),
  });
  let box: RunningBox | undefined;
  try {
    const loaded = await loadConfig({ path: world.configPath, environment: {} });
    const log = createPinoLog({ level: "info", destination: { write: keepLine } });
    box = await openBox(loaded, { version: options.version, log });
    const view = createDemoView(options.json ? process.stderr : process.stdout, box.url, options.faults);
    const { jobs, workflowPath } = options;
    await world.startRuns({ jobs, ...(workflowPath !== undefined && { workflowPath }) });
    const summary = await watch({
      world,
      box,
      view,
      options,
      policy: loaded.policy,
      interrupted: interrupted.signal,
    });
    view.finish(summary, summary.ok ? [] : logLines.slice(-20));
    if (options.json) writeSync(1, `${JSON.stringify(summary)}\n`);
    if (options.keep && !interrupted.signal.aborted) await view.keep(interrupted.signal);
    return summary;
  } finally {
    await clearAway(world, box);
    interrupted.release();
  }
}

interface Watched {
  readonly world: DemoWorld;
  readonly box: RunningBox;
  readonly view: DemoView;
  readonly options: DemoOptions;
  readonly policy: Parameters<typeof readStatus>[1];
  readonly interrupted: AbortSignal;
}

async function watch(watched: Watched): Promise<DemoSummary> {
  const { world, box, view, interrupted } = watched;
  const stallMilliseconds = (watched.options.stallSeconds ?? usualStallSeconds) * 1000;
  let lastMovement = performance.now();
  let lastPicture = "";
  for (;;) {
    const status = await readStatus(box.ports, watched.policy, {
      version: watched.options.version,
      problems: [],
      listLimit: 100,
    });
    view.show(status, world.jobs());
    const quiet = world.ended() && status.activeJobs.length === 0 && status.machines.alive === 0;
    const picture = pictureOf(world, status);
    const running = world.jobs().some((job) => job.status === "in_progress");
    if (running || picture !== lastPicture) lastMovement = performance.now();
    lastPicture = picture;
    const stalled = performance.now() - lastMovement > stallMilliseconds;
    if (quiet || stalled || interrupted.aborted) return summarize(watched, status);
    await new Promise((resolve) => setTimeout(resolve, lookMilliseconds));
  }
}

/** Machines that come and go while no job moves are no progress; once all jobs have ended, they are all that is left. */
function pictureOf(world: DemoWorld, status: StatusDocument): string {
  const jobs = world.jobs().map((job) => job.status);
  return world.ended() ? `${status.activeMachines.map(({ id, state }) => `${id} ${state}`)}` : `${jobs}`;
}

async function summarize({ world, box }: Watched, status: StatusDocument): Promise<DemoSummary> {
  const { jobs, machines } = await box.ports.store.history(0, Number.MAX_SAFE_INTEGER);
  const ours = world.jobs();
  const ids = new Set(ours.map((job) => job.id));
  // The emulator knows the instants to the millisecond, where GitHub's API tells seconds.
  const waits = ours
    .flatMap((job) =>
      job.startedAt === undefined ? [] : [(job.startedAt - (job.queuedAt ?? job.createdAt)) / 1000],
    )
    .sort((left, right) => left - right);
  const listed = (await Promise.all([...box.ports.compute.values()].map((compute) => compute.list()))).flat();
  const alive = Math.max(listed.length, status.machines.alive);
  const launched = machines.filter((machine) => machine.times.launched !== undefined).length;
  const completed = ours.filter((job) => job.status === "completed").length;
  const givenUp = jobs.filter((job) => ids.has(job.id) && job.outcome?.kind !== "completed").length;
  return {
    jobs: { queued: ours.length, completed: completed - givenUp, givenUp },
    machines: { launched: launched + status.machines.alive, ended: launched, alive },
    waitSeconds: { p50: percentile(waits, 0.5), p95: percentile(waits, 0.95) },
    cost: { githubHostedUsd: status.cost.githubHostedTodayUsd, ec2SpotUsd: status.cost.ec2SpotTodayUsd },
    ok: ours.length > 0 && completed === ours.length && world.ended() && alive === 0,
  };
}

/** Ends what is left, whatever runs on it: only the demo's own jobs do. */
async function clearAway(world: DemoWorld, box: RunningBox | undefined): Promise<void> {
  if (box !== undefined) {
    // Otherwise it would launch others for the jobs that still wait.
    await box.halt();
    for (const compute of box.ports.compute.values()) {
      for (let left = await compute.list(); left.length > 0; left = await compute.list()) {
        await compute.terminate(left.map((machine) => machine.providerId));
        await new Promise((resolve) => setTimeout(resolve, lookMilliseconds));
      }
    }
    await box.stop();
  }
  await world.close();
}

/** Aborts on the first SIGINT or SIGTERM; the demo then clears away by itself. */
function interruption(): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  process.on("SIGINT", abort);
  process.on("SIGTERM", abort);
  return {
    signal: controller.signal,
    release() {
      process.off("SIGINT", abort);
      process.off("SIGTERM", abort);
    },
  };
}
