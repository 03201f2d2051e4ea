/**
 * The nouns. Everything here is plain data: it can be stored as JSON, compared and logged.
 *
 * - A **job** is one GitHub `workflow_job`.
 * - A **preset** is a named kind of runner in the config.
 * - A **fleet** is all jobs and machines that share one preset and the same resolved options. Its machines are
 *   interchangeable; it is the unit of consistency: one ledger, one version number.
 * - A **machine** is one thing that we pay for. It is used for at most one job.
 * - A **registration** is the GitHub runner that a machine receives when it claims. Its name is the machine's id.
 */

import type { Image } from "./image.ts";

/** Milliseconds since the Unix epoch, UTC. */
export type Instant = number;
export type FleetId = string;
/** Also the runner's name at GitHub: lower-case letters, digits and dashes, 64 characters at most. */
export type MachineId = string;
/**
 * How a machine names itself: by its id, where it was given one, or by what its provider calls it, where one launch
 * starts many that are told nothing of their own. A provider id is unique within one compute adapter.
 */
export type MachineName = MachineId | { readonly compute: string; readonly providerId: string };
export type JobId = number;

export type OperatingSystem = "linux" | "windows" | "macos";
export type Architecture = "x86_64" | "arm64";
/** What the user allows. `Purchase` is what one machine was bought as. */
export type Market = "spot-only" | "spot-preferred" | "on-demand-only";
export type Purchase = "spot" | "on-demand";

export interface Repository {
  readonly owner: string;
  readonly name: string;
  readonly private: boolean;
}

/** Where a runner is registered: the whole organisation, or one repository. */
export type Scope =
  | { readonly kind: "organization"; readonly installationId: number; readonly owner: string }
  | {
      readonly kind: "repository";
      readonly installationId: number;
      readonly owner: string;
      readonly name: string;
    };

/** A preset with the job's options applied: all that a compute adapter needs to know of the wish. */
export interface FleetSpec {
  readonly preset: string;
  /** Name of the compute adapter, for example `local`, `docker`, `ec2`. The core never looks inside. */
  readonly compute: string;
  readonly operatingSystem: OperatingSystem;
  readonly architecture: Architecture;
  readonly market: Market;
  /** The preferred first. Empty where the compute has no types. */
  readonly instanceTypes: readonly string[];
  /** The types were chosen by size: none of them is preferred. */
  readonly typesAlike?: true;
  readonly cpu?: number;
  readonly memoryGib?: number;
  readonly diskGib?: number;
  readonly image?: string;
  readonly runnerGroup: string;
  readonly jobTimeoutSeconds: number;
  readonly bootTimeoutSeconds: number;
  readonly idleTimeoutSeconds: number;
}

/** What a job asked for beside the name of a preset. Options that were not given are absent. */
export interface FleetOptions {
  readonly cpu?: number;
  readonly memoryGib?: number;
  readonly diskGib?: number;
  readonly architecture?: Architecture;
  readonly market?: Market;
  readonly instanceTypes?: readonly string[];
  readonly image?: string;
}

// ---------------------------------------------------------------------------------------------- policy

export interface Preset {
  readonly name: string;
  readonly operatingSystem: OperatingSystem;
  readonly architecture: Architecture;
  /** Labels that a job may ask for, beside `self-hosted` and `mayfly/<name>`. Compared without case. */
  readonly labels: readonly string[];
  readonly compute: string;
  readonly market: Market;
  readonly instanceTypes: readonly string[];
  readonly cpu?: number;
  readonly memoryGib?: number;
  readonly diskGib?: number;
  readonly image?: string;
  /** What its images are, where a job may name another: a job that names one of the other kind goes elsewhere. */
  readonly imageKind?: ImageKind;
  /** Its machines start from images that are made of those that it and its jobs name. */
  readonly buildsImages?: true;
  /** What its jobs cannot do, for `config explain`. A sentence. */
  readonly limitation?: string;
  /** Machines of this preset at once. */
  readonly max: number;
  /** Machines that wait unregistered for the next job, per fleet without options. */
  readonly warm: number;
  readonly runnerGroup: string;
  readonly jobTimeoutSeconds: number;
  readonly bootTimeoutSeconds: number;
  readonly idleTimeoutSeconds: number;
  /** What one machine costs when the compute adapter knows no price of its own. */
  readonly pricePerHourUsd: number;
}

