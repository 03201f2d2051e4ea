import { generateKeyPairSync } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { createManualClock } from "../../src/adapters/clock/manual.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createGithubApp } from "../../src/adapters/github/app.ts";
import { createMemoryGithub } from "../../src/adapters/github/memory.ts";
import { createMemoryLog } from "../../src/adapters/log/memory.ts";
import { createSeededRandom } from "../../src/adapters/random/seeded.ts";
import { Secret } from "../../src/core/secret.ts";
import { GithubModel } from "../../src/emulator/model.ts";
import { startGithubEmulator } from "../../src/emulator/server.ts";
import { validateExchange } from "../openapi-validator.ts";
import { type RecordedExchange, startRecordingProxy } from "../support/recording-proxy.ts";
import { describeGithub } from "./github.ts";

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = privateKey.export({ type: "pkcs1", format: "pem" }).toString();
const exchanges: RecordedExchange[] = [];
const logs: string[] = [];

describeGithub("the App, over HTTP", async (scene) => {
  const emulator = await startGithubEmulator({
    appPublicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    random: createSeededRandom("conformance"),
    ...(scene.limits !== undefined && { limits: scene.limits }),
  });
  const proxy = await startRecordingProxy(emulator.url);
  const log = createMemoryLog();
  const github = createGithubApp({
    server: proxy.url,
    appId: emulator.model.state.app.id,
    secrets: { read: async () => [new Secret(pem)] },
    clock: createSystemClock(),
    log,
    version: "0.0.0-test",
  });
  return {
    github,
    model: emulator.model,
    now: () => Date.now(),
    wake: () => emulator.wake(),
    async close() {
      await proxy.close();
      await emulator.close();
      exchanges.push(...proxy.exchanges);
      logs.push(log.text());
    },
  };
});

describeGithub("the model, in memory", async (scene) => {
  const clock = createManualClock();
  const random = createSeededRandom("conformance");
  const model = new GithubModel({ random, ...(scene.limits !== undefined && { limits: scene.limits }) });
  return {
    github: createMemoryGithub({ model, clock }),
    model,
    now: clock.now,
    wake: () => model.advance(clock.now()),
    close: () => Promise.resolve(),
  };
});

/** Answers of 304 have no schema: they stand for the answer before. Faults are no part of the description. */
test("every exchange over HTTP is as GitHub describes it", () => {
  expect(exchanges.length).toBeGreaterThan(100);
  const relevant = exchanges.filter(({ status }) => status !== 304 && status < 500);
  const problems = new Set(relevant.flatMap((exchange) => validateExchange(exchange)));
  expect([...problems]).toEqual([]);
});

test("every request says who asks, and no credential is in a log", () => {
  const tokens = new Set<string>();
  for (const { requestHeaders } of exchanges) {
    expect(requestHeaders["user-agent"]).toMatch(/^mayfly\/0\.0\.0-test /);
    const credential = requestHeaders.authorization?.replace(/^Bearer /, "");
    if (credential !== undefined) tokens.add(credential);
  }
  expect(tokens.size).toBeGreaterThan(2);
  const text = logs.join("\n");
  for (const token of tokens) expect(text).not.toContain(token);
});

afterAll(() => {
  exchanges.length = 0;
});
