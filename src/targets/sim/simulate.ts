import { checks } from "./checks.ts";
import { longestJobSeconds } from "./deployments.ts";
import { withJobs } from "./many-jobs.ts";
import { drawScenario, type Scenario } from "./scenario.ts";
import { Trace } from "./trace.ts";
import { letUsersWork } from "./users.ts";
import { type Sabotage, simulationStart, type Violation, World } from "./world.ts";

export interface SeedOptions {
  readonly seed: string;
  readonly hours: number;
  readonly sabotage?: Sabotage;
  /** Gets the world when the seed is over, for whoever wants to measure it. */
  readonly onEnd?: (world: World) => void;
  /** Gets every line of the trace. */
  readonly onLine?: (line: string) => void;
  /** Takes the place of what would be drawn from the seed. */
  readonly scenario?: Scenario;
  /** So many jobs, with limits that grow with them, instead of as many as the seed draws. */
  readonly jobs?: number;
  /** The simulation ends where it is; its result is that of a part of it. */
  readonly signal?: AbortSignal;
}

export interface SeedResult {
  readonly seed: string;
  readonly hours: number;
  readonly violation: ViolationReport | undefined;
  readonly fingerprint: string;
  readonly steps: number;
  readonly simulatedMilliseconds: number;
  /** From the launch of each machine to its end, or to that of the simulation. */
  readonly machineMilliseconds: number;
  readonly jobs: number;
  readonly launches: number;
  readonly crashes: number;
}

export interface ViolationReport extends Violation {
  readonly seed: string;
  readonly hours: number;
  /** What the check that failed demands. */
  readonly says: string;
  /** The entries of the ledger that the message names. */
  readonly entities: readonly unknown[];
  /** The last events, oldest first. */
  readonly events: readonly string[];
}

const lookEveryMilliseconds = 60_000;
/** So long after nothing hinders a process any more, demand that nobody was told of must have been found. */
const discoveryMilliseconds = 15 * 60_000;

/**
 * One seed: a world is drawn, people and faults do their worst for so many hours, then everything heals, and the world
 * must come to rest. Stops at the first violation. The same options give the same result, to the last bit.
 */
export async function simulateSeed(options: SeedOptions): Promise<SeedResult> {
  const drawn = options.scenario ?? drawScenario(options.seed, options.hours);
  const scenario = options.jobs === undefined ? drawn : withJobs(drawn, options.jobs);
  const trace = new Trace(simulationStart, options.onLine);
  const world = new World({ scenario, trace, ...(options.sabotage && { sabotage: options.sabotage }) });
  letUsersWork(world);
  world.start();
  const healAt = simulationStart + scenario.hours * 3_600_000;
  world.scheduler.at(healAt, "everything heals", () => {
    world.heal();
    // An hour's requests that are used up come back when that hour is over, and not because all is well.
    const findsAgainAt = Math.max(world.now, world.hinderedUntil);
    world.scheduler.at(findsAgainAt + discoveryMilliseconds, "is all over?", () => lookForRest(world));
  });
  const { jobDeadlineSeconds } = scenario.policy.timing;
  const presetLimits = scenario.policy.presets.map((preset) => preset.jobTimeoutSeconds);
  const longestJob = Math.max(scenario.faults.deployments > 0 ? longestJobSeconds : 0, ...presetLimits);
  // What becomes of a lost job is decided when its run has ended, and GitHub lets jobs that nobody serves wait for a day.
  const longestWait = Math.max(jobDeadlineSeconds, world.model.state.limits.queueLimitSeconds);
  // The job that takes its place may wait as long once more.
  const attempts = 1 + scenario.policy.rerunsPerJob;
  const end = healAt + (attempts * (longestWait + 2 * longestJob) + 7_200) * 1_000;
  // Thousands of refusals are thrown on purpose; to note for each where it came from takes longer than all else.
  const { stackTraceLimit } = Error;
  if (options.onLine === undefined) Error.stackTraceLimit = 0;
  try {
    const { signal } = options;
    const isOver = (): boolean => world.violation !== undefined || world.isQuiet || signal?.aborted === true;
    await world.scheduler.run(end, isOver);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  if (world.violation === undefined && options.signal?.aborted !== true) world.checkEnd();
  options.onEnd?.(world);
  return resultOf(world, trace);
}

function lookForRest(world: World): void {
  if (world.lookForRest()) return;
  world.scheduler.after(lookEveryMilliseconds, "is all over?", () => lookForRest(world));
}

function resultOf(world: World, trace: Trace): SeedResult {
  let machineMilliseconds = 0;
  for (const { machine, since, state } of world.agents.values()) {
    machineMilliseconds += (state === "off" ? since : world.now) - machine.launchedAt;
  }
  return {
    seed: world.scenario.seed,
    hours: world.scenario.hours,
    violation: world.violation === undefined ? undefined : reportOf(world, trace, world.violation),
    fingerprint: trace.fingerprint,
    steps: world.scheduler.steps,
    simulatedMilliseconds: world.now - simulationStart,
    machineMilliseconds,
    jobs: world.jobs.size,
    launches: world.cloud.launchCount,
    crashes: world.processes.reduce((sum, process) => sum + process.crashes, 0),
  };
}

function reportOf(world: World, trace: Trace, violation: Violation): ViolationReport {
  const words = new Set(violation.message.split(/[\s,():;]+/));
  const machines = [...world.machines.values()].filter(
    ({ id, providerId }) => words.has(id) || words.has(providerId ?? ""),
  );
  const jobIds = new Set(machines.flatMap(({ jobId, binding }) => [jobId, binding?.jobId]));
  const jobs = [...world.jobs.values()].filter(({ id }) => words.has(String(id)) || jobIds.has(id));
  return {
    ...violation,
    seed: world.scenario.seed,
    hours: world.scenario.hours,
    says: checks.find((check) => check.name === violation.check)?.says ?? "",
    entities: [...machines, ...jobs],
    events: trace.recent(),
  };
}
