import { createInterface } from "node:readline/promises";
import { styleText } from "node:util";
import type { Log } from "../ports/log.ts";
import { printable } from "./display-width.ts";

export type Style = "good" | "bad" | "doubtful" | "quiet" | "strong";

/** What rendering needs to know of the place where its text will be read. */
export interface Screen {
  /** Lines of tables are cut to it. Absent when nobody looks: a pipe or a file gets everything. */
  readonly widthColumns?: number;
  readonly colours: boolean;
  /** The present, in milliseconds since the epoch, for relative times. */
  readonly now: number;
}

/** Where a command writes. Documents go to standard output, all else to standard error. */
export interface Terminal {
  readonly screen: Screen;
  /** A person sits at the other end of standard input and of standard error. */
  readonly interactive: boolean;
  /** Human output, on standard output. */
  print(text: string): void;
  /** The document, on standard output. */
  printJson(document: unknown): void;
  /** On standard error: what is not the result. */
  note(text: string): void;
  /** On standard error, where a person sits: takes the place of the line before. An empty text leaves none. */
  progress(text: string): void;
  /** Asks on standard error; only a word that begins with y is a yes. */
  confirm(question: string): Promise<boolean>;
  /** Asks on standard error; an empty line is the fallback. Undefined: it was left without an answer. */
  ask(question: string, fallback: string | undefined): Promise<string | undefined>;
}

const styles = {
  good: "green",
  bad: "red",
  doubtful: "yellow",
  quiet: "dim",
  strong: "bold",
} as const;

/** The text in this style, where colours are wanted. */
export function paint(screen: Pick<Screen, "colours">, style: Style | undefined, text: string): string {
  if (!screen.colours || style === undefined || text === "") return text;
  return styleText(styles[style], text, { validateStream: false });
}

/** The terminal of this process. Colours follow NO_COLOR, FORCE_COLOR and what the terminal can do. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  const interactive = stdin.isTTY === true && stderr.isTTY === true;
  return {
    screen: {
      ...(stdout.isTTY && { widthColumns: stdout.columns }),
      colours: wantsColours(stdout),
      now: Date.now(),
    },
    interactive,
    print: (text) => void stdout.write(`${text}\n`),
    printJson: (document) => void stdout.write(`${JSON.stringify(document, null, 2)}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    progress: (text) => void (interactive && stderr.write(`\r\x1b[K${text}`)),
    async confirm(question) {
      return /^\s*y/i.test((await answerTo(`${printable(question)} [y/N] `)) ?? "");
    },
    async ask(question, fallback) {
      const usual = fallback === undefined ? "" : ` [${printable(fallback)}]`;
      const answer = await answerTo(`${printable(question)}${usual}: `);
      return answer === undefined ? undefined : answer.trim() || (fallback ?? "");
    },
  };
}

/** Undefined where Ctrl-C or Ctrl-D closed the input. */
async function answerTo(prompt: string): Promise<string | undefined> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const left = new Promise<undefined>((resolve) => reader.once("close", () => resolve(undefined)));
  const answer = await Promise.race([reader.question(prompt), left]);
  reader.close();
  return answer;
}

/** `hasColors` reads NO_COLOR itself; FORCE_COLOR cannot make a pipe coloured. */
export function wantsColours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && stream.hasColors();
}

/** A log for adapters that a command uses: their warnings concern the person at the terminal. */
export function terminalLog(terminal: Terminal): Log {
  const warn: Log["warn"] = (message, fields) =>
    terminal.note(`warning: ${message} ${fields?.suggestion ?? ""}`);
  const log: Log = { debug: () => {}, info: () => {}, warn, error: warn, with: () => log };
  return log;
}

const barColumns = 30;

/** `███████░░░░░░░░`, for a part from 0 to 1. */
export function progressBar(part: number): string {
  const filled = Math.round(Math.min(Math.max(part, 0), 1) * barColumns);
  return `${"█".repeat(filled)}${"░".repeat(barColumns - filled)}`;
}
