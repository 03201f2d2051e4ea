import { afterEach, describe, expect, test } from "vitest";
import { type EmulatedGithub, emulatedGithub, isSigned } from "../../test/support/emulated-github.ts";
import { noFaults } from "./model-faults.ts";
import { plannedJob } from "./planned-job.ts";
import type { GithubEmulatorOptions } from "./server.ts";

const scopes = [
  { name: "organisation", prefix: "/orgs/octo-org" },
  { name: "repository", prefix: "/repos/octo-org/demo" },
] as const;

let github: EmulatedGithub | undefined;

async function start(options: Partial<GithubEmulatorOptions> = {}): Promise<EmulatedGithub> {
  github = await emulatedGithub(options);
  return github;
}

afterEach(async () => {
  await github?.close();
  expect(github?.problems ?? []).toEqual([]);
  github = undefined;
});

function jitRequest(name = "runner-1", labels = ["self-hosted", "linux"]) {
  return { name, runner_group_id: 1, labels };
}

/** A run with one job, queued at once. */
function startJob(from: EmulatedGithub, fields: Parameters<typeof plannedJob>[0] = { labels: ["linux"] }) {
  const { model } = from.emulator;
  const run = model.startRun(Date.now(), {
    repositoryId: model.findRepository("octo-org", "demo").id,
    workflowName: "CI",
    workflowPath: ".github/workflows/ci.yml",
    jobs: [plannedJob(fields)],
  });
  from.emulator.wake();
  return run;
}

describe("who may call", () => {
  test("an App's token is refused when its clock is wrong, its key is another or it lives too long", async () => {
    const from = await start();
    const seconds = Math.floor(Date.now() / 1000);
    const get = async (claims: object) => (await from.call("GET", "/app", from.appToken({ ...claims }))).body;
    expect((await get({})).slug).toBe("mayfly-emulated");
    expect((await get({ exp: seconds + 900 })).message).toContain("too far in the future");
    expect((await get({ exp: seconds - 5 })).message).toContain("'Expiration time' claim ('exp') must be");
    expect((await get({ iat: seconds + 60 })).message).toContain("'Issued at' claim ('iat') must be");
    expect((await get({ iss: "999" })).message).toBe("Integration not found");
    const [header, , signature] = from.appToken().split(".");
    const [, claims] = from.appToken({ iss: "1" }).split(".");
    const forged = await from.call("GET", "/app", `${header}.${claims}.${signature}`);
    expect([forged.status, forged.body.message]).toEqual([401, "A JSON web token could not be decoded"]);
  });

  test("an installation token is no App token, expires, and only sees what it was made for", async () => {
    let now = Date.now();
    const from = await start({ now: () => now });
    const { model } = from.emulator;
    model.addRepository(now, { owner: "octo-org", name: "other" });
    const path = `/app/installations/${from.installationId}/access_tokens`;
    const narrowed = await from.call("POST", path, from.appToken(), {
      repositories: ["demo"],
      permissions: { actions: "read" },
    });
    expect(narrowed.status).toBe(201);
    const token: string = narrowed.body.token;
    expect(token.length).toBeGreaterThan(40);
    const status = async (method: string, where: string) => (await from.call(method, where, token)).status;
    expect(await status("GET", "/app/hook/deliveries")).toBe(401);
    expect(await status("GET", "/repos/octo-org/demo/actions/runs")).toBe(200);
    expect(await status("GET", "/repos/octo-org/other/actions/runs")).toBe(404);
    expect(await status("GET", "/repos/octo-org/demo/actions/runners")).toBe(403);
    expect(await status("GET", "/installation/repositories")).toBe(200);
    now += 3_601_000;
    expect(await status("GET", "/repos/octo-org/demo/actions/runs")).toBe(401);
  });

  test("a suspended installation has no token and gets none", async () => {
    const from = await start();
    const token = await from.installationToken();
    await from.call("POST", `/_emulator/installations/${from.installationId}/suspend`, "");
    await from.until(() => from.deliveries.length === 1);
    expect(from.deliveries[0]?.payload.action).toBe("suspend");
    expect((await from.call("GET", "/installation/repositories", token)).status).toBe(401);
    const path = `/app/installations/${from.installationId}/access_tokens`;
    expect((await from.call("POST", path, from.appToken())).status).toBe(403);
  });

  test("bodies that are no JSON or no object, and unknown addresses, have statuses of their own", async () => {
    const from = await start();
    const token = await from.installationToken();
    const path = "/orgs/octo-org/actions/runners/generate-jitconfig";
    expect((await from.call("POST", path, token, "{")).status).toBe(400);
    expect((await from.call("POST", path, token, [])).status).toBe(422);
    expect((await from.call("POST", path, token, { ...jitRequest(), labels: [] })).status).toBe(422);
    expect((await from.call("POST", path, "", jitRequest())).status).toBe(401);
    expect((await from.call("POST", path, token, " ".repeat(3_000_000))).status).toBe(413);
    const unknown = await fetch(`${from.emulator.url}/no/such/thing`);
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { message: "Not Found" }]);
  });
});

