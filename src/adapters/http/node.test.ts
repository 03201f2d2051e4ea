import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { MayflyError } from "../../core/errors.ts";
import type { HttpHandler, HttpRequest } from "../../ports/http.ts";
import { createMemoryLog } from "../log/memory.ts";
import { type HttpLimits, type HttpServer, startHttpServer } from "./node.ts";

const servers: HttpServer[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

describe("requests", () => {
  test("reach the handler with their bytes untouched", async () => {
    const { url, requests } = await start();
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const response = await fetch(`${url}/a%20b?x=1&y=%2F`, { method: "POST", body: bytes });
    expect(await response.text()).toBe("POST /a%20b 256");
    expect(requests[0]?.query).toBe("x=1&y=%2F");
    expect(new Uint8Array(requests[0]?.body ?? [])).toEqual(bytes);
    expect(requests[0]?.remoteAddress).toBe("127.0.0.1");
  });

  test("in chunks are put together", async () => {
    const { server } = await start();
    const socket = await open(server);
    socket.write(`POST /c HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    await pause(20);
    socket.write("2\r\nde\r\n0\r\n\r\n");
    expect(await received(socket, "POST /c 5")).toContain("200 OK");
  });

  test("on one connection are answered one after the other, also when sent at once", async () => {
    const { server } = await start({}, async (request) => {
      await pause(request.path === "/slow" ? 40 : 0);
      return { status: 200, headers: {}, body: `<${request.path}>` };
    });
    const socket = await open(server);
    socket.write(`GET /slow HTTP/1.1\r\n${host}\r\nGET /fast HTTP/1.1\r\n${host}\r\n`);
    const text = await received(socket, "</fast>");
    expect(text.indexOf("</slow>")).toBeGreaterThan(0);
    expect(text.indexOf("</slow>")).toBeLessThan(text.indexOf("</fast>"));
  });

  test("of a client that closes its side first are answered", async () => {
    const { server } = await start({}, async () => {
      await pause(30);
      return { status: 200, headers: {}, body: "still here" };
    });
    const socket = await open(server);
    socket.end(`POST /h HTTP/1.1\r\n${host}content-length: 2\r\n\r\nok`);
    expect(await receivedAll(socket)).toContain("still here");
  });

  test("as proxies send them, with a whole URL, are reduced to the path", async () => {
    const { server, requests } = await start();
    const socket = await open(server);
    socket.write(`GET http://example.com/p?q=1 HTTP/1.1\r\n${host}\r\n`);
    await received(socket, "GET /p 0");
    expect(requests[0]?.query).toBe("q=1");
  });

  test("with HEAD get the length and no body", async () => {
    const { server } = await start();
    const socket = await open(server);
    socket.write(`HEAD /x HTTP/1.1\r\n${host}\r\nGET /y HTTP/1.1\r\n${host}connection: close\r\n\r\n`);
    const text = await receivedAll(socket);
    expect(text).toContain("content-length: 9");
    expect(text).not.toContain("HEAD /x");
    expect(text).toContain("GET /y 0");
  });
});

describe("bodies that are too large", () => {
  const limits = { bodyLimitBytes: (path: string) => (path === "/large" ? 1_000_000 : 100) };

  test("are refused by their announced length before they are sent", async () => {
    const { server, requests } = await start(limits);
    const socket = await open(server);
    socket.write(`POST /small HTTP/1.1\r\n${host}content-length: 101\r\n\r\n`);
    const text = await received(socket, "at most 100 bytes");
    expect(text).toContain("413 Payload Too Large");
    expect(text.toLowerCase()).toContain("connection: close");
    expect(requests).toHaveLength(0);
  });

  test("without a length are refused at the first byte past the limit, and the client sees why", async () => {
    const { server, requests } = await start(limits);
    const socket = await open(server);
    socket.write(`POST /small HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n`);
    const piece = `4000\r\n${"x".repeat(0x4000)}\r\n`;
    const endless = setInterval(() => socket.write(piece), 1);
    const text = await receivedAll(socket);
    clearInterval(endless);
    expect(text).toContain("413 Payload Too Large");
    expect(requests).toHaveLength(0);
  });

  test("of several pieces up to the limit of the path are taken whole", async () => {
    const { url, requests } = await start(limits);
    const body = Buffer.alloc(1_000_000, "0123456789");
    expect((await fetch(`${url}/large`, { method: "POST", body })).status).toBe(200);
    expect(Buffer.compare(requests[0]?.body ?? Buffer.alloc(0), body)).toBe(0);
  });

  test("get no 100 Continue; bodies that fit do", async () => {
    const { server } = await start(limits);
    const refused = await open(server);
    refused.write(`POST /small HTTP/1.1\r\n${host}expect: 100-continue\r\ncontent-length: 500\r\n\r\n`);
    const text = await received(refused, "at most");
    expect(text).toContain("413");
    expect(text).not.toContain("100 Continue");

    const taken = await open(server);
    taken.write(`POST /small HTTP/1.1\r\n${host}expect: 100-continue\r\ncontent-length: 2\r\n\r\n`);
    await received(taken, "100 Continue");
    taken.write("ok");
    expect(await received(taken, "POST /small 2")).toContain("200 OK");
  });

  test("together get 503, and the memory is counted as free again afterwards", async () => {
    const { server, url } = await start({ bodiesTotalBytes: 1000 });
    const holder = await open(server);
    holder.write(`POST /a HTTP/1.1\r\n${host}content-length: 900\r\n\r\n${"x".repeat(800)}`);
    await pause(20);
    const second = await fetch(`${url}/b`, { method: "POST", body: "y".repeat(300) });
    expect(second.status).toBe(503);
    expect(second.headers.get("retry-after")).toBe("5");
    holder.destroy();
    await pause(20);
    expect((await fetch(`${url}/b`, { method: "POST", body: "y".repeat(300) })).status).toBe(200);
  });
});

describe("slow clients", () => {
  const limits = { headersTimeoutSeconds: 0.2, requestTimeoutSeconds: 0.4, idleTimeoutSeconds: 0.3 };

  test("that trickle headers are cut off", async () => {
    const { server } = await start(limits);
    const socket = await open(server);
    socket.write(`GET / HTTP/1.1\r\n`);
    const trickle = setInterval(() => socket.write("a: b\r\n"), 20);
    const before = performance.now();
    const text = await receivedAll(socket);
    clearInterval(trickle);
    expect(text).toContain("408 Request Timeout");
    expect(performance.now() - before).toBeLessThan(2500);
  });

  test("that trickle a body are cut off, and nothing is handled", async () => {
    const { server, requests } = await start(limits);
    const socket = await open(server);
    socket.write(`POST / HTTP/1.1\r\n${host}content-length: 100000\r\n\r\n`);
    const trickle = setInterval(() => socket.write("x"), 20);
    const text = await receivedAll(socket);
    clearInterval(trickle);
    expect(text).toContain("408 Request Timeout");
    expect(requests).toHaveLength(0);
  });

  test("that say nothing at all are cut off", async () => {
    const { server } = await start(limits);
    const before = performance.now();
    await receivedAll(await open(server));
    expect(performance.now() - before).toBeLessThan(2000);
  });

  test.each([
    ["nothing of their answer", 0],
    ["a little of their answer now and then", 20],
  ])("that read %s are cut off", async (_name, pauseMilliseconds) => {
    const body = Buffer.alloc(50_000_000, "x");
    const { server, url } = await start(limits, () => ({ status: 200, headers: {}, body }));
    const socket = await open(server);
    let bytes = 0;
    socket.pause();
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      socket.pause();
    });
    socket.write(`GET / HTTP/1.1\r\n${host}\r\n`);
    const sips = setInterval(() => pauseMilliseconds > 0 && socket.resume(), pauseMilliseconds || 1000);
    await pause(900);
    clearInterval(sips);
    socket.removeAllListeners("data").on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(bytes).toBeLessThan(body.length);
    expect((await fetch(url)).status).toBe(200);
  });
});

