import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type ClientRequest, request } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDerivedTokenIdentity } from "../../src/adapters/identity/derived-token.ts";
import { Secret } from "../../src/core/secret.ts";
import type { MachineStatus, WhyDocument } from "../../src/core/status.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { killMachines } from "../support/machine-leftovers.ts";
import { dataDirectoryOf, type ServerProcess, startServer, until } from "../support/server-process.ts";

/*
 * What bad input gets, from a real server over HTTP. Machines are told an address where nobody answers, so each
 * stays where it is launched, and the tests claim in its name.
 */

type Json = Record<string, unknown>;
type Headers = Readonly<Record<string, string | undefined>>;

let world: DemoWorld;
let server: ServerProcess;
let secret: string;

const variables = {
  MAYFLY_SERVER_PUBLIC_URL: "http://127.0.0.1:9",
  MAYFLY_LIMITS_MACHINES: "8",
  MAYFLY_SCHEDULE_REBALANCE_SECONDS: "3600",
};

beforeAll(async () => {
  world = await createDemoWorld({ faults: "none" });
  secret = (await readFile(join(world.folder, "webhook-secret"), "utf8")).trim();
  server = await startServer(world.configPath, variables);
});
afterAll(async () => {
  await server?.kill();
  await killMachines(world.folder);
  await world.close();
});

let nextJobId = 900_000;

/** A delivery about a job that only this test knows, of a repository that the App is installed on. */
function payload(action: string, job: Json = {}, rest: Json = {}): Json {
  const [installation] = world.emulator.model.state.installations.values();
  return {
    action,
    workflow_job: {
      id: nextJobId,
      run_id: 800_000,
      run_attempt: 1,
      name: "build",
      workflow_name: "CI",
      status: action,
      labels: ["self-hosted", "linux", "x64"],
      html_url: "https://github.com/octo-org/docs/actions/runs/1/job/1",
      created_at: new Date(Date.now() - 2_000).toISOString(),
      runner_name: null,
      ...job,
    },
    repository: { name: "docs", owner: { login: "octo-org" }, private: true },
    installation: { id: installation?.id },
    ...rest,
  };
}

function signature(body: string | Uint8Array, algorithm = "sha256"): string {
  return `${algorithm}=${createHmac(algorithm, secret).update(body).digest("hex")}`;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A POST to the webhook with the right headers, unless others are given; `undefined` leaves one out. */
async function deliver(body: string | Uint8Array, headers: Headers = {}): Promise<Answer> {
  const right = {
    "content-type": "application/json",
    "x-github-event": "workflow_job",
    "x-hub-signature-256": signature(body),
  };
  return ask("POST", "/webhook", body, { ...right, ...headers });
}

/** With node:http, because fetch sets the headers `Host` and `Content-Type` by itself. */
async function ask(
  method: string,
  path: string,
  body: string | Uint8Array = "",
  headers: Headers = {},
  base = server.url,
): Promise<Answer> {
  const given = Object.entries(headers).filter(([, value]) => value !== undefined) as [string, string][];
  const outgoing = request(`${base}${path}`, { method, agent: false, headers: Object.fromEntries(given) });
  // A server that refuses a body early closes its side while the rest is still being sent.
  const failed = once(outgoing, "error").then(([error]) => error as Error);
  const answered = once(outgoing, "response").then(([response]) => response);
  outgoing.end(body);
  const response = await Promise.race([answered, failed]);
  if (response instanceof Error) throw response;
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, text };
}

async function tell(action: string, job: Json = {}, rest: Json = {}): Promise<Answer> {
  return deliver(JSON.stringify(payload(action, job, rest)));
}

async function why(id: number): Promise<WhyDocument> {
  return (await server.get(`/api/jobs/${id}`)) as WhyDocument;
}

