import type { Clock } from "../../ports/clock.ts";
import type { RequestBudget as BudgetReport } from "../../ports/github.ts";
import { type Answer, messageOf } from "./answer.ts";
import { type Purpose, waitError } from "./errors.ts";

/** Who is served first when there is not enough for all. */
export type Priority = "mint" | "fence" | "sweep";

/** GitHub counts registrations in a bucket of their own. */
export type Resource = "core" | "actions_runner_registration";

export interface BudgetedRequest extends Purpose {
  /** An installation, or the App itself: each has limits of its own. */
  readonly caller: number | "app";
  readonly priority: Priority;
  readonly method: "GET" | "POST" | "DELETE";
  /** The path with its parameters left open. */
  readonly endpoint: string;
  readonly resource: Resource;
}

export interface Permit {
  /**
   * Must be called exactly once, with the answer or with undefined when there was none. Returns until when to
   * wait if GitHub refused because of a rate limit.
   */
  settle(answer: Answer | undefined): number | undefined;
}

export interface RequestBudget {
  /**
   * Permission for one request. A `MayflyError` of kind `wait` when a limit forbids it, thrown at once. A promise
   * only while as many requests as GitHub allows are under way: then one of ours has to end first.
   */
  admit(request: BudgetedRequest): Permit | Promise<Permit>;
  report(): readonly BudgetReport[];
}

export interface BudgetLimits {
  /** Requests under way at once, per caller. GitHub allows 100. */
  readonly concurrent: Readonly<Record<Priority, number>>;
  /** Requests that may wait for their turn, per caller. */
  readonly waiting: number;
  /** Points in any 60 seconds, per caller and endpoint: reading costs 1, writing 5. GitHub allows 900. */
  readonly pointsPerMinute: Readonly<Record<Priority, number>>;
  /** The same for registrations: 750 points are 150 a minute, so that 10,000 last for an hour. */
  readonly registrationPointsPerMinute: number;
  /** The part of the hourly limit that is kept for requests of a higher priority. */
  readonly reserveFraction: Readonly<Record<Priority, number>>;
}

const githubBudgetLimits: BudgetLimits = {
  concurrent: { mint: 90, fence: 80, sweep: 60 },
  waiting: 5_000,
  pointsPerMinute: { mint: 900, fence: 850, sweep: 700 },
  registrationPointsPerMinute: 750,
  reserveFraction: { mint: 0, fence: 0.02, sweep: 0.1 },
};

export interface BudgetOptions {
  readonly clock: Clock;
  /**
   * Whether the secondary limits hold from the start. Otherwise they do once an answer carried rate-limit
   * headers: a GitHub Enterprise Server has none unless its administrator wants them.
   */
  readonly limited: boolean;
  readonly limits?: Partial<BudgetLimits>;
}

/**
 * Keeps us within GitHub's limits, so that the requests that matter most still get through:
 *
 *   concurrency → a pause that GitHub asked for → points per minute → the hourly limit → the request
 *
 * Retry-After and x-ratelimit-reset are remembered, never slept on: until then every request is refused here.
 */
export function createRequestBudget(options: BudgetOptions): RequestBudget {
  const limits = { ...githubBudgetLimits, ...options.limits };
  const callers = new Map<number | "app", Caller>();
  const callerOf = (id: number | "app"): Caller => {
    const known = callers.get(id) ?? new Caller(limits, options.clock);
    callers.set(id, known);
    return known;
  };
  let limited = options.limited;

  const spend = (caller: Caller, request: BudgetedRequest): Permit => {
    const refusal = caller.tryToSpend(request, limited);
    if (refusal !== undefined) {
      caller.line.leave();
      throw waitError(request, refusal.retryAt, refusal.because);
    }
    return {
      settle(answer) {
        caller.line.leave();
        limited ||= answer?.headers["x-ratelimit-limit"] !== undefined;
        return caller.settle(request, answer);
      },
    };
  };

  return {
    admit(request) {
      const caller = callerOf(request.caller);
      const turn = caller.line.enter(request, options.clock);
      return turn === undefined ? spend(caller, request) : turn.then(() => spend(caller, request));
    },
    report: () => [...callers].flatMap(([id, caller]) => (typeof id === "number" ? caller.report(id) : [])),
  };
}

interface Refusal {
  readonly retryAt: number;
  readonly because: string;
}

interface Bucket {
  readonly limit: number;
  readonly resetAt: number;
  remaining: number;
}

