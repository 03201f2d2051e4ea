import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { start } from "../../test/builders.ts";
import { Secret } from "./secret.ts";
import { type DeliveryVerdict, judgeDelivery, signatureOf } from "./webhook.ts";

const secret = new Secret("the-webhook-secret");

interface Sent {
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly secrets?: readonly Secret[];
}

/** A delivery with the right signature and headers, unless they are given. */
function judge({ body, headers = {}, secrets = [secret] }: Sent): DeliveryVerdict {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const right = {
    "content-type": "application/json",
    "x-github-event": "workflow_job",
    "x-hub-signature-256": signatureOf(bytes, secret),
  };
  return judgeDelivery({ headers: { ...right, ...headers }, body: bytes }, secrets, start);
}

function hmac(algorithm: string, body: string, key = secret.reveal()): string {
  return createHmac(algorithm, key).update(body).digest("hex");
}

type Loose = Record<string, unknown>;

function payload(jobFields: Loose = {}, fields: Loose = {}): Loose {
  return {
    action: "queued",
    workflow_job: {
      id: 11,
      run_id: 12,
      run_attempt: 2,
      name: "build",
      workflow_name: "CI",
      status: "queued",
      labels: ["self-hosted", "linux"],
      html_url: "https://github.com/acme/app/actions/runs/12/job/11",
      created_at: "2026-01-01T00:00:00Z",
      started_at: "2026-01-01T00:00:01Z",
      runner_name: null,
      ...jobFields,
    },
    repository: { name: "app", owner: { login: "acme" }, private: true },
    installation: { id: 7 },
    ...fields,
  };
}

function judgePayload(jobFields: Loose = {}, fields: Loose = {}): DeliveryVerdict {
  return judge({ body: JSON.stringify(payload(jobFields, fields)) });
}

function eventOf(verdict: DeliveryVerdict) {
  if (verdict.kind !== "accepted") throw new Error(verdict.because);
  return verdict.event;
}

describe("the signature", () => {
  const body = JSON.stringify(payload());
  const right = `sha256=${hmac("sha256", body)}`;

  it.each<[string, Readonly<Record<string, string | undefined>>, RegExp]>([
    ["forged", { "x-hub-signature-256": `sha256=${hmac("sha256", body, "guess")}` }, /does not match/],
    ["of other bytes", { "x-hub-signature-256": `sha256=${hmac("sha256", `${body} `)}` }, /does not match/],
    ["missing", { "x-hub-signature-256": undefined }, /is missing/],
    ["empty", { "x-hub-signature-256": "" }, /is missing/],
    ["truncated", { "x-hub-signature-256": right.slice(0, -1) }, /64 hex digits/],
    ["too long", { "x-hub-signature-256": `${right}0` }, /64 hex digits/],
    ["in capitals", { "x-hub-signature-256": right.toUpperCase() }, /64 hex digits/],
    ["without its prefix", { "x-hub-signature-256": right.slice(7) }, /64 hex digits/],
    ["followed by a new line", { "x-hub-signature-256": `${right}\n` }, /64 hex digits/],
    ["sent twice", { "x-hub-signature-256": `${right}, ${right}` }, /64 hex digits/],
    [
      "SHA-1 only",
      { "x-hub-signature-256": undefined, "x-hub-signature": `sha1=${hmac("sha1", body)}` },
      /SHA-1/,
    ],
  ])("%s is refused with 401", (_what, headers, because) => {
    expect(judge({ body, headers })).toEqual({
      kind: "refused",
      status: 401,
      because: expect.stringMatching(because),
    });
  });

  it("of either secret is right while one is being rotated, and of neither when there is none", () => {
    const other = new Secret("the-next-secret");
    expect(judge({ body, secrets: [other, secret] }).kind).toBe("accepted");
    expect(judge({ body, secrets: [secret, other] }).kind).toBe("accepted");
    expect(judge({ body, secrets: [other] })).toMatchObject({ status: 401 });
    expect(judge({ body, secrets: [] })).toMatchObject({ status: 401 });
  });

  it("is looked at before anything else", () => {
    const headers = { "x-hub-signature-256": undefined, "content-type": "text/plain", "x-github-event": "" };
    expect(judge({ body: "{", headers })).toMatchObject({ status: 401 });
  });
});

