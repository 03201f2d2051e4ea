/** What goes wrong, and how often. Fractions are from 0 (never) to 1 (always). */
export interface Faults {
  /** The delivery is never sent and never appears in the delivery log. */
  readonly deliveryLostFraction: number;
  /** The delivery does not reach the receiver; the log shows it as failed, so it can be redelivered. */
  readonly deliveryFailedFraction: number;
  /** The delivery arrives twice, with the same GUID. */
  readonly deliveryDuplicatedFraction: number;
  readonly deliveryDelayedFraction: number;
  readonly deliveryDelayMaximumSeconds: number;
  /** The delivery is held back until the next one about the same job was sent. */
  readonly deliveryReorderedFraction: number;
  /** A REST request is answered with a 5xx and had no effect. */
  readonly restErrorFraction: number;
  /** A REST request takes effect, and its answer never arrives. */
  readonly restAnswerLostFraction: number;
  /** A REST request is refused because of a secondary rate limit. */
  readonly secondaryLimitFraction: number;
  readonly secondaryLimitRetrySeconds: number;
  /** A runner that comes online is taken by a job that nobody was told about. */
  readonly runnerStolenFraction: number;
  /** A job that waits is taken by a runner of somebody else, within five minutes. */
  readonly jobTakenElsewhereFraction: number;
  /** A runner that comes online is given no job, whatever waits, and is removed as idle after some minutes. */
  readonly runnerForgottenFraction: number;
  /** A runner that runs a job is listed with `busy: false`. */
  readonly runnerFalselyIdleFraction: number;
}

export type FaultPreset = "none" | "light" | "heavy";

export const noFaults: Faults = {
  deliveryLostFraction: 0,
  deliveryFailedFraction: 0,
  deliveryDuplicatedFraction: 0,
  deliveryDelayedFraction: 0,
  deliveryDelayMaximumSeconds: 0,
  deliveryReorderedFraction: 0,
  restErrorFraction: 0,
  restAnswerLostFraction: 0,
  secondaryLimitFraction: 0,
  secondaryLimitRetrySeconds: 60,
  runnerStolenFraction: 0,
  jobTakenElsewhereFraction: 0,
  runnerForgottenFraction: 0,
  runnerFalselyIdleFraction: 0,
};

/** Faults by name, strong enough in `heavy` that every repair path of a control plane is walked. */
export const faultPresets: Readonly<Record<FaultPreset, Faults>> = {
  none: noFaults,
  light: {
    deliveryLostFraction: 0.02,
    deliveryFailedFraction: 0.03,
    deliveryDuplicatedFraction: 0.05,
    deliveryDelayedFraction: 0.1,
    deliveryDelayMaximumSeconds: 3,
    deliveryReorderedFraction: 0.05,
    restErrorFraction: 0.01,
    restAnswerLostFraction: 0.005,
    secondaryLimitFraction: 0.002,
    secondaryLimitRetrySeconds: 1,
    runnerStolenFraction: 0.01,
    jobTakenElsewhereFraction: 0.01,
    runnerForgottenFraction: 0.01,
    runnerFalselyIdleFraction: 0.05,
  },
  heavy: {
    deliveryLostFraction: 0.1,
    deliveryFailedFraction: 0.1,
    deliveryDuplicatedFraction: 0.15,
    deliveryDelayedFraction: 0.3,
    deliveryDelayMaximumSeconds: 8,
    deliveryReorderedFraction: 0.2,
    restErrorFraction: 0.05,
    restAnswerLostFraction: 0.03,
    secondaryLimitFraction: 0.01,
    secondaryLimitRetrySeconds: 2,
    runnerStolenFraction: 0.05,
    jobTakenElsewhereFraction: 0.05,
    runnerForgottenFraction: 0.05,
    runnerFalselyIdleFraction: 0.3,
  },
};
