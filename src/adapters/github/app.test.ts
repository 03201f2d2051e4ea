import { generateKeyPairSync } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MayflyError } from "../../core/errors.ts";
import type { Scope } from "../../core/model.ts";
import { Secret } from "../../core/secret.ts";
import { createManualClock, type ManualClock } from "../clock/manual.ts";
import { createMemoryLog } from "../log/memory.ts";
import { apiUrlOf } from "./api-url.ts";
import { createGithubApp, type GithubAppOptions } from "./app.ts";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pkcs8 = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const pkcs1 = privateKey.export({ type: "pkcs1", format: "pem" }).toString();
const organization: Scope = { kind: "organization", installationId: 7, owner: "acme" };

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let requests: string[];
let handle: Handler;
let clock: ManualClock;
let tokensGiven: number;
const log = createMemoryLog();

beforeEach(async () => {
  requests = [];
  tokensGiven = 0;
  clock = createManualClock();
  handle = (_request, response) => answer(response, 404, { message: "Not Found" });
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    requests.push(`${request.method} ${request.url}`);
    if (request.url?.endsWith("/access_tokens") === true) giveToken(response);
    else handle(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});

function giveToken(response: ServerResponse): void {
  tokensGiven += 1;
  const expires = new Date(clock.now() + 3_600_000).toISOString();
  answer(response, 201, { token: `ghs_${tokensGiven}_hunter2_${"x".repeat(600)}`, expires_at: expires });
}

function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers });
  response.end(JSON.stringify(body));
}

function address(): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function makeApp(options: Partial<GithubAppOptions> = {}, pem = pkcs8) {
  const secrets = { read: async () => [new Secret(pem)] };
  return createGithubApp({ server: address(), appId: 5, secrets, clock, log, version: "1.2.3", ...options });
}

const noRunners: Handler = (_request, response) => answer(response, 200, { total_count: 0, runners: [] });
const failure = (act: Promise<unknown>): Promise<MayflyError> =>
  act.then(
    () => expect.fail("it did not fail"),
    (error: unknown) => (error instanceof MayflyError ? error : expect.fail(`not a MayflyError: ${error}`)),
  );

test.each([
  ["https://github.com", "https://api.github.com"],
  ["https://www.github.com/", "https://api.github.com"],
  ["https://octocorp.ghe.com", "https://api.octocorp.ghe.com"],
  ["https://github.example.com/", "https://github.example.com/api/v3"],
  ["https://notgithub.com", "https://notgithub.com/api/v3"],
  ["http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v3"],
])("the API of %s is %s", (server, api) => {
  expect(apiUrlOf(server)).toBe(api);
});

