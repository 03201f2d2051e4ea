import { MayflyError } from "../../core/errors.ts";
import { type Answer, messageOf } from "./answer.ts";

/** What was asked of GitHub, for the sentences of errors. */
export interface Purpose {
  /** Completes "GitHub refused to …", for example `register the runner m-1 in acme`. */
  readonly what: string;
  /** The permission that the App needs for it, for example `organization_self_hosted_runners: write`. */
  readonly permission?: string;
}

interface KnownRefusal {
  readonly status: number;
  readonly message: RegExp;
  readonly code: string;
  readonly suggestion: string;
}

/**
 * Refusals that only a person can change the cause of, by GitHub's own words. The first that matches is taken.
 *
 * | status | GitHub says                                    | cause                                   |
 * |--------|------------------------------------------------|-----------------------------------------|
 * | 403    | … has been suspended                           | the installation is suspended           |
 * | 403    | Resource not accessible by integration         | the App lacks a permission              |
 * | 403    | Repository level self-hosted runners are disabled | a setting of the organisation        |
 * | 403    | GitHub Actions is disabled                     | a setting of the repository             |
 * | 403    | your IP address is not permitted               | the organisation's IP allow list        |
 * | 401    | … claim ('exp') …, … claim ('iat') …           | this machine's clock is wrong           |
 * | 401    | A JSON web token could not be decoded          | App id and private key do not fit       |
 * | 404    | Integration not found                          | there is no App with this id            |
 * | 422    | Runner group … has reached max limit           | it holds 10,000 runners, of whomever    |
 */
const knownRefusals: readonly KnownRefusal[] = [
  {
    status: 403,
    message: /suspended/i,
    code: "GITHUB_INSTALLATION_SUSPENDED",
    suggestion: "Lift the suspension of the App in the settings of the organisation or account.",
  },
  {
    status: 403,
    message: /not accessible by integration/i,
    code: "GITHUB_PERMISSION_MISSING",
    suggestion: "Give the App this permission in its settings, then accept the change in each installation.",
  },
  {
    status: 403,
    message: /self-hosted runners are disabled/i,
    code: "GITHUB_RUNNERS_DISABLED",
    suggestion:
      "Allow self-hosted runners for the repository in the organisation's Actions settings, or set github.scope to organization.",
  },
  {
    status: 403,
    message: /actions is disabled/i,
    code: "GITHUB_ACTIONS_DISABLED",
    suggestion: "Enable GitHub Actions in the settings of the repository.",
  },
  {
    status: 403,
    message: /ip address is not permitted|ip allow list/i,
    code: "GITHUB_ADDRESS_NOT_PERMITTED",
    suggestion: "Add the address of this server to the organisation's IP allow list.",
  },
  {
    status: 401,
    message: /claim \('(exp|iat)'\)/i,
    code: "GITHUB_CLOCK_SKEW",
    suggestion: "Set the clock of this machine right, for example with NTP.",
  },
  {
    status: 401,
    message: /json web token could not be decoded/i,
    code: "GITHUB_KEY_REJECTED",
    suggestion: "Check that secrets.appPrivateKey is a current key of the App that github.appId names.",
  },
  {
    status: 404,
    message: /integration not found/i,
    code: "GITHUB_APP_UNKNOWN",
    suggestion: "Check github.appId and github.server in the configuration.",
  },
  {
    status: 422,
    message: /runner group .*max(imum)? limit/i,
    code: "GITHUB_RUNNER_GROUP_FULL",
    suggestion:
      "Remove runners of this group that are offline for good, or name another group with runnerGroup.",
  },
];

/** Refusals that would be everybody's: they say nothing against the one thing that was asked for. */
export const refusalsOfAll: ReadonlySet<string> = new Set([
  "GITHUB_INSTALLATION_SUSPENDED",
  "GITHUB_RUNNER_GROUP_FULL",
]);

