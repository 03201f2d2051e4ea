import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { createManualClock } from "../../src/adapters/clock/manual.ts";
import { createGithubApp } from "../../src/adapters/github/app.ts";
import { createAppKey } from "../../src/adapters/github/app-key.ts";
import { answerLambdaRequest, type LambdaHttpEvent } from "../../src/adapters/http/lambda.ts";
import { createRouter } from "../../src/adapters/http/router.ts";
import { createSecretsManager } from "../../src/adapters/secrets/secrets-manager.ts";
import {
  activeItem,
  endedItem,
  type Item,
  jobEntry,
  machineEntry,
  pointerItem,
  recordItem,
} from "../../src/adapters/store/dynamodb-table.ts";
import { checkConfig } from "../../src/config/load.ts";
import { policyDocument } from "../../src/config/policy-document.ts";
import type { Scope } from "../../src/core/model.ts";
import { Secret } from "../../src/core/secret.ts";
import { functions, queues } from "../../src/targets/aws/functions.ts";
import { handler } from "../../src/targets/aws/webhook.lambda.ts";
import { webhookRoute } from "../../src/targets/routes/webhook-route.ts";
import { fleetRecord, job, machine, start } from "../builders.ts";
import { standInClient } from "../support/aws-environment.ts";
import { World, webhookSecret } from "../support/world.ts";

/*
 * What goes wrong elsewhere within one function: at its start, at its limits, and on its way to AWS and GitHub. Which
 * failure of which system each test is about stands in docs/reference/failures-of-others.md.
 */

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function serve(answer: Parameters<typeof createServer>[1] & object): Promise<string> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUps.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function request(body: string, headers: Readonly<Record<string, string>>): LambdaHttpEvent {
  return {
    rawPath: "/webhook",
    rawQueryString: "",
    headers,
    body,
    requestContext: { stage: "$default", http: { method: "POST" } },
  };
}

it("works again with the next event when its first start failed, in the same process", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-start-"));
  cleanUps.push(() => rm(folder, { recursive: true }));
  const secrets = await serve((_request, response) => {
    response.end(JSON.stringify({ SecretString: webhookSecret }));
  });
  const environment = {
    LAMBDA_TASK_ROOT: folder,
    AWS_REGION: "eu-west-1",
    AWS_ACCESS_KEY_ID: "stand-in",
    AWS_SECRET_ACCESS_KEY: "stand-in",
    AWS_ENDPOINT_URL: secrets,
    MAYFLY_TABLE: "ledger",
    MAYFLY_SCALEUP_QUEUE_URL: secrets,
    MAYFLY_SCALEDOWN_QUEUE_URL: secrets,
    MAYFLY_LIFECYCLE_QUEUE_URL: secrets,
    MAYFLY_WEBHOOK_SECRET_ID: "webhook-secret",
  };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const unsigned = request("{}", { "x-hub-signature-256": `sha256=${"0".repeat(64)}` });
  // Whatever it was that could not be read at the first event: here, its configuration.
  await expect(handler(unsigned)).rejects.toThrow("policy.json");
  const text =
    "github: { appId: 1 }\npresets: { linux: { architecture: x86_64, compute: ec2, instanceTypes: [m7i.large] } }\n";
  const { loaded } = checkConfig(text, { path: "mayfly.yaml", environment: {} });
  await writeFile(join(folder, "policy.json"), JSON.stringify(policyDocument(loaded!, "0.0.0")));
  expect(await handler(unsigned)).toMatchObject({ statusCode: 401 });
});

it("answers with an error while its secret cannot be read, never with success, and reads it anew at the next delivery", async () => {
  let isDenied = true;
  const url = await serve((_request, response) => {
    if (isDenied) response.writeHead(400).end(JSON.stringify({ __type: "AccessDeniedException" }));
    else response.end(JSON.stringify({ SecretString: webhookSecret }));
  });
  const world = new World();
  const secrets = createSecretsManager({
    client: standInClient(url),
    ids: { "webhook-secret": "webhook-secret" },
    clock: world.clock,
  });
  const route = webhookRoute({ ...world.ports, secrets }, async () => world.policy);
  const server = { log: world.log, ...createRouter([route]) };
  world.github.queueJob();
  const [{ body, headers }] = world.github.outbox as unknown as [{ body: Uint8Array; headers: never }];
  const delivery = request(Buffer.from(body).toString(), headers);
  expect((await answerLambdaRequest(delivery, server)).statusCode).toBe(500);
  isDenied = false;
  expect((await answerLambdaRequest(delivery, server)).statusCode).toBe(202);
  expect(await world.jobs()).toHaveLength(1);
});

