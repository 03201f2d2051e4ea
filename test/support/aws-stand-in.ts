import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { AwsCredentials } from "../../src/adapters/aws/client.ts";
import { Secret } from "../../src/core/secret.ts";
import type { Clock } from "../../src/ports/clock.ts";
import { type SignedRequest, type Verdict, verifySignature } from "./signature-verifier.ts";

/** What becomes of one request: an answer, a connection that is cut before or within it, or nothing at all. */
export type StandInAnswer =
  | { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly body: unknown }
  | "cut-before"
  | "cut-within"
  | "nothing"
  | (() => StandInAnswer);

export interface SeenAwsRequest extends SignedRequest {
  readonly body: string;
  readonly verdict: Verdict;
}

export interface AwsStandIn {
  readonly url: string;
  readonly requests: readonly SeenAwsRequest[];
  close(): Promise<void>;
}

export const standInCredentials: AwsCredentials = {
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: new Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
  sessionToken: new Secret("lent+for/a=time"),
};

/** A service of AWS that answers its requests one after the other as it was told, and verifies their signatures. */
export async function startAwsStandIn(
  answers: readonly StandInAnswer[],
  options: { readonly service: string; readonly region: string; readonly now: () => number },
): Promise<AwsStandIn> {
  const requests: SeenAwsRequest[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const request = await readRequest(incoming);
    const answer = answers[requests.length] ?? { status: 500, body: "Nothing more was planned." };
    requests.push({ ...request, verdict: verify(request, options) });
    give(answer, outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Time that stands still but for the sleeps, which are over at once. */
export function createImpatientClock(start: number): Clock & { readonly sleeps: readonly number[] } {
  const sleeps: number[] = [];
  let now = start;
  return {
    sleeps,
    now: () => now,
    async sleep(milliseconds) {
      sleeps.push(milliseconds);
      now += milliseconds;
    },
  };
}

async function readRequest(incoming: IncomingMessage): Promise<SignedRequest & { readonly body: string }> {
  let body = "";
  for await (const chunk of incoming) body += chunk;
  const [path = "", query = ""] = (incoming.url ?? "").split("?", 2);
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, value?.toString()]);
  return { method: incoming.method ?? "", path, query, headers: Object.fromEntries(headers), body };
}

function verify(
  request: SignedRequest,
  options: { readonly service: string; readonly region: string; readonly now: () => number },
): Verdict {
  const { accessKeyId, secretAccessKey, sessionToken } = standInCredentials;
  const known = {
    secretAccessKey: secretAccessKey.reveal(),
    ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
  };
  return verifySignature(request, { ...options, now: options.now(), credentials: { [accessKeyId]: known } });
}

function give(answer: StandInAnswer, outgoing: ServerResponse): void {
  if (typeof answer === "function") {
    give(answer(), outgoing);
    return;
  }
  if (answer === "nothing") return;
  if (answer === "cut-before") {
    outgoing.destroy();
    return;
  }
  if (answer === "cut-within") {
    outgoing.writeHead(200, { "content-length": "100" }).write("{");
    setImmediate(() => outgoing.destroy());
    return;
  }
  const text = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body);
  outgoing.writeHead(answer.status ?? 200, answer.headers).end(text);
}
