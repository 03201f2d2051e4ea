import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

export interface MotoServer {
  readonly url: string;
  stop(): Promise<void>;
}

const readyMilliseconds = 30_000;

export function hasMoto(): boolean {
  return spawnSync("moto_server", ["--version"], { stdio: "ignore" }).error === undefined;
}

/** A moto of its own, on a free port, with nothing in it. */
export async function startMoto(): Promise<MotoServer> {
  const port = await freePort();
  const server = spawn("moto_server", ["-H", "127.0.0.1", "-p", String(port)], {
    stdio: "ignore",
    env: {
      ...process.env,
      // Nothing in it may ever reach the real one.
      AWS_ACCESS_KEY_ID: "stand-in",
      AWS_SECRET_ACCESS_KEY: "stand-in",
      PYTHONPATH: fileURLToPath(new URL("../aws/moto", import.meta.url)),
    },
    detached: true,
  });
  const url = `http://127.0.0.1:${port}`;
  await untilReady(url, server);
  return { url, stop: () => stop(server) };
}

async function untilReady(url: string, server: ChildProcess): Promise<void> {
  const deadline = Date.now() + readyMilliseconds;
  for (;;) {
    const answers = await fetch(`${url}/moto-api/data.json`).then(
      (response) => response.ok,
      () => false,
    );
    if (answers) return;
    if (server.exitCode !== null || Date.now() > deadline) {
      await stop(server);
      throw new Error(`moto_server does not answer at ${url}; its exit code is ${server.exitCode}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** moto_server may be a script that starts Python, so its whole group is ended. */
async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.pid === undefined) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  process.kill(-server.pid, "SIGTERM");
  await ended;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
