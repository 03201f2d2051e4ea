import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { FunctionName, FunctionSpec } from "../../src/targets/aws/functions.ts";
import type { RuntimeReply, RuntimeRequest } from "./lambda-runtime.ts";

export interface LambdaHostOptions {
  /** As `mayfly aws package` writes it: one folder for each function. */
  readonly folder: string;
  readonly functions: readonly Pick<FunctionSpec, "name" | "timeoutSeconds">[];
  /** What every function gets beside what Lambda itself sets. */
  readonly environment: Readonly<Record<string, string>>;
  /** What this one gets beside that. */
  readonly ownEnvironment?: (name: FunctionName) => Readonly<Record<string, string>>;
  /** Executions of one function at the same time; further events wait. Default 4. */
  readonly concurrency?: number;
  /** In place of the limits in `functions`, for tests that pass one. */
  readonly timeoutSeconds?: Partial<Record<FunctionName, number>>;
}

export interface Invocation {
  readonly name: FunctionName;
  readonly cold: boolean;
  readonly event: unknown;
  readonly milliseconds: number;
  /** `killed`: at its time limit. */
  readonly outcome: "answered" | "failed" | "killed";
}

export interface LambdaHost {
  /** Rejects with what the function threw, or when it was killed or ended by itself. */
  invoke(name: FunctionName, event: unknown): Promise<unknown>;
  readonly invocations: readonly Invocation[];
  /** What the functions wrote to standard output and error, a line each. */
  readonly lines: readonly { readonly name: FunctionName; readonly line: string }[];
  /** Resolves when no process of a function is left. What is under way is cut off. */
  stop(): Promise<void>;
}

const runtimeFile = fileURLToPath(new URL("lambda-runtime.ts", import.meta.url));

/**
 * Lambda, as far as a function can tell: its built bundle in a process of its own, one event at a time, more processes
 * when more events come at once, frozen between two events, killed at its time limit.
 */
export function startLambdaHost(options: LambdaHostOptions): LambdaHost {
  const state: State = {
    options,
    sandboxes: new Map(options.functions.map(({ name }) => [name, []])),
    waiting: new Map(options.functions.map(({ name }) => [name, []])),
    invocations: [],
    lines: [],
    guard: startGuard(),
    stopped: false,
  };
  return {
    invoke: (name, event) => invoke(state, name, event),
    invocations: state.invocations,
    lines: state.lines,
    async stop() {
      state.stopped = true;
      const all = [...state.sandboxes.values()].flat();
      await Promise.all(all.map((sandbox) => kill(sandbox)));
      state.guard.kill("SIGKILL");
    },
  };
}

interface State {
  readonly options: LambdaHostOptions;
  readonly sandboxes: Map<FunctionName, Sandbox[]>;
  /** Those who wait for a free process of the function, in their order. */
  readonly waiting: Map<FunctionName, (() => void)[]>;
  readonly invocations: Invocation[];
  readonly lines: { readonly name: FunctionName; readonly line: string }[];
  readonly guard: ChildProcess;
  stopped: boolean;
}

/**
 * Ends the processes of the functions when this one dies without having stopped the host: frozen as they are, they would
 * never notice. It is told their ids on its input, which closes then.
 */