async function outcomeOf(id: number, outcome: string): Promise<WhyDocument> {
  let seen: WhyDocument | undefined;
  await until(
    async () => {
      // A `completed` that comes first is recorded by the queue: until then the job is not known.
      if ((await ask("GET", `/api/jobs/${id}`)).status === 404) return false;
      seen = await why(id);
      return seen.job.outcome === outcome;
    },
    20,
    () => `the job is ${JSON.stringify(seen?.job)}`,
  );
  return seen as WhyDocument;
}

/** Every row of every table, as text; the server must not run. */
function databaseText(): string {
  const database = new DatabaseSync(join(dataDirectoryOf(world.configPath), "mayfly.db"), { readOnly: true });
  try {
    const tables = database
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
      .all();
    return tables
      .map(({ name }) => `${name}\n${JSON.stringify(database.prepare(`SELECT * FROM "${name}"`).all())}\n`)
      .join("");
  } finally {
    database.close();
  }
}

const sentence = /^[A-Z][^\n]*\.\n$/;

describe("deliveries that are refused", () => {
  test("each has its own status and one sentence, and none leaves anything in the database", async () => {
    const body = JSON.stringify(payload("queued", { id: ++nextJobId }));
    const wrong = createHmac("sha256", "a guess").update(body).digest("hex");
    await server.stop();
    const before = databaseText();
    server = await startServer(world.configPath, variables);

    const right = signature(body);
    const refused: readonly [string, number, Promise<Answer>][] = [
      ["forged", 401, deliver(body, { "x-hub-signature-256": `sha256=${wrong}` })],
      ["of another body", 401, deliver(body, { "x-hub-signature-256": signature(`${body} `) })],
      ["missing", 401, deliver(body, { "x-hub-signature-256": undefined })],
      ["empty", 401, deliver(body, { "x-hub-signature-256": "" })],
      ["truncated", 401, deliver(body, { "x-hub-signature-256": right.slice(0, 40) })],
      [
        "only SHA-1",
        401,
        deliver(body, { "x-hub-signature-256": undefined, "x-hub-signature": signature(body, "sha1") }),
      ],
      [
        "SHA-1 in the place of SHA-256",
        401,
        deliver(body, { "x-hub-signature-256": signature(body, "sha1") }),
      ],
      ["a form", 415, deliver(body, { "content-type": "application/x-www-form-urlencoded" })],
      ["without a content type", 415, deliver(body, { "content-type": undefined })],
      ["not JSON", 400, deliver("{ not json")],
      ["an empty body", 400, deliver("")],
      ["a list", 400, deliver("[1]")],
      ["not UTF-8", 400, deliver(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))],
      ["without an event", 400, deliver(body, { "x-github-event": undefined })],
      ["without a job", 422, deliver('{"action":"queued"}')],
      ["another event", 202, deliver(body, { "x-github-event": "push" })],
      ["another action", 202, deliver(JSON.stringify(payload("deleted")))],
      ["a ping", 200, deliver('{"zen":"Design for failure."}', { "x-github-event": "ping" })],
    ];
    for (const [what, status, answer] of refused) {
      const { status: seen, text } = await answer;
      expect(`${what}: ${seen}`).toBe(`${what}: ${status}`);
      expect(text).toMatch(sentence);
      // What would have been right is said to nobody.
      expect(text).not.toContain(right.slice(7));
    }
    expect((await ask("GET", `/api/jobs/${nextJobId}`)).status).toBe(404);

    await server.stop();
    expect(databaseText()).toBe(before);
    server = await startServer(world.configPath, variables);
  });

  test("the control: the same delivery, signed, is recorded", async () => {
    const id = ++nextJobId;
    expect(await tell("queued", { id })).toEqual({ status: 202, text: "Accepted.\n" });
    expect((await why(id)).job.state).toBe("queued");
    await tell("completed", { id, status: "completed", conclusion: "cancelled" });
    await outcomeOf(id, "cancelled");
  });

  test("26 MB: 413, whether or not its length is announced", async () => {
    const body = Buffer.alloc(26_000_000, 0x20);
    const announced = await ask("POST", "/webhook", "", { "content-length": String(body.length) });
    expect(announced.status).toBe(413);
    const chunked = await sendInChunks(body);
    expect(chunked.status).toBe(413);
    for (const { text } of [announced, chunked]) expect(JSON.parse(text)).toHaveProperty("next");
  });

  test("another method 405, an unknown path 404, a path that is not encoded properly 400", async () => {
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      expect((await ask(method, "/webhook")).status).toBe(405);
    }
    expect((await ask("POST", "/api/status")).status).toBe(405);
    for (const path of ["/nothing", "/webhook/", "/api", "/v1/machines", "/../etc/passwd", "/.env"]) {
      expect((await ask("GET", path)).status).toBe(404);
    }
    expect((await ask("GET", "/api/jobs/%zz")).status).toBe(400);
  });
});

