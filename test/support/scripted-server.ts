import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface ScriptedAnswer {
  readonly status?: number;
  /** A text is sent as it is, anything else as JSON. */
  readonly body: unknown;
}

export interface ScriptedServer {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  close(): Promise<void>;
}

/** Answers each `METHOD /path` as the script says, and everything else with the 404 of a Mayfly server. */
export async function startScriptedServer(
  script: Readonly<Record<string, ScriptedAnswer>>,
  date: number,
): Promise<ScriptedServer> {
  const requests: SeenRequest[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const method = request.method ?? "";
    const path = request.url ?? "";
    requests.push({ method, path, headers: request.headers, body });
    const unknown = { status: 404, body: { error: "No such thing is known.", next: "Look at the lists." } };
    const answer = script[`${method} ${path}`] ?? unknown;
    const text = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body);
    response.writeHead(answer.status ?? 200, { date: new Date(date).toUTCString() }).end(text);
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
