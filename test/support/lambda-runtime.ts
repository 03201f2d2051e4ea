import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

/*
 * What runs one function in a process of its own, in place of Lambda's runtime: loads its bundle as Lambda does, and
 * calls its handler for one event after the other, which come from its parent.
 */

export interface RuntimeRequest {
  readonly id: number;
  readonly event: unknown;
  readonly timeoutMilliseconds: number;
}

export type RuntimeReply =
  | { readonly kind: "ready" }
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly message: string };

type Handler = (event: unknown, context: unknown) => Promise<unknown>;

const [folder = "", name = ""] = process.argv.slice(2);
const { handler } = createRequire(import.meta.url)(join(folder, "index.js")) as { readonly handler: Handler };

process.on("message", async ({ id, event, timeoutMilliseconds }: RuntimeRequest) => {
  const deadline = performance.now() + timeoutMilliseconds;
  const context = {
    functionName: name,
    awsRequestId: randomUUID(),
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(deadline - performance.now())),
  };
  try {
    reply({ kind: "answer", id, answer: await handler(event, context) });
  } catch (error) {
    reply({
      kind: "failure",
      id,
      message: error instanceof Error ? (error.stack ?? error.message) : `${error}`,
    });
  }
});

function reply(message: RuntimeReply): void {
  process.send?.(message);
}

reply({ kind: "ready" });