/** Without a length, so that the server has to count. Gives the answer even when it comes before the end. */
async function sendInChunks(body: Uint8Array): Promise<Answer> {
  const headers = { "content-type": "application/json", "transfer-encoding": "chunked" };
  const outgoing = request(`${server.url}/webhook`, { method: "POST", agent: false, headers });
  const answered = once(outgoing, "response").then(([response]) => response);
  // The server closes its side when it has seen enough.
  outgoing.on("error", () => undefined);
  outgoing.setMaxListeners(0);
  for (let at = 0; at < body.length && !outgoing.destroyed; at += 1_000_000) {
    const free = outgoing.write(body.subarray(at, at + 1_000_000));
    if (!free && !(await hasRoom(outgoing))) break;
  }
  outgoing.end();
  const response = await answered;
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, text };
}

/** False when the other side takes no more. */
function hasRoom(outgoing: ClientRequest): Promise<boolean> {
  return new Promise((resolve) => {
    outgoing.once("drain", () => resolve(true));
    outgoing.once("response", () => resolve(false));
    outgoing.once("close", () => resolve(false));
    outgoing.once("error", () => resolve(false));
  });
}

test("the eight published examples of workflow_job are accepted", async () => {
  const path = createRequire(import.meta.url).resolve("@octokit/webhooks-examples/api.github.com/index.json");
  const events = JSON.parse(readFileSync(path, "utf8")) as { name: string; examples: Json[] }[];
  const examples = events.find(({ name }) => name === "workflow_job")?.examples ?? [];
  expect(examples).toHaveLength(8);
  for (const example of examples) {
    const { status, text } = await deliver(JSON.stringify(example));
    expect(status).toBe(202);
    expect(text).toMatch(sentence);
  }
});

