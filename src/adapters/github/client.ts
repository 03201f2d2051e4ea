import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import { type Answer, fields, instant } from "./answer.ts";
import type { AppKey } from "./app-key.ts";
import type { BudgetedRequest, RequestBudget, Resource } from "./budget.ts";
import { brokenAnswerError, refusalError, waitError } from "./errors.ts";
import { createInstallationTokens } from "./tokens.ts";
import type { Transport } from "./transport.ts";

export interface GithubRequest extends Omit<BudgetedRequest, "resource"> {
  readonly resource?: Resource;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Statuses from 300 on that the caller understands; all others are errors. */
  readonly accept?: readonly number[];
}

interface PagesRequest<Item> extends GithubRequest {
  /** The entries of one page; undefined when the answer does not have the documented shape. */
  readonly read: (data: unknown) => readonly Item[] | undefined;
  readonly pagesLimit: number;
  /** Ask only for what has changed since the last time: an unchanged page costs nothing of the hourly limit. */
  readonly conditional?: boolean;
  /** Whether the entries so far are all that is wanted. */
  readonly enough?: (items: readonly Item[]) => boolean;
}

/** Requests to GitHub with credentials and within the budget. The rest of the adapter asks only through it. */
export interface GithubClient {
  call(request: GithubRequest): Promise<Answer>;
  /** All pages, 100 entries each, as far as `Link` leads and `pagesLimit` allows. */
  pages<Item>(request: PagesRequest<Item>): Promise<readonly Item[]>;
}

export interface ClientOptions {
  readonly transport: Transport;
  readonly budget: RequestBudget;
  readonly key: AppKey;
  readonly clock: Clock;
  readonly log: Log;
}

export function createGithubClient(options: ClientOptions): GithubClient {
  const { clock, log } = options;
  const tokens = createInstallationTokens((id) => fetchToken(id), clock);
  const known = new PageMemory();

  const send = async (
    request: GithubRequest,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    refuseOddNames(request);
    const first = await sendOnce(request, headers);
    if (first.status !== 401 || request.caller === "app") return first;
    // The token was revoked or has expired early; `sendOnce` has dropped it, so this is with a new one.
    return await sendOnce(request, headers);
  };

  const sendOnce = async (
    request: GithubRequest,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> => {
    const { caller } = request;
    const token = caller === "app" ? await options.key.appToken() : await tokens.read(caller);
    const permit = await options.budget.admit({ ...request, resource: request.resource ?? "core" });
    let answer: Answer | undefined;
    let retryAt: number | undefined;
    try {
      answer = await options.transport({
        what: request.what,
        route: `${request.method} ${request.endpoint}`,
        parameters: request.parameters,
        headers: { ...headers, authorization: `Bearer ${token.reveal()}` },
      });
    } finally {
      retryAt = permit.settle(answer);
    }
    if (retryAt !== undefined) throw waitError(request, retryAt, "a rate limit has been reached");
    if (answer.status === 401 && caller !== "app") tokens.drop(caller, token);
    return answer;
  };

  const call = async (request: GithubRequest): Promise<Answer> =>
    checked(await send(request), request, clock.now());

  const fetchToken = async (installationId: number): Promise<{ token: Secret; expiresAt: number }> => {
    const request = tokenRequest(installationId);
    const body = fields((await call(request)).data);
    const expiresAt = instant(body?.expires_at);
    if (typeof body?.token === "string" && body.token !== "" && expiresAt !== undefined) {
      return { token: new Secret(body.token), expiresAt };
    }
    throw brokenAnswerError(request, "it has no token with an end");
  };

  const readPage = async <Item>(request: PagesRequest<Item>): Promise<Page<Item>> => {
    const key = JSON.stringify([request.caller, request.endpoint, request.parameters]);
    const before = request.conditional === true ? known.get<Item>(key) : undefined;
    const answer = await send(request, before === undefined ? {} : { "if-none-match": before.etag });
    if (answer.status === 304 && before !== undefined) return before;
    const items = request.read(checked(answer, request, clock.now()).data);
    if (items === undefined) throw brokenAnswerError(request, "its JSON does not have the documented shape");
    const page = { etag: answer.headers.etag ?? "", items, next: nextPage(answer) };
    if (request.conditional === true && page.etag !== "") known.put(key, page);
    return page;
  };

  return {
    call,
    async pages(request) {
      const items = [];
      let parameters: GithubRequest["parameters"] = { ...request.parameters, per_page: 100 };
      for (let count = 0; count < request.pagesLimit; count++) {
        const page = await readPage({ ...request, parameters });
        items.push(...page.items);
        if (page.next === undefined || request.enough?.(items) === true) return items;
        parameters = { ...parameters, ...page.next };
      }
      log.warn("GitHub has more entries than are read.", {
        stage: "github",
        endpoint: request.endpoint,
        read: items.length,
      });
      return items;
    },
  };
}

function checked(answer: Answer, request: GithubRequest, now: number): Answer {
  if (answer.status < 300 || request.accept?.includes(answer.status) === true) return answer;
  throw refusalError(answer, request, now);
}

function tokenRequest(installationId: number): GithubRequest {
  return {
    what: `give us a token of the installation ${installationId}`,
    caller: "app",
    priority: "mint",
    method: "POST",
    endpoint: "/app/installations/{installation_id}/access_tokens",
    parameters: { installation_id: installationId },
  };
}

/** Dots alone would lead to another place of the API. GitHub has no such names either. */
function refuseOddNames({ parameters, what }: GithubRequest): void {
  for (const name of [parameters.org, parameters.owner, parameters.repo]) {
    if (name === undefined) continue;
    if (typeof name === "string" && /^[\w.-]{1,100}$/.test(name) && !/^\.+$/.test(name)) continue;
    throw new MayflyError({
      kind: "give-up",
      code: "GITHUB_NAME_INVALID",
      message: `GitHub was not asked to ${what}: the name of the owner or repository is not one that GitHub has.`,
      suggestion: "Find out where the name comes from.",
    });
  }
}

// ------------------------------------------------------------------------------------------------- pages

interface Page<Item> {
  readonly etag: string;
  readonly items: readonly Item[];
  /** What the address of the next page has in its query. */
  readonly next: Readonly<Record<string, string>> | undefined;
}

/**
 * Only the number of the next page is taken from `Link`. Server and path stay those that we asked for, so no link
 * can lead our credentials elsewhere, and a proxy under another name than GitHub's does no harm.
 */
function nextPage(answer: Answer): Readonly<Record<string, string>> | undefined {
  const address = /<([^<>]+)>\s*;\s*rel="?next"?/.exec(answer.headers.link ?? "")?.[1];
  if (address === undefined || !URL.canParse(address)) return undefined;
  const url = new URL(address);
  const entries = ["page", "cursor"].flatMap((name) => {
    const value = url.searchParams.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

const pagesRemembered = 2_000;

/** The pages that were read last, for conditional requests. */
class PageMemory {
  readonly #pages = new Map<string, Page<unknown>>();

  get<Item>(key: string): Page<Item> | undefined {
    const page = this.#pages.get(key);
    if (page === undefined) return undefined;
    this.#pages.delete(key);
    this.#pages.set(key, page);
    return page as Page<Item>;
  }

  put(key: string, page: Page<unknown>): void {
    this.#pages.delete(key);
    this.#pages.set(key, page);
    const oldest = this.#pages.keys().next().value;
    if (this.#pages.size > pagesRemembered && oldest !== undefined) this.#pages.delete(oldest);
  }
}
