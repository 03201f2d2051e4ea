import type { AppFacts, InstallationFacts } from "../../core/diagnosis.ts";
import type { Clock } from "../../ports/clock.ts";
import { type Answer, type Fields, fields, instant, list } from "./answer.ts";
import { createGithubAppClient, type GithubAppOptions } from "./app.ts";
import type { GithubClient, GithubRequest } from "./client.ts";
import { brokenAnswerError } from "./errors.ts";

/**
 * The App as GitHub describes it, for whoever sets it up. Three requests and one for each hundred installations; an
 * error where GitHub does not know the App, or does not accept its key.
 */
export async function inspectApp(options: GithubAppOptions): Promise<AppFacts> {
  const { client } = createGithubAppClient(options);
  const { answer, document } = await read(client, "describe the App", "/app");
  const clockAheadSeconds = clockAhead(answer, options.clock);
  const hook = (await read(client, "describe the App's webhook", "/app/hook/config")).document;
  return {
    slug: String(document.slug ?? ""),
    permissions: textsOf(document.permissions),
    events: list(document.events).map(String),
    clockAheadSeconds,
    webhook: {
      url: typeof hook.url === "string" && URL.canParse(hook.url) ? hook.url : undefined,
      hasSecret: typeof hook.secret === "string" && hook.secret !== "",
      isJson: hook.content_type === "json",
      verifiesTls: String(hook.insecure_ssl ?? "0") === "0",
    },
    installations: await installationsOf(client),
  };
}

async function read(
  client: GithubClient,
  what: string,
  endpoint: string,
): Promise<{ readonly answer: Answer; readonly document: Fields }> {
  const request: GithubRequest = {
    what,
    caller: "app",
    priority: "sweep",
    method: "GET",
    endpoint,
    parameters: {},
  };
  const answer = await client.call(request);
  const document = fields(answer.data);
  if (document === undefined) throw brokenAnswerError(request, "its JSON does not have the documented shape");
  return { answer, document };
}

/** GitHub's `Date` has whole seconds and was written a moment ago. */
function clockAhead(answer: Answer, clock: Clock): number {
  const date = instant(answer.headers.date);
  return date === undefined ? 0 : Math.round((date - clock.now()) / 1000);
}

function installationsOf(client: GithubClient): Promise<readonly InstallationFacts[]> {
  return client.pages({
    what: "list the installations of the App",
    caller: "app",
    priority: "sweep",
    method: "GET",
    endpoint: "/app/installations",
    parameters: {},
    pagesLimit: 10,
    read: (data) => {
      if (!Array.isArray(data)) return undefined;
      return data.map((entry) => {
        const installation = fields(entry);
        return {
          account: String(fields(installation?.account)?.login ?? "an account without a name"),
          suspended: typeof installation?.suspended_at === "string",
          permissions: textsOf(installation?.permissions),
        };
      });
    },
  });
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields(value) ?? {}).map(([name, text]) => [name, String(text)]));
}
