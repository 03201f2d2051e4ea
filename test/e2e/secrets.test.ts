import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDerivedTokenIdentity } from "../../src/adapters/identity/derived-token.ts";
import { Secret } from "../../src/core/secret.ts";
import type { MachineStatus, StatusDocument } from "../../src/core/status.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { allCommandLines, killIfAny, killMachines, machineProcesses } from "../support/machine-leftovers.ts";
import { type RecordingProxy, startRecordingProxy } from "../support/recording-proxy.ts";
import { dataDirectoryOf, type ServerProcess, startServer, until } from "../support/server-process.ts";

/*
 * A run in which everything goes wrong that can, with the most talkative log; and then a search for every secret
 * that was in play, in everything that anybody could have seen.
 */

let world: DemoWorld;
let proxy: RecordingProxy;
let server: ServerProcess | undefined;

beforeEach(async () => {
  world = await createDemoWorld({ faults: "heavy" });
  proxy = await startRecordingProxy(world.emulator.url);
});
afterEach(async () => {
  await server?.kill();
  await killMachines(world.folder);
  await proxy.close();
  await world.close();
});

const jobs = 20;
const shippedLog = "A machine shipped its log.";

test("no secret is in the log, the answers, the page, the machines' folders, the database or a command line", async () => {
  const seen = new Evidence();
  server = await startServer(world.configPath, {
    MAYFLY_GITHUB_SERVER: proxy.url,
    MAYFLY_SERVER_LOG_LEVEL: "debug",
  });
  const running = server;
  const watching = new AbortController();
  const watchers = [
    repeat(watching.signal, 40, async () => {
      for (const line of await allCommandLines()) seen.add("command line", line);
    }),
    repeat(watching.signal, 300, () => readAnswers(running, seen)),
    repeat(watching.signal, 300, () => readMachineFolders(seen)),
    repeat(watching.signal, 1_000, () => readDatabaseFiles(seen)),
    readEvents(running.url, seen, watching.signal),
  ];
  await world.startRuns({ jobs });
  await loseARunner(running);
  await until(
    () => world.ended(),
    150,
    () => `${world.jobs().map((job) => job.status)}`,
  );
  await until(
    () => nothingIsAlive(running),
    90,
    () => "a machine is alive",
  );
  const { machines } = (await running.get("/api/machines?state=recent&limit=1000")) as {
    readonly machines: readonly MachineStatus[];
  };
  await Promise.all([readAnswers(running, seen), readDatabaseFiles(seen)]);
  watching.abort();
  await Promise.all(watchers);
  await running.stop();
  seen.add("standard output", running.stdout());
  seen.add("standard error", running.stderr());
  dumpDatabase(seen);

  const secrets = await allSecrets(machines.map(({ id }) => id));
  // A search for nothing, or in nothing, would find nothing.
  const kinds = new Set(secrets.map(({ kind }) => kind));
  expect([...kinds].sort()).toEqual([
    "App JWT",
    "App key",
    "JIT config",
    "credential of a runner",
    "installation token",
    "key of the machines",
    "token of a machine",
    "webhook secret",
  ]);
  expect(seen.kinds()).toEqual([
    "answer",
    "command line",
    "database file",
    "database row",
    "event stream",
    "machine folder",
    "standard error",
    "standard output",
  ]);
  expect(seen.contains(shippedLog)).toBe(true);
  expect(machines.length).toBeGreaterThanOrEqual(jobs);

  expect(seen.search(secrets)).toEqual([]);

  // The control: each of them, planted in a log line, is found by the same search.
  for (const secret of secrets) {
    const planted = new Evidence();
    planted.add("standard output", `{"level":"info","message":"about ${secret.text}, again"}`);
    expect(planted.search([secret])).toHaveLength(1);
  }
}, 300_000);

interface KnownSecret {
  readonly kind: string;
  readonly text: string;
}

/** What was seen, each text once. */
class Evidence {
  readonly #texts = new Map<string, Set<string>>();

