import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Fields } from "./cloudformation.ts";

/**
 * CodeBuild of moto (5.2.1) wants a place of each project's source, also of those that have none. In front of it, they
 * get one, and nobody hears of it.
 */
export async function codeBuildOverMoto(
  moto: string,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { host: _, "content-length": __, ...headers } = request.headers;
    const answer = await fetch(`${moto}${request.url}`, {
      method: request.method ?? "POST",
      headers: headers as Record<string, string>,
      body: withSource(body, (source) => (source.location ? source : { ...source, location: nowhere })),
    });
    const text = withSource(await answer.text(), ({ location, ...source }) =>
      location === nowhere ? source : { ...source, location },
    );
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" }).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

const nowhere = "nowhere";

/** The document with this done to each source in it. */
function withSource(text: string, change: (source: Fields) => Fields): string {
  if (!text.startsWith("{")) return text;
  const document = JSON.parse(text, (key, value) => {
    return key === "source" && typeof value?.type === "string" ? change(value) : value;
  });
  return JSON.stringify(document);
}