describe("a delivery that is not ours", () => {
  const json = (type: string | undefined): Sent => ({ body: "{}", headers: { "content-type": type } });
  const named = (event: string | undefined): Sent => ({ body: "{}", headers: { "x-github-event": event } });

  it.each<[string, Sent, number, RegExp]>([
    ["a form", json("application/x-www-form-urlencoded"), 415, /must be application\/json/],
    ["no content type", json(undefined), 415, /must be application\/json/],
    ["no event", named(undefined), 400, /X-GitHub-Event is missing/],
    ["an empty event", named(""), 400, /X-GitHub-Event is missing/],
    ["no JSON", { body: "{" }, 400, /not a JSON object/],
    ["nothing", { body: "" }, 400, /not a JSON object/],
    ["no UTF-8", { body: Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d) }, 400, /not a JSON object/],
    ["a list", { body: "[]" }, 400, /not a JSON object/],
    ["a text", { body: '"workflow_job"' }, 400, /not a JSON object/],
    ["null", { body: "null" }, 400, /not a JSON object/],
    ["JSON that is very deep", { body: `${"[".repeat(200_000)}` }, 400, /not a JSON object/],
    ["a ping", named("ping"), 200, /is set up/],
    ["another event", named("push"), 202, /Only workflow_job/],
    ["no action", { body: "{}" }, 422, /field action is missing/],
    ["another action", { body: '{"action":"deleted"}' }, 202, /action .* is not used/],
  ])("%s", (_what, sent, status, because) => {
    const kind = status < 300 ? "ignored" : "refused";
    expect(judge(sent)).toEqual({ kind, status, because: expect.stringMatching(because) });
  });

  it("a content type may name its character set", () => {
    for (const type of ["Application/JSON; charset=utf-8", "application/json ;charset=utf-8"]) {
      const headers = { "content-type": type };
      expect(judge({ body: JSON.stringify(payload()), headers }).kind).toBe("accepted");
    }
  });
});

describe("a field that is missing or wrong is named", () => {
  it.each<[string, Loose, Loose]>([
    ["workflow_job", {}, { workflow_job: undefined }],
    ["workflow_job", {}, { workflow_job: [] }],
    ["repository", {}, { repository: undefined }],
    ["repository.owner.login", {}, { repository: { name: "app", private: true } }],
    ["repository.owner.login", {}, { repository: { name: "app", private: true, owner: { login: "a/b" } } }],
    ["repository.name", {}, { repository: { owner: { login: "acme" }, private: true } }],
    [
      "repository.name",
      {},
      { repository: { owner: { login: "acme" }, private: true, name: "a".repeat(101) } },
    ],
    ["repository.private", {}, { repository: { name: "app", owner: { login: "acme" } } }],
    ["workflow_job.id", { id: undefined }, {}],
    ["workflow_job.id", { id: "11" }, {}],
    ["workflow_job.id", { id: 0 }, {}],
    ["workflow_job.id", { id: 2 ** 53 }, {}],
    ["workflow_job.run_id", { run_id: 1.5 }, {}],
    ["workflow_job.labels", { labels: undefined }, {}],
    ["workflow_job.labels", { labels: "linux" }, {}],
    ["workflow_job.created_at", { created_at: undefined, started_at: undefined }, {}],
    ["workflow_job.created_at", { created_at: null }, {}],
    ["workflow_job.created_at", { created_at: "yesterday" }, {}],
    ["workflow_job.created_at", { created_at: 2026 }, {}],
  ])("%s %j %j", (field, jobFields, fields) => {
    const verdict = judgePayload(jobFields, fields);
    expect(verdict).toMatchObject({ kind: "refused", status: 422 });
    expect(verdict.kind === "refused" && verdict.because).toContain(`field ${field} `);
  });

  it("a missing installation is accepted here and refused with a reason later", () => {
    expect(eventOf(judgePayload({}, { installation: undefined })).installationId).toBe(0);
  });

  it("texts that are missing get a default, and long ones are cut", () => {
    const event = eventOf(
      judgePayload({ name: null, workflow_name: null, html_url: null, run_attempt: null }),
    );
    expect(event).toMatchObject({ name: "job 11", workflowName: "", url: "", runAttempt: 1 });
    expect(eventOf(judgePayload({ name: "" })).name).toBe("job 11");
    expect(eventOf(judgePayload({ name: "n".repeat(5_000) })).name).toHaveLength(1_024);
  });
});

describe("labels", () => {
  const labels = (count: number) => Array.from({ length: count }, (_, index) => `label-${index}`);

  it.each<[string, unknown, boolean]>([
    ["none", [], true],
    ["100", labels(100), true],
    ["101", labels(101), false],
    ["one of 256 characters", ["x".repeat(256)], true],
    ["one of 257 characters", ["x".repeat(257)], false],
    ["an empty one", [""], false],
    ["a number", [1], false],
    ["non-ASCII ones", ["größe", "日本語", "🦋"], true],
  ])("%s", (_what, value, accepted) => {
    const verdict = judgePayload({ labels: value });
    expect(verdict.kind).toBe(accepted ? "accepted" : "refused");
    if (verdict.kind === "refused") expect(verdict.because).toMatch(/at most 100 labels|1 to 256 characters/);
    if (accepted) expect(eventOf(verdict).labels).toEqual(value);
  });
});

