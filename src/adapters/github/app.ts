import type { Clock } from "../../ports/clock.ts";
import type { Github } from "../../ports/github.ts";
import type { Log } from "../../ports/log.ts";
import type { Secrets } from "../../ports/secrets.ts";
import { apiUrlOf, isHostedByGithub } from "./api-url.ts";
import { createAppKey } from "./app-key.ts";
import { type BudgetLimits, createRequestBudget, type RequestBudget } from "./budget.ts";
import { createGithubClient, type GithubClient } from "./client.ts";
import { createDeliveryRequests } from "./deliveries.ts";
import { createJobRequests } from "./jobs.ts";
import { createRepositoryRequests } from "./repositories.ts";
import { createRunnerRequests } from "./runners.ts";
import { createRunRequests } from "./runs.ts";
import { createTransport } from "./transport.ts";

export interface GithubAppOptions {
  /** For example `https://github.com`. */
  readonly server: string;
  /** Where the REST API is, if not where it follows from `server`. */
  readonly apiUrl?: string;
  /** The App's id or its client id. */
  readonly appId: number | string;
  /** `app-private-key` is read when it is needed for the first time, and again when it has changed. */
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly log: Log;
  /** Our own, for the User-Agent. */
  readonly version: string;
  readonly requestTimeoutSeconds?: number;
  readonly responseLimitBytes?: number;
  readonly budget?: Partial<BudgetLimits>;
}

/**
 * GitHub through REST, as a GitHub App: github.com, `*.ghe.com` and GitHub Enterprise Server. Makes no request
 * before the first call. An address that cannot be used is an error at once.
 */
export function createGithubApp(options: GithubAppOptions): Github {
  const { client, budget } = createGithubAppClient(options);
  return {
    ...createRunnerRequests(client, options.clock),
    ...createJobRequests(client, options.clock),
    ...createRunRequests(client, options.clock),
    ...createDeliveryRequests(client),
    ...createRepositoryRequests(client),
    budgets: () => budget.report(),
  };
}

/** Requests with the App's credentials, for what is not in the port. */
export function createGithubAppClient(options: GithubAppOptions): {
  readonly client: GithubClient;
  readonly budget: RequestBudget;
} {
  const { clock, log, secrets, appId } = options;
  const transport = createTransport({
    apiUrl: apiUrlOf(options.server, options.apiUrl),
    userAgent: `mayfly/${options.version}`,
    log,
    timeoutSeconds: options.requestTimeoutSeconds ?? 10,
    responseLimitBytes: options.responseLimitBytes ?? 16 * 1024 * 1024,
  });
  const budget = createRequestBudget({
    clock,
    limited: isHostedByGithub(options.server),
    ...(options.budget !== undefined && { limits: options.budget }),
  });
  const key = createAppKey({ appId, secrets, clock });
  return { client: createGithubClient({ transport, budget, key, clock, log }), budget };
}