test("an address that cannot be used fails at once and is not repeated, as it may contain a password", () => {
  for (const bad of ["github.com", "ftp://github.com", "https://user:hunter2@github.com"]) {
    const error = (() => {
      try {
        return createGithubApp({ ...({} as GithubAppOptions), server: bad });
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ kind: "operator", code: "GITHUB_ADDRESS_INVALID" });
    expect(String(error)).not.toContain("hunter2");
  }
});

test("one token serves all concurrent callers until shortly before it expires", async () => {
  handle = noRunners;
  const app = makeApp();
  await Promise.all(Array.from({ length: 20 }, () => app.listRunners(organization)));
  expect(tokensGiven).toBe(1);
  await clock.advance(54 * 60_000);
  await app.listRunners(organization);
  expect(tokensGiven).toBe(1);
  await clock.advance(60_000);
  await app.listRunners(organization);
  expect(tokensGiven).toBe(2);
});

test("a revoked token is replaced once; if that does not help, the error says so", async () => {
  const app = makeApp();
  handle = (request, response) => {
    if (request.headers.authorization?.includes("ghs_1_") === true) {
      answer(response, 401, { message: "Bad credentials" });
    } else noRunners(request, response, "");
  };
  expect(await app.listRunners(organization)).toEqual([]);
  expect(tokensGiven).toBe(2);
  handle = (_request, response) => answer(response, 401, { message: "Bad credentials" });
  expect(await failure(app.listRunners(organization))).toMatchObject({ code: "GITHUB_TOKEN_REJECTED" });
  expect(tokensGiven).toBe(3);
});

test("a token that could not be fetched is asked for again the next time", async () => {
  const app = makeApp();
  handle = noRunners;
  const giveNone: Handler = (_request, response) => answer(response, 500, {});
  const [normal] = server.listeners("request") as Handler[];
  server.removeAllListeners("request").on("request", (request, response) => giveNone(request, response, ""));
  expect(await failure(app.listRunners(organization))).toMatchObject({ kind: "retry" });
  server.removeAllListeners("request").on("request", normal as never);
  expect(await app.listRunners(organization)).toEqual([]);
});

test.each([
  ["PKCS#1", pkcs1],
  ["PKCS#8", pkcs8],
  ["PKCS#1 with carriage returns", pkcs1.replaceAll("\n", "\r\n")],
])("a key in %s works", async (_name, pem) => {
  handle = noRunners;
  expect(await makeApp({}, pem).listRunners(organization)).toEqual([]);
});

test("a key that cannot be used is for the operator, and not a byte of it is told", async () => {
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    type: "pkcs8",
    format: "pem",
  });
  const cut = pkcs8.slice(0, 400);
  for (const pem of ["hunter2", cut, ec.toString(), ""]) {
    const error = await failure(makeApp({}, pem).listRunners(organization));
    expect(error).toMatchObject({ kind: "operator", code: "GITHUB_KEY_UNUSABLE" });
    const told = `${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
    expect(told).not.toContain("hunter2");
    expect(told).not.toContain(cut.split("\n")[1]);
  }
  expect(requests).toEqual([]);
});

test("a kept connection that was closed meanwhile is replaced without an error, a new one is not", async () => {
  const seen = new Set<Socket>();
  const app = makeApp();
  handle = (request, response) => {
    const isKept = seen.has(request.socket);
    seen.add(request.socket);
    if (isKept) request.socket.destroy();
    else noRunners(request, response, "");
  };
  await app.listRunners(organization);
  expect(await app.listRunners(organization)).toEqual([]);
  expect(seen.size).toBeGreaterThan(1);
  handle = (request) => request.socket.destroy();
  expect(await failure(app.listRunners(organization))).toMatchObject({ code: "GITHUB_UNREACHABLE" });
});

test("our credentials go to no other server, whether by a redirect or by a link to the next page", async () => {
  const stolen: (string | undefined)[] = [];
  const thief = createServer((request, response) => {
    stolen.push(request.headers.authorization);
    answer(response, 200, { total_count: 0, runners: [] });
  });
  await new Promise<void>((resolve) => thief.listen(0, "127.0.0.1", resolve));
  const elsewhere = `http://127.0.0.1:${(thief.address() as AddressInfo).port}/api/v3`;
  try {
    const app = makeApp();
    handle = (_request, response) => answer(response, 302, {}, { location: `${elsewhere}/orgs/acme` });
    expect(await failure(app.listRunners(organization))).toMatchObject({ code: "GITHUB_BROKEN_ANSWER" });
    handle = (request, response) => {
      const last = request.url?.includes("page=2") === true;
      answer(response, 200, { runners: [] }, last ? {} : { link: `<${elsewhere}/x?page=2>; rel="next"` });
    };
    requests.length = 0;
    await app.listRunners(organization);
    expect(requests).toEqual([
      "GET /api/v3/orgs/acme/actions/runners?per_page=100",
      "GET /api/v3/orgs/acme/actions/runners?per_page=100&page=2",
    ]);
    expect(stolen).toEqual([]);
  } finally {
    thief.closeAllConnections();
    thief.close();
  }
});

