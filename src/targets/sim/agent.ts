import type { MachineId, MachineReport } from "../../core/model.ts";
import type { GithubModel } from "../../emulator/model.ts";
import type { Conclusion } from "../../emulator/model-state.ts";
import { GithubRefusal } from "../../emulator/refusal.ts";
import type { Random } from "../../ports/random.ts";
import type { CloudMachine } from "./cloud.ts";
import { between, chance, skewed } from "./draw.ts";
import type { Faults } from "./faults.ts";
import { decodeJitRunnerId } from "./jit-runner.ts";
import type { Scenario } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import { taskCompute } from "./tasks.ts";

/** What the control plane answered, or nothing that could be understood. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface AgentOptions {
  readonly machine: CloudMachine;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly scenario: Scenario;
  readonly faults: () => Faults;
  readonly model: GithubModel;
  /** To be called after every change of the model. */
  readonly settleModel: () => void;
  readonly request: (
    path: "claim" | "report",
    body: string,
    done: (answer: HttpAnswer | undefined) => void,
  ) => void;
  /** Nothing that starts from its image comes to claim. */
  readonly isImageBroken: boolean;
  readonly powerOff: () => void;
  /** How long the job of this id takes, in seconds. */
  readonly secondsOf: (jobId: number) => number;
}

export type AgentState =
  | "booting"
  | "claiming"
  | "starting"
  | "listening"
  | "running"
  | "exited"
  | "off"
  /** It does nothing any more, and the machine stays. */
  | "dead";

const pausesSeconds = [1, 2, 4, 8, 15];
/** As long as the agent's, and as long as a runner may need to stop its job. */
const noticeGraceSeconds = 70;
const stopSeconds = 30;
const reportTries = { listening: 4, "job-started": 4, interrupted: 4, "at-risk": 4, exited: 10 } as const;

/**
 * A machine from boot to power off, by the rules of docs/reference/machine-protocol.md: claim, listen, run one job,
 * report each step, power off. Its runner is one of the model's.
 */
