import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Exchange } from "../openapi-validator.ts";

export interface RecordedExchange extends Exchange {
  readonly requestHeaders: Readonly<Record<string, string | undefined>>;
}

/** Stands between a client and an emulator, changes nothing, and remembers what was said. */
export interface RecordingProxy {
  readonly url: string;
  readonly exchanges: RecordedExchange[];
  close(): Promise<void>;
}

export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const exchanges: RecordedExchange[] = [];
  const server = createServer((request, response) => {
    relay(request, response, target).then((exchange) => {
      if (exchange !== undefined) exchanges.push(exchange);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function relay(
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
): Promise<RecordedExchange | undefined> {
  const body = await readAll(request);
  const { method = "GET", url = "/", headers } = request;
  const answer = await new Promise<IncomingMessage | undefined>((resolve) => {
    const outgoing = forward(`${target}${url}`, { method, headers }, resolve);
    outgoing.on("error", () => resolve(undefined));
    outgoing.end(body);
  });
  if (answer === undefined) {
    response.destroy();
    return undefined;
  }
  const answered = await readAll(answer);
  response.writeHead(answer.statusCode ?? 500, answer.headers);
  response.end(answered);
  return {
    method,
    path: url,
    status: answer.statusCode ?? 500,
    requestHeaders: headers as RecordedExchange["requestHeaders"],
    ...(body.length > 0 && { requestBody: JSON.parse(body.toString()) }),
    ...(answered.length > 0 && { responseBody: JSON.parse(answered.toString()) }),
  };
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
