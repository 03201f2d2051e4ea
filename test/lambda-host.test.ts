import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { FunctionName } from "../src/targets/aws/functions.ts";
import { type LambdaHost, type LambdaHostOptions, startLambdaHost } from "./support/lambda-host.ts";

/*
 * The stand-in for Lambda on which the functions are tested: it must be as hard on them as Lambda is.
 */

let folder: string;
let host: LambdaHost | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-lambda-"));
});
afterEach(async () => {
  await host?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(code: string, options: Partial<LambdaHostOptions> = {}, name: FunctionName = "status") {
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, "index.js"), code);
  host = startLambdaHost({
    folder,
    functions: [{ name, timeoutSeconds: 10 }],
    environment: { GIVEN: "yes" },
    ...options,
  });
  return host;
}

test("one process deals with one event after the other, and keeps what it has in memory", async () => {
  const { invoke, invocations } = await start("let n = 0; exports.handler = async (event) => [event, ++n];");
  expect([await invoke("status", "a"), await invoke("status", "b")]).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  expect(invocations.map(({ cold }) => cold)).toEqual([true, false]);
});

test("events that come at once get processes of their own, and wait when there are enough", async () => {
  const code = `exports.handler = async () => { await new Promise((r) => setTimeout(r, 200)); return process.pid; };`;
  const { invoke } = await start(code, { concurrency: 2 });
  const pids = await Promise.all([1, 2, 3, 4].map(() => invoke("status", {})));
  expect(new Set(pids).size).toBe(2);
});

test("a function is killed at its limit without a word, and the next event gets a new process", async () => {
  const code = `let n = 0; exports.handler = async (event) => { n++; if (event.hang) await new Promise(() => setInterval(() => {}, 1000)); return n; };`;
  const { invoke, invocations } = await start(code, { timeoutSeconds: { status: 0.5 } });
  expect(await invoke("status", {})).toBe(1);
  await expect(invoke("status", { hang: true })).rejects.toThrow("killed at its limit");
  expect(await invoke("status", {})).toBe(1);
  expect(invocations.map(({ outcome }) => outcome)).toEqual(["answered", "killed", "answered"]);
});

test("what a function leaves undone stands still until its next event", async () => {
  const code = `let ticks = 0; exports.handler = async () => { setInterval(() => ticks++, 20); return ticks; };`;
  const { invoke } = await start(code);
  await invoke("status", {});
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await invoke("status", {})).toBeLessThan(10);
});

test("a function has what it was given of an environment, knows its time, and its failures are told", async () => {
  const code = `exports.handler = async (event, context) => {
    if (event.fail) throw new RangeError("so it is");
    console.log("a line");
    return [process.env.GIVEN, process.env.HOME, context.getRemainingTimeInMillis() > 9000];
  };`;
  const { invoke, lines } = await start(code);
  expect(await invoke("status", {})).toEqual(["yes", null, true]);
  await expect(invoke("status", { fail: true })).rejects.toThrow("RangeError: so it is");
  await expect.poll(() => lines).toEqual([{ name: "status", line: "a line" }]);
});
