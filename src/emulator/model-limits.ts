/** GitHub's limits. The numbers of `githubLimits` are GitHub's own; demos and tests shorten them. */
export interface Limits {
  /** An assigned job that its runner does not start within this time is queued again. */
  readonly pickUpTimeoutSeconds: number;
  /** A job that stays queued for longer is completed as cancelled. */
  readonly queueLimitSeconds: number;
  /** A job whose runner stopped answering fails after this time: its lock is not renewed any more. */
  readonly jobLockSeconds: number;
  /** How long a runner whose connection is gone is still believed to be online. */
  readonly disconnectNoticeSeconds: number;
  /** A running job that does not end within this time after its cancellation is ended by force. */
  readonly cancelTimeoutSeconds: number;
  /** An online runner of a JIT configuration that gets no job is removed at an instant between the two. */
  readonly idleRemovalMinimumSeconds: number;
  readonly idleRemovalMaximumSeconds: number;
  /** A registration whose runner never connected is removed after this time. */
  readonly neverConnectedRemovalSeconds: number;
  readonly tokenLifetimeSeconds: number;
  readonly runnersPerGroup: number;
  /** New registrations of one organisation or repository in five minutes. */
  readonly registrationsPerFiveMinutes: number;
  readonly defaultJobTimeoutMinutes: number;
  readonly jobTimeoutMaximumMinutes: number;
  readonly rerunWindowDays: number;
  readonly attemptsPerRun: number;
  /** How long after the event a delivery is sent when nothing goes wrong. */
  readonly deliveryLatencySeconds: number;
  readonly deliveryTimeoutSeconds: number;
  readonly deliveryRetentionHours: number;
  /** Rate limits can be switched off, as they are on GitHub Enterprise Server by default. */
  readonly rateLimitsEnabled: boolean;
  readonly requestsPerHour: number;
  readonly runnerRegistrationRequestsPerHour: number;
  /** Secondary limit: reads cost 1 point, writes 5, counted for each endpoint. */
  readonly pointsPerMinutePerEndpoint: number;
  readonly concurrentRequests: number;
}

export const githubLimits: Limits = {
  pickUpTimeoutSeconds: 60,
  queueLimitSeconds: 24 * 3600,
  jobLockSeconds: 600,
  disconnectNoticeSeconds: 50,
  cancelTimeoutSeconds: 300,
  idleRemovalMinimumSeconds: 120,
  idleRemovalMaximumSeconds: 360,
  neverConnectedRemovalSeconds: 24 * 3600,
  tokenLifetimeSeconds: 3600,
  runnersPerGroup: 10_000,
  registrationsPerFiveMinutes: 1500,
  defaultJobTimeoutMinutes: 360,
  jobTimeoutMaximumMinutes: 5 * 24 * 60,
  rerunWindowDays: 30,
  attemptsPerRun: 50,
  deliveryLatencySeconds: 0,
  deliveryTimeoutSeconds: 10,
  deliveryRetentionHours: 72,
  rateLimitsEnabled: true,
  requestsPerHour: 5000,
  runnerRegistrationRequestsPerHour: 10_000,
  pointsPerMinutePerEndpoint: 900,
  concurrentRequests: 100,
};