describe("events that are not as they should be", () => {
  const first = { runner_id: 41, runner_name: "somebody-elses-runner" };

  test("completed first: done for good, whatever comes afterwards", async () => {
    const id = ++nextJobId;
    await tell("completed", { id, status: "completed", conclusion: "success", ...first });
    await outcomeOf(id, "success");
    await tell("in_progress", { id, ...first });
    await tell("queued", { id });
    await settled();
    const { job, summary } = await why(id);
    expect({ state: job.state, summary }).toEqual({
      state: "done",
      summary: "The job ran and ended: success.",
    });
  });

  test("in_progress before queued: it runs, and no machine is asked for", async () => {
    const id = ++nextJobId;
    await tell("in_progress", { id, ...first });
    await tell("queued", { id });
    await settled();
    const { job, machines, summary } = await why(id);
    expect({ state: job.state, machines }).toEqual({ state: "running", machines: [] });
    expect(summary).toBe("The job runs on somebody-elses-runner.");
    await tell("completed", { id, status: "completed", conclusion: "success", ...first });
    await outcomeOf(id, "success");
  });

  test("every event three times: one job, one machine", async () => {
    const id = ++nextJobId;
    const labels = ownFleet(id);
    for (const _ of [1, 2, 3]) expect((await tell("queued", { id, labels })).status).toBe(202);
    const machine = await machineFor(id);
    await settled();
    expect((await machines()).filter(({ fleet }) => fleet === machine.fleet)).toHaveLength(1);
    for (const _ of [1, 2, 3])
      await tell("completed", { id, labels, status: "completed", conclusion: "skipped" });
    await outcomeOf(id, "skipped");
  });

  test("queued with the status waiting: held back, and no machine is asked for", async () => {
    const id = ++nextJobId;
    await tell("queued", { id, labels: ownFleet(id), status: "waiting" });
    await settled();
    const { job, next } = await why(id);
    expect({ state: job.state, waitsFor: job.waitsFor, next }).toEqual({
      state: "waiting",
      waitsFor: "GitHub holds it back: an approval or an environment rule is pending.",
      next: { what: "It is queued as soon as GitHub lets it go.", at: null },
    });
    expect((await machines()).filter(({ fleet }) => fleet === job.fleet)).toEqual([]);
    await tell("completed", { id, status: "completed", conclusion: "cancelled" });
    await outcomeOf(id, "cancelled");
  });

  test("queued with a stale runner: the runner is not believed", async () => {
    const id = ++nextJobId;
    await tell("queued", { id, runner_id: 7, runner_name: "left-from-an-earlier-attempt" });
    const { job, summary } = await why(id);
    expect(job.state).toBe("queued");
    expect(summary).not.toContain("left-from-an-earlier-attempt");
    await tell("completed", { id, status: "completed", conclusion: "cancelled" });
    await outcomeOf(id, "cancelled");
  });

  const long = "x".repeat(256);
  const hundred = Array.from({ length: 100 }, (_, index) => (index === 0 ? "self-hosted" : `label-${index}`));
  test.each<[string, Json, Json, string, RegExp]>([
    ["no installation", {}, { installation: undefined }, "no-installation", /names no installation/],
    ["an installation of 0", {}, { installation: { id: 0 } }, "no-installation", /names no installation/],
    ["100 labels", { labels: hundred }, {}, "no-preset", /label-1, label-2,.*…/],
    ["a label of 256 characters", { labels: ["self-hosted", long] }, {}, "no-preset", new RegExp(long)],
    [
      "labels that are not ASCII",
      { labels: ["self-hosted", "größe-日本-🦟"] },
      {},
      "no-preset",
      /größe-日本-🦟/,
    ],
    ["Windows", { labels: ["self-hosted", "windows"] }, {}, "wrong-system", /No preset offers windows/],
    ["macOS on ARM", { labels: ["self-hosted", "macOS", "ARM64"] }, {}, "wrong-system", /macos arm64/],
    ["ARM", { labels: ["self-hosted", "linux", "arm64"] }, {}, "wrong-system", /arm64/],
    ["an unknown preset", { labels: ["mayfly/linux-x46"] }, {}, "no-preset", /Did you mean linux-x64/],
    ["an unknown option", { labels: ["mayfly/linux-x64/cpus=4"] }, {}, "unknown-option", /Did you mean cpu/],
    [
      "a public repository",
      {},
      { repository: { name: "open", owner: { login: "octo-org" }, private: false } },
      "public-repository",
      /anyone could run code here/,
    ],
  ])("%s: refused, with a reason that why shows", async (_what, job, rest, because, detail) => {
    const id = ++nextJobId;
    const { status, text } = await tell("queued", { id, ...job }, rest);
    expect({ status, text: text.slice(0, 8) }).toEqual({ status: 202, text: "Refused:" });
    const document = await why(id);
    expect(document.job).toMatchObject({ state: "done", outcome: "refused", because });
    expect(document.summary).toMatch(detail);
    expect(document.next).toBeNull();
  });

  test.each<[string, Json, number]>([
    ["no labels at all", { labels: [] }, 202],
    ["labels of GitHub's own runners", { labels: ["ubuntu-latest"] }, 202],
    ["101 labels", { labels: [...hundred, "one-more"] }, 422],
    ["a label of 257 characters", { labels: [`${long}x`] }, 422],
    ["labels that are no list", { labels: "self-hosted" }, 422],
    ["an id that is no number", { id: "1" }, 422],
    ["an id that is too large", { id: 2 ** 60 }, 422],
  ])("%s: a sentence says what is wrong", async (_what, job, status) => {
    const answer = await tell("queued", { id: ++nextJobId, ...job });
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(sentence);
  });
});

