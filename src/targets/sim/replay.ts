import { fargatePrices, listedPerHourUsd } from "../../adapters/prices/fargate.ts";
import { sizeOf, spotFraction, startOfDay, typicalPricePerHourUsd } from "../../core/cost.ts";
import { MayflyError } from "../../core/errors.ts";
import type { TracedJob } from "../../core/job-trace.ts";
import type { FleetSpec, Policy, Preset, Purchase, Repository } from "../../core/model.ts";
import { admit, routeJob } from "../../core/route.ts";
import { plannedJob } from "../../emulator/planned-job.ts";
import type { History } from "../../ports/store.ts";
import { quiet } from "./faults.ts";
import type { Pool, Scenario } from "./scenario.ts";
import { type Tasks, taskCompute } from "./tasks.ts";
import { SilentTrace } from "./trace.ts";
import { simulationStart, World } from "./world.ts";

export interface ReplayOptions {
  /** In the order in which they were queued; at least one. */
  readonly jobs: readonly TracedJob[];
  readonly policy: Policy;
  readonly cloud: CloudAssumptions;
  /** Latencies and interruptions are drawn from it: the same options give the same replay. */
  readonly seed: string;
  /** Gets the part of the recorded time that was replayed, from 0 to 1, every hour of that time. */
  readonly onProgress?: (part: number) => void;
}

/** What no trace tells. */
export interface CloudAssumptions {
  /** From the launch until the machine claims; half of all machines are faster. */
  readonly bootSeconds: number;
  /** The same for tasks of Fargate, whose image is pulled first. */
  readonly taskSeconds: number;
  /** How many of 100 spot machines are taken back within an hour. */
  readonly interruptionsPercent: number;
}

/**
 * A prebuilt image on EC2: 16.5 s until the instance runs, 22 to 26 s until it can be used, whatever its type. A task of
 * Fargate: 30 to 60 s. A spot machine is seldom taken back within the hour.
 */
export const typicalCloud: CloudAssumptions = { bootSeconds: 25, taskSeconds: 45, interruptionsPercent: 0 };

export interface Replay {
  /** The whole ledger at the end, in simulated time. */
  readonly history: History;
  /** What to add to an instant of the ledger for the time that was recorded. */
  readonly shiftMilliseconds: number;
  /** Those that are refused are in the ledger too. */
  readonly unserved: readonly UnservedJobs[];
}

/** Jobs that the config does not serve, with their labels and the reason. */
export interface UnservedJobs {
  readonly labels: readonly string[];
  /** `ignored`: left to others, such as GitHub's own runners. `refused`: they ask for us, in vain. */
  readonly result: "ignored" | "refused";
  readonly detail: string;
  readonly jobs: number;
}

/**
 * Replays the jobs of a trace with the policy of a config: the production flow in virtual time, in a cloud that is
 * never short of machines. Presets of Fargate get tasks, all others get instances. Rejects with a `MayflyError` when something that must
 * always hold does not.
 */
export async function replayJobs(options: ReplayOptions): Promise<Replay> {
  const first = options.jobs[0]?.queuedAt ?? 0;
  const last = options.jobs.at(-1)?.queuedAt ?? first;
  // Days begin at midnight in the replay too, because the daily budget does.
  const shift = simulationStart - startOfDay(first);
  const world = createWorld(options, (last - first) / 3_600_000);
  const unserved = letPeopleWork(world, options.jobs, shift);
  const { scheduler } = world;
  scheduler.at(first + shift - startsBeforeMilliseconds, "the server starts", () => world.start());
  for (let at = first; at < last; at += 3_600_000) {
    scheduler.at(at + shift, "an hour", () => options.onProgress?.((at - first) / (last - first)));
  }
  scheduler.at(last + shift, "the last job is queued", () => healWhenDone(world));
  const end = last + shift + longestWaitMilliseconds + 2 * longestJobMilliseconds(options.policy);
  // Refusals are thrown by the thousands; to note for each where it came from takes longer than all else.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    await scheduler.run(end, () => world.violation !== undefined || world.isQuiet);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  if (world.violation === undefined) world.checkEnd();
  if (world.violation !== undefined) throw violated(world.violation.check, world.violation.message);
  const history = await world.store.history(0, Number.MAX_SAFE_INTEGER);
  return { history, shiftMilliseconds: -shift, unserved };
}