/** A refusal that was not because of a rate limit, as an error. */
export function refusalError(answer: Answer, purpose: Purpose, now: number): MayflyError {
  const { status } = answer;
  const said = messageOf(answer);
  const message = `GitHub refused to ${purpose.what}: ${status}${said === "" ? "" : `, ${withPeriod(said)}`}`;
  const known = knownRefusals.find((entry) => entry.status === status && entry.message.test(said));
  if (known !== undefined) {
    const details = detailsOf(known.code, answer, purpose, now);
    const { code, suggestion } = known;
    return new MayflyError({ kind: "operator", code, message: `${message}${details}`, suggestion });
  }
  if (status >= 500) {
    return new MayflyError({
      kind: "retry",
      code: "GITHUB_UNAVAILABLE",
      message: `GitHub failed to ${purpose.what}: ${status}.`,
      suggestion: "Try again; www.githubstatus.com says what GitHub knows of it.",
    });
  }
  return new MayflyError({ ...unknownRefusal(status), message });
}

function unknownRefusal(status: number): Pick<MayflyError, "kind" | "code" | "suggestion"> {
  switch (status) {
    case 401:
      return {
        kind: "retry",
        code: "GITHUB_TOKEN_REJECTED",
        suggestion: "Try again with a new token; if it stays, check that the App is still installed.",
      };
    case 403:
      return {
        kind: "operator",
        code: "GITHUB_FORBIDDEN",
        suggestion: "Check the permissions of the App and the policies of the organisation.",
      };
    case 404:
    case 410:
    case 451:
      return {
        kind: "operator",
        code: "GITHUB_NOT_FOUND",
        suggestion:
          "Check that the organisation or repository exists under this name, and that the App is installed there.",
      };
    default:
      return {
        kind: "give-up",
        code: "GITHUB_REFUSED",
        suggestion:
          "Repeating the request will not help; report it if GitHub's sentence does not explain it.",
      };
  }
}

function detailsOf(code: string, answer: Answer, purpose: Purpose, now: number): string {
  if (code === "GITHUB_PERMISSION_MISSING" && purpose.permission !== undefined) {
    return ` The App needs ${purpose.permission}.`;
  }
  const theirs = Date.parse(answer.headers.date ?? "");
  if (code !== "GITHUB_CLOCK_SKEW" || Number.isNaN(theirs)) return "";
  const seconds = Math.round((now - theirs) / 1000);
  return ` The clock here is ${Math.abs(seconds)} seconds ${seconds < 0 ? "behind" : "ahead of"} GitHub's.`;
}

/** A request that a limit forbids, by our own count or by GitHub's answer. */
export function waitError(purpose: Purpose, retryAt: number, because: string): MayflyError {
  return new MayflyError({
    kind: "wait",
    code: "GITHUB_RATE_LIMITED",
    message: `GitHub cannot be asked to ${purpose.what} now: ${because}.`,
    suggestion: `Try again at ${new Date(retryAt).toISOString()}.`,
    retryAt,
  });
}

/** No answer, or none in time. `reason` is a short text or a code of the system, such as `ECONNREFUSED`. */
export function unreachableError(purpose: Purpose, reason: string): MayflyError {
  return new MayflyError({
    kind: "retry",
    code: reason === "timeout" ? "GITHUB_TIMEOUT" : "GITHUB_UNREACHABLE",
    message: `GitHub did not answer the request to ${purpose.what}: ${reason}.`,
    suggestion: "Try again; if it stays, check the network and github.server in the configuration.",
  });
}

/** An answer that does not have the shape that GitHub documents. `problem` says what is wrong with it. */
export function brokenAnswerError(purpose: Purpose, problem: string): MayflyError {
  return new MayflyError({
    kind: "retry",
    code: "GITHUB_BROKEN_ANSWER",
    message: `GitHub's answer to the request to ${purpose.what} cannot be used: ${problem}.`,
    suggestion: "Try again; if it stays, check whether a proxy stands between this server and GitHub.",
  });
}

/** A delivery that cannot be sent again. */
export function deliveryGoneError(deliveryId: number): MayflyError {
  return new MayflyError({
    kind: "give-up",
    code: "GITHUB_DELIVERY_GONE",
    message: `GitHub does not know the delivery ${deliveryId} any more: it keeps them for some days only.`,
    suggestion: "Nothing needs to be done; queued jobs are found by the regular look at GitHub.",
  });
}

function withPeriod(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