/** What is known of one installation's limits. Lives as long as the process. */
class Caller {
  readonly line: Line;
  readonly #limits: BudgetLimits;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();
  readonly #windows = new Map<string, PointWindow>();
  /** Until when nothing, or nothing of one endpoint or bucket, may be asked. */
  readonly #pauses = new Map<string, number>();
  /** The bucket in which GitHub counted an endpoint, where it is not the expected one. */
  readonly #resources = new Map<string, string>();
  #refusalsInARow = 0;

  constructor(limits: BudgetLimits, clock: Clock) {
    this.line = new Line(limits);
    this.#limits = limits;
    this.#clock = clock;
  }

  tryToSpend(request: BudgetedRequest, limited: boolean): Refusal | undefined {
    const now = this.#clock.now();
    const paused = this.#pauseOf(request, now);
    if (paused !== undefined) return { retryAt: paused, because: "GitHub asked for a pause" };

    const bucket = this.#bucketOf(request, now);
    const reserve = bucket === undefined ? 0 : bucket.limit * this.#limits.reserveFraction[request.priority];
    if (bucket !== undefined && bucket.remaining <= reserve) {
      return { retryAt: bucket.resetAt, because: `the hourly limit of ${bucket.limit} requests is used up` };
    }
    if (limited) {
      const allowed =
        request.resource === "core"
          ? this.#limits.pointsPerMinute[request.priority]
          : this.#limits.registrationPointsPerMinute;
      const points = request.method === "GET" ? 1 : 5;
      const retryAt = this.#windowOf(request).spend(points, allowed, now);
      if (retryAt !== undefined) return { retryAt, because: "this minute's share of requests is used up" };
    }
    if (bucket !== undefined) bucket.remaining -= 1;
    return undefined;
  }

  settle(request: BudgetedRequest, answer: Answer | undefined): number | undefined {
    if (answer === undefined) return undefined;
    const now = this.#clock.now();
    this.#learn(request, answer, now);
    if (!isRateLimit(answer)) {
      if (answer.status < 400) this.#refusalsInARow = 0;
      return answer.status === 503 ? this.#pauseEndpoint(request, retryAfter(answer, now)) : undefined;
    }
    return this.#pause(request, answer, now);
  }

  report(installationId: number): readonly BudgetReport[] {
    const core = this.#buckets.get("core");
    if (core === undefined) return [];
    const over = core.resetAt <= this.#clock.now();
    const remaining = over ? core.limit : Math.max(0, core.remaining);
    return [{ installationId, limit: core.limit, remaining, resetAt: core.resetAt }];
  }

  /** What the headers say of the hourly limit. Answers overtake each other, so the lowest count is believed. */
  #learn(request: BudgetedRequest, answer: Answer, now: number): void {
    const { headers } = answer;
    const limit = countIn(headers["x-ratelimit-limit"]);
    const remaining = countIn(headers["x-ratelimit-remaining"]);
    const reset = countIn(headers["x-ratelimit-reset"]);
    const bucket = this.#bucketOf(request, now);
    // An answer of 304 was not counted.
    if (bucket !== undefined && answer.status === 304) bucket.remaining += 1;
    if (limit === undefined || remaining === undefined || reset === undefined || limit === 0) return;

    const resource = headers["x-ratelimit-resource"] ?? request.resource;
    if (resource !== request.resource) this.#resources.set(endpointKey(request), resource);
    const resetAt = Math.min(reset * 1000, now + longestPauseMilliseconds);
    const known = this.#buckets.get(resource);
    const same = known !== undefined && Math.abs(known.resetAt - resetAt) < 5_000 && known.limit === limit;
    if (same) known.remaining = Math.min(known.remaining, remaining);
    else if (known === undefined || resetAt > known.resetAt) {
      this.#buckets.set(resource, { limit, resetAt, remaining });
    }
  }

  #pause(request: BudgetedRequest, answer: Answer, now: number): number {
    this.#refusalsInARow += 1;
    const asked = retryAfter(answer, now);
    if (asked !== undefined) {
      // A secondary limit is about all that the installation does; other limits are about one operation.
      const everything = /secondary rate limit|abuse/i.test(messageOf(answer));
      return everything ? this.#pauseFor("everything", asked) : this.#pauseEndpoint(request, asked);
    }
    const bucket = this.#bucketOf(request, now);
    if (answer.headers["x-ratelimit-remaining"] === "0" && bucket !== undefined) {
      bucket.remaining = 0;
      return bucket.resetAt;
    }
    const seconds = Math.min(60 * 2 ** (this.#refusalsInARow - 1), 900);
    return this.#pauseFor("everything", now + seconds * 1000);
  }

  #pauseEndpoint(request: BudgetedRequest, until: number): number;
  #pauseEndpoint(request: BudgetedRequest, until: number | undefined): number | undefined;
  #pauseEndpoint(request: BudgetedRequest, until: number | undefined): number | undefined {
    return until === undefined ? undefined : this.#pauseFor(endpointKey(request), until);
  }

  #pauseFor(key: string, until: number): number {
    const longer = Math.max(until, this.#pauses.get(key) ?? 0);
    this.#pauses.set(key, longer);
    return longer;
  }

  #pauseOf(request: BudgetedRequest, now: number): number | undefined {
    if (this.#pauses.size === 0) return undefined;
    const until = Math.max(this.#pauses.get("everything") ?? 0, this.#pauses.get(endpointKey(request)) ?? 0);
    return until > now ? until : undefined;
  }

  #bucketOf(request: BudgetedRequest, now: number): Bucket | undefined {
    const known = this.#resources.size === 0 ? undefined : this.#resources.get(endpointKey(request));
    const bucket = this.#buckets.get(known ?? request.resource);
    return bucket !== undefined && bucket.resetAt > now ? bucket : undefined;
  }

  #windowOf(request: BudgetedRequest): PointWindow {
    const key = endpointKey(request);
    const window = this.#windows.get(key) ?? new PointWindow();
    this.#windows.set(key, window);
    return window;
  }
}