const startsBeforeMilliseconds = 60_000;
/** GitHub's own limit of a day, and time to clear up. */
const longestWaitMilliseconds = 26 * 3_600_000;

function longestJobMilliseconds({ presets }: Policy): number {
  return Math.max(0, ...presets.map((preset) => preset.jobTimeoutSeconds)) * 1_000;
}

/** Machines are kept warm, and taken back, until the last job has ended. */
function healWhenDone(world: World): void {
  for (const job of world.model.state.jobs.values()) {
    if (job.status === "completed") continue;
    world.scheduler.after(60_000, "are all jobs done?", () => healWhenDone(world));
    return;
  }
  world.heal();
  lookForRest(world);
}

function lookForRest(world: World): void {
  if (!world.lookForRest()) world.scheduler.after(60_000, "is all over?", () => lookForRest(world));
}

// ------------------------------------------------------------------------------------------- the people

/** Every job is queued when it was. One that is refused is cancelled after a while: nobody waits for it a whole day. */
function letPeopleWork(world: World, jobs: readonly TracedJob[], shift: number): readonly UnservedJobs[] {
  const unserved = new Map<string, { -readonly [Key in keyof UnservedJobs]: UnservedJobs[Key] }>();
  const repositories = createRepositories(world, jobs);
  for (const job of jobs) {
    const repository = repositories.get(job.repository);
    if (repository === undefined) continue;
    const refusal = refusalOf(job, repository, world.policy);
    if (refusal !== undefined) {
      const key = JSON.stringify([refusal, job.labels]);
      const known = unserved.get(key);
      if (known === undefined) unserved.set(key, { labels: job.labels, ...refusal, jobs: 1 });
      else known.jobs += 1;
    }
    if (refusal?.result === "ignored") continue;
    world.scheduler.at(job.queuedAt + shift, "push", () => {
      push(world, repository.id, job, refusal !== undefined);
    });
  }
  return [...unserved.values()].sort((one, other) => other.jobs - one.jobs);
}

function createRepositories(
  world: World,
  jobs: readonly TracedJob[],
): ReadonlyMap<string, Repository & { readonly id: number }> {
  const { model, now } = world;
  const names = [...new Set(jobs.map((job) => job.repository))];
  const repositories = new Map(
    names.map((fullName) => {
      const [owner = "", name = ""] = fullName.split("/");
      return [fullName, model.addRepository(now, { owner, name, private: true })];
    }),
  );
  const owners = new Set([...repositories.values()].map(({ owner }) => owner.toLowerCase()));
  for (const account of owners) model.addInstallation(now, { account });
  return repositories;
}

function refusalOf(
  { labels }: TracedJob,
  repository: Repository,
  policy: Policy,
): Pick<UnservedJobs, "result" | "detail"> | undefined {
  const route = routeJob(labels, policy);
  if (route.kind !== "routed") return { result: route.kind, detail: route.detail };
  const refused = admit(repository, policy);
  return refused === undefined ? undefined : { result: "refused", detail: refused.detail };
}

const refusedJobWaitsMilliseconds = 60_000;

function push(world: World, repositoryId: number, job: TracedJob, isRefused: boolean): void {
  const { model, scheduler } = world;
  const run = model.startRun(world.now, {
    repositoryId,
    workflowName: "replayed",
    workflowPath: ".github/workflows/replayed.yml",
    jobs: [
      plannedJob({
        labels: job.labels,
        timeoutMinutes: model.state.limits.jobTimeoutMaximumMinutes,
        environmentVariables: { SECONDS: String(job.durationSeconds) },
      }),
    ],
  });
  world.settleModel();
  if (!isRefused) return;
  scheduler.after(refusedJobWaitsMilliseconds, "cancel", () => {
    if (run.status !== "completed") model.cancelRun(world.now, run.id);
    world.settleModel();
  });
}

// -------------------------------------------------------------------------------------------- the world

function createWorld(options: ReplayOptions, hours: number): World {
  const { policy } = options;
  return new World({
    scenario: scenarioOf(options, hours),
    trace: new SilentTrace(simulationStart),
    prices: { pricePerHourUsd: async (spec, purchase) => simulatedPricePerHourUsd(policy, spec, purchase) },
  });
}