describe.each(scopes)("runners of the $name", ({ prefix }) => {
  test("are registered once for each name, listed, found by name and deleted", async () => {
    const from = await start();
    const token = await from.installationToken();
    const runners = `/api/v3${prefix}/actions/runners`;
    const made = await from.call("POST", `${runners}/generate-jitconfig`, token, jitRequest());
    expect(made.status).toBe(201);
    expect(made.body.encoded_jit_config.length).toBeGreaterThan(3000);
    const again = await from.call("POST", `${runners}/generate-jitconfig`, token, jitRequest("RUNNER-1"));
    expect(again.status).toBe(409);
    await from.call("POST", `${runners}/generate-jitconfig`, token, jitRequest("runner-2"));
    const pages = await from.call("GET", `${runners}?per_page=1`, token);
    expect(pages.body.total_count).toBe(2);
    expect(pages.headers.get("link")).toContain('page=2>; rel="next"');
    const named = await from.call("GET", `${runners}?name=runner-2`, token);
    expect(named.body.runners.map((runner: { name: string }) => runner.name)).toEqual(["runner-2"]);
    const { id } = made.body.runner;
    expect((await from.call("GET", `${runners}/${id}`, token)).body.status).toBe("offline");
    expect((await from.call("DELETE", `${runners}/${id}`, token)).status).toBe(204);
    expect((await from.call("GET", `${runners}/${id}`, token)).status).toBe(404);
  });

  test("cannot be deleted while they run a job", async () => {
    const from = await start();
    const token = await from.installationToken();
    const runners = `${prefix}/actions/runners`;
    const made = await from.call("POST", `${runners}/generate-jitconfig`, token, jitRequest());
    const run = startJob(from);
    from.emulator.model.connectRunner(Date.now(), made.body.runner.id);
    const job = run.current[0]!;
    from.emulator.model.pickUpJob(Date.now(), made.body.runner.id, job.id);
    const refused = await from.call("DELETE", `${runners}/${made.body.runner.id}`, token);
    expect(refused.status).toBe(422);
    expect(refused.body.message).toContain("is currently running a job");
    from.emulator.model.finishJob(Date.now(), made.body.runner.id, job.id, "success");
    expect((await from.call("DELETE", `${runners}/${made.body.runner.id}`, token)).status).toBe(404);
  });
});