  add(kind: string, text: string): void {
    const known = this.#texts.get(kind) ?? new Set<string>();
    this.#texts.set(kind, known.add(text));
  }

  kinds(): readonly string[] {
    return [...this.#texts.keys()].sort();
  }

  contains(text: string): boolean {
    return [...this.#texts.values()].some((texts) => [...texts].some((seen) => seen.includes(text)));
  }

  /** Which kinds of secrets are where; never the secret itself, as this is printed. */
  search(secrets: readonly KnownSecret[]): readonly string[] {
    const found = new Set<string>();
    for (const [place, texts] of this.#texts) {
      const all = [...texts].join("\n");
      for (const { kind, text } of secrets) if (all.includes(text)) found.add(`${kind} in ${place}`);
    }
    return [...found].sort();
  }
}

// --------------------------------------------------------------------------------------------- the secrets

async function allSecrets(machineIds: readonly string[]): Promise<readonly KnownSecret[]> {
  const pem = await readFile(join(world.folder, "app.pem"), "utf8");
  const lines = pem.split("\n").filter((line) => line !== "" && !line.startsWith("-----"));
  const escaped = JSON.stringify(pem.trim()).slice(1, -1);
  const key = await readFile(join(dataDirectoryOf(world.configPath), "machine-token.key"), "utf8");
  const identity = createDerivedTokenIdentity(new Secret(key.trim()));
  const list = (kind: string, texts: readonly string[]) =>
    [...new Set(texts)].map((text) => ({ kind, text }));
  return [
    // In its lines, and as one piece of base64, which holds no line as a whole when it is wrapped differently.
    ...list("App key", [pem.trim(), escaped, lines.join(""), ...pieces(lines.join(""))]),
    ...list(
      "App key",
      // The last line may be so short that it is everywhere.
      lines.filter((line) => line.length >= 64),
    ),
    ...list("webhook secret", [(await readFile(join(world.folder, "webhook-secret"), "utf8")).trim()]),
    ...list("installation token", installationTokens()),
    ...list("App JWT", appTokens()),
    ...list("JIT config", jitConfigs()),
    ...list("credential of a runner", runnerCredentials()),
    ...list("key of the machines", [key.trim()]),
    ...list(
      "token of a machine",
      machineIds.map((id) => identity.issue(id)?.reveal() ?? ""),
    ),
  ];
}

/** Of the middle, as the first bytes are the same in every key. */
function pieces(text: string): readonly string[] {
  return Array.from({ length: 8 }, (_, index) => text.slice(200 + index * 100, 240 + index * 100));
}

function installationTokens(): readonly string[] {
  const answered = proxy.exchanges
    .filter(({ path, status }) => path.endsWith("/access_tokens") && status === 201)
    .map(({ responseBody }) => String((responseBody as { token: unknown }).token));
  return [...answered, ...[...world.emulator.model.state.tokens.values()].map(({ text }) => text)];
}

function appTokens(): readonly string[] {
  const sent = proxy.exchanges.map(({ requestHeaders }) => requestHeaders.authorization ?? "");
  return sent.map((header) => header.replace(/^bearer /i, "")).filter((token) => token.startsWith("eyJ"));
}

function jitConfigs(): readonly string[] {
  return proxy.exchanges
    .filter(({ path, status }) => path.endsWith("/generate-jitconfig") && status === 201)
    .map(({ responseBody }) => String((responseBody as { encoded_jit_config: unknown }).encoded_jit_config));
}

/** What a JIT config is worth stealing for. */
function runnerCredentials(): readonly string[] {
  return jitConfigs().map((config) => {
    const files = JSON.parse(Buffer.from(config, "base64").toString()) as Record<string, string>;
    const text = Object.values(files).map((file) => Buffer.from(file, "base64").toString());
    const credential = /"token":\s*"([0-9a-f]{64})"|([0-9a-f]{64})/.exec(text.join("\n"));
    if (credential === null)
      throw new Error("The JIT config has no credential where this test looks for it.");
    return credential[1] ?? credential[2] ?? "";
  });
}

// -------------------------------------------------------------------------------------------- the evidence

async function readAnswers(from: ServerProcess, seen: Evidence): Promise<void> {
  const status = (await from.get("/api/status")) as StatusDocument;
  const paths = [
    "/",
    "/api/status",
    "/metrics",
    "/healthz",
    ...["active", "recent"].flatMap((state) => [
      `/api/jobs?state=${state}&limit=1000`,
      `/api/machines?state=${state}&limit=1000`,
    ]),
    ...[...status.activeJobs, ...status.recentJobs].map(({ id }) => `/api/jobs/${id}`),
    ...status.activeMachines.map(({ id }) => `/api/machines/${id}`),
  ];
  for (const path of paths) {
    const answer = await fetch(`${from.url}${path}`);
    seen.add("answer", JSON.stringify([...answer.headers]));
    seen.add("answer", await answer.text());
  }
}

async function readEvents(url: string, seen: Evidence, signal: AbortSignal): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    const answer = await fetch(`${url}/api/events`, { signal });
    for await (const chunk of answer.body ?? []) text += decoder.decode(chunk, { stream: true });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  seen.add("event stream", text);
}

/** All that a machine keeps beside its runner: the record, the agent's log, what the runner and the job write. */
async function readMachineFolders(seen: Evidence): Promise<void> {
  const folder = join(dataDirectoryOf(world.configPath), "machines");
  for (const name of await orIfGone(readdir(folder, { recursive: true }), [])) {
    const text = await orIfGone(readFile(join(folder, name), "latin1"), "");
    if (text !== "") seen.add("machine folder", text);
  }
}

async function readDatabaseFiles(seen: Evidence): Promise<void> {
  for (const name of ["mayfly.db", "mayfly.db-wal"]) {
    const path = join(dataDirectoryOf(world.configPath), name);
    seen.add("database file", await orIfGone(readFile(path, "latin1"), ""));
  }
}

function dumpDatabase(seen: Evidence): void {
  const path = join(dataDirectoryOf(world.configPath), "mayfly.db");
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()) {
      for (const row of database.prepare(`SELECT * FROM "${name}"`).all())
        seen.add("database row", Object.values(row).join(" "));
    }
  } finally {
    database.close();
  }
}