function scenarioOf(options: ReplayOptions, hours: number): Scenario {
  const { policy, cloud } = options;
  const { bootSeconds, interruptionsPercent } = cloud;
  const ofTasks = policy.presets.some(({ compute }) => compute === taskCompute);
  return {
    seed: options.seed,
    hours,
    policy: {
      ...policy,
      // The jobs of the trace are all there are.
      rerunsPerJob: 0,
      presets: policy.presets.map(simulated),
      // The report is made from the history.
      timing: { ...policy.timing, historySeconds: Number.MAX_SAFE_INTEGER },
    },
    processes: 1,
    timersEverywhere: false,
    rebalanceSeconds: roundSeconds,
    scaledownSeconds: roundSeconds,
    changesPerCommit: 1_000,
    lean: true,
    ...(ofTasks && { marks: "launch", tasks: tasksOf(cloud) }),
    pools,
    boot: { medianSeconds: bootSeconds, spread: bootSpread },
    arrivals: noArrivals,
    faults: { ...quiet, interruptionsPerHour: -Math.log(1 - interruptionsPercent / 100) },
  };
}

/** Nothing is lost in a replay that they could find. */
const roundSeconds = 300;

/** Only of tasks is it known that they are tasks. Their images are there, as on any day but the first. */
function simulated({ buildsImages: _, ...preset }: Preset): Preset {
  if (preset.compute !== taskCompute) return { ...preset, compute: "cloud" };
  return { ...preset, image: preset.image ?? "as they are", buildsImages: true };
}

/** So fast are tasks started, in an account and region (ECS developer guide, "Throttling quotas"). */
function tasksOf({ taskSeconds }: CloudAssumptions): Tasks {
  return {
    boot: { medianSeconds: taskSeconds, spread: bootSpread },
    launchBurst: 100,
    launchesPerSecond: 20,
    buildMedianSeconds: 0,
    bases: [],
    brokenBases: [],
    imagesFraction: 0,
    classesFraction: 0,
  };
}

/** Two thirds of all machines boot within a tenth of the usual time. */
const bootSpread = 0.1;

const pools: readonly Pool[] = [
  { name: "spot", purchase: "spot", capacity: Number.POSITIVE_INFINITY },
  { name: "on-demand", purchase: "on-demand", capacity: Number.POSITIVE_INFINITY },
  { name: "tasks", compute: taskCompute, purchase: "spot", capacity: Number.POSITIVE_INFINITY },
  { name: "tasks", compute: taskCompute, purchase: "on-demand", capacity: Number.POSITIVE_INFINITY },
];

/** The jobs come from the trace. */
const noArrivals: Scenario["arrivals"] = {
  pattern: "steady",
  jobs: 0,
  repositories: 0,
  medianSeconds: 0,
  spread: 0,
  optionsFraction: 0,
  fewerLabelsFraction: 0,
  strangeFraction: 0,
};

/**
 * What a machine costs an hour on demand: the preset's `pricePerHourUsd`, unless the job asked for another size, or
 * else what one of its size costs on EC2, or a task of its size on Fargate. Spot costs the usual part of that.
 */
export function simulatedPricePerHourUsd(policy: Policy, spec: FleetSpec, purchase: Purchase): number {
  const preset = policy.presets.find((entry) => entry.name === spec.preset);
  const isPresetsSize = preset !== undefined && preset.cpu === spec.cpu;
  const price = isPresetsSize ? preset.pricePerHourUsd : 0;
  const isTask = spec.compute === taskCompute;
  if (price > 0)
    return purchase === "spot" ? price * (isTask ? fargatePrices.spotFraction : spotFraction) : price;
  const listed = isTask ? listedPerHourUsd(spec, purchase) : undefined;
  return listed ?? typicalPricePerHourUsd(sizeOf(spec), purchase);
}

function violated(check: string, message: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "REPLAY_VIOLATION",
    message: `The replay ended early, because something happened that must not (${check}): ${message}.`,
    suggestion: "This is a bug in Mayfly: please report it with the trace and the configuration.",
  });
}