describe("clients that go away", () => {
  test("in the middle of a body are not handled", async () => {
    const { server, requests, log } = await start();
    const socket = await open(server);
    socket.write(`POST / HTTP/1.1\r\n${host}content-length: 100\r\n\r\nhalf`);
    await pause(20);
    socket.resetAndDestroy();
    await pause(20);
    expect(requests).toHaveLength(0);
    expect(log.lines).toHaveLength(0);
  });

  test("with a body that ends too early get 400", async () => {
    const { server, requests } = await start();
    const socket = await open(server);
    socket.end(`POST / HTTP/1.1\r\n${host}content-length: 100\r\n\r\nhalf`);
    expect(await receivedAll(socket)).toContain("400 Bad Request");
    expect(requests).toHaveLength(0);
  });

  test("before the answer is ready do no harm", async () => {
    const { server, url, log } = await start({}, async () => {
      await pause(40);
      return { status: 200, headers: {}, body: "x".repeat(100_000) };
    });
    const socket = await open(server);
    socket.write(`GET / HTTP/1.1\r\n${host}\r\n`);
    await pause(10);
    socket.resetAndDestroy();
    await pause(60);
    expect((await fetch(url)).status).toBe(200);
    expect(log.lines).toHaveLength(0);
  });
});

describe("what is no proper request", () => {
  test.each([
    ["noise", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400 Bad Request"],
    [
      "two lengths",
      `POST / HTTP/1.1\r\n${"host: x\r\n"}content-length: 1\r\ncontent-length: 2\r\n\r\nab`,
      "400",
    ],
    [
      "length and chunks",
      "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "400",
    ],
    ["no host", "GET / HTTP/1.1\r\n\r\n", "400"],
    ["large headers", `GET / HTTP/1.1\r\nhost: x\r\na: ${"x".repeat(20_000)}\r\n\r\n`, "431"],
    ["a target without a slash", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", "400"],
    ["an unknown expectation", "GET / HTTP/1.1\r\nhost: x\r\nexpect: wonders\r\n\r\n", "417"],
  ])("%s is refused and not handled", async (_name, text, status) => {
    const { server, requests } = await start();
    const socket = await open(server);
    socket.write(text, "latin1");
    expect(await receivedAll(socket)).toContain(`HTTP/1.1 ${status}`);
    expect(requests).toHaveLength(0);
  });

  test("after a proper request leaves that its answer", async () => {
    const { server } = await start({}, async () => {
      await pause(30);
      return { status: 200, headers: {}, body: "the answer" };
    });
    const socket = await open(server);
    socket.write(`GET / HTTP/1.1\r\n${host}\r\nnonsense\r\n\r\n`);
    const text = await receivedAll(socket);
    expect(text).toContain("the answer");
    expect(text).not.toContain("400");
  });
});

describe("handlers", () => {
  test("that throw are answered with 500 without details, and logged", async () => {
    const { url, log } = await start({}, () => {
      throw new Error("the password is swordfish");
    });
    const response = await fetch(url);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).toContain("Something went wrong here");
    expect(text).not.toContain("swordfish");
    expect(log.text()).toContain("swordfish");
    expect(log.lines[0]?.fields.stage).toBe("http");
  });

  test("that give a header no header can be are answered with 500 as well", async () => {
    const { url, log } = await start({}, () => ({ status: 200, headers: { a: "b\r\nc: d" }, body: "x" }));
    expect((await fetch(url)).status).toBe(500);
    expect(log.lines).toHaveLength(1);
  });

  test("beyond the limit of requests under way get 503", async () => {
    const underWay = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    const { url } = await start({ requestsUnderWay: 1 }, async () => {
      underWay.resolve();
      await mayEnd.promise;
      return { status: 200, headers: {} };
    });
    const first = fetch(url);
    await underWay.promise;
    expect((await fetch(url)).status).toBe(503);
    mayEnd.resolve();
    expect((await first).status).toBe(200);
  });
});

describe("connections", () => {
  test("beyond the limit are closed, and the log says so once", async () => {
    const { server, log } = await start({ connections: 1 });
    await open(server);
    await receivedAll(await open(server));
    await receivedAll(await open(server));
    expect(log.lines.map((line) => line.message)).toEqual([
      "Connections are refused because too many are open",
    ]);
  });
});

describe("streams", () => {
  const ticking: HttpHandler = () => ({
    status: 200,
    headers: { "content-type": "text/event-stream" },
    stream: async (write, signal) => {
      while (!signal.aborted) {
        await write("data: tick\n\n");
        await pause(10);
      }
    },
  });

  test("go on until the reader leaves", async () => {
    let ended = false;
    const { server } = await start({}, () => ({
      status: 200,
      headers: {},
      stream: async (write, signal) => {
        await write("first");
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        ended = true;
      },
    }));
    const socket = await open(server);
    socket.write(`GET / HTTP/1.1\r\n${host}\r\n`);
    await received(socket, "first");
    socket.end();
    await expect.poll(() => ended).toBe(true);
  });

  test("wait for a slow reader instead of filling the memory", async () => {
    let writtenBytes = 0;
    const { server } = await start({}, () => ({
      status: 200,
      headers: {},
      stream: async (write, signal) => {
        const chunk = Buffer.alloc(100_000);
        while (!signal.aborted && writtenBytes < 1_000_000_000) {
          await write(chunk);
          writtenBytes += chunk.length;
        }
      },
    }));
    const socket = await open(server);
    socket.pause();
    socket.write(`GET / HTTP/1.1\r\n${host}\r\n`);
    await pause(100);
    const before = writtenBytes;
    await pause(100);
    expect(writtenBytes).toBe(before);
    expect(writtenBytes).toBeLessThan(50_000_000);
  });

  test("that fail break off instead of looking complete", async () => {
    const { url, log } = await start({}, () => ({
      status: 200,
      headers: {},
      stream: async (write) => {
        await write("half");
        throw new Error("broken");
      },
    }));
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow();
    expect(log.lines[0]?.message).toBe("A stream failed");
  });

  test("end when the server closes", async () => {
    const { server } = await start({}, ticking);
    const socket = await open(server);
    socket.write(`GET / HTTP/1.1\r\n${host}\r\n`);
    await received(socket, "tick");
    await server.close();
    expect(await receivedAll(socket)).toMatch(/0\r\n\r\n$/);
  });
});

describe("closing", () => {
  test("answers what is under way and refuses what is new", async () => {
    const begun = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const { server, url } = await start({}, async () => {
      begun.resolve();
      await finish.promise;
      return { status: 200, headers: {}, body: "finished" };
    });
    const underWay = fetch(url).then((response) => response.text());
    await begun.promise;
    const closed = server.close();
    await expect(fetch(url)).rejects.toThrow();
    finish.resolve();
    expect(await underWay).toBe("finished");
    await closed;
    await server.close();
  });

  test("does not wait for connections that ask nothing", async () => {
    const { server, url } = await start();
    const idle = await open(server);
    const half = await open(server);
    half.write("GET / HT");
    await fetch(url);
    const before = performance.now();
    await server.close();
    expect(performance.now() - before).toBeLessThan(500);
    await receivedAll(idle);
  });

  test("cuts off a handler that does not end, after the grace time", async () => {
    const begun = Promise.withResolvers<void>();
    const { server, url, log } = await start({ closeGraceSeconds: 0.1 }, () => {
      begun.resolve();
      return new Promise(() => undefined);
    });
    const hanging = fetch(url).catch(() => "cut off");
    await begun.promise;
    await server.close();
    expect(await hanging).toBe("cut off");
    expect(log.lines[0]?.message).toBe("Requests were cut off because the server stops");
  });
});

describe("listening", () => {
  test("on a port that is taken says so", async () => {
    const { server } = await start();
    const error = await startError("127.0.0.1", server.port);
    expect(error).toMatchObject({ kind: "operator", code: "PORT_IN_USE" });
    expect(error.message).toBe(`Another program already listens on 127.0.0.1:${server.port}.`);
  });

  test("on an address of another machine says so", async () => {
    expect(await startError("192.0.2.1", 0)).toMatchObject({ kind: "operator", code: "HOST_NOT_AVAILABLE" });
  });
});

const host = "host: 127.0.0.1\r\n";

async function start(limits: Partial<HttpLimits> = {}, handle?: HttpHandler) {
  const log = createMemoryLog();
  const requests: HttpRequest[] = [];
  const echo: HttpHandler = (request) => {
    requests.push(request);
    const body = `${request.method} ${request.path} ${request.body.length}`;
    return { status: 200, headers: { "content-type": "text/plain" }, body };
  };
  const server = await startHttpServer({ host: "127.0.0.1", port: 0, handle: handle ?? echo, log, limits });
  servers.push(server);
  return { server, url: server.url, log, requests };
}

async function startError(address: string, port: number): Promise<MayflyError> {
  const handle: HttpHandler = () => ({ status: 200, headers: {} });
  const error = await startHttpServer({ host: address, port, handle, log: createMemoryLog() }).catch(
    (reason: unknown) => reason,
  );
  if (error instanceof MayflyError) return error;
  throw new Error("It should have failed with a MayflyError", { cause: error });
}

const texts = new WeakMap<Socket, string>();

async function open(server: HttpServer): Promise<Socket> {
  const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: false });
  sockets.push(socket);
  texts.set(socket, "");
  socket.on("data", (chunk) => texts.set(socket, texts.get(socket) + chunk.toString("latin1")));
  // Being cut off is what several tests are about; they look at what arrived before.
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

async function received(socket: Socket, text: string): Promise<string> {
  await expect.poll(() => texts.get(socket), { timeout: 3000, interval: 5 }).toContain(text);
  return texts.get(socket) ?? "";
}

async function receivedAll(socket: Socket): Promise<string> {
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return texts.get(socket) ?? "";
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
