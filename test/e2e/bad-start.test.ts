import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { type MayflyProcess, startMayfly, startServer, type Variables } from "../support/server-process.ts";

/*
 * What keeps a server from starting: each gets one clear sentence and what to do next on standard error, and an exit
 * status that is not 0; nothing listens afterwards, and nothing is left half made.
 */

let folder: string;
let configPath: string;
let port: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-start-"));
  configPath = join(folder, "mayfly.yaml");
  port = await freePort();
  await writeConfig({});
  await writeFile(join(folder, "webhook-secret"), "a webhook secret\n", { mode: 0o600 });
  await writeFile(join(folder, "app.pem"), anAppKey(), { mode: 0o600 });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Json = Record<string, unknown>;

async function writeConfig(changes: Json): Promise<void> {
  const config = {
    github: { server: "http://127.0.0.1:9", appId: 1 },
    server: { listen: `127.0.0.1:${port}`, dataDirectory: "data" },
    secrets: { webhookSecret: { file: "webhook-secret" }, appPrivateKey: { file: "app.pem" } },
    presets: { "linux-x64": { labels: ["linux"], architecture: "x86_64", compute: "local" } },
    ...changes,
  };
  await writeFile(configPath, stringify(config));
}

/** Runs it until it ends by itself, and checks what every failed start has in common. */
async function failedStart(variables: Variables = {}): Promise<string> {
  const started = startMayfly(["serve", "--config", configPath], variables, { folder });
  const begun = performance.now();
  const status = await endOf(started);
  expect(status).toBe(1);
  expect((performance.now() - begun) / 1000).toBeLessThan(20);
  const said = started.stderr();
  expect(said).toMatch(/^error: [^\n]+(\n {2}[^\n]+)*\nnext: {2}[A-Z][^\n]+[.)]\n$/);
  // No stack trace, and no line of the log that says that it is ready.
  expect(said).not.toMatch(/^\s+at |node:internal|Something went wrong/m);
  expect(started.stdout()).not.toContain("is ready");
  await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
  return said;
}

/** A server that starts in spite of all would never end. */
async function endOf(started: MayflyProcess): Promise<unknown> {
  const limit = setTimeout(() => started.child.kill("SIGKILL"), 25_000);
  const status = await started.ended;
  clearTimeout(limit);
  return status;
}

describe("configurations", () => {
  test("an unknown key is named with its line and the nearest valid key", async () => {
    await writeConfig({ limits: { machnies: 4 } });
    const said = await failedStart();
    expect(said).toMatch(/limits\.machnies/);
    expect(said).toMatch(/Did you mean machines\?/);
    expect(said).toMatch(/line 19/);
  });

  test("every problem is named at once", async () => {
    await writeConfig({ limits: { machines: "many" }, timing: { idleGraceSeconds: -1 } });
    const said = await failedStart();
    expect(said).toMatch(/has 2 problems/);
    expect(said).toContain("limits.machines");
    expect(said).toContain("timing.idleGraceSeconds");
  });

  test("a secret in plain is refused, and not repeated", async () => {
    const secrets = { webhookSecret: "hunter2hunter2", appPrivateKey: { file: "app.pem" } };
    await writeConfig({ secrets });
    const said = await failedStart();
    expect(said).toContain("secrets.webhookSecret");
    expect(said).not.toContain("hunter2");
  });

  test("no configuration at all, and one that is no YAML", async () => {
    await writeFile(configPath, "github: [\n");
    expect(await failedStart()).toContain("not valid YAML");
    await rm(configPath);
    expect(await failedStart()).toContain(`There is no configuration at ${configPath}.`);
  });

  test("a server that others can reach needs a status token", async () => {
    await writeConfig({ server: { listen: `0.0.0.0:${port}`, publicUrl: "http://mayfly.example" } });
    expect(await failedStart()).toContain("secrets.statusToken");
  });
});

