import type { Image } from "../../core/image.ts";
import type { Change, Instant, Job, LifecycleEvent, Machine, MachineId, Policy } from "../../core/model.ts";
import type { GithubModel } from "../../emulator/model.ts";
import type { LaunchRequest } from "../../ports/compute.ts";
import type { ImageOrder } from "../../ports/images.ts";
import type { Agent } from "./agent.ts";
import type { SimBuilder } from "./builder.ts";
import {
  brokenMachines,
  createImageMemory,
  failuresInARow,
  type ImageMemory,
  imagesAreAsWritten,
  newImagesAreTried,
  noBrokenImageIsTrusted,
  oneBuildAtATime,
  onlyWhatCannotBeMade,
  startsFromWhatWasMade,
} from "./checks-of-images.ts";
import {
  conclusionsAgree,
  everyJobEnds,
  hopelessMinutes,
  lostJobsAreDecided,
  nobodyWaitsInVain,
  onlyJobsOfGithub,
} from "./checks-of-jobs.ts";
import { noMachineTooMany } from "./checks-of-launches.ts";
import {
  budgetHolds,
  capsHold,
  everythingIsKnown,
  needlessMinutes,
  needlessSweeps,
  noMachineIsNeedless,
  noRunningJobIsTerminated,
  nothingIsLeft,
  noticesAreHeard,
  oneMachinePerInstance,
  oneRegistrationPerMachine,
  onlyForwards,
  unknownSweeps,
} from "./checks-of-machines.ts";
import type { CloudMachine, SimCloud } from "./cloud.ts";
import type { Scenario } from "./scenario.ts";

/**
 * What must always hold, as a table: each entry is one sentence of ARCHITECTURE.md with its bound, and the functions
 * that look for its violation where it can happen. They compare the ledger with the truth, which only a simulation
 * knows: what really runs on a machine, and what really exists.
 */
export interface Check {
  readonly name: CheckName;
  readonly says: string;
  readonly bound: string;
  readonly looks: { readonly [Moment in keyof Facts]?: (world: WorldView, fact: Facts[Moment]) => Found };
}

export type CheckName =
  | "S1"
  | "S2"
  | "S3"
  | "S4"
  | "S5"
  | "S6"
  | "S7"
  | "S8"
  | "S9"
  | "L1"
  | "L2"
  | "L3"
  | "L4"
  | "L5"
  | "L6"
  | "T1"
  | "T2";

/** A sentence that says what is wrong. */
export type Found = string | undefined;

