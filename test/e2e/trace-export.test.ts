import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/sqlite/database.ts";
import { createSqliteStore } from "../../src/adapters/store/sqlite.ts";
import type { WhatIfDocument } from "../../src/cli/what-if.ts";
import { processEnvironment } from "../../src/config/environment.ts";
import { parseJobTrace } from "../../src/core/job-trace.ts";
import { routeJob } from "../../src/core/route.ts";
import { job, policy } from "../builders.ts";
import { type EmulatedGithub, emulatedGithub } from "../support/emulated-github.ts";
import { runJob } from "../support/emulated-jobs.ts";

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const hour = 3_600_000;
const yesterday = Math.floor(Date.now() / hour) * hour - 24 * hour;

let folder: string;
let github: EmulatedGithub;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-trace-"));
  github = await emulatedGithub();
  await writeFile(join(folder, "key.pem"), github.privateKey, { mode: 0o600 });
  await writeFile(join(folder, "mayfly.yaml"), configText());
});
afterAll(async () => {
  await github.close();
  await rm(folder, { recursive: true, force: true });
});

/** On a port where nobody listens. */
function configText(): string {
  return `
github: { server: ${github.emulator.url}, appId: ${github.emulator.model.state.app.id} }
server: { listen: "127.0.0.1:9", dataDirectory: data }
secrets: { webhookSecret: { environment: SECRET }, appPrivateKey: { file: key.pem } }
presets:
  linux-x64: { labels: [linux, x64], architecture: x86_64, compute: local, max: 20 }
`;
}

describe("mayfly trace export", () => {
  test("says where it looked when there is neither a server nor a ledger", async () => {
    const { code, stderr, stdout } = await mayfly("trace", "export");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: No server runs, and there is no ledger at .*data\/mayfly\.db\.$/m);
  });

  test("writes the ledger's history as a trace, which is replayed", async () => {
    const ran = await fillLedger();
    const shown = await mayfly("trace", "export", "--days", "2");
    expect(shown.stderr).toBe(`40 jobs of the last 2 days; 2 jobs that ended without a start left out.\n`);
    const { jobs, problems } = parseJobTrace(shown.stdout);
    expect(problems).toEqual([]);
    expect(jobs).toEqual(ran);

    const file = join(folder, "out.jsonl");
    const written = await mayfly("trace", "export", "--days", "2", "--output", file, "--json");
    expect(JSON.parse(written.stdout)).toEqual({
      file,
      source: "ledger",
      from: expect.any(String),
      until: expect.any(String),
      jobs: 40,
      neverRan: 2,
    });
    expect(await readFile(file, "utf8")).toBe(shown.stdout);

    const replayed = await mayfly("simulate", "--trace", file, "--json");
    const { reports } = JSON.parse(replayed.stdout) as WhatIfDocument;
    expect(reports[0]?.jobs).toMatchObject({ total: 40, ran: 40, refused: 0, ignored: 0 });
    const seconds = ran.reduce((sum, each) => sum + each.durationSeconds, 0);
    expect(reports[0]?.jobs.runHours).toBeCloseTo(seconds / 3_600, 1);
  }, 60_000);

  test("asks GitHub, with the App's credentials, of the runs of the last days", async () => {
    const { model } = github.emulator;
    runJob(model, { at: yesterday - 48 * hour, seconds: 10 });
    runJob(model, { at: yesterday, seconds: 90 });
    runJob(model, { at: yesterday + hour, seconds: 600, labels: ["ubuntu-latest"], conclusion: "failure" });
    const all = await mayfly("trace", "export", "--from-github", "--days", "2");
    expect(all.stderr).toBe("2 jobs of the last 2 days.\n");
    expect(parseJobTrace(all.stdout)).toEqual({
      problems: [],
      jobs: [
        {
          queuedAt: yesterday,
          durationSeconds: 90,
          labels: ["self-hosted", "linux"],
          repository: "octo-org/demo",
        },
        {
          queuedAt: yesterday + hour,
          durationSeconds: 600,
          labels: ["ubuntu-latest"],
          repository: "octo-org/demo",
        },
      ],
    });
    const wrong = await mayfly("trace", "export", "--from-github", "--repository", "octo-org/other");
    expect(wrong.stderr).toMatch(/^error: The App is not installed on octo-org\/other\./);
    expect(wrong.code).toBe(1);
  }, 30_000);

  test("waits for GitHub when the limit is used up, and says so", async () => {
    const { model } = github.emulator;
    model.exhaustRateLimit(Date.now(), `installation ID ${github.installationId}`, "core");
    const { stderr } = await mayflyUntil(/It goes on by itself in /, "trace", "export", "--from-github");
    expect(stderr).toMatch(
      /^note: GitHub cannot be asked to .* It goes on by itself in \d+ .*; Ctrl-C ends it\.$/m,
    );
  }, 30_000);

  test("does not understand --repository without --from-github", async () => {
    const { code, stderr } = await mayfly("trace", "export", "--repository", "a/b");
    expect(stderr).toContain("--repository chooses what GitHub is asked about.");
    expect(code).toBe(2);
  });

  test("says where a trace cannot be written", async () => {
    const { code, stderr } = await mayfly("trace", "export", "--output", join(folder, "no", "out.jsonl"));
    expect(stderr).toMatch(/^error: The trace cannot be written: /);
    expect(code).toBe(1);
  });
});

/** Forty jobs of yesterday, an older one, and two that never ran. */
async function fillLedger() {
  const route = routeJob(["mayfly/linux-x64"], policy());
  if (route.kind !== "routed") throw new Error("The preset has another name.");
  const database = openDatabase(join(folder, "data", "mayfly.db"));
  const store = createSqliteStore(database);
  const done = (id: number, created: number, started: number | undefined, completed: number) =>
    store.addJob(
      route.record,
      job({
        id,
        fleet: route.record.id,
        state: "done",
        times: { created, received: created, completed, ...(started !== undefined && { started }) },
      }),
    );
  const ran = Array.from({ length: 40 }, (_, index) => {
    const queuedAt = yesterday + index * 20_000;
    return { queuedAt, durationSeconds: 30 + index, labels: job().labels, repository: "acme/app" };
  });
  for (const [index, { queuedAt, durationSeconds }] of ran.entries()) {
    await done(index + 1, queuedAt, queuedAt + 5_000, queuedAt + 5_000 + durationSeconds * 1_000);
  }
  await done(98, yesterday - 5 * 24 * hour, yesterday - 5 * 24 * hour, yesterday - 5 * 24 * hour + 1_000);
  await done(99, yesterday, undefined, yesterday + 1_000);
  await done(100, yesterday, undefined, yesterday + 7 * hour);
  await database.close();
  return ran;
}

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function mayfly(...words: readonly string[]): Promise<Outcome> {
  return mayflyUntil(undefined, ...words);
}

/** Ends the command itself when it has said this. */
function mayflyUntil(said: RegExp | undefined, ...words: readonly string[]): Promise<Outcome> {
  const { PATH, HOME } = processEnvironment();
  const child = spawn(process.execPath, [mainFile, ...words], { cwd: folder, env: { PATH, HOME } });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
    if (said?.test(stderr) === true) child.kill("SIGINT");
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}