describe("claims", () => {
  let identity: ReturnType<typeof createDerivedTokenIdentity>;
  let job: number;
  let id: string;

  beforeAll(async () => {
    const key = await readFile(join(dataDirectoryOf(world.configPath), "machine-token.key"), "utf8");
    identity = createDerivedTokenIdentity(new Secret(key.trim()));
    job = ++nextJobId;
    await tell("queued", { id: job, labels: ownFleet(job) });
    ({ id } = await machineFor(job));
  });

  function claim(machine: string, authorization: string | undefined): Promise<Answer> {
    return ask("POST", `/v1/machines/${machine}/claim`, "", { authorization });
  }
  const bearer = (machine: string) => `Bearer ${identity.issue(machine)?.reveal()}`;
  const minted = () => world.emulator.model.state.identifiers.runner;

  test("without, with a malformed, a wrong and a foreign proof: 401, and nothing is minted", async () => {
    const before = minted();
    const right = bearer(id);
    const refused = [
      claim(id, undefined),
      claim(id, ""),
      claim(id, right.replace("Bearer", "Basic")),
      claim(id, right.slice("Bearer ".length)),
      claim(id, right.slice(0, -1)),
      claim(id, `${right}A`),
      claim(id, `Bearer ${"A".repeat(43)}`),
      // The proof of another machine, and this one's for another.
      claim(id, bearer("mayfly-other")),
      claim("mayfly-other", right),
    ];
    for (const { status, text } of await Promise.all(refused)) {
      expect(status).toBe(401);
      expect(JSON.parse(text)).toEqual({ error: expect.any(String), next: expect.any(String) });
      expect(text).not.toContain(right.slice("Bearer ".length));
    }
    // A proof that is right for a machine that was never launched.
    expect((await claim("mayfly-other", bearer("mayfly-other"))).status).toBe(404);
    expect(minted()).toBe(before);
    const report = ask("POST", `/v1/machines/${id}/report`, "step=exited&exit-code=0&ran-job=true");
    expect((await report).status).toBe(401);
  });

  test("the control: with its own proof the machine is registered once; used, and expired, the proof is worth nothing", async () => {
    const before = minted();
    const answer = await claim(id, bearer(id));
    expect(answer.text).toMatch(/^action=run\njit-config=\S+\n/);
    expect(minted()).toBe(before + 1);

    // Used: the machine says that its runner listens.
    const headers = { authorization: bearer(id), "content-type": "application/x-www-form-urlencoded" };
    expect((await ask("POST", `/v1/machines/${id}/report`, "step=listening", headers)).status).toBe(204);
    await until(
      async () => (await claim(id, bearer(id))).status === 409,
      10,
      () => "claims are answered",
    );
    const used = minted();
    expect((await claim(id, bearer(id))).status).toBe(409);
    expect(minted()).toBe(used);

    // Expired: the machine has ended.
    await tell("completed", { id: job, status: "completed", conclusion: "cancelled" });
    const terminated = await terminate(id, { "x-mayfly-request": "1" }, '{"force":true}');
    expect(terminated.status).toBe(200);
    await until(
      async () => (await machineOf(id)).state === "ended",
      20,
      () => "the machine does not end",
    );
    expect((await claim(id, bearer(id))).status).toBe(409);
    expect(minted()).toBe(used);
  });

  test("ending a machine without the header is refused, and the machine lives on", async () => {
    const other = ++nextJobId;
    await tell("queued", { id: other, labels: ownFleet(other) });
    const { id: target } = await machineFor(other);
    for (const [headers, body, status] of [
      [{}, '{"force":true}', 403],
      [{ "x-mayfly-request": "0" }, '{"force":true}', 403],
      [{ "x-mayfly-request": "1" }, "", 400],
      [{ "x-mayfly-request": "1" }, '{"force":"yes"}', 400],
      [{ "x-mayfly-request": "1", host: "evil.example" }, '{"force":true}', 403],
    ] as const) {
      expect((await terminate(target, headers, body)).status).toBe(status);
    }
    expect((await machineOf(target)).state).toBe("launched");
    await tell("completed", { id: other, status: "completed", conclusion: "cancelled" });
  });
});