export const checks: readonly Check[] = [
  {
    name: "S1",
    says: "no machine whose job is running is terminated",
    bound: "but for its time limit, an operator's `--force`, or the cloud taking it",
    looks: { terminating: noRunningJobIsTerminated },
  },
  {
    name: "S2",
    says: "nothing that exists is unknown, and no machine outlives its need",
    bound: `unknown for ${unknownSweeps} sweeps after the listing delay in which the store refused nothing; needless for ${needlessSweeps.calm} sweeps, and while things go wrong for ${needlessSweeps.troubled} sweeps and ${needlessMinutes} minutes in which GitHub could be asked, and answered what it was asked about its job`,
    looks: {
      swept: (world, fact) => everythingIsKnown(world, fact) ?? noMachineIsNeedless(world, fact),
    },
  },
  {
    name: "S3",
    says: "what the provider launched is one machine, with at most one live registration; no claim is answered after its runner was online",
    bound: "every write of a machine and every answer to a claim",
    looks: { committed: oneMachinePerInstance, claimAnswered: oneRegistrationPerMachine },
  },
  {
    name: "S4",
    says: "machines launched = jobs + warm; with faults, each further machine is explained by one",
    bound:
      "a machine without a job is explained by what befell it, or by one event in whose time a machine of its fleet was asked for",
    looks: { ended: noMachineTooMany },
  },
  {
    name: "S5",
    says: "no state moves backwards, and what a machine did is not forgotten",
    bound: "every write",
    looks: { committed: onlyForwards },
  },
  {
    name: "S6",
    says: "the caps per preset, repository and in total hold, and the budget at the launch",
    bound: "every write of a machine",
    looks: { committed: (world, fact) => capsHold(world, fact) ?? budgetHolds(world, fact) },
  },
  {
    name: "S7",
    says: "no secret in a log line, a status document or an entry",
    bound: "every line, document and entry",
    looks: { printed: noSecret },
  },
  {
    name: "S8",
    says: "what GitHub did not sign leaves no trace",
    bound: "every write",
    looks: { committed: onlyJobsOfGithub },
  },
  {
    name: "S9",
    says: "one build of an image at a time, noted before it is ordered; what is said of it is so, and a machine starts from what was made for it",
    bound:
      "every order, every write of an image and every launch; what is not heard of for 45 minutes is not waited for",
    looks: {
      building: oneBuildAtATime,
      imageCommitted: imagesAreAsWritten,
      launching: startsFromWhatWasMade,
    },
  },
  {
    name: "L1",
    says: "when faults stop, every accepted job runs or is visibly given up",
    bound: "its deadline; it is not given up while a machine could have been had",
    looks: { ended: everyJobEnds },
  },
  {
    name: "L2",
    says: "without jobs and without warm target there are no machines",
    bound: "the bound of S2 after the last job",
    looks: { ended: nothingIsLeft },
  },
  {
    name: "L3",
    says: "a job that was lost with its machine is run again when its run has ended, or it is said why not",
    bound: "at the end of the seed, for machines of which something told that they were taken",
    looks: { ended: lostJobsAreDecided },
  },
  {
    name: "L4",
    says: "no job waits while nothing exists or is asked for that could run it, and a machine could be had",
    bound: `${hopelessMinutes} minutes after the last launch that was refused, in which GitHub could be asked`,
    looks: { swept: nobodyWaitsInVain },
  },
  {
    name: "L5",
    says: "a job is given up for want of its image only when that cannot be made",
    bound: `its builds have failed ${failuresInARow} times in a row; then no job waits for another`,
    looks: { committed: onlyWhatCannotBeMade },
  },
  {
    name: "L6",
    says: "an image of whose machines none is of use does not take the place of one that serves",
    bound: `every write of an image; ${brokenMachines} machines of it`,
    looks: { launching: newImagesAreTried, imageCommitted: noBrokenImageIsTrusted },
  },
  {
    name: "T1",
    says: "what the ledger says of a job's end is what GitHub says",
    bound: "at the end of the seed",
    looks: { ended: conclusionsAgree },
  },
  {
    name: "T2",
    says: "a notice that we were told of is in the ledger when its event has been dealt with",
    bound: "every event; none is lost",
    looks: noticesAreHeard,
  },
];

/** Lets every check look at this moment. The first that finds something says so. */
export function lookAt<Moment extends keyof Facts>(
  world: WorldView,
  moment: Moment,
  fact: Facts[Moment],
): { readonly check: CheckName; readonly found: string } | undefined {
  for (const { name, looks } of checksAt[moment]) {
    const found = looks[moment]?.(world, fact);
    if (found !== undefined) return { check: name, found };
  }
  return undefined;
}

const checksAt: { readonly [Moment in keyof Facts]: readonly Check[] } = {
  terminating: checks.filter(({ looks }) => looks.terminating),
  committed: checks.filter(({ looks }) => looks.committed),
  swept: checks.filter(({ looks }) => looks.swept),
  building: checks.filter(({ looks }) => looks.building),
  imageCommitted: checks.filter(({ looks }) => looks.imageCommitted),
  launching: checks.filter(({ looks }) => looks.launching),
  claimAnswered: checks.filter(({ looks }) => looks.claimAnswered),
  dealtWith: checks.filter(({ looks }) => looks.dealtWith),
  printed: checks.filter(({ looks }) => looks.printed),
  ended: checks.filter(({ looks }) => looks.ended),
};

/** The moments at which something can be found, and what is known at each. */
export interface Facts {
  /** The flow asks the cloud to destroy a machine. */
  readonly terminating: CloudMachine;
  /** An entry was written, in the place of `before`. */
  readonly committed: { readonly change: Change; readonly before: Job | Machine | undefined };
  /** A sweep that could list has ended. */
  readonly swept: {
    readonly startedAt: number;
    readonly computes: ReadonlySet<string>;
    /** The store refused something meanwhile, so that it may not have dealt with all that it found. */
    readonly refused: boolean;
  };
  /** A build is about to begin. */
  readonly building: ImageOrder;
  /** The ledger's entry of an image was written, in the place of `before`. */
  readonly imageCommitted: { readonly image: Image; readonly before: Image | undefined };
  /** Machines are asked for that start from images that are made. */
  readonly launching: LaunchRequest;
  readonly claimAnswered: AnsweredClaim;
  /** An event of the lifecycle queue has been dealt with, and will not come again. */
  readonly dealtWith: LifecycleEvent;
  /** A log line, a status document or an entry. */
  readonly printed: { readonly where: string; readonly text: string };
  /** The seed is over. */
  readonly ended: undefined;
}

