import { createSeededRandom } from "../../adapters/random/seeded.ts";
import type { Preset } from "../../core/model.ts";
import { fleetIdOf, resolveSpec } from "../../core/route.ts";
import type { Faults as GithubFaults } from "../../emulator/model-faults.ts";
import type { Installation, JobAction, Repository, Run } from "../../emulator/model-state.ts";
import { type PlannedJob, plannedJob } from "../../emulator/planned-job.ts";
import { GithubRefusal } from "../../emulator/refusal.ts";
import { terminateMachine } from "../../flow/status.ts";
import type { Random } from "../../ports/random.ts";
import { between, chance, oneOf, skewed, wholeBetween } from "./draw.ts";
import type { Arrivals } from "./scenario.ts";
import { simulationStart, type World } from "./world.ts";

/** The people around the system: they push, cancel, run again, suspend, remove, delete and terminate. */
export function letUsersWork(world: World): void {
  const random = createSeededRandom(`${world.scenario.seed} users`);
  const { installation, repositories } = createOrganization(world);
  const times = arrivalTimes(random, world.scenario.arrivals, world.scenario.hours);
  for (const [index, { at, jobs }] of times.entries()) {
    world.scheduler.at(simulationStart + at, `push ${index + 1}`, () => {
      push(world, random, oneOf(random, repositories), jobs);
    });
  }
  planTrouble(world, random, installation, repositories);
}

type Repositories = readonly [Repository, ...Repository[]];

function createOrganization(world: World): { installation: Installation; repositories: Repositories } {
  const { model, now } = world;
  const add = (index: number): Repository => {
    return model.addRepository(now, { owner: "acme", name: `app-${index}`, private: true });
  };
  const others = Array.from({ length: world.scenario.arrivals.repositories - 1 }, (_, index) =>
    add(index + 2),
  );
  const repositories: Repositories = [add(1), ...others];
  if (world.scenario.arrivals.strangeFraction > 0) {
    model.addRepository(now, { owner: "acme", name: "in-public", private: false });
  }
  return { installation: model.addInstallation(now, { account: "acme" }), repositories };
}

interface Push {
  /** Milliseconds since the start. */
  readonly at: number;
  readonly jobs: number;
}

function arrivalTimes(random: Random, arrivals: Arrivals, hours: number): readonly Push[] {
  const pushes: Push[] = [];
  const length = hours * 3_600_000;
  for (let left = arrivals.jobs; left > 0; ) {
    const burst = arrivals.pattern === "bursts" ? wholeBetween(random, 5, 60) : wholeBetween(random, 1, 4);
    const jobs = Math.min(left, burst);
    pushes.push({ at: instantOf(random, arrivals.pattern) * length, jobs });
    left -= jobs;
  }
  return pushes.sort((one, other) => one.at - other.at);
}

/** As a part of the whole time. */
function instantOf(random: Random, pattern: Arrivals["pattern"]): number {
  switch (pattern) {
    case "release-day":
      return chance(random, 0.7) ? between(random, 0.55, 0.65) : random.fraction();
    case "night":
      return chance(random, 0.8) ? between(random, 0.08, 0.2) : random.fraction();
    default:
      return random.fraction();
  }
}

function push(world: World, random: Random, repository: Repository, count: number): void {
  const { model, scenario } = world;
  const strange = chance(random, scenario.arrivals.strangeFraction);
  const inPublic = strange && chance(random, 0.5);
  const target = inPublic ? model.findRepository("acme", "in-public") : repository;
  const labels = strange && !inPublic ? oneOf(random, strangeLabels) : undefined;
  const jobs = Array.from({ length: count }, (_, index) => planJob(world, random, index, labels));
  const run = model.startRun(world.now, {
    repositoryId: target.id,
    workflowName: "CI",
    workflowPath: ".github/workflows/ci.yml",
    jobs,
  });
  world.settleModel();
  const { cancelFraction, rerunFraction } = world.faults;
  if (chance(random, cancelFraction)) {
    world.scheduler.after(random.fraction() ** 2 * 1_800_000, `cancel ${run.id}`, () => cancel(world, run));
  }
  if (chance(random, rerunFraction)) {
    const at = between(random, 300_000, 7_200_000);
    world.scheduler.after(at, `run again ${run.id}`, () => runAgain(world, random, run));
  }
}

