import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { callJson } from "../../src/adapters/aws/json.ts";
import type { FunctionName, QueueName } from "../../src/targets/aws/functions.ts";
import type { LambdaHost } from "./lambda-host.ts";
import { type SignedRequest, verifySignature } from "./signature-verifier.ts";

/** Something that starts functions until it is stopped. */
export interface Running {
  stop(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------- queues

interface ReceivedMessage {
  readonly MessageId: string;
  readonly ReceiptHandle: string;
  readonly Body: string;
  readonly Attributes?: Readonly<Record<string, string>>;
}

export interface PollerOptions {
  readonly host: LambdaHost;
  readonly name: FunctionName;
  readonly client: AwsClient;
  readonly queueUrl: string;
  readonly queue: QueueName;
  readonly batchSize: number;
  readonly windowSeconds: number;
}

/**
 * What Lambda does for a function with a queue: gathers a batch, calls the function, deletes what did not fail.
 * A function that throws or is killed has dealt with nothing: all of it comes again when its visibility has passed.
 */
export function startPoller(options: PollerOptions): Running {
  let stopped = false;
  const poll = async (): Promise<void> => {
    while (!stopped) {
      const batch = await gather(options, () => stopped);
      if (batch.length > 0) await deal(options, batch);
    }
  };
  const running = Promise.all([poll(), poll()]);
  return {
    async stop() {
      stopped = true;
      await running;
    },
  };
}

async function gather(options: PollerOptions, stopped: () => boolean): Promise<readonly ReceivedMessage[]> {
  const batch = await receive(options, 1);
  const until = performance.now() + options.windowSeconds * 1000;
  while (batch.length > 0 && batch.length < options.batchSize && performance.now() < until && !stopped()) {
    const more = await receive(options, 0);
    batch.push(...more);
    if (more.length === 0) await pause(100);
  }
  return batch;
}

async function receive({ client, queueUrl }: PollerOptions, waitSeconds: number): Promise<ReceivedMessage[]> {
  const { Messages = [] } = await callJson<{ Messages?: ReceivedMessage[] }>(client, {
    service: "sqs",
    action: "ReceiveMessage",
    resource: queueUrl,
    input: {
      QueueUrl: queueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: waitSeconds,
      MessageSystemAttributeNames: ["All"],
    },
  });
  return Messages;
}

async function deal(options: PollerOptions, batch: readonly ReceivedMessage[]): Promise<void> {
  const Records = batch.map((message) => ({
    messageId: message.MessageId,
    receiptHandle: message.ReceiptHandle,
    body: message.Body,
    attributes: message.Attributes ?? {},
    eventSource: "aws:sqs",
    eventSourceARN: `arn:aws:sqs:${options.client.region}:123456789012:${options.queue}`,
    awsRegion: options.client.region,
  }));
  const failed = await options.host.invoke(options.name, { Records }).then(failuresIn, () => undefined);
  if (failed === undefined) return;
  for (const message of batch) {
    if (failed.has(message.MessageId)) continue;
    await callJson(options.client, {
      service: "sqs",
      action: "DeleteMessage",
      resource: options.queueUrl,
      input: { QueueUrl: options.queueUrl, ReceiptHandle: message.ReceiptHandle },
    });
  }
}

/** Undefined where the answer is none: then Lambda takes the whole batch for failed. */
function failuresIn(answer: unknown): ReadonlySet<string> | undefined {
  const failures = (
    answer as { readonly batchItemFailures?: readonly { readonly itemIdentifier?: string }[] } | null
  )?.batchItemFailures;
  if (failures === undefined) return new Set();
  const ids = failures.map(({ itemIdentifier }) => itemIdentifier);
  return ids.every((id): id is string => typeof id === "string" && id !== "") ? new Set(ids) : undefined;
}

// ------------------------------------------------------------------------------------------- schedules

/** Calls the function now and again after each pause; a call that fails is repeated by the next one. */
export function startSchedule(host: LambdaHost, name: FunctionName, everySeconds: number): Running {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const event = { version: "0", source: "aws.scheduler", "detail-type": "Scheduled Event", detail: {} };
      await host.invoke(name, event).catch(() => undefined);
      await pause(everySeconds * 1000, stopping.signal);
    }
  };
  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

// ------------------------------------------------------------------------------------------------ HTTP

export interface HttpFrontOptions {
  readonly host: LambdaHost;
  readonly routes: readonly HttpFrontRoute[];
  readonly region: string;
  /** Who may sign, by access key: what the IAM authorizer knows. */
  readonly signers: () => Readonly<Record<string, Signer>>;
  /** Whether the policies of whoever signed allow it; without it, they do. */
  readonly allows?: (method: string, path: string) => boolean;
  /** Whether a request to this path is lost on its way: its connection is cut, and nobody hears of it. */
  readonly loses?: (path: string) => boolean;
}

export interface HttpFrontRoute {
  /** As an HTTP API writes it, for example `POST /v1/machines/{name+}`. */
  readonly route: string;
  readonly name: FunctionName;
  readonly authorizer: "none" | "iam";
}

export interface Signer {
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** For example `arn:aws:sts::123456789012:assumed-role/machines/i-0abc`. */
  readonly arn: string;
}

/** An HTTP API (payload format 2.0), on a port of this host. */
export async function startHttpFront(options: HttpFrontOptions): Promise<Running & { readonly url: string }> {
  const server = createServer(async (request, response) => {
    if (options.loses?.(request.url ?? "") === true) return void request.socket.destroy();
    const answer = await answerRequest(options, request).catch((error: unknown) => {
      // As an HTTP API answers for a function that failed, was killed or answered with something else.
      return { statusCode: 503, headers: {}, body: `{"message":"Service Unavailable"}`, error };
    });
    const { statusCode, headers, body = "", isBase64Encoded } = answer as Answer;
    response.writeHead(statusCode, headers);
    response.end(Buffer.from(body, isBase64Encoded === true ? "base64" : "utf8"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly isBase64Encoded?: boolean;
}

async function answerRequest(options: HttpFrontOptions, incoming: IncomingMessage): Promise<unknown> {
  const request = await readRequest(incoming);
  const route = options.routes.find((entry) => matches(entry.route, request.method, request.path));
  if (route === undefined) return { statusCode: 404, headers: {}, body: `{"message":"Not Found"}` };
  const iam = route.authorizer === "iam" ? authorized(request, options) : undefined;
  if (route.authorizer === "iam" && iam === undefined) {
    return { statusCode: 403, headers: {}, body: `{"message":"Forbidden"}` };
  }
  const isText = /^(text\/|application\/(json|x-www-form-urlencoded))/.test(
    request.headers["content-type"] ?? "",
  );
  return options.host.invoke(route.name, {
    version: "2.0",
    routeKey: route.route,
    rawPath: request.path,
    rawQueryString: request.query,
    headers: request.headers,
    body: request.body.toString(isText ? "utf8" : "base64"),
    isBase64Encoded: !isText,
    requestContext: {
      stage: "$default",
      http: { method: request.method, path: request.path, sourceIp: "192.0.2.1" },
      ...(iam !== undefined && { authorizer: { iam } }),
    },
  });
}

async function readRequest(incoming: IncomingMessage): Promise<SignedRequest & { readonly body: Buffer }> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const [path = "", query = ""] = (incoming.url ?? "").split("?", 2);
  const headers = Object.entries(incoming.headersDistinct).map(([name, values]) => [name, values?.join(",")]);
  const body = Buffer.concat(chunks);
  return { method: incoming.method ?? "", path, query, headers: Object.fromEntries(headers), body };
}

function matches(route: string, method: string, path: string): boolean {
  const [routeMethod, pattern = ""] = route.split(" ");
  const expression = pattern.replace(/\{\w+\+\}/g, ".+").replace(/\{\w+\}/g, "[^/]+");
  return routeMethod === method && new RegExp(`^${expression}$`).test(path);
}

function authorized(
  request: SignedRequest,
  { region, signers, allows = () => true }: HttpFrontOptions,
): { readonly userArn: string } | undefined {
  const credentials = signers();
  const verdict = verifySignature(request, { service: "execute-api", region, now: Date.now(), credentials });
  const signer = verdict.kind === "valid" ? credentials[verdict.accessKeyId] : undefined;
  if (signer === undefined || !allows(request.method, request.path)) return undefined;
  return { userArn: signer.arn };
}