/** Of whole machines, as `ami-…`, or of containers, as `ubuntu:24.04`. */
export type ImageKind = "machine" | "container";

export interface LabelMapping {
  readonly label: string;
  readonly instanceTypes: readonly string[];
  readonly image?: string;
  readonly market?: Market;
  /** The preset that gives everything else; without it, the first preset whose other labels match. */
  readonly preset?: string;
}

export interface SizeClass {
  readonly cpu: number;
  readonly memoryGib: number;
}

/** A type of machine that a compute offers. */
export interface MachineType {
  /** In lower case. */
  readonly name: string;
  readonly cpu: number;
  readonly memoryGib: number;
  readonly architecture: Architecture;
  /** It has its processors only for a part of the time. */
  readonly burstable?: true;
  /** There are types between it and the next, so that none is taken in its place. */
  readonly exact?: true;
}

export interface Policy {
  readonly presets: readonly Preset[];
  readonly labelMappings: readonly LabelMapping[];
  readonly classes: Readonly<Record<string, SizeClass>>;
  /** The types of machines that are known of each compute, by its name; the preferred first. */
  readonly machineTypes: Readonly<Record<string, readonly MachineType[]>>;
  /** Patterns of the machine types that a job may name itself; `*` stands for any characters. */
  readonly typesAllowed: readonly string[];
  /** Patterns of the images that a job may ask for with `image:`; `*` stands for any characters. */
  readonly imagesAllowed: readonly string[];
  /** Patterns of those that it may not, though they match one above. */
  readonly imagesDenied: readonly string[];
  readonly registration: "organization" | "repository";
  readonly limits: Limits;
  /** How often a job that was lost with its machine is run again. */
  readonly rerunsPerJob: number;
  readonly admission: Admission;
  readonly timing: Timing;
}

export interface Limits {
  readonly machines: number;
  readonly perRepository: number;
  /** No machine is launched once the day's cost (UTC) has reached this. Running jobs go on. */
  readonly dailyBudgetUsd?: number;
}

export interface Admission {
  /** `owner/name` patterns; `*` stands for any characters. Empty: every repository of the installation. */
  readonly repositories: readonly string[];
  readonly publicRepositories: "refuse" | "allow";
}

/** Every time limit of the core, in one place. */
export interface Timing {
  /** A queued job that could not be served for so long is given up visibly. GitHub itself gives up after 24 h. */
  readonly jobDeadlineSeconds: number;
  /** A launch that has not been answered for so long is asked for again, with the same token. */
  readonly launchRetrySeconds: number;
  /** A launch that has not been answered for so long, and of which nothing exists, has failed. */
  readonly launchLimitSeconds: number;
  /** A surplus registered machine is kept so long for the next job. */
  readonly idleGraceSeconds: number;
  /** A pool that refused is first skipped for so long; the time doubles with each refusal in a row. */
  readonly capacityBackoffSeconds: number;
  readonly capacityBackoffLimitSeconds: number;
  /** A machine that the provider does not list is believed gone only after so long. */
  readonly listingDelaySeconds: number;
  /** A running job is asked about at GitHub when nothing was heard of it for so long. */
  readonly jobCheckSeconds: number;
  /** Finished jobs and ended machines are kept for so long. */
  readonly historySeconds: number;
}

// ------------------------------------------------------------------------------------------------ jobs

export type JobState = "waiting" | "queued" | "running" | "done";