test("a renamed repository is followed on the same server, in a loop not for ever", async () => {
  const app = makeApp();
  const repository = { owner: "acme", name: "old", private: true, installationId: 7 };
  const job = { id: 1, run_id: 2, status: "queued", labels: ["a"], created_at: "2026-01-01T00:00:00Z" };
  handle = (request, response) => {
    if (request.url?.includes("/repos/") === true) {
      answer(response, 301, {}, { location: "/api/v3/repositories/9/actions/jobs/1" });
    } else answer(response, 200, job);
  };
  expect(await app.getJob(repository, 1)).toMatchObject({ id: 1, action: "queued" });
  handle = (request, response) => answer(response, 301, {}, { location: request.url ?? "/" });
  expect(await failure(app.getJob(repository, 1))).toMatchObject({ code: "GITHUB_BROKEN_ANSWER" });
  expect(requests.length).toBeLessThan(12);
});

test("pages end: at the last one, and at the limit", async () => {
  handle = (request, response) => {
    const page = Number(new URL(request.url ?? "/", address()).searchParams.get("page") ?? "1");
    const next = `<${address()}/api/v3/orgs/acme/actions/runners?page=${page + 1}>; rel="next"`;
    answer(
      response,
      200,
      { runners: [{ id: page, name: `m-${page}`, status: "online", busy: true }] },
      { link: next },
    );
  };
  const runners = await makeApp().listRunners(organization);
  expect(runners).toHaveLength(200);
  expect(log.text()).toContain("GitHub has more entries than are read.");
});

test("an unchanged page is not sent again, and a changed one is seen", async () => {
  let etag = '"one"';
  let full = 0;
  handle = (request, response) => {
    if (request.headers["if-none-match"] === etag) response.writeHead(304, { etag }).end();
    else {
      full += 1;
      const runners = [{ id: full, name: "m-1", status: "online", busy: true }];
      answer(response, 200, { total_count: 1, runners }, { etag });
    }
  };
  const app = makeApp();
  for (let count = 0; count < 3; count++)
    expect(await app.listRunners(organization)).toMatchObject([{ id: 1 }]);
  etag = '"two"';
  expect(await app.listRunners(organization)).toMatchObject([{ id: 2 }]);
  expect(full).toBe(2);
});

test.each<[string, Handler, string]>([
  [
    "an answer that never ends",
    (_request, response) => void response.writeHead(200).write("{"),
    "GITHUB_TIMEOUT",
  ],
  ["no answer", () => undefined, "GITHUB_TIMEOUT"],
  ["a closed connection", (request) => void request.socket.destroy(), "GITHUB_UNREACHABLE"],
  [
    "an answer that is too big",
    (_request, response) => answer(response, 200, { runners: "x".repeat(200_000) }),
    "GITHUB_BROKEN_ANSWER",
  ],
  [
    "a page of a proxy",
    (_request, response) => void response.writeHead(200).end("<html>"),
    "GITHUB_BROKEN_ANSWER",
  ],
  [
    "broken JSON",
    (_request, response) =>
      void response.writeHead(200, { "content-type": "application/json" }).end('{"runners": ['),
    "GITHUB_BROKEN_ANSWER",
  ],
  [
    "a runner without id",
    (_request, response) => answer(response, 200, { runners: [{}] }),
    "GITHUB_BROKEN_ANSWER",
  ],
  ["a bad gateway", (_request, response) => answer(response, 502, "oops"), "GITHUB_UNAVAILABLE"],
])("%s is an error that says to try again, without our credentials", async (_name, handler, code) => {
  handle = handler;
  const app = makeApp({ requestTimeoutSeconds: 0.3, responseLimitBytes: 100_000 });
  const error = await failure(app.listRunners(organization));
  expect(error).toMatchObject({ kind: "retry", code });
  const { cause, stack, ...rest } = error;
  expect(`${stack} ${JSON.stringify(rest)} ${JSON.stringify(cause)} ${log.text()}`).not.toContain("hunter2");
});

test("a server that is not there is named by the system's code", async () => {
  const port = (server.address() as AddressInfo).port;
  const app = makeApp();
  await new Promise((resolve) => server.close(resolve));
  const error = await failure(app.listRunners(organization));
  expect(error).toMatchObject({ kind: "retry", code: "GITHUB_UNREACHABLE" });
  expect(error.message).toContain("ECONNREFUSED");
  expect(error.message).not.toContain(String(port));
  server = createServer().listen(0, "127.0.0.1");
});

