import { createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import {
  type GithubEmulator,
  type GithubEmulatorOptions,
  startGithubEmulator,
} from "../../src/emulator/server.ts";
import { validateExchange, validateWebhook } from "../openapi-validator.ts";

/** A delivery as the webhook's receiver saw it. */
export interface ReceivedDelivery {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: payloads are checked against GitHub's description, not by types
  readonly payload: any;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are checked against GitHub's description, not by types
  readonly body: any;
}

/**
 * An emulator with an organisation `octo-org`, its repository `demo`, an installation of the App on it, and a
 * receiver for its webhook. `problems` collects every exchange and every delivery that GitHub's own
 * descriptions do not allow; a test ends with expecting that there are none.
 */
export interface EmulatedGithub {
  readonly emulator: GithubEmulator;
  readonly installationId: number;
  readonly privateKey: string;
  readonly webhookSecret: string;
  readonly deliveries: readonly ReceivedDelivery[];
  readonly problems: readonly string[];
  /** What the webhook's receiver answers from now on. */
  answerDeliveriesWith(status: number): void;
  appToken(claims?: Readonly<Record<string, unknown>>): string;
  installationToken(): Promise<string>;
  call(
    method: string,
    path: string,
    credential: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  /** Resolves when the condition holds; rejects after some seconds. */
  until(condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

export async function emulatedGithub(options: Partial<GithubEmulatorOptions> = {}): Promise<EmulatedGithub> {
  const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const privateKey = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const appPublicKey = keys.publicKey.export({ type: "spki", format: "pem" }).toString();
  const problems: string[] = [];
  const receiver = await startReceiver(problems);
  const webhookSecret = "it is a secret to everybody";
  const webhook = { url: receiver.url, secret: webhookSecret };
  const emulator = await startGithubEmulator({
    appPublicKey,
    webhook,
    random: createSystemRandom(),
    ...options,
  });
  const now = options.now ?? Date.now;
  emulator.model.addRepository(now(), { owner: "octo-org", name: "demo" });
  const { id: installationId } = emulator.model.addInstallation(now(), { account: "octo-org" });
  const appToken = (claims: Readonly<Record<string, unknown>> = {}): string =>
    signClaims(privateKey, now(), emulator.model.state.app.id, claims);
  const call: EmulatedGithub["call"] = async (method, path, credential, body, headers) => {
    const answer = await send(emulator.url + path, method, credential, body, headers);
    if (!path.startsWith("/_emulator/")) {
      const exchange = { method, path, requestBody: body, status: answer.status, responseBody: answer.body };
      problems.push(...validateExchange(exchange));
    }
    return answer;
  };
  return {
    emulator,
    installationId,
    privateKey,
    webhookSecret,
    deliveries: receiver.deliveries,
    problems,
    answerDeliveriesWith: receiver.answerWith,
    appToken,
    call,
    until: (condition) => waitUntil(condition),
    installationToken: async () => {
      const path = `/app/installations/${installationId}/access_tokens`;
      return (await call("POST", path, appToken())).body.token;
    },
    close: async () => {
      await emulator.close();
      receiver.server.closeAllConnections();
      receiver.server.close();
    },
  };
}

/** Whether the delivery carries the signature that belongs to its bytes. */
export function isSigned(delivery: ReceivedDelivery, secret: string): boolean {
  const expected = createHmac("sha256", secret).update(delivery.text).digest("hex");
  return delivery.headers["x-hub-signature-256"] === `sha256=${expected}`;
}

interface Receiver {
  readonly server: Server;
  readonly url: string;
  readonly deliveries: ReceivedDelivery[];
  readonly answerWith: (status: number) => void;
}

async function startReceiver(problems: string[]): Promise<Receiver> {
  const deliveries: ReceivedDelivery[] = [];
  let status = 200;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const payload = JSON.parse(text);
    const event = String(request.headers["x-github-event"]);
    problems.push(...validateWebhook(event, payload.action, payload));
    deliveries.push({ headers: request.headers, text, payload });
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === "string") throw new Error("The receiver has no port.");
  const answerWith = (next: number): void => {
    status = next;
  };
  return { server, url: `http://127.0.0.1:${address.port}/webhook`, deliveries, answerWith };
}

async function send(
  url: string,
  method: string,
  credential: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${credential}`, ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === "" ? undefined : JSON.parse(text),
  };
}

function signClaims(
  privateKey: string,
  now: number,
  appId: number,
  changes: Readonly<Record<string, unknown>>,
): string {
  const seconds = Math.floor(now / 1000);
  const claims = { iat: seconds - 30, exp: seconds + 540, iss: String(appId), ...changes };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(privateKey).toString("base64url")}`;
}

async function waitUntil(condition: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > giveUpAt) throw new Error("The condition did not come true within 10 seconds.");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