export interface JobTimes {
  /** When GitHub created the job. The difference to `received` is GitHub's part of the wait. */
  readonly created: Instant;
  readonly received: Instant;
  /** When GitHub let it go, if it had waited for an approval: its own wait begins here. */
  readonly queued?: Instant;
  /** When a plan first counted it as demand. */
  readonly planned?: Instant;
  /** When a machine was asked for on its account, or was found to be there already. */
  readonly launched?: Instant;
  /** When the machine that claimed it was running. */
  readonly running?: Instant;
  readonly claimed?: Instant;
  /** When its runner listened for jobs. */
  readonly online?: Instant;
  readonly started?: Instant;
  readonly completed?: Instant;
}

export type GiveUpReason =
  | "deadline-passed"
  | "registration-refused"
  | "no-longer-at-github"
  | "end-unknown"
  | "preset-removed"
  | "image-failed"
  | "operator";

export type JobOutcome =
  | { readonly kind: "completed"; readonly conclusion: string }
  | { readonly kind: "given-up"; readonly because: GiveUpReason; readonly detail: string }
  | { readonly kind: "refused"; readonly because: RefusalReason; readonly detail: string };

/** Why a job was never accepted. Each has a sentence in `core/route.ts`. */
export type RefusalReason =
  | "no-labels"
  | "no-preset"
  | "wrong-system"
  | "unknown-option"
  | "image-not-allowed"
  | "type-not-allowed"
  | "no-machine-type"
  | "repository-not-admitted"
  | "public-repository"
  | "no-installation";

/**
 * `undecided`: it may have been lost, or its run goes on; it is looked at again at `lookAt`. `replaced`: an attempt of
 * its run takes its place. `left`: nothing does, and why.
 */
export type Loss =
  | { readonly kind: "undecided"; readonly since: Instant; readonly lookAt: Instant }
  | {
      readonly kind: "replaced";
      readonly at: Instant;
      readonly attempt: number;
      readonly detail: string;
    }
  | { readonly kind: "left"; readonly at: Instant; readonly detail: string };

export interface Job {
  readonly id: JobId;
  readonly fleet: FleetId;
  readonly state: JobState;
  readonly repository: Repository;
  readonly installationId: number;
  readonly runId: number;
  readonly runAttempt: number;
  readonly name: string;
  readonly workflowName: string;
  readonly labels: readonly string[];
  readonly url: string;
  readonly times: JobTimes;
  /** The machine that claimed it, then the machine that GitHub says runs it. */
  readonly machineId?: MachineId;
  /** The runner that took it according to GitHub; it may be none of ours. */
  readonly runnerName?: string;
  /** It has `container:` or `services:`, which not every machine can serve. Known once it runs, at the earliest. */
  readonly usesContainers?: true;
  readonly outcome?: JobOutcome;
  /** When GitHub was last asked about it. */
  readonly checkedAt?: Instant;
  /** When the machine that claimed it said that it runs or ran a job, while GitHub has not said which. */
  readonly presumedAt?: Instant;
  /** The machine that said so. */
  readonly presumedOn?: MachineId;
  /** How often in a row GitHub refused to register a runner for it. */
  readonly mintRefusals?: number;
  /** What becomes of it when it was lost with its machine. Until that is decided, it stays in the ledger. */
  readonly loss?: Loss;
  /** The job of an earlier attempt that was lost with its machine, and for which this one stands. */
  readonly rerunOf?: JobId;
}

// -------------------------------------------------------------------------------------------- machines

export type MachineState = "requested" | "launched" | "registered" | "busy" | "retiring" | "ended";

export type EndReason =
  | "completed"
  | "idle"
  | "surplus"
  | "cancelled"
  | "launch-failed"
  | "boot-timeout"
  | "job-timeout"
  | "interrupted"
  | "lost"
  | "orphan"
  | "operator";

export interface MachineTimes {
  readonly requested: Instant;
  readonly launched?: Instant;
  readonly claimed?: Instant;
  readonly registered?: Instant;
  readonly online?: Instant;
  readonly started?: Instant;
  readonly finished?: Instant;
  readonly retiring?: Instant;
  readonly ended?: Instant;
}

