import { spawn, spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { processEnvironment } from "../../src/config/environment.ts";
import { busyStatus, interruptedWhy, now, quietStatus } from "../support/cli-scenes.ts";
import { type ScriptedServer, startScriptedServer } from "../support/scripted-server.ts";

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const exampleConfig = fileURLToPath(new URL("../../examples/mayfly.yaml", import.meta.url));
const status = busyStatus();
const why = interruptedWhy();

let folder: string;
let server: ScriptedServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-cli-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  server = await startScriptedServer(
    {
      "GET /api/status": { body: status },
      "GET /api/jobs?state=active": { body: { jobs: status.activeJobs } },
      "GET /api/jobs?state=recent&limit=5": { body: { jobs: [] } },
      "GET /api/jobs/1001": { body: why },
      "GET /api/machines?state=active": { body: { machines: status.activeMachines } },
      "GET /api/machines/mayfly-1": { body: status.activeMachines[0] },
      "POST /api/machines/mayfly-1/terminate": { body: { result: "terminating" } },
      "GET /api/images": { body: { images: [] } },
      "POST /api/images/build": {
        body: { result: "building", base: "ubuntu:22.04", architecture: "x86_64", at: null },
      },
      "GET /api/images/log?base=ubuntu%3A22.04&lines=2": {
        body: { base: "ubuntu:22.04", architecture: "x86_64", build: "b-1", lines: ["one", "two\u001b[2J"] },
      },
      "POST /webhook": { status: 202, body: "Recorded.\n" },
    },
    now,
  );
});
afterEach(() => server.close());

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** In an empty folder, with an environment that names no server and no token unless it is given. */
function mayfly(
  words: readonly string[],
  variables: Variables = { MAYFLY_URL: server.url },
): Promise<Outcome> {
  return run(process.execPath, [mainFile, ...words], variables);
}

function run(file: string, words: readonly string[], variables: Variables, input = ""): Promise<Outcome> {
  const { PATH, HOME } = processEnvironment();
  const child = spawn(file, words, { cwd: folder, env: { PATH, HOME, ...variables } });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  child.stdin.end(input);
  return new Promise((resolve) => child.on("close", (exitCode) => resolve({ exitCode, stdout, stderr })));
}

