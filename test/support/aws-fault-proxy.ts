import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createEcsOverMoto } from "./ecs-over-moto.ts";

/*
 * A proxy in front of moto, which makes it more like AWS and makes it fail. What moto (5.2) gets wrong and the proxy
 * puts right:
 *
 * - Transactions of DynamoDB are not atomic beside one another (threads, and a rollback that restores the tables as
 *   they were before): here, requests to DynamoDB happen one after the other.
 * - Two that terminate the same instance at once detach its volume twice, and the second fails: one after the other, too.
 * - `ClientRequestToken` of `TransactWriteItems` is ignored: here, a repetition gets the first answer, and the same
 *   token with another content is refused.
 * - So is `ClientToken` of `CreateFleet`, and so it is here. (That moto uses the first override only stays so.)
 * - So are `clientToken` of `RunTask` and `idempotencyToken` of `StartBuild`. What else it gets wrong of ECS is in ecs-over-moto.ts.
 *
 * What it never does and the proxy can be told to do (`inject`): throttle, fail, collide with another transaction,
 * lose requests, lose answers after the effect, answer with errors inside of a 200.
 */

export interface AwsCall {
  /** As in the credentials of the signature, for example `dynamodb`. */
  readonly service: string;
  readonly action: string;
  /** Who signed it. */
  readonly accessKeyId: string;
}

export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Beside those that every answer has, or in their place. */
  readonly headers?: Readonly<Record<string, string>>;
}

export type AwsFault =
  /** The connection is cut, and nothing was done. */
  | { readonly kind: "lose-request" }
  /** It is done, and then the connection is cut. */
  | { readonly kind: "lose-answer" }
  /** This answer, and nothing is done. */
  | { readonly kind: "answer"; readonly reply: Reply }
  /** It is done, and the answer is changed on its way; the request too, where that is given. */
  | {
      readonly kind: "rewrite";
      readonly change: (body: string) => string;
      readonly request?: (body: string) => string;
    };

export interface AwsFaultProxy {
  readonly url: string;
  /** Every request that reached it, in order. */
  readonly calls: readonly AwsCall[];
  /** Forgets the calls so far. */
  forgetCalls(): void;
  /** The next calls of this action suffer these faults, one each, in this order. */
  inject(action: string, ...faults: readonly AwsFault[]): void;
  close(): Promise<void>;
}

/** A refusal as services with the JSON protocol word it. */
export function jsonRefusal(status: number, code: string, fields: object = {}): AwsFault {
  const body = JSON.stringify({ __type: `com.amazonaws.stand-in#${code}`, message: `${code}.`, ...fields });
  return { kind: "answer", reply: { status, contentType: "application/x-amz-json-1.0", body } };
}

/** A call that is not allowed, as this service words it. */
export function accessDenied(service: string, message: string): Reply {
  const fault =
    service === "ec2"
      ? ec2Refusal(403, "UnauthorizedOperation", message)
      : jsonRefusal(400, "AccessDeniedException", { message });
  return replyOf(fault);
}

/** A refusal as EC2 words it. */
function ec2Refusal(status: number, code: string, message: string): AwsFault {
  const body = `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors></Response>`;
  return { kind: "answer", reply: { status, contentType: "text/xml", body } };
}

/** A transaction that another one was in the way of: `place` is that of the write which met it. */
export function transactionConflict(writes: number, place = 0): AwsFault {
  const reasons = Array.from({ length: writes }, (_, index) => ({
    Code: index === place ? "TransactionConflict" : "None",
  }));
  return jsonRefusal(400, "TransactionCanceledException", { CancellationReasons: reasons });
}

export interface AwsFaultProxyOptions {
  /** Gives the refusal of a call that is not allowed; it is not passed on then. */
  readonly judge?: (call: AwsCall, body: string) => Promise<Reply | undefined>;
}

