import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { MayflyError } from "../core/errors.ts";
import { isLoopbackHost } from "../core/loopback.ts";
import { equalInConstantTime, Secret } from "../core/secret.ts";
import { messagePage, registrationPage, registrationUrl } from "./app-manifest.ts";

/** An App that GitHub has made. */
export interface RegisteredApp {
  readonly id: number;
  readonly slug: string;
  readonly owner: string;
  readonly pageUrl: string;
  readonly privateKey: Secret;
  readonly webhookSecret: Secret;
}

export interface RegistrationOptions {
  /** For example `https://github.com`. */
  readonly server: string;
  readonly apiUrl: string;
  readonly organization: string | undefined;
  /** 0: any free one. */
  readonly port: number;
  /** The manifest for an App whose browser comes back to this address. */
  readonly manifest: (redirectUrl: string) => object;
  /** Takes the App's secrets before the browser is told that all went well. */
  readonly keep: (app: RegisteredApp) => Promise<void>;
}

/** A registration that waits for its browser. */
export interface Registration {
  /** What to open in a browser. */
  readonly url: string;
  /** Resolves when the App is made and kept; rejects when GitHub did not make it or it could not be kept. */
  readonly done: Promise<RegisteredApp>;
  close(): Promise<void>;
}

const exchangeTimeoutMilliseconds = 30_000;
const answerLimitBytes = 1_000_000;

/**
 * Waits on a port of the loopback interface for a browser, sends it to GitHub with the manifest, and exchanges the
 * code that it brings back for the App. Only a request with the state that left from here is listened to, once.
 */
export async function startRegistration(options: RegistrationOptions): Promise<Registration> {
  const server = createServer();
  await listen(server, options.port);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const state = randomBytes(24).toString("base64url");
  const action = registrationUrl(options.server, options.organization, state);
  const form = registrationPage(action, options.manifest(`${url}/callback`));
  const done = new Promise<RegisteredApp>((resolve, reject) => {
    let isTaken = false;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const target = URL.parse(request.url ?? "/", url);
      // A page elsewhere may point its own name here, and would read the state in the browser of whoever visits it.
      if (!isLoopbackHost(request.headers.host ?? "")) {
        send(response, 403, "Not here", "This page is for a browser that asks for 127.0.0.1.");
      } else if (request.method !== "GET") send(response, 405, "Not here", "This address takes GET only.");
      else if (target === null) send(response, 404, "Not here", "There is no such page.");
      else if (target.pathname === "/") sendPage(response, 200, form);
      else if (target.pathname !== "/callback") send(response, 404, "Not here", "There is no such page.");
      else {
        const code = codeOf(target, state);
        if (code === undefined || isTaken) {
          send(
            response,
            400,
            "Not accepted",
            "This is not the answer to the question that was asked. Begin again.",
          );
          return;
        }
        isTaken = true;
        finish(options, code, response).then(resolve, reject);
      }
    });
  });
  // Whoever closes without waiting has no use for the reason.
  done.catch(() => undefined);
  return { url: `${url}/`, done, close: () => close(server) };
}

async function finish(
  options: RegistrationOptions,
  code: string,
  response: ServerResponse,
): Promise<RegisteredApp> {
  try {
    const app = await exchange(options.apiUrl, code);
    await options.keep(app);
    response
      .writeHead(302, { location: installationUrl(app), "content-length": 0, connection: "close" })
      .end();
    return app;
  } catch (error) {
    const sentence = error instanceof MayflyError ? error.message : "Something went wrong; see the terminal.";
    send(response, 500, "The App is not ready", sentence);
    throw error;
  }
}

/** Where the owner says for which repositories the App is installed. */
export function installationUrl(app: Pick<RegisteredApp, "pageUrl">): string {
  return `${app.pageUrl}/installations/new`;
}

function codeOf(target: URL, state: string): string | undefined {
  const code = target.searchParams.get("code") ?? "";
  const isOurs = equalInConstantTime(target.searchParams.get("state") ?? "", state);
  return isOurs && /^[A-Za-z0-9_-]{1,200}$/.test(code) ? code : undefined;
}

async function exchange(apiUrl: string, code: string): Promise<RegisteredApp> {
  let status: number;
  let text: string;
  try {
    const answer = await fetch(`${apiUrl}/app-manifests/${code}/conversions`, {
      method: "POST",
      headers: { accept: "application/vnd.github+json", "user-agent": "mayfly" },
      signal: AbortSignal.timeout(exchangeTimeoutMilliseconds),
      redirect: "error",
    });
    status = answer.status;
    text = await answer.text();
  } catch (error) {
    throw failed(`GitHub could not be asked for the App at ${apiUrl}`, error);
  }
  if (status !== 201) throw failed(`GitHub did not hand out the App (status ${status})`);
  const app = text.length > answerLimitBytes ? undefined : parseApp(text);
  if (app === undefined) throw failed("GitHub's answer has not all parts of an App");
  return app;
}

/** The code may have been spent by then, so the way out is always a new App. */
function failed(what: string, cause?: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "APP_NOT_MADE",
    message: `${what}.`,
    suggestion: "Delete the App in GitHub's settings where it exists already, and run the command again.",
    ...(cause !== undefined && { cause }),
  });
}

function parseApp(text: string): RegisteredApp | undefined {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = JSON.parse(text);
  } catch {
    // The answer may contain the key, so nothing of it is shown.
    return undefined;
  }
  const { id, slug, html_url: pageUrl, pem, webhook_secret: webhookSecret, owner } = value ?? {};
  const login = (owner as { readonly login?: unknown } | null)?.login;
  if (typeof id !== "number" || typeof slug !== "string" || typeof pageUrl !== "string") return undefined;
  if (typeof pem !== "string" || pem === "") return undefined;
  if (typeof webhookSecret !== "string" || webhookSecret === "") return undefined;
  return {
    id,
    slug,
    owner: typeof login === "string" ? login : "",
    pageUrl,
    privateKey: new Secret(pem),
    webhookSecret: new Secret(webhookSecret),
  };
}

function send(response: ServerResponse, status: number, title: string, sentence: string): void {
  sendPage(response, status, messagePage(title, sentence));
}

function sendPage(response: ServerResponse, status: number, html: string): void {
  response
    .writeHead(status, {
      "content-type": "text/html; charset=utf-8",
      "content-length": Buffer.byteLength(html),
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
      connection: "close",
    })
    .end(html);
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(
        new MayflyError({
          kind: "operator",
          code: "PORT_TAKEN",
          message: `Port ${port} cannot be listened on: ${error.message}.`,
          suggestion: "Choose another one with --port, or leave it out: then any free port is taken.",
          cause: error,
        }),
      );
    });
    server.listen(port, "127.0.0.1", resolve);
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