describe("reading", () => {
  test.each([
    [["status"], status],
    [["why", "1001"], why],
    [["why", "https://github.com/acme/app/actions/runs/5001/job/1001"], why],
    [["jobs", "list"], { jobs: status.activeJobs }],
    [["jobs", "list", "--state", "recent", "--limit", "5"], { jobs: [] }],
    [["jobs", "show", "1001"], why],
    [["runners", "list"], { machines: status.activeMachines }],
    [["runners", "details", "mayfly-1"], status.activeMachines[0]],
    [["images", "list"], { images: [] }],
  ])("%j --json prints the server's document, and nothing else", async (words, document) => {
    const { exitCode, stdout, stderr } = await mayfly([...words, "--json"]);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual(document);
    expect(exitCode).toBe(0);
  });

  test("people get aligned lines without colours in a pipe", async () => {
    const { exitCode, stdout, stderr } = await mayfly(["jobs", "list"], {
      MAYFLY_URL: server.url,
      FORCE_COLOR: "1",
      COLUMNS: "20",
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatchInlineSnapshot(`
      "ID    STATE    JOB                      REPOSITORY  WAITED  RUNS FOR  WAITS FOR, OR MACHINE
      1001  running  CI / build               acme/app       5 s      26 s  mayfly-1
      1002  waiting  CI / deploy              acme/app      31 s            GitHub holds it back: an approval or an environment rule is pending.
      1003  queued   CI / test (windows, 22)  acme/app      31 s            The preset linux-x64 has all of its 1 machines.
      "
    `);
  });

  test("the facts about a job and a machine", async () => {
    const job = await mayfly(["jobs", "show", "1001"]);
    expect(job.stdout).toContain("completed   2026-01-01 00:00:29 UTC, 1 s ago\n");
    const machine = await mayfly(["runners", "details", "mayfly-1"]);
    expect(machine.stdout).toContain("state      busy\n");
  });

  test("images are ordered by their base, and their logs are read", async () => {
    const built = await mayfly(["images", "build", "ubuntu:22.04"]);
    expect(built.stdout).toBe(
      "The image of ubuntu:22.04 (x86_64) is being built. `mayfly images list` shows how far it is.\n",
    );
    await mayfly(["images", "rebuild", "ubuntu:22.04", "--architecture", "arm64"]);
    const orders = server.requests.filter(({ method }) => method === "POST");
    expect(orders.map(({ body }) => JSON.parse(body))).toEqual([
      { base: "ubuntu:22.04", anew: false },
      { base: "ubuntu:22.04", anew: true, architecture: "arm64" },
    ]);
    expect(orders.map(({ headers }) => headers["x-mayfly-request"])).toEqual(["1", "1"]);
    const log = await mayfly(["images", "logs", "ubuntu:22.04", "--lines", "2"]);
    expect(log.stdout).toMatch(/^one\ntwo.*\n$/);
    expect(log.stdout).not.toContain("\u001b");
    expect((await mayfly(["images", "list"])).stdout).toContain("No image was ever built.");
  });

  test("an empty list is a sentence", async () => {
    const { stdout } = await mayfly(["jobs", "list", "--state", "recent", "--limit", "5"]);
    expect(stdout).toBe("No job has ended lately.\n");
  });

  test("a server that needs an operator makes status fail, with its document", async () => {
    const degraded = { ...quietStatus(), state: "degraded", problems: ["The disk is full."] };
    const other = await startScriptedServer({ "GET /api/status": { body: degraded } }, now);
    const { exitCode, stdout } = await mayfly(["status", "--json"], { MAYFLY_URL: other.url });
    await other.close();
    expect({ exitCode, state: JSON.parse(stdout).state }).toEqual({ exitCode: 1, state: "degraded" });
  });

  test("a reader that leaves early is no failure", async () => {
    const line = `"${process.execPath}" "${mainFile}" jobs list | head -1; exit "\${PIPESTATUS[0]}"`;
    const { exitCode, stdout, stderr } = await run("bash", ["-c", line], { MAYFLY_URL: server.url });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^ID +STATE/);
    expect(stdout.trim().split("\n")).toHaveLength(1);
  });

  test("output that is larger than a pipe arrives whole, and a closed pipe ends it quietly", async () => {
    const many = { jobs: Array.from({ length: 5000 }, () => status.activeJobs[0]) };
    const other = await startScriptedServer({ "GET /api/jobs?state=active": { body: many } }, now);
    const whole = await mayfly(["jobs", "list", "--json"], { MAYFLY_URL: other.url });
    const line = `"${process.execPath}" "${mainFile}" jobs list --json | head -1; exit "\${PIPESTATUS[0]}"`;
    const cut = await run("bash", ["-c", line], { MAYFLY_URL: other.url });
    await other.close();
    expect(JSON.parse(whole.stdout).jobs).toHaveLength(5000);
    expect(cut).toEqual({ exitCode: 0, stdout: "{\n", stderr: "" });
  });
});

test.skipIf(!existsSync("/dev/full"))("a disk that is full is a failure, with a sentence", async () => {
  const line = `"${process.execPath}" "${mainFile}" status --json > /dev/full`;
  const { exitCode, stderr } = await run("sh", ["-c", line], { MAYFLY_URL: server.url });
  expect(stderr).toMatch(/^error: The output cannot be written: ENOSPC.*\nnext: {2}Make room/);
  expect(exitCode).toBe(1);
});

describe("the server", () => {
  test("is where the configuration lets it listen, when no address is given", async () => {
    const config = (await readFile(exampleConfig, "utf8")).replace(
      "listen: 127.0.0.1:8085",
      `listen: ${server.url.slice("http://".length)}`,
    );
    await writeFile(join(folder, "other.yaml"), config);
    const { exitCode } = await mayfly(["runners", "list", "--config", "other.yaml"], {});
    expect(exitCode).toBe(0);
    expect(server.requests).toHaveLength(1);
  });

  test("gets the token from the environment or from a file, and no token otherwise", async () => {
    await writeFile(join(folder, "token"), "from-a-file\nolder\n", { mode: 0o600 });
    await mayfly(["status"], { MAYFLY_URL: server.url, MAYFLY_STATUS_TOKEN: "from-the-environment" });
    await mayfly(["status", "--token-file", "token"]);
    await mayfly(["status"]);
    expect(server.requests.map((request) => request.headers.authorization)).toEqual([
      "Bearer from-the-environment",
      "Bearer from-a-file",
      undefined,
    ]);
  });

  test("that refuses the token is told apart from one that wants one", async () => {
    const strict = await startScriptedServer(
      { "GET /api/status": { status: 401, body: { error: "No.", next: "Send a token." } } },
      now,
    );
    const without = await mayfly(["status", "--json"], { MAYFLY_URL: strict.url });
    const wrong = await mayfly(["status"], { MAYFLY_URL: strict.url, MAYFLY_STATUS_TOKEN: "hunter2" });
    await strict.close();
    expect(without).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `error: The server at ${strict.url} wants a token.\nnext:  Set MAYFLY_STATUS_TOKEN, or name the file that contains the token with --token-file.\n`,
    });
    expect(wrong.stderr).toContain("does not accept this token.\nnext:  Compare it with secrets.statusToken");
    expect(wrong.stderr).not.toContain("hunter2");
  });

  test("that does not run is a sentence", async () => {
    await server.close();
    expect(await mayfly(["status"])).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `error: No server listens at ${server.url}.\nnext:  Start it with \`mayfly serve\`, or name the right address with --url or MAYFLY_URL.\n`,
    });
  });

  test("that is none of ours is a sentence too", async () => {
    const script = {
      "GET /api/status": { body: "<h1>It works!</h1>" },
      "GET /api/jobs/7": { body: { id: 7 } },
    };
    const other = await startScriptedServer(script, now);
    const { exitCode, stderr } = await mayfly(["status"], { MAYFLY_URL: other.url });
    const similar = await mayfly(["why", "7"], { MAYFLY_URL: other.url });
    await other.close();
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`${other.url} answered with status 200 and not as a Mayfly server does.`);
    expect(similar.stderr).toContain("and not as a Mayfly server does.");
  });

  test("says itself what it does not know", async () => {
    const { exitCode, stdout, stderr } = await mayfly(["why", "77", "--json"]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toBe("error: No such thing is known.\nnext:  Look at the lists.\n");
  });
});

