import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";

/** A process of the bench that answers one question at a time. */
export interface Child {
  /** What it said when it was ready. */
  readonly greeting: Message;
  ask(question: Message): Promise<Message>;
  /** Asks it to end, and resolves when it has ended. */
  stop(): Promise<void>;
}

export type Message = Readonly<Record<string, unknown>>;

/** The server that is measured and the generator of its load do not take the processor from each other. */
export const serverCore = 0;
export const generatorCore = 1;

export const pinning =
  availableParallelism() > 1 && spawnSync("taskset", ["-c", "0", "true"]).status === 0
    ? "pinned"
    : "not pinned";

/**
 * Starts `file` with this Node and resolves when it has sent its first message. Rejects when it ends before, or
 * while it owes an answer.
 */
export async function startChild(file: URL, options: unknown, core?: number): Promise<Child> {
  const command = [process.execPath, file.pathname, JSON.stringify(options)];
  if (core !== undefined && pinning === "pinned") command.unshift("taskset", "-c", String(core));
  const [program = "", ...parameters] = command;
  const child = spawn(program, parameters, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const greeting = await nextMessage(child, file);
  return {
    greeting,
    ask(question) {
      const answer = nextMessage(child, file);
      child.send(question);
      return answer;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.send({ kind: "stop" });
      await ended;
    },
  };
}

/** For the other side: answers questions until it is told to stop. */
export function answerQuestions(
  greeting: Message,
  answer: (question: Message) => Promise<Message>,
  stop: () => Promise<void>,
): void {
  process.on("message", (question: Message) => {
    const done = question.kind === "stop" ? stop().then(() => process.exit()) : answer(question).then(say);
    done.catch((error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
      process.exit(1);
    });
  });
  process.on("disconnect", () => process.exit(1));
  say(greeting);
}

function say(message: Message): void {
  process.send?.(message);
}

function nextMessage(child: ChildProcess, file: URL): Promise<Message> {
  return new Promise((resolve, reject) => {
    const name = file.pathname.split("/").at(-1);
    const onExit = (code: number | null) =>
      reject(new Error(`${name} ended with ${code} and gave no answer.`));
    child.once("error", reject);
    child.once("exit", onExit);
    child.once("message", (message: Message) => {
      child.off("exit", onExit);
      child.off("error", reject);
      resolve(message);
    });
  });
}
