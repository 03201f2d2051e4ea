import { type ErrorKind, MayflyError } from "../../core/errors.ts";

/** What was asked of AWS, for the sentences of errors. */
export interface AwsPurpose {
  /** As it stands in host names and policies, for example `dynamodb`. */
  readonly service: string;
  /** For example `TransactWriteItems`. */
  readonly action: string;
  /** To what, for people, for example `table mayfly-ledger`. Never a secret. */
  readonly resource: string;
}

/** A refusal in AWS's own words. */
export interface AwsRefusal {
  readonly status: number;
  /** AWS's name for it without a prefix, for example `ThrottlingException`; empty where it gave none. */
  readonly awsCode: string;
  readonly message: string;
  /** The whole answer, for codes that say more than a sentence. */
  readonly details: Readonly<Record<string, unknown>>;
}

/**
 * A refusal of AWS. `awsCode` is AWS's own name of it, for adapters to which it is no failure but an answer:
 * a condition that did not hold, a pool without capacity.
 */
export class AwsError extends MayflyError {
  readonly awsCode: string;
  readonly details: AwsRefusal["details"];
  /** Nothing was done: repeating the call cannot do anything twice. */
  readonly certainlyNotDone: boolean;

  constructor(purpose: AwsPurpose, refusal: AwsRefusal, cause?: unknown) {
    const meaning = meaningOf(refusal);
    super({
      kind: meaning.kind,
      code: meaning.code,
      message: `${serviceName(purpose.service)} refused ${purpose.action} on ${purpose.resource}: ${sentenceOf(refusal)}`,
      suggestion: meaning.suggestion(purpose, refusal),
      cause,
    });
    this.name = "AwsError";
    this.awsCode = refusal.awsCode;
    this.details = refusal.details;
    this.certainlyNotDone = refusal.status < 500 || meaning.code === "AWS_THROTTLED";
  }
}

interface Meaning {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly suggestion: (purpose: AwsPurpose, refusal: AwsRefusal) => string;
}

/**
 * What AWS's codes mean for the caller. The first row that fits is taken; services spell the same thing differently.
 *
 * | AWS says                                                     | meaning                  | kind       |
 * |--------------------------------------------------------------|--------------------------|------------|
 * | a clock that is minutes off                                  | `AWS_CLOCK_SKEW`         | `operator` |
 * | throttled, in any spelling, or status 429                    | `AWS_THROTTLED`          | `retry`    |
 * | the credentials have expired                                 | `AWS_CREDENTIALS_EXPIRED`| `retry`    |
 * | the credentials are none, or the signature is wrong          | `AWS_CREDENTIALS_REJECTED`| `operator`|
 * | not allowed                                                  | `AWS_ACCESS_DENIED`      | `operator` |
 * | no such table, queue, secret or parameter                    | `AWS_NOT_FOUND`          | `operator` |
 * | status 500 and above                                         | `AWS_UNAVAILABLE`        | `retry`    |
 * | anything else                                                | `AWS_REFUSED`            | `give-up`  |
 */
const meanings: readonly (Meaning & { readonly fits: (refusal: AwsRefusal) => boolean })[] = [
  {
    fits: ({ awsCode, message }) =>
      awsCode === "RequestTimeTooSkewed" ||
      /signature (expired|not yet current)/i.test(message) ||
      awsCode === "RequestExpired",
    kind: "operator",
    code: "AWS_CLOCK_SKEW",
    suggestion: () => "Set the clock of this machine right, for example with NTP.",
  },
  {
    fits: ({ awsCode, status }) =>
      /^(Throttl|RequestThrottled|RequestLimitExceeded|TooManyRequests|ProvisionedThroughputExceeded|SlowDown|PriorRequestNotComplete|KmsThrottled)/.test(
        awsCode,
      ) || status === 429,
    kind: "retry",
    code: "AWS_THROTTLED",
    suggestion: () => "Try again; if it stays, look at the quotas of the account for this service.",
  },
  {
    fits: ({ awsCode }) => /^(ExpiredToken|TokenRefreshRequired)/.test(awsCode),
    kind: "retry",
    code: "AWS_CREDENTIALS_EXPIRED",
    suggestion: () => "Try again with new credentials; on your own machine, sign in again.",
  },
  {
    fits: ({ awsCode }) =>
      /^(UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|AuthFailure$|MissingAuthenticationToken|InvalidSignature|SignatureDoesNotMatch|IncompleteSignature|NotAuthorized$)/.test(
        awsCode,
      ),
    kind: "operator",
    code: "AWS_CREDENTIALS_REJECTED",
    suggestion: () => "Check which credentials this process has, and that they are of this account.",
  },
  {
    fits: ({ awsCode, status }) =>
      /^(AccessDenied|UnauthorizedOperation|UnauthorizedAccess|KmsAccessDenied|KMSAccessDenied|Forbidden)/.test(
        awsCode,
      ) ||
      (status === 403 && awsCode === ""),
    kind: "operator",
    code: "AWS_ACCESS_DENIED",
    suggestion: permissionToAdd,
  },
  {
    fits: ({ awsCode }) =>
      /^(ResourceNotFound|QueueDoesNotExist|AWS\.SimpleQueueService\.NonExistentQueue|ParameterNotFound)/.test(
        awsCode,
      ),
    kind: "operator",
    code: "AWS_NOT_FOUND",
    suggestion: () => "Check the name and the region, and that everything of Mayfly was deployed.",
  },
  {
    fits: ({ status }) => status >= 500,
    kind: "retry",
    code: "AWS_UNAVAILABLE",
    suggestion: () => "Try again; health.aws.amazon.com says what AWS knows of it.",
  },
];