test("runner groups and installations are described as GitHub describes them", async () => {
  const from = await start();
  from.emulator.model.addRunnerGroup({ owner: "octo-org", name: "large", visibility: "selected" });
  const token = await from.installationToken();
  const groups = await from.call("GET", "/orgs/octo-org/actions/runner-groups", token);
  expect(groups.body.runner_groups.map((group: { name: string }) => group.name)).toEqual([
    "Default",
    "large",
  ]);
  await from.call("GET", "/orgs/octo-org/actions/runner-groups/1", token);
  const app = from.appToken();
  for (const path of [
    "/app/installations",
    "/orgs/octo-org/installation",
    "/repos/octo-org/demo/installation",
  ]) {
    expect((await from.call("GET", path, app)).status).toBe(200);
  }
  expect((await from.call("GET", "/orgs/nobody/installation", app)).status).toBe(404);
  expect((await from.call("GET", `/app/installations/${from.installationId}`, app)).status).toBe(200);
  expect((await from.call("GET", "/meta", token)).status).toBe(200);
});

test("runs and jobs are listed, cancelled and run again", async () => {
  const from = await start();
  const token = await from.installationToken();
  const run = startJob(from);
  const runs = "/repos/octo-org/demo/actions/runs";
  expect((await from.call("GET", `${runs}?status=queued`, token)).body.total_count).toBe(1);
  expect((await from.call("GET", `${runs}/${run.id}`, token)).body.status).toBe("queued");
  expect((await from.call("POST", `${runs}/${run.id}/rerun`, token)).status).toBe(403);
  expect((await from.call("POST", `${runs}/${run.id}/cancel`, token)).status).toBe(202);
  expect((await from.call("POST", `${runs}/${run.id}/cancel`, token)).status).toBe(409);
  expect((await from.call("POST", `${runs}/${run.id}/rerun-failed-jobs`, token)).status).toBe(201);
  const latest = await from.call("GET", `${runs}/${run.id}/jobs`, token);
  const all = await from.call("GET", `${runs}/${run.id}/jobs?filter=all`, token);
  expect([latest.body.total_count, all.body.total_count]).toEqual([1, 2]);
  expect(latest.body.jobs[0].run_attempt).toBe(2);
  const attempt = await from.call("GET", `${runs}/${run.id}/attempts/1/jobs`, token);
  expect(attempt.body.jobs[0].conclusion).toBe("cancelled");
  const jobPath = `/repos/octo-org/demo/actions/jobs/${latest.body.jobs[0].id}`;
  expect((await from.call("GET", jobPath, token)).body.labels).toEqual(["linux"]);
  expect((await from.call("POST", `${runs}/${run.id}/force-cancel`, token)).status).toBe(202);
  expect((await from.call("POST", `${jobPath}/rerun`, token)).status).toBe(201);
});

test("check runs are created and updated", async () => {
  const from = await start();
  const token = await from.installationToken();
  const path = "/repos/octo-org/demo/check-runs";
  const made = await from.call("POST", path, token, { name: "mayfly", head_sha: "0".repeat(40) });
  expect([made.status, made.body.status]).toEqual([201, "queued"]);
  const output = { title: "No runner", summary: "No preset has these labels." };
  const done = await from.call("PATCH", `${path}/${made.body.id}`, token, { conclusion: "neutral", output });
  expect(done.body).toMatchObject({ status: "completed", conclusion: "neutral", output });
});