export async function startAwsFaultProxy(
  target: string,
  { judge }: AwsFaultProxyOptions = {},
): Promise<AwsFaultProxy> {
  const calls: AwsCall[] = [];
  const faults = new Map<string, AwsFault[]>();
  const agent = new Agent({ keepAlive: true });
  const ecs = createEcsOverMoto();
  const done = new Map<string, { readonly body: string; readonly reply: Promise<Reply> }>();
  const turns = new Map<string, Promise<unknown>>();

  /** One action for one token, also when it is asked twice at the same time. */
  async function once(call: AwsCall, body: string, act: () => Promise<Reply>): Promise<Reply> {
    const token = tokenOf(call, body);
    if (token === undefined) return act();
    const before = done.get(token);
    if (before !== undefined) return before.body === body ? before.reply : mismatchOf(call);
    const reply = act();
    done.set(token, { body, reply });
    // What was refused, or never arrived, may be asked for again with the same token.
    const isDone = await reply.then(({ status }) => status === 200).catch(() => false);
    if (!isDone) done.delete(token);
    return reply;
  }

  const server = createServer(async (incoming, outgoing) => {
    const body = await readText(incoming);
    const call = callOf(incoming, body);
    calls.push(call);
    const refusal = await judge?.(call, body);
    if (refusal !== undefined) return give(outgoing, refusal);
    const fault = faults.get(call.action)?.shift();
    if (fault?.kind === "lose-request") return void outgoing.destroy();
    if (fault?.kind === "answer") return give(outgoing, fault.reply);
    const sent = fault?.kind === "rewrite" ? (fault.request?.(body) ?? body) : body;
    const change = fault?.kind === "rewrite" ? fault.change : (text: string) => text;
    const work = (): Promise<Reply> =>
      once(call, body, async () => {
        const asked = call.service === "ecs" ? ecs.asMoto(call.action, sent) : sent;
        const answer = await ask(target, agent, incoming, asked);
        const reply = call.service === "ecs" ? ecs.asEcs(call.action, sent, answer) : answer;
        return { ...reply, body: change(reply.body) };
      });
    const line = lineOf(call);
    const answer = line === undefined ? work() : (turns.get(line) ?? Promise.resolve()).then(work);
    if (line !== undefined) {
      turns.set(
        line,
        answer.catch(() => undefined),
      );
    }
    const reply = await answer.catch(() => undefined);
    if (reply === undefined || fault?.kind === "lose-answer") return void outgoing.destroy();
    give(outgoing, reply);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    forgetCalls: () => calls.splice(0),
    inject: (action, ...more) => faults.set(action, [...(faults.get(action) ?? []), ...more]),
    close: async () => {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** In which line a call waits for those before it, if in any. */
function lineOf({ service, action }: AwsCall): string | undefined {
  return service === "dynamodb" || action === "TerminateInstances" ? service : undefined;
}

function tokenOf({ action }: AwsCall, body: string): string | undefined {
  if (action === "TransactWriteItems") return JSON.parse(body).ClientRequestToken;
  if (action === "RunTask") return JSON.parse(body).clientToken;
  if (action === "StartBuild") return JSON.parse(body).idempotencyToken;
  if (action === "CreateFleet") return new URLSearchParams(body).get("ClientToken") ?? undefined;
  return undefined;
}

function mismatchOf({ service }: AwsCall): Reply {
  if (service === "ecs") return replyOf(jsonRefusal(400, "ConflictException"));
  const code = "IdempotentParameterMismatch";
  const fault =
    service === "ec2"
      ? ec2Refusal(400, code, "Arguments on this idempotent request are inconsistent with earlier ones.")
      : jsonRefusal(400, `${code}Exception`);
  return replyOf(fault);
}

function replyOf(fault: AwsFault): Reply {
  if (fault.kind !== "answer") throw new Error("A refusal is an answer.");
  return fault.reply;
}

/** `x-amz-target: DynamoDB_20120810.GetItem`, or `Action=RunInstances` in the body. */
function callOf(incoming: IncomingMessage, body: string): AwsCall {
  const [, accessKeyId = "unknown", service = "unknown"] =
    /Credential=([^/]+)\/\d+\/[^/]+\/([^/]+)\//.exec(incoming.headers.authorization ?? "") ?? [];
  const target = incoming.headers["x-amz-target"]?.toString();
  const action = target?.split(".").at(-1) ?? new URLSearchParams(body).get("Action") ?? "unknown";
  return { service, action, accessKeyId };
}

function ask(target: string, agent: Agent, incoming: IncomingMessage, body: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { method, headers, url = "/" } = incoming;
    const length = { "content-length": String(Buffer.byteLength(body)) };
    const outgoing = request(new URL(url, target), {
      agent,
      headers: { ...headers, ...length },
      ...(method && { method }),
    });
    outgoing.on("error", reject);
    outgoing.on("response", async (answer) => {
      const contentType = answer.headers["content-type"] ?? "";
      const text = readText(answer);
      text.then((read) => resolve({ status: answer.statusCode ?? 0, contentType, body: read }), reject);
    });
    outgoing.end(body);
  });
}

async function readText(message: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function give(outgoing: ServerResponse, { status, contentType, body, headers }: Reply): void {
  outgoing.writeHead(status, { ...headers, "content-type": contentType }).end(body);
}