describe("secrets", () => {
  test("a missing file", async () => {
    await rm(join(folder, "webhook-secret"));
    expect(await failedStart()).toMatch(
      /The webhook-secret is not there: there is no file .*webhook-secret\./,
    );
  });

  test("an empty file", async () => {
    await writeFile(join(folder, "webhook-secret"), "\n");
    expect(await failedStart()).toMatch(/The webhook-secret is empty/);
  });

  test("a variable that is not set", async () => {
    const secrets = { webhookSecret: { environment: "NOT_SET" }, appPrivateKey: { file: "app.pem" } };
    await writeConfig({ secrets });
    expect(await failedStart()).toMatch(/the environment variable NOT_SET is not set/);
  });

  test.each([
    ["no PEM file", "this is not a key"],
    ["a cut PEM file", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"],
  ])("a private key that is %s", async (_what, text) => {
    await writeFile(join(folder, "app.pem"), text);
    const said = await failedStart();
    expect(said).toContain("The App's private key is not a PEM file");
    expect(said).not.toContain("MIIEvQ");
  });
});

describe("what is taken", () => {
  test("a busy port", async () => {
    const other = createServer((socket) => socket.destroy());
    other.listen(port, "127.0.0.1");
    await once(other, "listening");
    const said = await failedStart();
    expect(said).toContain(`127.0.0.1:${port}`);
    other.close();
    await once(other, "close");
    // Nothing is left half open: with the port free, the same folder does.
    const server = await startServer(configPath);
    await server.stop();
  });

  test("a database that another server has open, which goes on", async () => {
    const first = await startServer(configPath);
    const firstPort = port;
    port = await freePort();
    try {
      const said = await failedStart({ MAYFLY_SERVER_LISTEN: `127.0.0.1:${port}` });
      expect(said).toMatch(/Another process has the database open/);
      expect((await fetch(`http://127.0.0.1:${firstPort}/healthz`)).status).toBe(200);
    } finally {
      await first.stop();
    }
  });
});

describe("the data directory", () => {
  const databasePath = () => join(folder, "data", "mayfly.db");

  test("one that is a file, and one below a file", async () => {
    await writeFile(join(folder, "data"), "");
    expect(await failedStart()).toContain(join(folder, "data"));
    await writeConfig({ server: { listen: `127.0.0.1:${port}`, dataDirectory: "data/below" } });
    expect(await failedStart()).toContain(join(folder, "data"));
  });

  test("one that cannot be written", async ({ skip }) => {
    await mkdir(join(folder, "data"));
    if (process.getuid?.() !== 0) {
      await chmod(join(folder, "data"), 0o500);
      expect(await failedStart()).toContain(join(folder, "data"));
      return;
    }
    // Nothing but a mount keeps root from writing.
    if (!mount("ro")) return skip("tmpfs cannot be mounted here");
    try {
      expect(await failedStart()).toContain(join(folder, "data"));
    } finally {
      unmount();
    }
  });

  test("a disk that is full", async ({ skip }) => {
    await mkdir(join(folder, "data"));
    if (!mount("size=64k")) return skip("tmpfs can only be mounted by root");
    try {
      expect(await failedStart()).toMatch(/disk is full|no space|not full/i);
    } finally {
      unmount();
    }
  });

  test("a file that is no database, and one of another program", async () => {
    await mkdir(join(folder, "data"));
    await writeFile(databasePath(), "This is a text and no database. ".repeat(100));
    expect(await failedStart()).toContain(databasePath());
    await rm(databasePath());
    changeDatabase("CREATE TABLE songs (title TEXT)");
    expect(await failedStart()).toMatch(/a database of another program/);
  });

  test("a database of a newer Mayfly", async () => {
    await (await startServer(configPath)).stop();
    changeDatabase("PRAGMA user_version = 99");
    expect(await failedStart()).toMatch(/The database has version 99/);
  });

  test("a damaged database", async () => {
    await (await startServer(configPath)).stop();
    const pageBytes = 4096;
    const whole = await readFile(databasePath());
    // The header and the schema stay, so that it opens; the tables are rubbish.
    await writeFile(databasePath(), whole.fill(0xa5, 2 * pageBytes));
    expect(await failedStart()).toMatch(/The database is damaged/);
  });

  function changeDatabase(sql: string): void {
    const database = new DatabaseSync(databasePath());
    database.exec(sql);
    database.close();
  }

  function mount(options: string): boolean {
    try {
      const place = join(folder, "data");
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", place], { stdio: "ignore" });
      return true;
    } catch (error) {
      // Not root, or a container that may not mount.
      if (error instanceof Error) return false;
      throw error;
    }
  }

  function unmount(): void {
    execFileSync("umount", [join(folder, "data")], { stdio: "ignore" });
  }
});

let appKey: string | undefined;

/** Made once: a key takes a while. */
function anAppKey(): string {
  if (appKey === undefined) {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    appKey = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  }
  return appKey;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("The system gave no port.");
  return address.port;
}