it("has as many registrations under way at once as machines ask for them", async () => {
  const together = 50;
  const waiting: (() => void)[] = [];
  // Nobody is answered before all have asked: registrations in a line would never come to an end.
  const url = await serve((asked, response) => {
    asked.resume();
    const isToken = asked.url?.endsWith("/access_tokens") === true;
    const token = { token: "ghs_1", expires_at: new Date(start + 3_600_000).toISOString() };
    const minted = { runner: { id: 1, name: "m" }, encoded_jit_config: "jit" };
    const answer = () =>
      response
        .writeHead(201, { "content-type": "application/json" })
        .end(JSON.stringify(isToken ? token : minted));
    if (isToken) return answer();
    waiting.push(answer);
    if (waiting.length === together) for (const give of waiting) give();
  });
  const clock = createManualClock();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const secrets = { read: async () => [new Secret(pem)] };
  const app = createGithubApp({
    ...{ server: url, appId: 5, secrets, clock, version: "0.0.0" },
    log: new World().log,
  });
  const scope: Scope = { kind: "organization", installationId: 7, owner: "acme" };
  const minted = await Promise.all(
    Array.from({ length: together }, (_, index) =>
      app.mintRunner({ scope, name: `machine-${index}`, labels: ["linux"], runnerGroup: "default" }),
    ),
  );
  expect(minted.every(({ kind }) => kind === "minted")).toBe(true);
});

it("proves to be the App by another token each time, also within one second", async () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const clock = createManualClock();
  const key = createAppKey({ appId: 1, secrets: { read: async () => [new Secret(pem)] }, clock });
  const tokens = [await key.appToken(), await key.appToken()].map((token) => token.reveal());
  expect(tokens[0]).not.toBe(tokens[1]);
});

it("writes no empty text into the table: an index refuses it, and the entry with it", () => {
  const early = machine();
  const late = machine({ state: "ended", providerId: "i-1", times: { ended: start } });
  const done = job({ state: "done", times: { completed: start } });
  const items: readonly Item[] = [
    activeItem(machineEntry(early), 1),
    activeItem(jobEntry(job()), 0),
    pointerItem(machineEntry(early)),
    endedItem(machineEntry(late), start, 3_600),
    endedItem(jobEntry(done), start, 3_600),
    recordItem(fleetRecord()),
  ];
  expect(
    items.flatMap((item) => Object.values(item)).filter((value) => "S" in value && value.S === ""),
  ).toEqual([]);
  // A machine that nobody has launched yet has no place among those of the provider.
  expect(items[0]).not.toHaveProperty("provider");
});

it("has a limit of time and memory for each function, and no message that comes back while it is worked on", () => {
  for (const { name, timeoutSeconds, memoryMib, triggers } of functions) {
    expect(timeoutSeconds, name).toBeGreaterThanOrEqual(15);
    expect(memoryMib, name).toBeGreaterThanOrEqual(256);
    for (const trigger of triggers) {
      // A round that takes longer than its pause would meet the next one.
      if (trigger.kind === "schedule") expect(timeoutSeconds).toBeLessThanOrEqual(trigger.everySeconds);
      // An HTTP API gives up after 30 seconds.
      if (trigger.kind === "http") expect(timeoutSeconds).toBeLessThan(30);
      if (trigger.kind !== "queue") continue;
      const { visibilitySeconds, retentionSeconds, deadLetterSeconds } = queues[trigger.queue];
      expect(visibilitySeconds, trigger.queue).toBeGreaterThan(timeoutSeconds);
      // GitHub lets a job wait for a day; what tells of it is kept longer, and longest where it failed.
      expect(retentionSeconds).toBeGreaterThan(24 * 3_600);
      expect(deadLetterSeconds).toBeGreaterThan(retentionSeconds);
    }
  }
});