/** Points spent in the last 60 seconds, each remembered with its instant, so that no window is ever exceeded. */
class PointWindow {
  #spent: { readonly at: number; readonly points: number }[] = [];
  #sum = 0;

  /** Spends the points, or returns when there will be room for them. */
  spend(points: number, allowed: number, now: number): number | undefined {
    this.#forget(now - 60_000);
    if (this.#sum + points > allowed) {
      let excess = this.#sum + points - allowed;
      for (const { at, points: freed } of this.#spent) {
        excess -= freed;
        if (excess <= 0) return at + 60_000;
      }
      return now + 60_000;
    }
    this.#spent.push({ at: now, points });
    this.#sum += points;
    return undefined;
  }

  #forget(before: number): void {
    if ((this.#spent[0]?.at ?? Number.POSITIVE_INFINITY) > before) return;
    const first = this.#spent.findIndex(({ at }) => at > before);
    const gone = this.#spent.splice(0, first === -1 ? this.#spent.length : first);
    for (const { points } of gone) this.#sum -= points;
  }
}

const priorities: readonly Priority[] = ["mint", "fence", "sweep"];

/** The line before the door: as many requests as allowed are inside, the others wait by priority. */
class Line {
  readonly #limits: BudgetLimits;
  readonly #waiting: Readonly<Record<Priority, (() => void)[]>> = { mint: [], fence: [], sweep: [] };
  #inside = 0;

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  /** Undefined when there is room. */
  enter(request: BudgetedRequest, clock: Clock): Promise<void> | undefined {
    const { priority } = request;
    if (this.#inside < this.#limits.concurrent[priority]) {
      this.#inside += 1;
      return undefined;
    }
    if (priorities.reduce((sum, each) => sum + this.#waiting[each].length, 0) >= this.#limits.waiting) {
      throw waitError(request, clock.now() + 1_000, "too many requests wait already");
    }
    // Whoever leaves hands over the place, so `#inside` stays as it is.
    return new Promise<void>((resolve) => this.#waiting[priority].push(resolve));
  }

  leave(): void {
    this.#inside -= 1;
    for (const priority of priorities) {
      if (this.#inside >= this.#limits.concurrent[priority]) continue;
      const next = this.#waiting[priority].shift();
      if (next === undefined) continue;
      this.#inside += 1;
      next();
      return;
    }
  }
}

/** No pause is believed to be longer: a wrong header must not stop us for days. */
const longestPauseMilliseconds = 2 * 3_600_000;

/** Until when `Retry-After` says to wait: seconds or a date. */
function retryAfter(answer: Answer, now: number): number | undefined {
  const text = answer.headers["retry-after"];
  if (text === undefined) return undefined;
  const until = /^\d+$/.test(text) ? now + Number(text) * 1000 : Date.parse(text);
  return Number.isNaN(until)
    ? undefined
    : Math.min(Math.max(until, now + 1_000), now + longestPauseMilliseconds);
}

/** GitHub uses 403 and 429 for rate limits; a 403 for any other reason says neither when nor "rate limit". */
function isRateLimit(answer: Answer): boolean {
  if (answer.status === 429) return true;
  if (answer.status !== 403) return false;
  return answer.headers["retry-after"] !== undefined || /rate limit|abuse/i.test(messageOf(answer));
}

function countIn(header: string | undefined): number | undefined {
  const value = header === undefined ? Number.NaN : Number.parseInt(header, 10);
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function endpointKey(request: BudgetedRequest): string {
  return `${request.method} ${request.endpoint}`;
}