describe("deliveries", () => {
  test("are signed, complete, and in the log; a failed one is sent again with the same GUID", async () => {
    const from = await start();
    from.answerDeliveriesWith(500);
    startJob(from);
    await from.until(() => from.deliveries.length === 1);
    const [first] = from.deliveries;
    expect(isSigned(first!, from.webhookSecret)).toBe(true);
    expect(first!.headers).toMatchObject({
      "x-github-event": "workflow_job",
      "x-github-hook-installation-target-type": "integration",
      "user-agent": expect.stringMatching(/^GitHub-Hookshot\//),
    });
    expect(first!.text.length).toBeGreaterThan(7000);
    const app = from.appToken();
    const failures = "/app/hook/deliveries?status=failure";
    let failed = await from.call("GET", failures, app);
    while (failed.body.length === 0) failed = await from.call("GET", failures, app);
    expect(failed.body[0]).toMatchObject({ status_code: 500, action: "queued", redelivery: false });
    from.answerDeliveriesWith(202);
    const { id } = failed.body[0];
    expect((await from.call("POST", `/app/hook/deliveries/${id}/attempts`, app)).status).toBe(202);
    await from.until(() => from.deliveries.length === 2);
    expect(from.deliveries[1]!.headers["x-github-delivery"]).toBe(first!.headers["x-github-delivery"]);
    expect(from.deliveries[1]!.text).toBe(first!.text);
    const shown = await from.call("GET", `/app/hook/deliveries/${id}`, app);
    expect(shown.body.request.payload).toEqual(first!.payload);
    expect(JSON.stringify(shown.body)).not.toContain("x-hub-signature");
  });

  test("the log has pages with a cursor, newest first", async () => {
    const from = await start();
    for (let count = 0; count < 3; count++) startJob(from);
    await from.until(() => from.deliveries.length === 3);
    const app = from.appToken();
    let page = await from.call("GET", "/app/hook/deliveries?per_page=2", app);
    while (page.body.length < 2) page = await from.call("GET", "/app/hook/deliveries?per_page=2", app);
    const next = /<([^>]+)>; rel="next"/.exec(page.headers.get("link") ?? "")?.[1];
    const rest = await from.call("GET", next!.replace(from.emulator.url, ""), app);
    const ids = [...page.body, ...rest.body].map((delivery: { id: number }) => delivery.id);
    expect(ids).toEqual([...ids].sort((one, other) => other - one));
    expect(ids).toHaveLength(3);
  });

  test("a receiver that does not answer in time is a failure, not a repetition", async () => {
    const from = await start({ limits: { deliveryTimeoutSeconds: 0.05 } });
    from.emulator.setWebhook({ url: "http://127.0.0.1:9/", secret: "unused" });
    startJob(from);
    const app = from.appToken();
    let log = await from.call("GET", "/app/hook/deliveries", app);
    while (log.body.length === 0) log = await from.call("GET", "/app/hook/deliveries", app);
    expect(log.body[0].status_code).toBeGreaterThanOrEqual(502);
    expect(from.deliveries).toHaveLength(0);
  });
});

describe("rate limits", () => {
  test("are in the headers, end in a refusal, and a 304 costs nothing", async () => {
    const from = await start({ limits: { requestsPerHour: 3 } });
    const token = await from.installationToken();
    const path = "/repos/octo-org/demo/actions/runs";
    const first = await from.call("GET", path, token);
    expect(first.headers.get("x-ratelimit-remaining")).toBe("2");
    const etag = first.headers.get("etag")!;
    const unchanged = await from.call("GET", path, token, undefined, { "if-none-match": etag });
    expect([unchanged.status, unchanged.headers.get("x-ratelimit-remaining")]).toEqual([304, "2"]);
    await from.call("GET", path, token);
    await from.call("GET", path, token);
    const refused = await from.call("GET", path, token);
    expect([403, 429]).toContain(refused.status);
    expect(refused.headers.get("x-ratelimit-remaining")).toBe("0");
    const limits = await from.call("GET", "/rate_limit", token);
    expect(limits.body.resources.core).toMatchObject({ limit: 3, remaining: 0, used: 3 });
    const other = await from.call(
      "POST",
      "/orgs/octo-org/actions/runners/generate-jitconfig",
      token,
      jitRequest(),
    );
    expect([other.status, other.headers.get("x-ratelimit-resource")]).toEqual([
      201,
      "actions_runner_registration",
    ]);
  });

  test("more than a hundred requests at the same time are too many", async () => {
    const from = await start({ limits: { concurrentRequests: 3 }, latencyMilliseconds: 100 });
    const token = await from.installationToken();
    const get = () => from.call("GET", "/orgs/octo-org/actions/runners", token);
    const statuses = (await Promise.all([get(), get(), get(), get()])).map((answer) => answer.status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect((await get()).status).toBe(200);
  });

  test("too many writes to one endpoint within a minute are refused with retry-after", async () => {
    const from = await start({ limits: { pointsPerMinutePerEndpoint: 10 } });
    const token = await from.installationToken();
    const path = "/orgs/octo-org/actions/runners/generate-jitconfig";
    expect((await from.call("POST", path, token, jitRequest("one"))).status).toBe(201);
    expect((await from.call("POST", path, token, jitRequest("two"))).status).toBe(201);
    const refused = await from.call("POST", path, token, jitRequest("three"));
    expect([403, 429]).toContain(refused.status);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await from.call("GET", "/orgs/octo-org/actions/runners", token)).body.total_count).toBe(2);
  });
});