function startGuard(): ChildProcess {
  const script = 'while read -r pid; do all="$all $pid"; done; kill -9 $all';
  const guard = spawn("sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.unref();
  return guard;
}

/** One process of one function. */
interface Sandbox {
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
  busy: boolean;
  invocations: number;
}

async function invoke(state: State, name: FunctionName, event: unknown): Promise<unknown> {
  const spec = state.options.functions.find((entry) => entry.name === name);
  if (spec === undefined) throw new Error(`There is no function ${name}.`);
  const sandbox = await freeSandbox(state, name);
  const timeoutSeconds = state.options.timeoutSeconds?.[name] ?? spec.timeoutSeconds;
  const begun = performance.now();
  const cold = sandbox.invocations === 0;
  let outcome: Invocation["outcome"] = "failed";
  try {
    const reply = await exchange(state, sandbox, event, timeoutSeconds);
    if (reply === "killed") {
      outcome = "killed";
      throw new Error(`The function ${name} was killed at its limit of ${timeoutSeconds} seconds.`);
    }
    if (reply.kind === "failure") throw new Error(`The function ${name} failed: ${reply.message}`);
    outcome = "answered";
    return reply.kind === "answer" ? reply.answer : undefined;
  } finally {
    state.invocations.push({ name, cold, event, outcome, milliseconds: performance.now() - begun });
    release(state, name, sandbox);
  }
}

async function freeSandbox(state: State, name: FunctionName): Promise<Sandbox> {
  for (;;) {
    if (state.stopped) throw new Error("The host has stopped.");
    const sandboxes = state.sandboxes.get(name) ?? [];
    const free = sandboxes.find((sandbox) => !sandbox.busy);
    if (free !== undefined) {
      free.busy = true;
      free.process.kill("SIGCONT");
      return free;
    }
    if (sandboxes.length < (state.options.concurrency ?? 4)) {
      const sandbox = open(state, name);
      sandboxes.push(sandbox);
      return sandbox;
    }
    await new Promise<void>((resolve) => state.waiting.get(name)?.push(resolve));
  }
}

function open(state: State, name: FunctionName): Sandbox {
  const folder = join(state.options.folder, name);
  const child = spawn(process.execPath, [runtimeFile, folder, name], {
    cwd: folder,
    // Nothing of the test's own environment: a function has what it was given.
    env: {
      ...state.options.environment,
      ...state.options.ownEnvironment?.(name),
      LAMBDA_TASK_ROOT: folder,
      AWS_LAMBDA_FUNCTION_NAME: name,
      TZ: ":UTC",
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  state.guard.stdin?.write(`${child.pid}\n`);
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => state.lines.push({ name, line }));
  }
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const sandbox: Sandbox = { process: child, ended, busy: true, invocations: 0 };
  void ended.then(() => {
    const sandboxes = state.sandboxes.get(name) ?? [];
    state.sandboxes.set(
      name,
      sandboxes.filter((other) => other !== sandbox),
    );
  });
  return sandbox;
}

/** One event and what became of it. Killed at the time limit, as the processes of Lambda are: without a word. */
async function exchange(
  state: State,
  sandbox: Sandbox,
  event: unknown,
  timeoutSeconds: number,
): Promise<RuntimeReply | "killed"> {
  const child = sandbox.process;
  if (sandbox.invocations === 0) await nextReply(sandbox, (reply) => reply.kind === "ready");
  sandbox.invocations += 1;
  const id = sandbox.invocations;
  const answered = nextReply(sandbox, (reply) => reply.kind !== "ready" && reply.id === id);
  const request: RuntimeRequest = { id, event, timeoutMilliseconds: timeoutSeconds * 1000 };
  child.send(request);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<"killed">((resolve) => {
    timer = setTimeout(() => resolve("killed"), timeoutSeconds * 1000);
  });
  try {
    const first = await Promise.race([answered, limit]);
    if (first === "killed") {
      answered.catch(() => undefined);
      await kill(sandbox);
    } else if (!state.stopped) {
      // What a function leaves undone stands still until its next event comes.
      child.kill("SIGSTOP");
    }
    return first;
  } finally {
    clearTimeout(timer);
  }
}

function nextReply(sandbox: Sandbox, matches: (reply: RuntimeReply) => boolean): Promise<RuntimeReply> {
  return new Promise((resolve, reject) => {
    const listen = (reply: RuntimeReply): void => {
      if (!matches(reply)) return;
      sandbox.process.off("message", listen);
      resolve(reply);
    };
    sandbox.process.on("message", listen);
    void sandbox.ended.then(() => reject(new Error("The process of the function has ended.")));
  });
}

function release(state: State, name: FunctionName, sandbox: Sandbox): void {
  sandbox.busy = false;
  state.waiting.get(name)?.shift()?.();
}

async function kill(sandbox: Sandbox): Promise<void> {
  sandbox.busy = true;
  sandbox.process.kill("SIGKILL");
  await sandbox.ended;
}