/** A machine's claim on a job: recorded before the registration is minted. A hint, as GitHub decides. */
export interface Binding {
  readonly jobId: JobId;
  readonly repository: string;
  readonly scope: Scope;
  readonly labels: readonly string[];
}

export interface Registration {
  readonly runnerId: number;
  readonly scope: Scope;
  /** How long its job may take, as its machine was told; the configuration may say something else by now. */
  readonly jobTimeoutSeconds?: number;
}

/**
 * What GitHub said when it was asked to remove the runner: `passed`, it is gone, so terminating is safe;
 * `refused`, it runs a job, so the machine is left alone.
 */
export type Fence = "passed" | "refused";

export interface Machine {
  readonly id: MachineId;
  readonly fleet: FleetId;
  readonly preset: string;
  readonly compute: string;
  readonly state: MachineState;
  readonly purchase: Purchase;
  /** The idempotency key of the launch, the same in every repetition: the id of the first machine of the launch. */
  readonly launchToken: string;
  readonly launchAttempts: number;
  readonly times: MachineTimes;
  /** The one repository whose jobs it was launched for, `owner/name`; a hint for its tags. It may serve another. */
  readonly launchedFor?: string;
  /** What it starts from, where that was made for it: a launch that is repeated asks for the same. */
  readonly image?: string;
  readonly providerId?: string;
  /** When it last asked what it is for. */
  readonly contactedAt?: Instant;
  /** Where it was launched, for example `m7i.large/eu-west-1a/spot`. */
  readonly pool?: string;
  readonly pricePerHourUsd?: number;
  readonly binding?: Binding;
  readonly registration?: Registration;
  /** The job that GitHub or the machine itself says runs, or ran, on it. */
  readonly jobId?: JobId;
  readonly fence?: Fence;
  /** Why it retires or ended. */
  readonly reason?: EndReason;
  readonly detail?: string;
  /** The operator takes responsibility for a job that may be running: terminate without the fence. */
  readonly forced?: true;
  /** An orphan that bore no id: what its runner is called is not known, so that it cannot be fenced. */
  readonly nameless?: true;
  readonly interruptedAt?: Instant;
  readonly exitCode?: number;
  /** Since when the provider no longer lists it. */
  readonly missingSince?: Instant;
}

// ---------------------------------------------------------------------------------------------- fleets

/** A pool (type, zone and market) that refused a launch, and until when it is skipped. */
export interface PoolRefusal {
  readonly pool: string;
  readonly purchase: Purchase;
  readonly kind: LaunchFailureKind;
  readonly code: string;
  readonly message: string;
  readonly at: Instant;
  readonly until: Instant;
  readonly inARow: number;
}

/**
 * What the caller does next: `capacity` another pool, then wait; `quota` another market, then wait for a slot;
 * `throttle` the same again, later, with the same token; `configuration` stop and tell the operator;
 * `transient` the same again, later, with the same token.
 */
export type LaunchFailureKind = "capacity" | "quota" | "throttle" | "configuration" | "transient";

/** Why demand of a fleet is not being served right now. */
export type BlockReason =
  | "preset-limit"
  | "repository-limit"
  | "total-limit"
  | "budget"
  | "no-spot-capacity"
  | "no-capacity"
  | "launch-refused"
  | "image-building"
  | "image-failed"
  | "preset-removed";

export interface Blocked {
  readonly because: BlockReason;
  readonly detail: string;
  readonly since: Instant;
  /** When it is tried again by itself; absent: when a machine ends, or when the operator acts. */
  readonly nextAttemptAt?: Instant;
}

/** A job that was run again because it was lost with its machine. The next attempt has a job of the same name. */
export interface Rerun {
  readonly runId: number;
  readonly jobName: string;
  /** The one that was lost last. */
  readonly jobId: JobId;
  /** How often, in all attempts of the run. */
  readonly times: number;
  readonly at: Instant;
}