const unknownRefusal: Meaning = {
  kind: "give-up",
  code: "AWS_REFUSED",
  suggestion: () => "Repeating it will not help; report it if AWS's sentence does not explain it.",
};

function meaningOf(refusal: AwsRefusal): Meaning {
  return meanings.find(({ fits }) => fits(refusal)) ?? unknownRefusal;
}

/** AWS names action and resource in its sentence most of the time; what it leaves out is taken from the call. */
function permissionToAdd(purpose: AwsPurpose, { message }: AwsRefusal): string {
  const [, who] = /User: (arn:\S+)/.exec(message) ?? [];
  const [, action] = /perform: ([\w-]+:\w+)/.exec(message) ?? [];
  const [, resource] = /on resource: (arn:[^\s,]+?)\.?(?:\s|$)/.exec(message) ?? [];
  const deny = /explicit deny/i.test(message) ? " An explicit deny stands in a policy; remove it there." : "";
  const role = who === undefined ? "the policy of this role" : `the policy of ${who}`;
  return `Add ${action ?? `${purpose.service}:${purpose.action}`} on ${resource ?? purpose.resource} to ${role}.${deny}`;
}

/** No answer, or none in time. `reason` is a short text or a code of the system, such as `ECONNREFUSED`. */
export function awsUnreachableError(purpose: AwsPurpose, reason: string, cause: unknown): MayflyError {
  return new MayflyError({
    kind: "retry",
    code: reason === "timeout" ? "AWS_TIMEOUT" : "AWS_UNREACHABLE",
    message: `${serviceName(purpose.service)} did not answer ${purpose.action} on ${purpose.resource}: ${reason}.`,
    suggestion: "Try again; if it stays, check the region, and the way from this network to AWS.",
    cause,
  });
}

/** An answer that does not have the shape that AWS documents. `problem` says what is wrong with it. */
export function awsBrokenAnswerError(purpose: AwsPurpose, problem: string): MayflyError {
  return new MayflyError({
    kind: "retry",
    code: "AWS_BROKEN_ANSWER",
    message: `The answer of ${serviceName(purpose.service)} to ${purpose.action} on ${purpose.resource} cannot be used: ${problem}.`,
    suggestion: "Try again; if it stays, check whether a proxy stands between this process and AWS.",
  });
}

const serviceNames: Readonly<Record<string, string>> = {
  apigateway: "API Gateway",
  cloudformation: "CloudFormation",
  codebuild: "CodeBuild",
  dynamodb: "DynamoDB",
  ec2: "EC2",
  ecs: "ECS",
  events: "EventBridge",
  iam: "IAM",
  lambda: "Lambda",
  logs: "CloudWatch Logs",
  secretsmanager: "Secrets Manager",
  servicequotas: "Service Quotas",
  sqs: "SQS",
  ssm: "Parameter Store",
  sts: "STS",
};

function serviceName(service: string): string {
  return serviceNames[service] ?? service;
}

function sentenceOf({ status, awsCode, message }: AwsRefusal): string {
  // EC2 appends a text of kilobytes that only the account's owner can decode.
  const said = message.replace(/\s*Encoded authorization failure message:.*$/s, "").trim();
  const short = said.length > 1_000 ? `${said.slice(0, 1_000)}…` : said;
  const words = [String(status), awsCode, short].filter((word) => word !== "").join(", ");
  return /[.!?…]$/.test(words) ? words : `${words}.`;
}
