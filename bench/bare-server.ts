import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { answerQuestions } from "./child.ts";

/** The limit: a node:http server that verifies the signature over the bytes, and does nothing else. */
const { secret } = JSON.parse(process.argv[2] ?? "{}") as { readonly secret: string };

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const right = createHmac("sha256", secret).update(Buffer.concat(chunks)).digest();
    const given = Buffer.from(String(request.headers["x-hub-signature-256"]).slice("sha256=".length), "hex");
    response.statusCode = given.length === right.length && timingSafeEqual(given, right) ? 202 : 401;
    response.end("Recorded.\n");
  });
});

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  answerQuestions(
    { port },
    async () => ({}),
    async () => {},
  );
});