const strangeLabels: readonly [readonly string[], ...(readonly string[])[]] = [
  ["ubuntu-latest"],
  ["self-hosted", "windows"],
  ["mayfly/linux-x64/cpu=999999"],
];

function planJob(
  world: World,
  random: Random,
  index: number,
  labels: readonly string[] | undefined,
): PlannedJob {
  const { arrivals, policy } = world.scenario;
  const seconds = Math.min(Math.max(2, skewed(random, arrivals.medianSeconds, arrivals.spread)), 5 * 3_600);
  const preset = policy.presets[index % policy.presets.length];
  return plannedJob({
    key: `job-${index + 1}`,
    labels: labels ?? withImageLabels(world, random, preset, labelsOf(random, arrivals, preset?.name ?? "")),
    timeoutMinutes: 6 * 60,
    environmentVariables: { SECONDS: seconds.toFixed(1) },
  });
}

function labelsOf(random: Random, arrivals: Arrivals, preset: string): readonly string[] {
  if (chance(random, arrivals.optionsFraction)) return [`mayfly/${preset}/cpu=${oneOf(random, [2, 4, 8])}`];
  const architecture = preset.endsWith("arm64") ? "arm64" : "x64";
  if (chance(random, arrivals.fewerLabelsFraction)) return ["self-hosted", architecture];
  return ["self-hosted", "linux", architecture];
}

/** Jobs of presets whose images are made may name another image, and a class. */
function withImageLabels(
  { scenario: { tasks } }: World,
  random: Random,
  preset: Preset | undefined,
  labels: readonly string[],
): readonly string[] {
  if (tasks === undefined || preset?.buildsImages !== true) return labels;
  const more: string[] = [];
  const [first, ...others] = [...tasks.bases, ...tasks.brokenBases];
  if (first !== undefined && chance(random, tasks.imagesFraction))
    more.push(`image:${oneOf(random, [first, ...others])}`);
  const hasSize = labels.some((label) => label.includes("/cpu="));
  if (!hasSize && chance(random, tasks.classesFraction))
    more.push(`class:${oneOf(random, ["small", "medium"])}`);
  return [...labels, ...more];
}

function cancel(world: World, run: Run): void {
  tryModel(() => world.model.cancelRun(world.now, run.id));
  world.settleModel();
}

function runAgain(world: World, random: Random, run: Run): void {
  if (run.foreign || world.healedAt !== undefined) return;
  const { model, now } = world;
  const job = run.current.find((entry) => entry?.status === "completed");
  const kinds = [
    () => model.rerunFailedJobs(now, run.id),
    () => model.rerunRun(now, run.id),
    () => job !== undefined && model.rerunJob(now, job.id),
  ] as const;
  tryModel(oneOf(random, kinds));
  world.settleModel();
}

/** GitHub may refuse: what people want is not always possible. */
function tryModel(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof GithubRefusal)) throw error;
  }
}

// --------------------------------------------------------------------------------------------- trouble

