import type { Faults } from "../src/targets/sim/faults.ts";
import type { Scenario } from "../src/targets/sim/scenario.ts";
import type { World } from "../src/targets/sim/world.ts";

/** One kind of failure: how it is brought about, what is seen and done, and what is measured. */
export interface Failure {
  readonly what: string;
  readonly seen: string;
  readonly done: string;
  readonly measure: Measure;
  readonly faults: Partial<Omit<Faults, "github">>;
  readonly github?: Partial<Faults["github"]>;
  readonly scenario?: Pick<Scenario, "runsAs" | "marks"> & {
    readonly spotCapacity?: 0;
    readonly ofTasks?: true;
  };
}

/** A time, and how it is read from a world that has come to its end: milliseconds, one for each thing that was struck. */
export interface Measure {
  readonly name: string;
  readonly read: (world: World) => readonly number[];
}

const lateMilliseconds = 5_000;
const told = (world: World, id: number | string, state: string): number =>
  world.toldAt.get(`${id} ${state}`) ?? Number.NaN;
const late = (values: readonly number[]): readonly number[] =>
  values.filter((value) => value > lateMilliseconds);
const ownJobs = (world: World) =>
  [...world.model.state.jobs.values()].filter(
    ({ runId }) => world.model.state.runs.get(runId)?.foreign !== true,
  );

const wait: Measure = {
  name: "wait of all jobs until they run",
  read: (world) => ownJobs(world).map(({ startedAt = Number.NaN, createdAt }) => startedAt - createdAt),
};
const unheard: Measure = {
  name: "until a job is known of which the delivery did not come",
  read: (world) => late(ownJobs(world).map(({ id, createdAt }) => told(world, id, "queued") - createdAt)),
};
const startUnheard: Measure = {
  name: "until it is known that a job runs, where that was not told at once",
  read: (world) =>
    late(ownJobs(world).map(({ id, startedAt = Number.NaN }) => told(world, id, "running") - startedAt)),
};
const endUnheard: Measure = {
  name: "until the end of a job is known, where that was not told at once",
  read: (world) =>
    late(ownJobs(world).map(({ id, completedAt = Number.NaN }) => told(world, id, "done") - completedAt)),
};
const secondLaunch: Measure = {
  name: "from asking for a machine to having it, where it was asked for again",
  read: (world) =>
    [...world.machines.values()]
      .filter(({ launchAttempts }) => launchAttempts > 1)
      .map(({ times }) => (times.launched ?? Number.NaN) - times.requested),
};
const rerun: Measure = {
  name: "from the end of a lost job to the start of the one that replaces it",
  read: (world) =>
    [...world.jobs.values()].map(({ id, rerunOf = 0 }) => {
      const lost = world.model.state.jobs.get(rerunOf)?.completedAt ?? Number.NaN;
      return (world.model.state.jobs.get(id)?.startedAt ?? Number.NaN) - lost;
    }),
};
const unannouncedEnd: Measure = {
  name: "from the end of a machine that is taken back to its end in the ledger",
  read: (world) =>
    world.everyAgent.map(({ machineId, machine, state, since }) => {
      const isTaken = state === "off" && machine.noticeAt !== undefined;
      return isTaken ? told(world, machineId, "ended") - since : Number.NaN;
    }),
};
const deadMachine: Measure = {
  name: "from the moment it does nothing any more to its end",
  read: (world) =>
    world.everyAgent.map(({ diedAt = Number.NaN, since, state }) =>
      state === "off" ? since - diedAt : Number.NaN,
    ),
};

const lifeOf = (reason: string): Measure => ({
  name: "from asking for a machine that runs no job to its end",
  read: (world) =>
    [...world.machines.values()]
      .filter((machine) => machine.reason === reason && machine.jobId === undefined)
      .map(({ times }) => (times.ended ?? Number.NaN) - times.requested),
});

/** Nothing is seen but that some jobs wait for longer. */
const longer = "some jobs wait for longer";

