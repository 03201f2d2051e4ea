import { happens, type ModelState, type RateBucket } from "./model-state.ts";
import { GithubRefusal } from "./refusal.ts";

export type RateResource = "core" | "actions_runner_registration";

/** One request as the limits see it. */
export interface RatedRequest {
  /** Who asks: an installation or the App itself. Every one has limits of its own. */
  readonly caller: string;
  readonly resource: RateResource;
  readonly method: string;
  /** The path with its parameters left open, since the secondary limit counts for each endpoint. */
  readonly endpoint: string;
  /** `GET /rate_limit` is free of the primary limit. */
  readonly isFree?: boolean;
}

/**
 * Counts a request and returns the headers that its answer carries. Refuses with 403 or 429 when the primary
 * limit is used up, when the endpoint got too many points within a minute, or when a fault says so; a refusal
 * of the secondary kind carries `retry-after`.
 */
export function admitRequest(
  state: ModelState,
  now: number,
  request: RatedRequest,
): Readonly<Record<string, string>> {
  if (!state.limits.rateLimitsEnabled) return {};
  const bucket = bucketOf(state, now, request.caller, request.resource);
  refuseSecondary(state, now, request, bucket);
  if (request.isFree === true) return rateHeaders(bucket, request.resource);
  if (bucket.used >= bucket.limit) {
    throw new GithubRefusal(
      refusalStatus(state),
      `API rate limit exceeded for ${request.caller}. If you reach out to GitHub Support for help, please include the request ID.`,
      rateHeaders(bucket, request.resource),
    );
  }
  bucket.used += 1;
  return rateHeaders(bucket, request.resource);
}

/** Takes a request back: a conditional request that was answered with 304 is not counted. */
export function refundRequest(
  state: ModelState,
  now: number,
  request: RatedRequest,
): Readonly<Record<string, string>> {
  if (!state.limits.rateLimitsEnabled) return {};
  const bucket = bucketOf(state, now, request.caller, request.resource);
  if (bucket.used > 0) bucket.used -= 1;
  return rateHeaders(bucket, request.resource);
}

/** Uses up everything that the caller has left until the bucket is filled again. */
export function exhaustRateLimit(
  state: ModelState,
  now: number,
  caller: string,
  resource: RateResource,
): RateBucket {
  const bucket = bucketOf(state, now, caller, resource);
  bucket.used = bucket.limit;
  return bucket;
}

/** The bucket of a caller; a new one when its hour is over. */
export function bucketOf(state: ModelState, now: number, caller: string, resource: RateResource): RateBucket {
  const limit =
    resource === "core" ? state.limits.requestsPerHour : state.limits.runnerRegistrationRequestsPerHour;
  return currentBucket(state, `${caller} ${resource}`, now, 3_600_000, limit);
}

function refuseSecondary(state: ModelState, now: number, request: RatedRequest, primary: RateBucket): void {
  const points = request.method === "GET" || request.method === "HEAD" ? 1 : 5;
  const key = `${request.caller} ${request.method} ${request.endpoint}`;
  const bucket = currentBucket(state, key, now, 60_000, state.limits.pointsPerMinutePerEndpoint);
  const isFault = happens(state.random, state.faults.secondaryLimitFraction);
  if (!isFault && bucket.used + points <= bucket.limit) {
    bucket.used += points;
    return;
  }
  const waitSeconds = isFault ? state.faults.secondaryLimitRetrySeconds : (bucket.resetAt - now) / 1000;
  throw secondaryLimit(state, Math.ceil(waitSeconds), rateHeaders(primary, request.resource));
}

/** GitHub's refusal because of a secondary limit. */
export function secondaryLimit(
  state: ModelState,
  retryAfterSeconds: number,
  headers: Readonly<Record<string, string>> = {},
): GithubRefusal {
  return new GithubRefusal(
    refusalStatus(state),
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to GitHub Support for help, please include the request ID.",
    { ...headers, "retry-after": String(retryAfterSeconds) },
  );
}

/** GitHub uses both statuses for the same thing. */
function refusalStatus(state: ModelState): 403 | 429 {
  return state.random.fraction() < 0.5 ? 403 : 429;
}

function currentBucket(
  state: ModelState,
  key: string,
  now: number,
  lengthMilliseconds: number,
  limit: number,
): RateBucket {
  const known = state.buckets.get(key);
  if (known !== undefined && known.resetAt > now) return known;
  const bucket: RateBucket = { used: 0, limit, resetAt: now + lengthMilliseconds };
  state.buckets.set(key, bucket);
  return bucket;
}

function rateHeaders(bucket: RateBucket, resource: RateResource): Readonly<Record<string, string>> {
  return {
    "x-ratelimit-limit": String(bucket.limit),
    "x-ratelimit-remaining": String(bucket.limit - bucket.used),
    "x-ratelimit-reset": String(Math.ceil(bucket.resetAt / 1000)),
    "x-ratelimit-used": String(bucket.used),
    "x-ratelimit-resource": resource,
  };
}