export interface AnsweredClaim {
  readonly machineId: MachineId;
  readonly action: string;
  /** The ledger's machine when the request arrived. */
  readonly before: Machine | undefined;
  readonly runnerId: number | undefined;
}

/** What the checks may look at. */
export interface WorldView {
  readonly now: number;
  readonly scenario: Scenario;
  /** The newest. */
  readonly policy: Policy;
  /** Those by which something may be planned or written now. */
  readonly policiesInForce: readonly Policy[];
  /** All that there ever were, the oldest first. */
  readonly everyPolicy: readonly PolicyInForce[];
  readonly model: GithubModel;
  readonly cloud: SimCloud;
  /** Absent where no images are made. */
  readonly builder: SimBuilder | undefined;
  /** The ledger's, by key. */
  readonly images: ReadonlyMap<string, Image>;
  /** The newest of each machine id. */
  readonly agents: ReadonlyMap<MachineId, Agent>;
  /** One for every machine that was ever launched. */
  readonly everyAgent: readonly Agent[];
  /** The ledger: all entries that were ever written, and those that are not over. */
  readonly jobs: ReadonlyMap<number, Job>;
  readonly machines: ReadonlyMap<MachineId, Machine>;
  /** The first of them that had this provider id. */
  readonly machineOfProvider: ReadonlyMap<string, MachineId>;
  readonly openJobs: ReadonlyMap<number, Job>;
  readonly openMachines: ReadonlyMap<MachineId, Machine>;
  /** When the ledger first knew of a job or a machine in this state: `<id> <state>`. */
  readonly toldAt: ReadonlyMap<string, number>;
  /** When GitHub was last asked about a job and gave no answer. */
  readonly unansweredAt: ReadonlyMap<number, Instant>;
  /** Jobs that GitHub gave to a runner that was made for jobs that ask for more. */
  readonly jobsOnLargerRunners: ReadonlySet<number>;
  readonly secrets: Secrets;
  readonly memory: CheckMemory;
  /** Since when nothing goes wrong any more. */
  readonly healedAt: number | undefined;
  /** Until this instant GitHub does not do what it is asked, or nobody is there to ask. */
  readonly hinderedUntil: number;
  /** For how long, all in all, no process was there that could do anything of its own accord. */
  readonly unattendedMilliseconds: number;
  /** Whether everything has ended; false when the time ran out before. */
  readonly isQuiet: boolean;
}

export interface PolicyInForce {
  readonly policy: Policy;
  readonly from: Instant;
  until: Instant;
}

export interface Secrets {
  contains(text: string): string | undefined;
}

/** What the checks remember between two looks. */
export interface CheckMemory {
  /** Sweeps after which a machine was still unknown, or needless. Of the unknown, those in which the store refused nothing. */
  readonly unknownSweeps: Map<string, number>;
  readonly needless: Map<string, { readonly since: number; sweeps: number }>;
  /** Since when a job has waited in vain, and how long nobody had been there at the last look. */
  readonly hopeless: Map<number, { readonly since: number; readonly unattendedMilliseconds: number }>;
  readonly counters: Map<string, number>;
  readonly handedOut: Map<MachineId, number>;
  /** Which machine has what the provider launched, by provider id. */
  readonly givenTo: Map<string, MachineId>;
  /** Machines of whose notice an event was dealt with. */
  readonly noticesDealtWith: Set<MachineId>;
  readonly images: ImageMemory;
}

export function createCheckMemory(): CheckMemory {
  return {
    unknownSweeps: new Map(),
    needless: new Map(),
    hopeless: new Map(),
    counters: new Map(),
    handedOut: new Map(),
    givenTo: new Map(),
    noticesDealtWith: new Set(),
    images: createImageMemory(),
  };
}

function noSecret(world: WorldView, { where, text }: Facts["printed"]): Found {
  const kind = world.secrets.contains(text);
  return kind === undefined ? undefined : `${where} holds ${kind}`;
}