export const failures: readonly Failure[] = [
  { what: "nothing", seen: "–", done: "–", measure: wait, faults: {} },

  // What reaches us from GitHub.
  {
    what: "3 of 10 deliveries are refused or time out",
    seen: longer,
    done: "asks GitHub for those that its log says failed, at most 3 times each",
    measure: unheard,
    faults: {},
    github: { deliveryFailedFraction: 0.3 },
  },
  {
    what: "3 of 10 deliveries are never sent",
    seen: longer,
    done: "lists the open jobs of every repository that it has seen in the last day, each minute",
    measure: unheard,
    faults: {},
    github: { deliveryLostFraction: 0.3 },
  },
  {
    what: "3 of 10 deliveries are never sent: the end of a job",
    seen: "the job is shown as running for longer",
    done: "asks GitHub about jobs whose machine has gone after 30 s, about others when its list of open jobs lacks them",
    measure: endUnheard,
    faults: {},
    github: { deliveryLostFraction: 0.3 },
  },
  {
    what: "half of the deliveries come up to 2 minutes late, again, or in another order",
    seen: "the page is late",
    done: "lets the state tables decide: what is older than what is known changes nothing",
    measure: wait,
    faults: {},
    github: {
      deliveryDelayedFraction: 0.5,
      deliveryDelayMaximumSeconds: 120,
      deliveryDuplicatedFraction: 0.3,
      deliveryReorderedFraction: 0.3,
    },
  },
  {
    what: "GitHub sends nothing for 10 minutes, 4 times in 4 hours",
    seen: longer,
    done: "as for deliveries that are never sent",
    measure: unheard,
    faults: { deliveryOutages: 4, outageSeconds: 600 },
  },
  {
    what: "somebody forges deliveries",
    seen: "a warning in the log",
    done: "answers 401 and writes nothing",
    measure: wait,
    faults: { forgedDeliveries: 40 },
  },

  // What we ask of GitHub.
  {
    what: "1 of 10 requests to GitHub fails, 1 of 10 answers is lost",
    seen: longer,
    done: "tells the machine to ask again in 5 s, and removes what an earlier claim registered",
    measure: wait,
    faults: {},
    github: { restErrorFraction: 0.1, restAnswerLostFraction: 0.1 },
  },
  {
    what: "GitHub's API is down for 10 minutes, 4 times in 4 hours",
    seen: "jobs wait, with the reason; machines stay",
    done: "keeps what it has, destroys nothing that it cannot fence, goes on when GitHub does",
    measure: wait,
    faults: { githubOutages: 4, outageSeconds: 600 },
  },
  {
    what: "secondary limits: 1 of 50 requests is to be made a minute later",
    seen: longer,
    done: "waits as long as GitHub says; registrations first, then fences, then sweeps",
    measure: wait,
    faults: {},
    github: { secondaryLimitFraction: 0.02, secondaryLimitRetrySeconds: 60 },
  },
  {
    what: "the requests of an hour are used up by others, twice in 4 hours",
    seen: "jobs wait until the hour is over, with the reason",
    done: "asks again when GitHub says",
    measure: wait,
    faults: { requestExhaustions: 2 },
  },
  {
    what: "the App is suspended for up to 2 hours, twice in 4 hours",
    seen: "jobs wait; `mayfly doctor` says why",
    done: "goes on when it is allowed again",
    measure: wait,
    faults: { suspensions: 2 },
  },

  // What GitHub and people do with runners and jobs.
  {
    what: "1 of 5 runners is taken by a job that nobody was told of",
    seen: longer,
    done: "launches another machine for the job that has none now",
    measure: wait,
    faults: {},
    github: { runnerStolenFraction: 0.2 },
  },
  {
    what: "3 of 10 jobs are taken by a runner of somebody else",
    seen: "a machine that ran nothing",
    done: "lets the machine have the next job, or retires it after a minute",
    measure: lifeOf("surplus"),
    faults: {},
    github: { jobTakenElsewhereFraction: 0.3 },
  },
  {
    what: "GitHub gives 1 of 5 runners no job, and removes it as idle",
    seen: longer,
    done: "launches another machine when the listener has ended",
    measure: wait,
    faults: {},
    github: { runnerForgottenFraction: 0.2 },
  },
  {
    what: "the same, and the listener does not notice",
    seen: "a machine that does nothing",
    done: "finds that the runner has gone from GitHub's list, or that its idle limit has passed",
    measure: lifeOf("idle"),
    faults: { listenerHangsFraction: 1 },
    github: { runnerForgottenFraction: 0.2 },
  },
  {
    what: "GitHub lists half of the busy runners as idle",
    seen: "nothing",
    done: "does not believe the list: a runner is removed by a request that GitHub refuses while a job runs",
    measure: wait,
    faults: {},
    github: { runnerFalselyIdleFraction: 0.5 },
  },
  {
    what: "an administrator deletes 10 idle runners in 4 hours",
    seen: longer,
    done: "launches another machine when the listener has ended",
    measure: wait,
    faults: { runnerDeletionsPerDay: 60 },
  },
  {
    what: "half of the runs are cancelled within half an hour",
    seen: "machines that ran nothing",
    done: "lets them have the next job, or retires them after a minute",
    measure: lifeOf("surplus"),
    faults: { cancelFraction: 0.5 },
  },
  {
    what: "half of the runs are run again",
    seen: "nothing",
    done: "each attempt is a job of its own",
    measure: wait,
    faults: { rerunFraction: 0.5 },
  },
  {
    what: "an operator ends 10 machines in 4 hours, some by force",
    seen: "as asked; a job that runs goes on unless forced",
    done: "fences, waits for the job, launches another machine where one is needed",
    measure: wait,
    faults: { operatorActions: 10 },
  },
  {
    what: "a repository is taken out of the App",
    seen: "its jobs are closed, with the reason",
    done: "asks GitHub about them, and ends machines that only they needed",
    measure: wait,
    faults: { repositoryRemovals: 1 },
  },
  {
    what: "the configuration is changed 4 times in 4 hours; for 10 minutes old and new are there at once",
    seen: "nothing, or the new limits",
    done: "keeps what machines were told at their launch and their claim",
    measure: wait,
    faults: { deployments: 4, deploymentSeconds: 600 },
  },

  // The control plane.
  {
    what: "the process dies at 1 of 1,000 calls, and is away for up to a minute",
    seen: longer,
    done: "finishes or undoes what it finds noted as begun",
    measure: wait,
    faults: { crashFraction: 0.001, restartSeconds: 60 },
  },
  {
    what: "1 of 50 functions is killed at its time limit",
    seen: longer,
    done: "has its message again, and finishes what it finds noted as begun",
    measure: wait,
    faults: { functionKilledFraction: 0.02 },
    scenario: { runsAs: "functions" },
  },
  {
    what: "clocks are wrong by up to 3 s",
    seen: "nothing",
    done: "lets GitHub's own times decide between GitHub's events",
    measure: wait,
    faults: { clockSkewSeconds: 3 },
  },
  {
    what: "1 of 20 calls takes up to half a minute",
    seen: longer,
    done: "works on other messages meanwhile",
    measure: wait,
    faults: { slowCallFraction: 0.05, slowCallSeconds: 30 },
  },
  {
    what: "the store: 3 of 10 commits conflict, 1 of 20 calls is refused, 1 of 20 answers is lost",
    seen: longer,
    done: "loads, plans and commits again; a message that fails comes again",
    measure: wait,
    faults: {
      storeConflictFraction: 0.3,
      storeThrottleFraction: 0.05,
      storeReadThrottleFraction: 0.05,
      storeAnswerLostFraction: 0.05,
    },
  },
  {
    what: "the queues: half of the messages are a minute late, 3 of 10 come twice, 1 of 20 sends is refused",
    seen: longer,
    done: "looks at every fleet that needs it each minute",
    measure: wait,
    faults: {
      queueDelayFraction: 0.5,
      queueDelaySeconds: 60,
      queueRepeatFraction: 0.3,
      queueThrottleFraction: 0.05,
      queueAnswerLostFraction: 0.05,
    },
  },

  // Machines and the way between them and us.
  {
    what: "1 of 5 requests of machines is lost, 1 of 5 answers is, and half of the claims come twice",
    seen: longer,
    done: "answers a claim that is repeated with a new registration, and removes the earlier one first",
    measure: wait,
    faults: { requestLostFraction: 0.2, answerLostFraction: 0.2, claimRepeatFraction: 0.5 },
  },
  {
    what: "half of the reports of machines are lost, and 3 of 10 deliveries are never sent",
    seen: "the job is shown as queued for longer",
    done: "sees in GitHub's list of open jobs which machine runs it",
    measure: startUnheard,
    faults: { reportLostFraction: 0.5 },
    github: { deliveryLostFraction: 0.3 },
  },
  {
    what: "1 of 5 machines hangs while it boots",
    seen: longer,
    done: "ends it after its boot limit of 5 minutes, and launches another",
    measure: lifeOf("boot-timeout"),
    faults: { bootHangFraction: 0.2 },
  },
  {
    what: "1 of 5 machines boots 5 to 40 times as slowly",
    seen: longer,
    done: "the same, unless it was quick enough",
    measure: wait,
    faults: { bootSlowFraction: 0.2 },
  },
  {
    what: "1 of 10 machines freezes under its job",
    seen: "GitHub fails the job after 10 minutes",
    done: "ends the machine when GitHub has ended the job",
    measure: deadMachine,
    faults: { agentDeathFraction: 0.1 },
  },
  {
    what: "3 of 10 machines do not power off",
    seen: "nothing",
    done: "terminates machines that are done, 10 s after they said so",
    measure: deadMachine,
    faults: { powerOffFailsFraction: 0.3 },
  },

  // The cloud.
  {
    what: "1 of 5 calls to the cloud fails",
    seen: longer,
    done: "asks again, later each time",
    measure: wait,
    faults: { cloudErrorFraction: 0.2 },
  },
  {
    what: "3 of 10 answers to a launch are lost",
    seen: longer,
    done: "asks again with the same token, and adopts what exists by its mark",
    measure: secondLaunch,
    faults: { launchAnswerLostFraction: 0.3 },
  },
  {
    what: "3 of 10 launches happen up to 15 minutes later, without an answer",
    seen: longer,
    done: "gives the launch up after 5 minutes, launches others, and ends what comes too late",
    measure: wait,
    faults: { launchLateFraction: 0.3, launchLateSeconds: 900 },
  },
  {
    what: "there is no spot capacity",
    seen: "the page says which pools refused",
    done: "skips them for 30 s, then for longer, and buys on-demand where that is allowed",
    measure: wait,
    faults: {},
    scenario: { spotCapacity: 0 },
  },
  {
    what: "3 of 10 machines of a launch are refused, 1 of 5 because of too many calls",
    seen: longer,
    done: "launches the rest anew",
    measure: wait,
    faults: { partialFleetFraction: 0.3, launchThrottledFraction: 0.2 },
  },
  {
    what: "launches are refused for up to 3 hours, 4 times in 4 hours",
    seen: "jobs wait, with the reason",
    done: "tries again after 30 s, then later, after 15 minutes at most",
    measure: wait,
    faults: { outagesPerDay: 4 },
  },
  {
    what: "spot machines are taken back: one in two each hour",
    seen: "the job fails after its notice, and is run again by itself",
    done: "runs the lost jobs again when their run has ended, on-demand",
    measure: rerun,
    faults: { interruptionsPerHour: 0.5, riskFraction: 0.3 },
  },
  {
    what: "the same, and the cloud's own events are lost or 2 minutes late, as its lists are by 28 s",
    seen: "the same",
    done: "hears of it from the machine itself, or misses it in two lists that are 30 s apart",
    measure: unannouncedEnd,
    faults: {
      interruptionsPerHour: 0.5,
      noticeLostFraction: 0.5,
      goneLostFraction: 0.5,
      cloudEventDelaySeconds: 120,
      listingLagSeconds: 28,
    },
  },

  // Tasks, and the images that they start from.
  {
    what: "1 of 5 tasks is stopped before anything runs in it",
    seen: longer,
    done: "launches another when it is gone",
    measure: wait,
    faults: { taskStoppedFraction: 0.2 },
    scenario: { ofTasks: true },
  },
  {
    what: "the builder of images: 1 of 5 calls fails, and half of the answers to orders are lost",
    seen: "jobs wait until their image is there, with the reason",
    done: "asks again, under the same tag",
    measure: wait,
    faults: { buildThrottledFraction: 0.2, buildAnswerLostFraction: 0.5 },
    scenario: { ofTasks: true },
  },
  {
    what: "half of the builds of images fail",
    seen: "jobs wait, with the reason and the end of the build's log",
    done: "builds again after a minute, then later; gives the jobs up after five failures in a row",
    measure: wait,
    faults: { buildFailedFraction: 0.5 },
    scenario: { ofTasks: true },
  },
  {
    what: "of every second build nobody is told how it ends",
    seen: "jobs wait, with the reason",
    done: "does not wait for it any more after 45 minutes, and builds again",
    measure: wait,
    faults: { buildSilentFraction: 0.5 },
    scenario: { ofTasks: true },
  },
  {
    what: "every image is to be made anew, 4 times in 4 hours",
    seen: "nothing",
    done: "goes on with the image that it has while the next is built",
    measure: wait,
    faults: { recipeChanges: 4 },
    scenario: { ofTasks: true },
  },
  {
    what: "the same, and no machine of the new images is of any use",
    seen: "some jobs wait for longer; the image is shown as failed, with the reason",
    done: "tries a new image with one machine at a time, and rolls it back after three",
    measure: wait,
    faults: { recipeChanges: 4, imageBrokenFraction: 1 },
    scenario: { ofTasks: true },
  },
  {
    what: "machines with our mark exist that no ledger knows",
    seen: "a warning in the log",
    done: "enters them as orphans, looks for their runners, ends them; on EC2, where not even the launch is known, they are left to their own time limits",
    measure: deadMachine,
    faults: { strayMachines: 6 },
    scenario: { marks: "machine" },
  },
];