test.each([
  [403, "This installation has been suspended", "operator", "GITHUB_INSTALLATION_SUSPENDED"],
  [403, "Resource not accessible by integration", "operator", "GITHUB_PERMISSION_MISSING"],
  [403, "GitHub Actions is disabled on this repository.", "operator", "GITHUB_ACTIONS_DISABLED"],
  [
    403,
    "Repository level self-hosted runners are disabled on this repository.",
    "operator",
    "GITHUB_RUNNERS_DISABLED",
  ],
  [
    403,
    "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled, and your IP address is not permitted to access this resource.",
    "operator",
    "GITHUB_ADDRESS_NOT_PERMITTED",
  ],
  [403, "Must have admin rights to Repository.", "operator", "GITHUB_FORBIDDEN"],
  [404, "Not Found", "operator", "GITHUB_NOT_FOUND"],
  [422, "Validation Failed", "give-up", "GITHUB_REFUSED"],
  [500, "", "retry", "GITHUB_UNAVAILABLE"],
  [429, "Too many requests", "wait", "GITHUB_RATE_LIMITED"],
])("%s %s is %s %s", async (status, message, kind, code) => {
  handle = (_request, response) => answer(response, status, { message });
  const error = await failure(makeApp().listRunners(organization));
  expect(error).toMatchObject({ kind, code });
  expect(error.message).toContain("list the runners of acme");
});

test("a wrong clock is told with how much it is wrong", async () => {
  server.removeAllListeners("request").on("request", (_request, response) => {
    const message = "'Expiration time' claim ('exp') is too far in the future";
    answer(response, 401, { message }, { date: new Date(clock.now() - 300_000).toUTCString() });
  });
  const error = await failure(makeApp().listRunners(organization));
  expect(error).toMatchObject({ kind: "operator", code: "GITHUB_CLOCK_SKEW" });
  expect(error.message).toContain("300 seconds ahead of GitHub's");
});

test("404 for a runner is believed only when the scope can be seen", async () => {
  const app = makeApp();
  expect(await failure(app.deleteRunner(organization, 3))).toMatchObject({ code: "GITHUB_NOT_FOUND" });
  const visible: Handler = (request, response, body) => {
    if (request.method === "DELETE") answer(response, 404, { message: "Not Found" });
    else noRunners(request, response, body);
  };
  handle = visible;
  requests.length = 0;
  expect(await app.deleteRunner(organization, 3)).toBe("absent");
  expect(await app.deleteRunner(organization, 4)).toBe("absent");
  expect(requests.map((line) => line.split("?")[0])).toEqual([
    "DELETE /api/v3/orgs/acme/actions/runners/3",
    "GET /api/v3/orgs/acme/actions/runners",
    "DELETE /api/v3/orgs/acme/actions/runners/4",
  ]);
});

test("a name that would lead elsewhere in the API is not asked for", async () => {
  for (const owner of ["..", ".", "a/b", "a?b", "", "%2e%2e"]) {
    expect(await failure(makeApp().listRunners({ ...organization, owner }))).toMatchObject({
      code: "GITHUB_NAME_INVALID",
    });
  }
  expect(requests).toEqual([]);
});

test("runner groups are asked for once; the default one never", async () => {
  handle = (request, response) => {
    if (request.url?.includes("runner-groups") === true) {
      answer(response, 200, { runner_groups: [{ id: 9, name: "Big" }] });
    } else answer(response, 201, { runner: { id: 1 }, encoded_jit_config: "e30=" });
  };
  const app = makeApp();
  for (const runnerGroup of ["default", "Default", "big", "BIG"]) {
    const result = await app.mintRunner({ scope: organization, name: "m-1", labels: ["a"], runnerGroup });
    expect(result.kind).toBe("minted");
  }
  expect(requests.filter((line) => line.includes("runner-groups"))).toHaveLength(1);
});