export interface FleetRecord {
  readonly id: FleetId;
  readonly options: FleetOptions;
  /** Resolved when it was last planned, so that a changed or removed preset strands nothing in flight. */
  readonly spec: FleetSpec;
  readonly refusals: readonly PoolRefusal[];
  readonly blocked?: Blocked;
  readonly reruns?: readonly Rerun[];
  /** Only in the records that are kept of images (flow/image.ts), which have no jobs and no machines. */
  readonly image?: Image;
}

/** What is known of one fleet. Jobs that are done and machines that have ended are in the history, not here. */
export interface Ledger {
  readonly fleet: FleetId;
  /** Rises with every commit. 0: nothing was ever committed. */
  readonly version: number;
  readonly record: FleetRecord | undefined;
  readonly jobs: readonly Job[];
  readonly machines: readonly Machine[];
}

export type Change =
  | { readonly put: "fleet"; readonly record: FleetRecord }
  | { readonly put: "job"; readonly job: Job }
  | { readonly put: "machine"; readonly machine: Machine };

// ---------------------------------------------------------------------------------------------- events

export type JobAction = "queued" | "waiting" | "in_progress" | "completed";

/** What a delivery or a REST answer says about a job, stripped to what we use. */
export interface JobEvent {
  readonly action: JobAction;
  readonly id: JobId;
  readonly repository: Repository;
  readonly installationId: number;
  readonly runId: number;
  readonly runAttempt: number;
  readonly name: string;
  readonly workflowName: string;
  readonly labels: readonly string[];
  readonly url: string;
  readonly createdAt: Instant;
  readonly startedAt?: Instant;
  readonly completedAt?: Instant;
  readonly conclusion?: string;
  readonly runnerName?: string;
  /** It has `container:` or `services:`: its steps say so, once it runs. */
  readonly usesContainers?: true;
  /** When we received it. */
  readonly receivedAt: Instant;
}

/** What a machine says of itself. `log` is the tail of the agent's log, sent when something failed. */
export type MachineReport =
  | { readonly step: "listening" }
  | { readonly step: "job-started" }
  | { readonly step: "interrupted"; readonly detail: string }
  | { readonly step: "at-risk"; readonly detail: string }
  | { readonly step: "exited"; readonly exitCode: number; readonly ranJob: boolean; readonly log?: string };

/** What happened outside, as it travels through the lifecycle queue. */
export type LifecycleEvent =
  | { readonly kind: "job"; readonly job: JobEvent }
  | {
      readonly kind: "machine";
      readonly machineId: MachineId;
      /** The machine's fleet, where it was at hand: it saves looking the machine up. */
      readonly fleet?: FleetId;
      readonly report: MachineReport;
      readonly at: Instant;
    }
  | {
      readonly kind: "cloud";
      readonly compute: string;
      readonly providerId: string;
      /** `at-risk`: the provider may take it soon, and has not said that it will. */
      readonly what: "running" | "interruption-notice" | "at-risk" | "gone";
      /** With `gone`: the provider took it back, whether or not its notice arrived. */
      readonly takenBack?: true;
      readonly detail?: string;
      readonly at: Instant;
    }
  /** A build of an image has ended. How, its builder says who is asked: this carries no decision. */
  | {
      readonly kind: "image";
      readonly base: string;
      readonly architecture: Architecture;
      /** One of the two: whoever tells of it may know only one. */
      readonly tag?: string;
      readonly buildId?: string;
      readonly at: Instant;
    };

/** "Look at fleet F again." It carries no decision: losing, repeating or reordering it is harmless. */
export interface Poke {
  readonly stage: "scaleup" | "scaledown";
  readonly fleet: FleetId;
}

/** `owner/name`, as GitHub writes it. */
export function fullName(repository: { readonly owner: string; readonly name: string }): string {
  return `${repository.owner}/${repository.name}`;
}
