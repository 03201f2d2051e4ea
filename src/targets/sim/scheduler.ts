import { Schedule } from "../../emulator/schedule.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Trace } from "./trace.ts";

/** An event that may be called off. Once it has happened, that does nothing. */
export interface PlannedEvent {
  readonly label: string;
  /** Undefined once it was called off. */
  run: (() => void) | undefined;
}

/**
 * Virtual time. Everything that happens in a simulation is an event of this scheduler: events run in the order of
 * (instant, order of planning), and between two of them every promise that can go on has gone on. Nothing else moves
 * anything, so one seed gives one trace.
 */
export class Scheduler {
  readonly #planned = new Schedule<PlannedEvent>();
  readonly #trace: Trace;
  #now: number;
  #awake = false;
  #steps = 0;

  constructor(start: number, trace: Trace) {
    this.#now = start;
    this.#trace = trace;
  }

  get now(): number {
    return this.#now;
  }

  /** How many events have run. */
  get steps(): number {
    return this.#steps;
  }

  /** Plans an event for an instant; one that has passed becomes now. `label` is its line in the trace. */
  at(instant: number, label: string, run: () => void): PlannedEvent {
    const event: PlannedEvent = { label, run };
    this.#planned.add(Math.max(Math.ceil(instant), this.#now), event);
    return event;
  }

  after(milliseconds: number, label: string, run: () => void): PlannedEvent {
    return this.at(this.#now + milliseconds, label, run);
  }

  /** The event will not happen. What never happens is no step and has no line in the trace. */
  callOff(event: PlannedEvent): void {
    event.run = undefined;
  }

  /** To be called by an event that lets a promise go on: the next event waits until it has gone as far as it can. */
  wake(): void {
    this.#awake = true;
  }

  /** A clock that is wrong by this much. */
  clock(skewMilliseconds = 0): Clock {
    return {
      now: () => this.#now + skewMilliseconds,
      sleep: (milliseconds, signal) => {
        if (milliseconds <= 0 || signal?.aborted === true) return Promise.resolve();
        return new Promise((resolve) => {
          this.after(milliseconds, "clock", () => {
            this.wake();
            resolve();
          });
        });
      },
    };
  }

  /** Runs all events until `end`, or until `isOver` says so after one of them. Rejects when an event throws. */
  run(end: number, isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let ended = false;
      const step = (): void => {
        if (ended) return;
        try {
          if (this.#runUntilAwake(end, isOver)) return;
          ended = true;
          resolve();
        } catch (error) {
          ended = true;
          reject(error);
        }
      };
      // A turn of the event loop is dear, and promises are settled between the immediates of one turn as well.
      const turn = (): void => {
        if (ended) return;
        for (let index = 0; index < stepsPerTurn; index++) setImmediate(step);
        setImmediate(turn);
      };
      turn();
    });
  }

  /** False when the simulation is over. */
  #runUntilAwake(end: number, isOver: () => boolean): boolean {
    this.#awake = false;
    while (!this.#awake) {
      if (isOver()) return false;
      const due = this.#planned.takeDue(end);
      if (due === undefined) {
        this.#now = end;
        return false;
      }
      const { label, run } = due.item;
      if (run === undefined) continue;
      this.#now = due.at;
      this.#steps += 1;
      this.#trace.add(due.at, label);
      run();
    }
    return true;
  }
}

const stepsPerTurn = 64;
