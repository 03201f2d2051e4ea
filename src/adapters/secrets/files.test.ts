import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { SecretName } from "../../ports/secrets.ts";
import { createManualClock } from "../clock/manual.ts";
import { createMemoryLog } from "../log/memory.ts";
import { createFileSecrets } from "./files.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-secrets-"));
});
afterEach(() => rm(folder, { recursive: true }));

function harness(environment: Record<string, string> = {}) {
  const clock = createManualClock();
  const log = createMemoryLog();
  const secrets = createFileSecrets({
    places: {
      "webhook-secret": { file: join(folder, "webhook") },
      "app-private-key": { environment: "APP_KEY" },
    },
    readEnvironment: (name) => environment[name],
    clock,
    log,
    cacheSeconds: 5,
  });
  const read = async (name: SecretName) => (await secrets.read(name)).map((secret) => secret.reveal());
  const write = (text: string) => writeFile(join(folder, "webhook"), text, { mode: 0o600 });
  return { clock, log, read, write };
}

test("several lines are several secrets, the newest first", async () => {
  const { read, write } = harness();
  await write("new\r\n\n  old  \n");
  expect(await read("webhook-secret")).toEqual(["new", "old"]);
});

test("a changed file is seen once the short cache has passed", async () => {
  const { clock, read, write } = harness();
  await write("one");
  expect(await read("webhook-secret")).toEqual(["one"]);
  await write("two");
  await clock.advance(4_999);
  expect(await read("webhook-secret")).toEqual(["one"]);
  await clock.advance(1);
  expect(await read("webhook-secret")).toEqual(["two"]);
});

test("a private key is one value, also where its line ends are written out", async () => {
  const key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----";
  expect(await harness({ APP_KEY: `${key}\n` }).read("app-private-key")).toEqual([key]);
  expect(await harness({ APP_KEY: key.replaceAll("\n", "\\n") }).read("app-private-key")).toEqual([key]);
});

test("what is missing, empty or not configured says where it was looked for, and does not poison later reads", async () => {
  const { read, write } = harness({ APP_KEY: " \n" });
  await expect(read("webhook-secret")).rejects.toMatchObject({
    kind: "operator",
    code: "SECRET_MISSING",
    message: expect.stringContaining(join(folder, "webhook")),
  });
  await write("\n\n");
  await expect(read("webhook-secret")).rejects.toMatchObject({ kind: "operator", code: "SECRET_EMPTY" });
  await write("x".repeat(70_000));
  await expect(read("webhook-secret")).rejects.toMatchObject({ code: "SECRET_UNREADABLE" });
  await write("good");
  expect(await read("webhook-secret")).toEqual(["good"]);
  await expect(read("app-private-key")).rejects.toMatchObject({ code: "SECRET_EMPTY" });
  await expect(harness().read("app-private-key")).rejects.toThrow(/APP_KEY/);
  await expect(read("status-token")).rejects.toMatchObject({ code: "SECRET_MISSING" });
});

test("a file that others may read is warned of once, without its content", async () => {
  const { clock, log, read, write } = harness();
  await write("hunter2");
  await read("webhook-secret");
  expect(log.lines).toEqual([]);
  await chmod(join(folder, "webhook"), 0o640);
  for (let count = 0; count < 2; count++) {
    await clock.advance(5_000);
    await read("webhook-secret");
  }
  expect(log.lines.map((line) => line.level)).toEqual(["warn"]);
  expect(log.text()).not.toContain("hunter2");
});