describe("faults", () => {
  test("an error had no effect; a lost answer had one", async () => {
    const from = await start();
    const token = await from.installationToken();
    const path = "/orgs/octo-org/actions/runners/generate-jitconfig";
    from.emulator.model.setFaults({ ...noFaults, restErrorFraction: 1 });
    expect((await from.call("POST", path, token, jitRequest())).status).toBe(502);
    expect(from.emulator.model.state.runners.size).toBe(0);
    from.emulator.model.setFaults({ ...noFaults, restAnswerLostFraction: 1 });
    await expect(from.call("POST", path, token, jitRequest())).rejects.toThrow();
    expect(from.emulator.model.state.runners.size).toBe(1);
  });

  test("are dialled in over the control surface, by preset or one by one", async () => {
    const from = await start();
    const heavy = await from.call("PUT", "/_emulator/faults", "", { preset: "heavy", restErrorFraction: 0 });
    expect(heavy.body).toMatchObject({ restErrorFraction: 0, deliveryLostFraction: 0.1 });
    expect((await from.call("PUT", "/_emulator/faults", "", { noSuchFault: 1 })).status).toBe(422);
  });
});

test("a workflow is started, waits for its approval, and can be dispatched again", async () => {
  const from = await start({ runsOn: () => ["mayfly/linux-x64"] });
  from.emulator.model.findRepository("octo-org", "demo").protectedEnvironments.add("production");
  const workflow = `
name: Release
on: workflow_dispatch
jobs:
  publish:
    runs-on: ubuntu-latest
    environment: production
    steps: [{ run: echo published }]
`;
  const path = ".github/workflows/release.yml";
  const made = await from.call("POST", "/_emulator/runs", "", {
    repository: "octo-org/demo",
    workflow,
    path,
  });
  expect(made.body.jobs).toMatchObject([{ status: "waiting", labels: ["mayfly/linux-x64"] }]);
  await from.until(() => from.deliveries.length === 2);
  const seen = from.deliveries.map(({ payload }) => [payload.action, payload.workflow_job.status]);
  expect(seen.sort()).toEqual([
    ["queued", "waiting"],
    ["waiting", "waiting"],
  ]);
  await from.call("POST", `/_emulator/jobs/${made.body.jobs[0].id}/approve`, "");
  await from.until(() => from.deliveries.length === 3);
  expect(from.deliveries[2]!.payload.workflow_job.status).toBe("queued");
  const token = await from.installationToken();
  const dispatches = "/repos/octo-org/demo/actions/workflows/release.yml/dispatches";
  const dispatched = await from.call("POST", dispatches, token, { ref: "main", return_run_details: true });
  expect([dispatched.status, from.emulator.model.state.runs.size]).toEqual([200, 2]);
  const broken = await from.call("POST", "/_emulator/runs", "", {
    repository: "octo-org/demo",
    workflow: "jobs:",
  });
  expect([broken.status, broken.body.message]).toEqual([422, expect.stringContaining("ci.yml:1: jobs:")]);
});