/** Machines end while they are looked at. */
async function orIfGone<Result>(reading: Promise<Result>, otherwise: Result): Promise<Result> {
  try {
    return await reading;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ENOENT", "EISDIR", "ENOTDIR"].includes(code)) return otherwise;
    throw error;
  }
}

async function repeat(
  signal: AbortSignal,
  everyMilliseconds: number,
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    await work();
    await new Promise((resolve) => setTimeout(resolve, everyMilliseconds));
  }
}

// ------------------------------------------------------------------------------------------------ the run

/**
 * Listeners die under their jobs until an agent has sent the end of its log, which holds what the listener said. One
 * that has just run its job may end well in spite of it, so one is not always enough.
 */
async function loseARunner(from: ServerProcess): Promise<void> {
  const lost = new Set<number>();
  let nextAt = 0;
  await until(
    async () => {
      if (from.stdout().includes(shippedLog)) return true;
      if (Date.now() < nextAt) return false;
      const found = await machineProcesses(world.folder);
      const listener = found.find(
        ({ pid, commandLine }) => /listener\.[jt]s/.test(commandLine) && !lost.has(pid),
      );
      if (listener === undefined) return false;
      lost.add(listener.pid);
      killIfAny(listener.pid);
      nextAt = Date.now() + 3_000;
      return false;
    },
    120,
    () => `${lost.size} listeners were killed, and no agent has sent its log`,
  );
}

async function nothingIsAlive(from: ServerProcess): Promise<boolean> {
  const { activeJobs, machines } = (await from.get("/api/status")) as StatusDocument;
  return activeJobs.length === 0 && machines.alive === 0;
}
