import aws4 from "aws4";
import type { MayflyError } from "../../core/errors.ts";
import { backoffSeconds } from "../../core/retry.ts";
import type { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Random } from "../../ports/random.ts";
import { AwsError, type AwsPurpose, type AwsRefusal, awsUnreachableError } from "./errors.ts";
import { createExchange, type ExchangeAnswer, ExchangeFailure } from "./exchange.ts";

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  /** Only with credentials that are lent for a time, as those of a role are. */
  readonly sessionToken?: Secret;
}

export interface AwsClientOptions {
  readonly region: string;
  /** Asked before every request, so that credentials may change while the process lives. */
  readonly credentials: () => AwsCredentials | Promise<AwsCredentials>;
  /** One address for every service, in place of AWS's own: for stand-ins of AWS. */
  readonly endpoint?: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Default 16 MiB: a page of DynamoDB is 1 MB of data, a page of 1,000 instances some 5 MB. */
  readonly answerLimitBytes?: number;
  /** At once, to each service. Default 50. */
  readonly connections?: number;
}

/** One request to one action of a service. `json.ts` and `query.ts` make these for the two protocols. */
export interface AwsRequest extends AwsPurpose {
  /** Default `POST`, which both protocols use; the others are for services that speak REST. */
  readonly method?: "GET" | "PUT";
  /** With its query, for services that speak REST. Default `/`. */
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** AWS's code and sentence in an answer that is no success. */
  readonly refusalIn: (answer: ExchangeAnswer) => Omit<AwsRefusal, "status">;
  readonly limits?: AwsCallLimits;
}

export interface AwsCallLimits {
  /** For one attempt. Default 10. */
  readonly timeoutSeconds?: number;
  /** Default 3. */
  readonly attempts?: number;
  /** It must not be done twice: it is not repeated when nobody knows whether it was done. */
  readonly once?: true;
  /** Calls it off. The call then fails as unreachable, at once. */
  readonly signal?: AbortSignal;
}

/**
 * Signed requests to AWS (Signature Version 4, over node:https).
 *
 * - An answer with status 200 resolves; a refusal is an `AwsError`, no answer a `MayflyError` of kind `retry`.
 * - What was throttled, did not arrive, failed on AWS's side or had expired credentials is repeated after a wait with
 *   full jitter (100 ms, doubling to 2 s). Without `once` that includes requests of which nobody knows whether they
 *   were done: such a caller has a token or a condition that makes the second one harmless.
 */
export interface AwsClient {
  readonly region: string;
  send(request: AwsRequest): Promise<ExchangeAnswer>;
}

const defaultTimeoutSeconds = 10;
const defaultAttempts = 3;

export function createAwsClient(options: AwsClientOptions): AwsClient {
  const { region, clock, random } = options;
  const exchange = createExchange({
    answerLimitBytes: options.answerLimitBytes ?? 16 * 1024 * 1024,
    connections: options.connections ?? 50,
  });

  async function attempt(request: AwsRequest): Promise<ExchangeAnswer | Failure> {
    const { timeoutSeconds = defaultTimeoutSeconds, signal } = request.limits ?? {};
    const { url, signingRegion } = placeOf(options, request);
    const headers = await signedHeaders(request, url, signingRegion);
    try {
      const { method = "POST" as const, body } = request;
      const sent = { url, method, headers, body, timeoutSeconds } as const;
      const answer = await exchange(signal === undefined ? sent : { ...sent, signal });
      return answer.status === 200 ? answer : refusalOf(request, answer);
    } catch (error) {
      if (!(error instanceof ExchangeFailure)) throw error;
      return {
        error: awsUnreachableError(request, error.reason, error.cause),
        certainlyNotDone: error.neverSent,
      };
    }
  }

  async function signedHeaders(
    request: AwsRequest,
    url: URL,
    signingRegion: string,
  ): Promise<Record<string, string>> {
    const { accessKeyId, secretAccessKey, sessionToken } = await options.credentials();
    const signed = aws4.sign(
      {
        service: request.service,
        region: signingRegion,
        method: request.method ?? "POST",
        path: `${url.pathname}${url.search}`,
        headers: { host: url.host, "x-amz-date": signingDate(clock.now()), ...request.headers },
        body: request.body,
      },
      {
        accessKeyId,
        secretAccessKey: secretAccessKey.reveal(),
        ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
      },
    );
    return signed.headers as Record<string, string>;
  }

  return {
    region,
    async send(request) {
      const { attempts = defaultAttempts, once, signal } = request.limits ?? {};
      for (let count = 1; ; count += 1) {
        const outcome = await attempt(request);
        if (!("error" in outcome)) return outcome;
        const harmless = outcome.certainlyNotDone || once !== true;
        const ended = count >= attempts || signal?.aborted === true;
        if (outcome.error.kind !== "retry" || !harmless || ended) throw outcome.error;
        const seconds = random.fraction() * backoffSeconds(count, 0.1, 2);
        await clock.sleep(seconds * 1000, signal);
      }
    },
  };
}

interface Failure {
  readonly error: MayflyError;
  readonly certainlyNotDone: boolean;
}

function refusalOf(request: AwsRequest, answer: ExchangeAnswer): Failure {
  const error = new AwsError(request, { status: answer.status, ...request.refusalIn(answer) });
  return { error, certainlyNotDone: error.certainlyNotDone };
}

/** IAM is one for all regions of a partition, and signed for the first of them. */
const iamPlaces: Readonly<Record<string, readonly [host: string, signingRegion: string]>> = {
  "": ["iam.amazonaws.com", "us-east-1"],
  "cn-": ["iam.cn-north-1.amazonaws.com.cn", "cn-north-1"],
  "us-gov-": ["iam.us-gov.amazonaws.com", "us-gov-west-1"],
};

function placeOf(
  { endpoint, region }: AwsClientOptions,
  { service, path = "/" }: AwsRequest,
): { readonly url: URL; readonly signingRegion: string } {
  const [partition = ""] = /^(cn-|us-gov-)/.exec(region) ?? [];
  const [iamHost = "", iamRegion = ""] = iamPlaces[partition] ?? [];
  const signingRegion = service === "iam" ? iamRegion : region;
  if (endpoint !== undefined) return { url: new URL(path, endpoint), signingRegion };
  // China is a partition of its own, with its own domain.
  const domain = partition === "cn-" ? "amazonaws.com.cn" : "amazonaws.com";
  const host = service === "iam" ? iamHost : `${hosts[service] ?? service}.${region}.${domain}`;
  return { url: new URL(path, `https://${host}`), signingRegion };
}

/** Where the address of a service is not its name. */
const hosts: Readonly<Record<string, string>> = { ecr: "api.ecr" };

/** `20261121T063000Z` */
function signingDate(now: number): string {
  return new Date(now).toISOString().replace(/[:-]|\.\d{3}/g, "");
}
