import { connect, type Socket } from "node:net";
import { answerQuestions, type Message } from "./child.ts";
import { quantile } from "./measure.ts";
import { signedRequests } from "./signed-requests.ts";

/** A process that makes requests before they are needed, then sends them over connections that stay open. */
interface Options {
  readonly secret: string;
  readonly path: string;
  readonly count: number;
}

const options = JSON.parse(process.argv[2] ?? "{}") as Options;
const requests = signedRequests({ ...options, firstId: 1_000_000 });

answerQuestions({ ready: true }, load, async () => {});

/** `from` and `count` say which of the requests are sent. */
async function load(question: Message): Promise<Message> {
  const { port, connections, from, count } = question as Message & {
    port: number;
    connections: number;
    from: number;
    count: number;
  };
  const tookMilliseconds: number[] = [];
  let next = from;
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  const begun = performance.now();
  await Promise.all(
    sockets.map(async (socket) => {
      for (let at = next++; at < from + count; at = next++) {
        const sent = performance.now();
        await exchange(socket, requests[at] ?? Buffer.alloc(0));
        tookMilliseconds.push(performance.now() - sent);
      }
      socket.destroy();
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  return {
    perSecond: count / seconds,
    p50Milliseconds: quantile(tookMilliseconds, 0.5),
    p99Milliseconds: quantile(tookMilliseconds, 0.99),
  };
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Sends one request and resolves with the end of its answer. Anything but a 2xx ends the bench. */
function exchange(socket: Socket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    const fail = (why: string) => reject(new Error(why));
    const onClose = () => fail("The server closed the connection.");
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!isComplete(text)) return;
      socket.off("data", onData);
      socket.off("close", onClose);
      if (/^HTTP\/1\.1 2/.test(text)) resolve();
      else fail(`The server answered: ${text}`);
    };
    socket.on("data", onData);
    socket.once("close", onClose);
    socket.write(request);
  });
}

function isComplete(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1];
  return length === undefined ? text.endsWith("0\r\n\r\n") : text.length >= end + 4 + Number(length);
}