export class Agent {
  readonly machine: CloudMachine;
  state: AgentState = "booting";
  runnerId: number | undefined;
  jobId: number | undefined;
  jobStartedAt: number | undefined;
  /** Since when it has been in its state. */
  since: number;
  /** The last time at which it was told to wait. */
  toldToWaitAt: number | undefined;
  /** When it stopped doing anything, while the machine stayed. */
  diedAt: number | undefined;
  /** Since when none of its claims was answered. */
  unansweredSince: number | undefined;
  /** For how long nobody had been there to answer anything, in all of the seed, at that time. */
  unattendedBefore: number | undefined;
  /** When the control plane acknowledged its report that it will be taken back. */
  toldOfNoticeAt: number | undefined;
  ranJob = false;
  /** The job that the cloud cut off, or that had to be stopped before. */
  lostJobId: number | undefined;
  /** When GitHub removed its runner, while that listened. */
  removedAt: number | undefined;
  /** What went wrong with this machine that is no fault of the control plane. */
  readonly misfortunes = new Set<string>();
  /** As its launch said, and then the answer to its claim. */
  jobTimeoutSeconds: number;
  readonly #options: AgentOptions;
  readonly #reports: MachineReport[] = [];
  #tries = 0;
  #claimTries = 0;
  #claimUntil = 0;
  #sending = false;
  #noticed = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.machine = options.machine;
    this.jobTimeoutSeconds = options.machine.jobTimeoutSeconds;
    this.since = options.scheduler.now;
    this.#boot();
  }

  /** By which the ledger knows it. */
  get machineId(): MachineId {
    return this.machine.machineId;
  }

  get isOn(): boolean {
    return this.state !== "off";
  }

  get runsAJob(): boolean {
    return this.state === "running";
  }

  /** The machine is gone, with whatever ran on it. */
  powerLost(): void {
    if (this.state === "off") return;
    if (this.state === "running" && this.#noticed) this.lostJobId = this.jobId;
    this.#become("off");
    this.#disconnect();
  }

  /** The cloud will take the machine. */
  notice(): void {
    this.#noticed = true;
    this.misfortunes.add("it was to be taken back");
    if (this.state === "off" || this.state === "dead" || this.state === "booting") return;
    this.#report({ step: "interrupted", detail: "The cloud takes it back." });
    if (this.state === "claiming") this.#powerOff();
    else if (this.state === "starting" || this.state === "listening") this.#stopListener();
    else if (this.state === "running") this.#later(noticeGraceSeconds, () => this.#stopJob());
  }

  /** The cloud may take the machine. */
  atRisk(): void {
    this.misfortunes.add("it was at risk");
    if (this.state === "starting" || this.state === "listening") {
      this.#report({ step: "at-risk", detail: "The cloud recommends to move away." });
      this.#stopListener();
    } else if (this.state === "running") {
      this.#report({ step: "at-risk", detail: "The cloud recommends to move away." });
    }
  }

  /** GitHub gave this runner a job. */
  assigned(jobId: number): void {
    if (this.state !== "listening") return;
    this.#later(between(this.#options.random, 0.5, 4), () => this.#pickUp(jobId));
  }

  /** GitHub wants the job to end. */
  cancelled(jobId: number): void {
    if (this.state !== "running" || this.jobId !== jobId) return;
    this.#later(between(this.#options.random, 1, 35), () => this.#finishJob("cancelled"));
  }

  /** GitHub removed the runner. */
  removed(): void {
    if (this.state !== "listening") return;
    this.removedAt = this.#now;
    if (!chance(this.#options.random, this.#options.faults().listenerHangsFraction)) this.#exit(0);
  }

  // -------------------------------------------------------------------------------------- boot and claim

  #boot(): void {
    const { random, scenario } = this.#options;
    const faults = this.#options.faults();
    if (this.machine.isStray || chance(random, faults.bootHangFraction)) {
      this.misfortunes.add("boot hangs");
      this.#become("dead");
      return;
    }
    const { tasks } = scenario;
    const boot = this.machine.compute === taskCompute && tasks !== undefined ? tasks.boot : scenario.boot;
    if (boot !== scenario.boot && chance(random, faults.taskStoppedFraction)) {
      this.misfortunes.add("its task stopped before it ran");
      this.#later(between(random, 3, boot.medianSeconds), () => this.#options.powerOff());
      return;
    }
    if (this.#options.isImageBroken) {
      this.misfortunes.add("its image is broken");
      if (chance(random, 0.5)) this.#become("dead");
      else this.#later(between(random, 3, boot.medianSeconds), () => this.#options.powerOff());
      return;
    }
    let seconds = skewed(random, boot.medianSeconds, boot.spread);
    if (chance(random, faults.bootSlowFraction)) {
      this.misfortunes.add("boot is slow");
      seconds *= between(random, 5, 40);
    }
    this.#later(seconds, () => {
      this.#become("claiming");
      this.#claimUntil = this.#now + this.machine.bootTimeoutSeconds * 1_000;
      this.#claim();
    });
  }

  #claim(): void {
    if (this.#noticed) {
      this.#report({ step: "interrupted", detail: "The cloud takes it back." });
      this.#powerOff();
      return;
    }
    this.unansweredSince ??= this.#now;
    this.#options.request("claim", "", (answer) => {
      if (this.state === "claiming") this.#onClaimAnswer(answer);
    });
  }

  #onClaimAnswer(answer: HttpAnswer | undefined): void {
    const fields = new Map((answer?.body ?? "").split("\n").map((line) => splitAt(line, "=")));
    const action = answer?.status === 200 ? fields.get("action") : undefined;
    if (action !== undefined) this.unansweredSince = undefined;
    if (action === "run") {
      this.jobTimeoutSeconds = Number(fields.get("job-timeout-seconds") ?? this.jobTimeoutSeconds);
      this.#startListener(fields.get("jit-config") ?? "", Number(fields.get("idle-timeout-seconds") ?? 0));
    } else if (action === "wait") {
      this.#claimTries = 0;
      this.toldToWaitAt = this.#now;
      const seconds = Number(fields.get("after-seconds"));
      this.#claimUntil = this.#now + (seconds + this.machine.bootTimeoutSeconds) * 1_000;
      this.#later(seconds, () => this.#claim());
    } else if (action === "shut-down" || [401, 403, 404, 409].includes(answer?.status ?? 0)) {
      this.#powerOff();
    } else if (this.#now >= this.#claimUntil) {
      this.misfortunes.add("nobody answered its claims");
      this.#powerOff();
    } else {
      const pause = pausesSeconds[Math.min(this.#claimTries, pausesSeconds.length - 1)] ?? 15;
      this.#claimTries += 1;
      this.#later(pause, () => this.#claim());
    }
  }

  // ------------------------------------------------------------------------------------- the listener

  #startListener(jitConfig: string, idleTimeoutSeconds: number): void {
    this.#become("starting");
    this.runnerId = decodeJitRunnerId(jitConfig);
    this.#later(between(this.#options.random, 2, 9), () => {
      if (this.state !== "starting") return;
      const { model } = this.#options;
      try {
        // What GitHub gives the runner at once reaches it as any other assignment does.
        this.#become("listening");
        model.connectRunner(this.#now, this.runnerId ?? 0);
      } catch (error) {
        if (!(error instanceof GithubRefusal)) throw error;
        this.removedAt = this.#now;
        if (!chance(this.#options.random, this.#options.faults().listenerHangsFraction)) this.#exit(1);
        return;
      }
      this.#options.settleModel();
      this.#report({ step: "listening" });
      if (idleTimeoutSeconds > 0) {
        this.#later(idleTimeoutSeconds, () => {
          if (this.state === "listening") this.#stopListener();
        });
      }
    });
  }

  #pickUp(jobId: number): void {
    if (this.state !== "listening") return;
    const { model, random } = this.#options;
    try {
      model.pickUpJob(this.#now, this.runnerId ?? 0, jobId);
    } catch (error) {
      // The job was cancelled or given to another runner meanwhile: the listener goes on.
      if (!(error instanceof GithubRefusal)) throw error;
      return;
    }
    this.jobId = jobId;
    this.jobStartedAt = this.#now;
    this.ranJob = true;
    this.#become("running");
    this.#options.settleModel();
    this.#report({ step: "job-started" });
    const seconds = this.#options.secondsOf(jobId);
    if (chance(random, this.#options.faults().agentDeathFraction)) {
      this.misfortunes.add("the machine froze");
      this.#later(random.fraction() * seconds, () => {
        if (this.state !== "running") return;
        this.#become("dead");
        this.#disconnect();
      });
    }
    const limited = seconds > this.jobTimeoutSeconds;
    this.#later(Math.min(seconds, this.jobTimeoutSeconds), () => {
      this.#finishJob(limited ? "cancelled" : chance(random, 0.1) ? "failure" : "success");
    });
  }

  /** The runner makes a job fail that it has to stop. */
  #stopJob(): void {
    this.#later(stopSeconds, () => {
      if (this.state !== "running") return;
      this.lostJobId = this.jobId;
      this.#finishJob("failure", 143);
    });
  }

  #finishJob(conclusion: Conclusion, exitCode = 0): void {
    if (this.state !== "running" || this.jobId === undefined) return;
    const { model } = this.#options;
    this.#become("exited");
    try {
      model.finishJob(this.#now, this.runnerId ?? 0, this.jobId, conclusion);
    } catch (error) {
      // GitHub has ended the job by itself.
      if (!(error instanceof GithubRefusal)) throw error;
    }
    this.#options.settleModel();
    this.#exit(exitCode);
  }

  #stopListener(): void {
    this.#disconnect();
    this.#exit(0);
  }

  #disconnect(): void {
    if (this.runnerId === undefined) return;
    this.#options.model.disconnectRunner(this.#now, this.runnerId);
    this.#options.settleModel();
  }

  #exit(exitCode: number): void {
    this.#become("exited");
    this.#report({ step: "exited", exitCode, ranJob: this.ranJob });
  }

  #powerOff(): void {
    this.#become("exited");
    if (this.#reports.length > 0) return;
    if (chance(this.#options.random, this.#options.faults().powerOffFailsFraction)) {
      this.misfortunes.add("it did not power off");
      this.#become("dead");
      return;
    }
    this.#options.powerOff();
  }

  // ---------------------------------------------------------------------------------------- reports

  #report(report: MachineReport): void {
    if (this.#options.scenario.lean === true && !this.#noticed && isDispensable(report)) {
      if (this.state === "exited") this.#powerOff();
      return;
    }
    this.#reports.push(report);
    if (!this.#sending) this.#sendNext();
  }

  #sendNext(): void {
    const report = this.#reports[0];
    if (report === undefined || this.state === "off" || this.state === "dead") return;
    this.#sending = true;
    this.#options.request("report", formOf(report), (answer) => {
      this.#tries += 1;
      const again = answer === undefined || answer.status === 429 || answer.status >= 500;
      if (again && this.#tries < reportTries[report.step]) {
        const pause = pausesSeconds[Math.min(this.#tries - 1, pausesSeconds.length - 1)] ?? 15;
        this.#options.scheduler.after(pause * 1_000, `${this.machineId} reports again`, () =>
          this.#sendNext(),
        );
        return;
      }
      if (report.step === "interrupted" && answer?.status === 204) this.toldOfNoticeAt = this.#now;
      this.#reports.shift();
      this.#tries = 0;
      this.#sending = false;
      if (this.#reports.length > 0) this.#sendNext();
      else if (this.state === "exited") this.#powerOff();
    });
  }

  get #now(): number {
    return this.#options.scheduler.now;
  }

  #become(state: AgentState): void {
    this.state = state;
    this.since = this.#now;
    if (state === "dead") this.diedAt = this.#now;
  }

  /** Does it then, if the machine is still on and alive. */
  #later(seconds: number, act: () => void): void {
    this.#options.scheduler.after(seconds * 1_000, `${this.machineId} goes on`, () => {
      if (this.state !== "off" && this.state !== "dead") act();
    });
  }
}

/** Where nothing is lost, GitHub's events and the cloud's tell as much. */
function isDispensable(report: MachineReport): boolean {
  if (report.step === "exited") return report.ranJob;
  return report.step === "listening" || report.step === "job-started";
}

function formOf(report: MachineReport): string {
  if ("detail" in report) return `step=${report.step}&detail=${encodeURIComponent(report.detail)}`;
  if (report.step !== "exited") return `step=${report.step}`;
  const log = report.ranJob ? "" : "&log=The+listener+ended+without+a+job.";
  return `step=exited&exit-code=${report.exitCode}&ran-job=${report.ranJob}${log}`;
}

function splitAt(text: string, separator: string): readonly [string, string] {
  const index = text.indexOf(separator);
  return index === -1 ? [text, ""] : [text.slice(0, index), text.slice(index + 1)];
}
