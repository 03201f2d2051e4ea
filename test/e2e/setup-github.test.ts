import { type ChildProcess, spawn } from "node:child_process";
import { createPrivateKey, sign } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { type EmulatedGithub, emulatedGithub } from "../support/emulated-github.ts";
import { expectTranscript } from "../support/transcript.ts";

const mainFile = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let folder: string;
let github: EmulatedGithub;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-setup-"));
  github = await emulatedGithub();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await github.close();
  await rm(folder, { recursive: true, force: true });
});

interface Setup {
  readonly child: ChildProcess;
  /** What the user is told to open. */
  readonly address: Promise<string>;
  readonly ended: Promise<{
    readonly exitCode: number | null;
    readonly stdout: string;
    readonly stderr: string;
  }>;
}

function setup(...words: readonly string[]): Setup {
  const all = ["setup", "github", "--server", github.emulator.url, "--folder", folder];
  const child = spawn(
    process.execPath,
    [mainFile, ...all, "--webhook-url", "https://mayfly.example.com/webhook", ...words],
    // Paths are said as they are seen from where the user is.
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
  );
  children.push(child);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  const address = new Promise<string>((resolve) => {
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(stderr)?.[0];
      if (found !== undefined) resolve(found);
    });
  });
  const ended = new Promise<Awaited<Setup["ended"]>>((resolve) => {
    child.on("close", (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
  return { child, address, ended };
}

/** Does what a browser does with the page: posts its form, and tells where that leads. */
async function submit(address: string): Promise<string> {
  const html = await (await fetch(address)).text();
  const text = (pattern: RegExp) =>
    (pattern.exec(html)?.[1] ?? "").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
  const answer = await fetch(text(/action="([^"]*)"/), {
    method: "POST",
    body: new URLSearchParams({ manifest: text(/name="manifest" value="([^"]*)"/) }),
    redirect: "manual",
  });
  expect(answer.status).toBe(302);
  return answer.headers.get("location") ?? "";
}

test("the App is made in a browser, and what is kept works: id, key, secret and a configuration", async () => {
  const { address, ended } = setup("--organization", "octo-org", "--name", "Mayfly CI", "--json");
  const callback = await submit(await address);

  // Whoever does not know the state is not listened to, and does not spoil the rest.
  const forged = new URL(callback);
  forged.searchParams.set("state", "guessed");
  expect((await fetch(forged)).status).toBe(400);

  const last = await fetch(callback, { redirect: "manual" });
  expect(last.status).toBe(302);
  const outcome = await ended;
  expect(outcome.exitCode, outcome.stderr).toBe(0);
  const document = JSON.parse(outcome.stdout);
  expect(last.headers.get("location")).toBe(document.installUrl);
  expect((await fetch(document.installUrl)).status).toBe(200);

  const app = github.emulator.model.state.app;
  expect(document).toMatchObject({ appId: app.id, slug: "mayfly-ci", owner: "octo-org" });
  expect(app).toMatchObject({
    permissions: {
      actions: "write",
      checks: "write",
      metadata: "read",
      organization_self_hosted_runners: "write",
    },
    events: ["workflow_job"],
  });

  const { config } = await loadConfig({ path: join(folder, "mayfly.yaml") });
  expect(config.github).toMatchObject({ appId: app.id, server: github.emulator.url });
  const key = await readFile(document.privateKeyFile, "utf8");
  const answer = await github.call("GET", "/app", appToken(app.id, key));
  expect(answer).toMatchObject({ status: 200, body: { slug: "mayfly-ci" } });
  expect(`${outcome.stdout}${outcome.stderr}`).not.toContain(key.split("\n")[1]);
  for (const file of [document.privateKeyFile, document.webhookSecretFile, document.statusTokenFile]) {
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  }
});

test("a new user sees what the page shows", async () => {
  const words = ["--organization", "octo-org", "--webhook-url", "https://example.com/webhook"];
  const { address, ended } = setup(...words);
  await fetch(await submit(await address), { redirect: "manual" });
  const { exitCode, stdout, stderr } = await ended;
  expect(exitCode, stderr).toBe(0);
  const command = `$ mayfly setup github ${words.join(" ")}`;
  expectTranscript(
    { page: "docs/start/github-app.md", name: "setup-github" },
    `${command}\n${stderr}\n${stdout}`,
    [
      [github.emulator.url, "https://github.com"],
      [/http:\/\/127\.0\.0\.1:\d+\//g, "http://127.0.0.1:40123/"],
      [String(github.emulator.model.state.app.id), "1234567"],
    ],
  );
});

test("secrets of an earlier App are not written over, and GitHub is not asked to make another", async () => {
  await mkdir(join(folder, "secrets"));
  await writeFile(join(folder, "secrets", "webhook-secret"), "of another App");
  const { exitCode, stderr } = await setup("--organization", "octo-org").ended;
  expect(exitCode).toBe(1);
  expect(stderr).toContain("webhook-secret exists already");
  expect(await readFile(join(folder, "secrets", "webhook-secret"), "utf8")).toBe("of another App");
});

test("a code that GitHub does not take, and an organisation that was not named, are said plainly", async () => {
  const { address, ended } = setup("--organization", "octo-org");
  const callback = new URL(await submit(await address));
  callback.searchParams.set("code", "spent");
  expect((await fetch(callback)).status).toBe(500);
  const outcome = await ended;
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toContain("GitHub did not hand out the App (status 404)");

  const unnamed = await setup().ended;
  expect(unnamed.exitCode).toBe(2);
  expect(unnamed.stderr).toContain("--organization");
});

test("a page elsewhere that points its own name here learns no state, and nothing that is asked ends the command", async () => {
  const { address, ended, child } = setup("--organization", "octo-org");
  const { port } = new URL(await address);
  const ask = (path: string, host: string) =>
    new Promise<{ readonly status: number; readonly body: string }>((resolve, reject) => {
      const asked = request({ host: "127.0.0.1", port, path, headers: { host } }, async (answer) => {
        resolve({ status: answer.statusCode ?? 0, body: (await answer.toArray()).join("") });
      });
      asked.on("error", reject);
      asked.end();
    });
  const theirs = await ask("/", `attacker.example:${port}`);
  expect(theirs).toMatchObject({ status: 403, body: expect.not.stringContaining("state=") });
  expect((await ask("//", `127.0.0.1:${port}`)).status).toBe(404);
  const ours = await ask("/", `localhost:${port}`);
  expect(ours).toMatchObject({ status: 200, body: expect.stringContaining("state=") });
  child.kill();
  await ended;
});

/** The JWT by which an App proves who it is. */
function appToken(appId: number, privateKey: string): string {
  const seconds = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256", typ: "JWT" })}.${part({ iat: seconds - 30, exp: seconds + 300, iss: String(appId) })}`;
  return `${signed}.${sign("RSA-SHA256", Buffer.from(signed), createPrivateKey(privateKey)).toString("base64url")}`;
}