describe("what is kept of a job", () => {
  it("is what is used, with the time of its arrival", () => {
    expect(eventOf(judgePayload())).toStrictEqual({
      action: "queued",
      id: 11,
      repository: { owner: "acme", name: "app", private: true },
      installationId: 7,
      runId: 12,
      runAttempt: 2,
      name: "build",
      workflowName: "CI",
      labels: ["self-hosted", "linux"],
      url: "https://github.com/acme/app/actions/runs/12/job/11",
      createdAt: start,
      receivedAt: start,
    });
  });

  it("a job that is queued with the status waiting still waits", () => {
    expect(eventOf(judgePayload({ status: "waiting" })).action).toBe("waiting");
    expect(eventOf(judgePayload({ status: "waiting" }, { action: "in_progress" })).action).toBe(
      "in_progress",
    );
  });

  it("a queued job has no runner, whatever stale one is named", () => {
    const stale = { runner_id: 5, runner_name: "GitHub Actions 5", runner_group_id: 1 };
    for (const action of ["queued", "waiting"]) {
      expect(eventOf(judgePayload(stale, { action })).runnerName).toBeUndefined();
    }
    expect(eventOf(judgePayload(stale, { action: "in_progress" })).runnerName).toBe("GitHub Actions 5");
  });

  const { runner_name: _, ...unassigned } = payload().workflow_job as Loose;
  const times = { started_at: "2026-01-01T00:00:05Z", completed_at: "2026-01-01T00:00:09Z" };
  const started = { startedAt: start + 5_000 };
  const ended = { completedAt: start + 9_000 };

  it.each<[string, string, Loose, Loose]>([
    ["a queued job has none of it", "queued", { ...times, runner_name: "r", conclusion: "success" }, {}],
    [
      "a started one has a start",
      "in_progress",
      { ...times, runner_name: "r" },
      { ...started, runnerName: "r" },
    ],
    ["one that started is told without", "in_progress", { started_at: null, runner_name: null }, {}],
    [
      "an ended one has an end",
      "completed",
      { ...times, runner_name: "r", conclusion: "failure" },
      { ...started, ...ended, runnerName: "r", conclusion: "failure" },
    ],
    [
      "one that ended is told without",
      "completed",
      { started_at: null, completed_at: null, runner_name: "", conclusion: null },
      { conclusion: "unknown" },
    ],
  ])("%s", (_what, action, told, kept) => {
    const plain = eventOf(judgePayload());
    const event = eventOf(judgePayload({ ...unassigned, ...told }, { action }));
    expect(event).toStrictEqual({ ...plain, action, ...kept });
  });
});

describe("the examples that GitHub publishes", () => {
  const require = createRequire(import.meta.url);
  const path = require.resolve("@octokit/webhooks-examples/api.github.com/index.json");
  const published = JSON.parse(readFileSync(path, "utf8")) as { name: string; examples: Loose[] }[];
  const examples = published.find((entry) => entry.name === "workflow_job")?.examples ?? [];

  it("are eight", () => expect(examples).toHaveLength(8));

  it.each(examples.map((example, index) => [index + 1, example.action, example] as const))(
    "number %i (%s) is accepted",
    (_number, action, example) => {
      const event = eventOf(judge({ body: JSON.stringify(example) }));
      const job = example.workflow_job as Loose;
      expect(event.id).toBe(job.id);
      expect(event.labels).toEqual(job.labels);
      expect(event.action).toBe(action === "queued" && job.status === "waiting" ? "waiting" : action);
      if (action === "queued") expect(event.runnerName).toBeUndefined();
    },
  );
});

describe("whatever arrives", () => {
  const anyHeaders = fc.record(
    {
      "content-type": fc.constantFrom("application/json", "text/plain"),
      "x-github-event": fc.constantFrom("workflow_job", "ping", "push", ""),
      "x-hub-signature-256": fc.oneof(
        fc.string(),
        fc
          .string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 64, maxLength: 64 })
          .map((digits) => `sha256=${digits}`),
      ),
    },
    { requiredKeys: [] },
  );

  it("bytes that are not signed are never accepted, and the answer tells nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), anyHeaders, (body, headers) => {
        const expected = signatureOf(body, secret);
        const verdict = judgeDelivery({ headers, body }, [secret], start);
        expect(verdict).toMatchObject({ kind: "refused", status: 401 });
        const text = JSON.stringify(verdict);
        expect(text).not.toContain(expected.slice("sha256=".length));
        expect(text).not.toContain(secret.reveal());
      }),
    );
  });

  it("JSON that is signed gets a verdict", () => {
    fc.assert(
      fc.property(fc.json(), (body) => {
        expect(["refused", "ignored"]).toContain(judge({ body }).kind);
      }),
    );
  });

  it("a payload with any field replaced gets a verdict", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(payload().workflow_job as Loose)),
        fc.jsonValue(),
        fc.constantFrom("queued", "waiting", "in_progress", "completed"),
        (field, value, action) => {
          expect(["accepted", "refused"]).toContain(judgePayload({ [field]: value }, { action }).kind);
        },
      ),
    );
  });
});

it("a job with containers is known by the step with which GitHub's runner begins it", () => {
  const steps = [{ name: "Set up job" }, { name: "Initialize containers" }, { name: "Run make" }];
  const eventIn = (fields: Loose) => eventOf(judgePayload(fields, { action: "completed" }));
  expect(eventIn({ steps })).toMatchObject({ usesContainers: true });
  for (const other of [undefined, null, "steps", [], [null, 7, {}], [{ name: "Set up job" }]]) {
    expect(eventIn({ steps: other })).not.toHaveProperty("usesContainers");
  }
});