describe("ending a machine", () => {
  test("without --force a job may finish, which is said", async () => {
    const { exitCode, stdout } = await mayfly(["runners", "terminate", "mayfly-1"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("If a job runs on it, the job ends first.");
    const [request] = server.requests;
    expect(request).toMatchObject({ method: "POST", body: '{"force":false}' });
    expect(request?.headers).toMatchObject({ "x-mayfly-request": "1", "content-type": "application/json" });
  });

  test("--force names what is lost, and without --yes and a terminal nothing is done", async () => {
    const { exitCode, stderr } = await mayfly(["runners", "terminate", "mayfly-1", "--force"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("The job CI / build (acme/app, job 1001)");
    expect(stderr).toContain("Add --yes");
    expect(server.requests.filter((request) => request.method === "POST")).toEqual([]);
  });

  test("--force --yes ends it now, and --json keeps the warning out of the document", async () => {
    const words = ["runners", "terminate", "mayfly-1", "--force", "--yes", "--json"];
    const { exitCode, stdout, stderr } = await mayfly(words);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ result: "terminating" });
    expect(stderr).toContain("job 1001");
    expect(server.requests.at(-1)?.body).toBe('{"force":true}');
  });

  test("a machine that is not known is a failure", async () => {
    const { exitCode, stderr } = await mayfly(["runners", "terminate", "no/such"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("No such thing is known.");
    expect(server.requests[0]?.path).toBe("/api/machines/no%2Fsuch/terminate");
  });
});

/** `script` gives its command a terminal; it belongs to util-linux, which every Linux has. */
const hasScript = spawnSync("script", ["--version"]).status === 0;

describe.skipIf(!hasScript)("on a terminal", () => {
  function onTerminal(command: string, variables: Variables = {}, input = ""): Promise<Outcome> {
    const line = `stty cols 60; "${process.execPath}" "${mainFile}" ${command}`;
    const all = { MAYFLY_URL: server.url, TERM: "xterm-256color", SHELL: "/bin/sh", ...variables };
    return run("script", ["-qec", line, "/dev/null"], all, input);
  }

  test("lines are cut to its width, and states have colours", async () => {
    const { stdout } = await onTerminal("jobs list");
    expect(stdout).toContain("\u001b[32mrunning\u001b[39m");
    for (const line of stripVTControlCharacters(stdout).split(/\r?\n/))
      expect(line.length).toBeLessThanOrEqual(60);
  });

  test("NO_COLOR is obeyed, in the output and in errors", async () => {
    const { stdout } = await onTerminal("jobs list", { NO_COLOR: "1" });
    expect(stdout).toContain("running");
    expect(stdout).not.toContain("\u001b");
    expect((await onTerminal("why 77")).stdout).toContain("\u001b[31merror:");
    expect((await onTerminal("why 77", { NO_COLOR: "1" })).stdout).not.toContain("\u001b");
  });

  test.each([
    ["y\n", 0, 1],
    ["n\n", 1, 0],
    ["\n", 1, 0],
    ["\u0004", 1, 0],
  ])("--force asks, and %j is answered with %d", async (input, code, posts) => {
    const { exitCode, stdout } = await onTerminal("runners terminate mayfly-1 --force", {}, input);
    expect(stdout).toContain("Terminate machine mayfly-1 now? [y/N]");
    expect(exitCode).toBe(code);
    expect(server.requests.filter((request) => request.method === "POST")).toHaveLength(posts);
  });
});

describe("the command line", () => {
  test.each([
    [["staus"], "Unknown command 'staus'. Did you mean status?"],
    [["jobs", "lst"], "Unknown command 'lst'. Did you mean list?"],
    [["status", "--jsn"], "Unknown option '--jsn'. Did you mean --json?"],
    [["why"], "Missing required argument 'job'."],
    [["jobs", "list", "--state", "old"], "Allowed choices are active, recent."],
    [["jobs", "list", "--limit", "0"], "It must be a whole number above 0."],
    [["status", "--url", "localhost"], "--url is not an address: localhost."],
    [["why", "abc"], "abc is neither the id of a job nor the address of one."],
    [["emulate", "github", "--repository", "demo"], "demo is not a repository."],
  ])("%j is refused with 2", async (words, sentence) => {
    const { exitCode, stdout, stderr } = await mayfly(words);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(`${sentence}\nnext:  `);
  });

  test("help and version are no failures", async () => {
    const help = await mayfly(["--help"]);
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    expect(help.stdout).toContain("Exit codes: 0 it worked, 1 it failed");
    expect((await mayfly(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("the configuration", () => {
  test("all problems with line and nearest key, and 1", async () => {
    const config = (await readFile(exampleConfig, "utf8"))
      .replace("    max: 4\n", "    maxx: 4\n")
      .replace("scope: organization", "scope: organisation");
    await writeFile(join(folder, "broken.yaml"), config);
    const people = await mayfly(["config", "check", "--config", "broken.yaml"], {});
    expect(people.exitCode).toBe(1);
    expect(people.stdout).toContain("broken.yaml has 2 problems:");
    expect(people.stdout).toMatch(/line \d+, column \d+: presets\.linux-x64\.maxx .*Did you mean max\?/);
    const { stdout } = await mayfly(["config", "check", "--json"], { MAYFLY_CONFIG: "broken.yaml" });
    expect(JSON.parse(stdout)).toMatchObject({
      path: "broken.yaml",
      valid: false,
      problems: [{ path: "github.scope" }, { path: "presets.linux-x64.maxx" }],
    });
  });

  test("a valid one, and none", async () => {
    expect(await mayfly(["config", "check", "--config", exampleConfig], {})).toMatchObject({
      exitCode: 0,
      stdout: `${exampleConfig} is valid.\n`,
    });
    const none = await mayfly(["config", "check"], {});
    expect(none).toMatchObject({ exitCode: 1, stdout: "" });
    expect(none.stderr).toContain("error: There is no configuration at mayfly.yaml.\nnext:  ");
  });

  test("explain: routed is 0, refused is 1, with the reasons as data", async () => {
    const explain = (...labels: string[]) =>
      mayfly(["config", "explain", ...labels, "--config", exampleConfig, "--json"], {});
    const routed = await explain("self-hosted", "linux", "x64", "container");
    expect(routed.exitCode).toBe(0);
    expect(JSON.parse(routed.stdout)).toMatchObject({
      result: "routed",
      preset: "linux-x64-container",
      fleet: "linux-x64-container",
      machine: { compute: "docker", cpu: 2 },
      considered: [
        { preset: "linux-x64", matches: false },
        { preset: "linux-x64-container", matches: true },
      ],
    });
    const refused = await explain("self-hosted", "windows");
    expect(refused.exitCode).toBe(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      result: "refused",
      preset: null,
      because: "wrong-system",
    });
  });
});

test("receive signs the saved bytes and sends them to the webhook", async () => {
  await writeFile(join(folder, "delivery.json"), '{ "action": "queued",  "workflow_job": {} }\n');
  const variables = { MAYFLY_URL: server.url, HOOK_SECRET: "s3cret" };
  const config = (await readFile(exampleConfig, "utf8")).replace(
    "{ file: secrets/webhook-secret }",
    "{ environment: HOOK_SECRET }",
  );
  await writeFile(join(folder, "receive.yaml"), config);
  const words = ["receive", "delivery.json", "--config", "receive.yaml"];
  expect(await mayfly(words, variables)).toEqual({ exitCode: 0, stdout: "202 Recorded.\n", stderr: "" });
  const { headers, body } = server.requests[0]!;
  expect(headers["x-github-event"]).toBe("workflow_job");
  const expected = createHmac("sha256", "s3cret").update(body).digest("hex");
  expect(headers["x-hub-signature-256"]).toBe(`sha256=${expected}`);
  expect(body).toBe('{ "action": "queued",  "workflow_job": {} }\n');

  const refused = await startScriptedServer({}, now);
  const again = await mayfly([...words, "--json"], { ...variables, MAYFLY_URL: refused.url });
  await refused.close();
  expect(again.exitCode).toBe(1);
  expect(JSON.parse(again.stdout)).toMatchObject({ status: 404, accepted: false, event: "workflow_job" });
});

test("simulate that is ended early has not shown what it was asked for", async () => {
  const { PATH, HOME } = processEnvironment();
  const words = ["simulate", "--seeds", "3", "--hours", "2", "--verbose"];
  const child = spawn(process.execPath, [mainFile, ...words], { cwd: folder, env: { PATH, HOME } });
  let stdout = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.once("data", () => child.kill("SIGINT"));
  child.stderr.resume();
  const exitCode = await new Promise((resolve) => child.on("close", resolve));
  expect(stdout).toMatch(/^Stopped after [0-2] of 3 seeds\.\nNothing that must always hold was violated\.\n/);
  expect(exitCode).toBe(1);
});

test("emulate github says where everything is, delivers the jobs of a workflow, and clears up", async () => {
  await writeFile(
    join(folder, "ci.yml"),
    "on: push\njobs:\n  build: { runs-on: [self-hosted, linux], steps: [{ run: 'true' }] }\n",
  );
  const words = ["emulate", "github", "--workflow", "ci.yml", "--json"];
  const { PATH, HOME } = processEnvironment();
  const child = spawn(process.execPath, [mainFile, ...words, "--webhook-url", `${server.url}/webhook`], {
    cwd: folder,
    env: { PATH, HOME },
  });
  let stdout = "";
  const document = await new Promise<Record<string, unknown>>((resolve) => {
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      if (stdout.endsWith("}\n")) resolve(JSON.parse(stdout));
    });
  });
  await expect
    .poll(() => server.requests.map((request) => request.headers["x-github-event"]))
    .toContain("workflow_job");
  const keyFile = String(document.privateKeyFile);
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
  expect((await stat(String(document.webhookSecretFile))).mode & 0o777).toBe(0o600);
  expect(document.run).toMatchObject({ jobs: 1 });
  const check = await mayfly(["config", "check", "--config", String(document.configFile)], {});
  expect(check, check.stdout).toMatchObject({ exitCode: 0 });
  const ended = new Promise((resolve) => child.on("close", resolve));
  child.kill("SIGINT");
  expect(await ended).toBe(0);
  await expect(stat(keyFile)).rejects.toThrow("ENOENT");
});