function planTrouble(
  world: World,
  random: Random,
  installation: Installation,
  repositories: Repositories,
): void {
  const { scheduler, model, faults, scenario } = world;
  const length = scenario.hours * 3_600_000;
  const sometime = (label: string, count: number, act: () => void): void => {
    for (let left = count; left > 0; left--) scheduler.after(random.fraction() * length, label, act);
  };
  sometime("the App is suspended", faults.suspensions, () => {
    model.suspendInstallation(world.now, installation.id, true);
    world.settleModel();
    const until = Math.min(world.now + random.fraction() * 7_200_000, simulationStart + length);
    world.hinder(until);
    scheduler.at(until, "the App is allowed again", () => {
      model.suspendInstallation(world.now, installation.id, false);
      world.settleModel();
    });
  });
  sometime("a repository is taken out", faults.repositoryRemovals, () => {
    model.removeInstallationRepository(world.now, installation.id, oneOf(random, repositories).id);
    world.settleModel();
  });
  sometime(
    "an administrator deletes a runner",
    Math.round((faults.runnerDeletionsPerDay * scenario.hours) / 24),
    () => {
      const idle = [...model.state.runners.values()].find((runner) => runner.jobId === undefined);
      if (idle === undefined) return;
      world.befalls(idle.name, "an administrator deleted its runner");
      tryModel(() => model.deleteRunner(world.now, idle.scope, idle.id));
      world.settleModel();
    },
  );
  sometime("a machine of nobody appears", faults.strayMachines, () => appear(world, random));
  sometime("somebody forges a delivery", faults.forgedDeliveries, () => forge(world, random));
  sometime("an operator ends a machine", faults.operatorActions, () => terminate(world, random));
  const { builder } = world;
  if (builder !== undefined)
    sometime("images are to be made anew", faults.recipeChanges, () => builder.changeRecipe());
  sometime("the configuration is changed", faults.deployments, () => world.deploy(faults.deploymentSeconds));
  const { restErrorFraction, deliveryLostFraction } = faults.github;
  sometime("GitHub's API is down", faults.githubOutages, () => {
    world.hinder(world.now + world.faults.outageSeconds * 1_000);
    breakGithub(world, { restErrorFraction: 1 }, { restErrorFraction });
  });
  sometime("GitHub's deliveries do not come", faults.deliveryOutages, () => {
    breakGithub(world, { deliveryLostFraction: 1 }, { deliveryLostFraction });
  });
  sometime("the App's requests are used up", faults.requestExhaustions, () => {
    const resource = chance(random, 0.7) ? "core" : "actions_runner_registration";
    const bucket = model.exhaustRateLimit(world.now, `installation ID ${installation.id}`, resource);
    world.hinder(bucket.resetAt);
  });
}

function breakGithub(world: World, faults: Partial<GithubFaults>, usual: Partial<GithubFaults>): void {
  const { outageSeconds } = world.faults;
  const change = (part: Partial<GithubFaults>): void => {
    if (world.healedAt === undefined) world.model.setFaults({ ...world.model.state.faults, ...part });
  };
  change(faults);
  world.scheduler.after(outageSeconds * 1_000, "GitHub is well again", () => change(usual));
}

/** Like a delivery that GitHub has sent, but for the signature; of a job that there is, or is not. */
function forge(world: World, random: Random): void {
  const sent = [...world.model.state.deliveries.values()];
  const delivery = sent[Math.floor(random.fraction() * sent.length)];
  if (delivery?.event.name !== "workflow_job") return;
  const { job } = delivery.event;
  const id = chance(random, 0.5) ? job.id : job.id + 1_000_000;
  const action = oneOf<JobAction>(random, ["queued", "completed"]);
  world.forge({ ...delivery, event: { ...delivery.event, action, job: { ...job, id } } });
}

/** Any machine, and most of the time one that has a job. */
function terminate(world: World, random: Random): void {
  const active = [...world.machines.values()].filter((machine) => machine.state !== "ended");
  const busy = active.filter((machine) => machine.state === "busy");
  const candidates = busy.length > 0 && chance(random, 0.7) ? busy : active;
  const machine = candidates[Math.floor(random.fraction() * candidates.length)];
  if (machine === undefined) return;
  world.befalls(machine.id, "an operator ended it");
  const force = chance(random, 0.3);
  world.http(
    "status",
    `terminate ${machine.id}`,
    (ports) => terminateMachine(ports, machine.id, force),
    () => {},
  );
}

function appear(world: World, random: Random): void {
  const [preset] = world.policy.presets;
  if (preset === undefined) return;
  const spec = resolveSpec(preset, {}, world.policy);
  const id = `${preset.name}-stray-${wholeBetween(random, 1_000, 9_999)}`;
  world.cloud.appear({
    fleet: fleetIdOf(preset.name, {}),
    spec,
    purchase: "on-demand",
    token: id,
    machines: [{ id }],
    attempt: 1,
    avoidPools: [],
    jobTimeoutSeconds: spec.jobTimeoutSeconds,
    bootTimeoutSeconds: spec.bootTimeoutSeconds,
  });
}