describe("reading", () => {
  const paths = ["/api/status", "/api/jobs", "/api/machines", "/api/events", "/metrics", "/api/jobs/1"];

  test("a page elsewhere that points its name here is refused, and so is what came through a proxy", async () => {
    for (const path of paths) {
      for (const headers of [
        { host: "evil.example" },
        { host: "evil.example:80" },
        { "x-forwarded-for": "1.2.3.4" },
      ]) {
        expect((await ask("GET", path, "", headers)).status).toBe(403);
      }
    }
  });

  test("with a status token: 401 without it and with a wrong one, and the token opens", async () => {
    const other = await createDemoWorld({ faults: "none" });
    const token = "the-status-token-of-this-test";
    const guarded = await startServer(other.configPath, {
      MAYFLY_SECRETS_STATUS_TOKEN_ENVIRONMENT: "STATUS_TOKEN",
      STATUS_TOKEN: token,
    });
    try {
      const read = (path: string, headers: Headers) => ask("GET", path, "", headers, guarded.url);
      for (const path of paths) {
        expect((await read(path, {})).status).toBe(401);
        for (const authorization of ["", token, `Basic ${token}`, "Bearer guess", `Bearer ${token}x`]) {
          expect((await read(path, { authorization })).status).toBe(401);
        }
      }
      const terminated = ask(
        "POST",
        "/api/machines/mayfly-1/terminate",
        '{"force":true}',
        { "x-mayfly-request": "1" },
        guarded.url,
      );
      expect((await terminated).status).toBe(401);
      expect((await read("/api/status", { authorization: `Bearer ${token}` })).status).toBe(200);
      // Where a token guards, the name by which the server is reached says nothing.
      const elsewhere = { authorization: `Bearer ${token}`, host: "mayfly.example" };
      expect((await read("/api/status", elsewhere)).status).toBe(200);
    } finally {
      await guarded.kill();
      await other.close();
    }
  });
});

function terminate(id: string, headers: Headers, body: string): Promise<Answer> {
  return ask("POST", `/api/machines/${id}/terminate`, body, {
    "content-type": "application/json",
    ...headers,
  });
}

async function machines(): Promise<readonly MachineStatus[]> {
  const { machines: list } = (await server.get("/api/machines")) as { machines: readonly MachineStatus[] };
  return list;
}

/** Labels with an option that no other test asks for: such a job has a fleet, and so machines, of its own. */
function ownFleet(id: number): readonly string[] {
  return [`mayfly/linux-x64/disk=${id % 1000}`];
}

/** The machine that was launched for the job with these labels of its own. */
async function machineFor(id: number): Promise<MachineStatus> {
  const { fleet } = (await why(id)).job;
  let found: MachineStatus | undefined;
  await until(
    async () => {
      found = (await machines()).find((machine) => machine.fleet === fleet && machine.state === "launched");
      return found !== undefined;
    },
    20,
    () => "no machine is launched",
  );
  return found as MachineStatus;
}

async function machineOf(id: string): Promise<MachineStatus> {
  return (await server.get(`/api/machines/${id}`)) as MachineStatus;
}

/**
 * Everything that was sent has been dealt with: a job that is sent now is completed after it, as the events of
 * the queue are taken in their order.
 */
async function settled(): Promise<void> {
  const id = ++nextJobId;
  await tell("queued", { id, status: "waiting" });
  await tell("completed", { id, status: "completed", conclusion: "neutral" });
  await outcomeOf(id, "neutral");
}
