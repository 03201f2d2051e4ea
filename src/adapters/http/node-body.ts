import type { IncomingMessage, ServerResponse } from "node:http";

/** The memory that all bodies together may take. */
export interface BodyBudget {
  usedBytes: number;
  readonly totalBytes: number;
}

/** `abandoned`: the client went away, or was cut off, before the body was complete. */
export type BodyFailure = "too-large" | "no-room" | "abandoned";

/**
 * The complete body. With `expecting`, the client is told to go on before anything is read, but only when the
 * length that it announced will be taken.
 *
 * A body that is too large is refused as early as that is known: from its announced length, or at the first byte
 * past the limit. The rest of it stays unread.
 */
export function readBody(
  request: IncomingMessage,
  expecting: ServerResponse | undefined,
  limitBytes: number,
  budget: BodyBudget,
): Promise<Uint8Array | BodyFailure> | Uint8Array | BodyFailure {
  const announced = request.headers["content-length"];
  if (announced === undefined && request.headers["transfer-encoding"] === undefined) return emptyBody;
  const announcedBytes = Number(announced ?? 0);
  if (announcedBytes > limitBytes) return "too-large";
  if (budget.usedBytes + announcedBytes > budget.totalBytes) return "no-room";
  expecting?.writeContinue();
  return collect(request, limitBytes, budget);
}

const emptyBody = new Uint8Array(0);

function collect(
  request: IncomingMessage,
  limitBytes: number,
  budget: BodyBudget,
): Promise<Uint8Array | BodyFailure> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;

    const settle = (result: Uint8Array | BodyFailure) => {
      request.off("data", onData);
      request.off("end", onEnd);
      request.off("close", onClose);
      budget.usedBytes -= bytes;
      resolve(result);
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      budget.usedBytes += chunk.length;
      if (bytes > limitBytes) return settle("too-large");
      if (budget.usedBytes > budget.totalBytes) return settle("no-room");
      chunks.push(chunk);
    };
    const onEnd = () => {
      const [first] = chunks;
      // Most deliveries arrive in one piece, which then is the body without a copy.
      settle(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes));
    };
    const onClose = () => settle("abandoned");

    request.on("data", onData);
    request.on("end", onEnd);
    request.on("close", onClose);
  });
}
