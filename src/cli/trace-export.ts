import { existsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { openDatabase } from "../adapters/sqlite/database.ts";
import { createSqliteStore } from "../adapters/store/sqlite.ts";
import { loadConfig } from "../config/load.ts";
import { MayflyError } from "../core/errors.ts";
import { type TraceRecord, traceRecord } from "../core/job-trace.ts";
import { iso } from "../core/status.ts";
import { readTrace } from "../flow/status.ts";
import { type ConnectionOptions, configPath, connect } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { countText } from "./phrases.ts";
import { progressBar, type Terminal } from "./terminal.ts";
import { traceFromGithub } from "./trace-from-github.ts";

export interface TraceExportOptions extends ConnectionOptions {
  readonly version: string;
  readonly days: number;
  readonly fromGithub?: boolean;
  readonly repository?: readonly string[];
  readonly output?: string;
  readonly json?: boolean;
}

/** What `mayfly trace export --output --json` prints. Fields are only ever added. */
export interface TraceExportDocument {
  readonly file: string;
  readonly source: "server" | "ledger" | "github";
  readonly from: string;
  readonly until: string;
  readonly jobs: number;
  /** Jobs that ended without a start: refused, given up, cancelled while they waited, skipped. */
  readonly neverRan: number;
}

/** Jobs of a trace as they are found: some at a time, and which part of all has been read. */
export interface TracePart {
  readonly records: readonly TraceRecord[];
  readonly neverRan: number;
  /** From 0 to 1. */
  readonly read: number;
  /** What was read, for the line of progress. */
  readonly about: string;
}

interface Source {
  readonly name: TraceExportDocument["source"];
  readonly parts: AsyncIterable<TracePart>;
}

/** `mayfly trace export`: the jobs of the last days, as JSON lines that `mayfly simulate --trace` replays. */
export async function traceExportCommand(options: TraceExportOptions, terminal: Terminal): Promise<ExitCode> {
  if (options.repository !== undefined && options.fromGithub !== true) {
    throw new UsageError(
      "--repository chooses what GitHub is asked about.",
      "Add --from-github, or leave it out.",
    );
  }
  const until = Date.now();
  const from = until - options.days * 86_400_000;
  const { name, parts } = await sourceOf(options, from, until, terminal);
  const output = await openOutput(options.output, terminal);
  let [jobs, neverRan] = [0, 0];
  try {
    for await (const part of parts) {
      jobs += part.records.length;
      neverRan += part.neverRan;
      terminal.progress(`${progressBar(part.read)} ${countText(jobs, "job")}, ${printable(part.about)}`);
      await output.write(part.records.map((record) => `${JSON.stringify(record)}\n`).join(""));
    }
  } finally {
    terminal.progress("");
    await output.close();
  }
  const file = options.output ?? "-";
  const document = { file, source: name, from: iso(from), until: iso(until), jobs, neverRan };
  present(document, options, terminal);
  return exitCodes.ok;
}

function present(document: TraceExportDocument, options: TraceExportOptions, terminal: Terminal): void {
  const { jobs, neverRan, file } = document;
  const where = options.output === undefined ? "" : ` are in ${printable(file)}`;
  const rest = neverRan === 0 ? "" : `; ${countText(neverRan, "job")} that ended without a start left out`;
  const days = options.days === 1 ? "the last day" : `the last ${options.days} days`;
  const sentence = `${countText(jobs, "job")} of ${days}${where}${rest}.`;
  if (options.output === undefined) terminal.note(sentence);
  else if (options.json === true) terminal.printJson(document);
  else terminal.print(sentence);
}

// ---------------------------------------------------------------------------------------------- sources

async function sourceOf(
  options: TraceExportOptions,
  from: number,
  until: number,
  terminal: Terminal,
): Promise<Source> {
  if (options.fromGithub === true) {
    const { config } = await loadConfig({ path: configPath(options) });
    const { repository: repositories = [], version } = options;
    const parts = traceFromGithub({ config, version, repositories, from, until, terminal });
    return { name: "github", parts };
  }
  // A server that runs has the database open, and nobody else can; one that does not has left it behind.
  const server = await runningServer(options, from, until);
  if (server !== undefined) return server;
  return { name: "ledger", parts: ledgerParts(await databaseOf(options), from, until) };
}

/** The ledger is read in steps of some hours, so that a server is never busy with it for long. */
const stepMilliseconds = 6 * 3_600_000;

async function* inSteps(
  from: number,
  until: number,
  read: (
    from: number,
    until: number,
  ) => Promise<{ readonly records: readonly TraceRecord[]; readonly neverRan: number }>,
): AsyncGenerator<TracePart> {
  for (let start = from; start < until; start += stepMilliseconds) {
    const end = Math.min(start + stepMilliseconds, until);
    const part = await read(start, end);
    yield { ...part, read: (end - from) / (until - from), about: iso(start).slice(0, 10) };
  }
}

async function runningServer(
  options: TraceExportOptions,
  from: number,
  until: number,
): Promise<Source | undefined> {
  const client = await connect(options);
  const read = async (start: number, end: number) => {
    const query = new URLSearchParams({ from: iso(start), until: iso(end) });
    const { body } = await client.get(`/api/trace?${query}`, "neverRan");
    const { jobs, neverRan } = body as { readonly jobs: readonly TraceRecord[]; readonly neverRan: number };
    return { records: jobs, neverRan };
  };
  try {
    await read(from, from + 1);
    return { name: "server", parts: inSteps(from, until, read) };
  } catch (error) {
    const isDown = error instanceof MayflyError && error.code === "SERVER_UNREACHABLE";
    if (isDown && options.url === undefined) return undefined;
    throw error;
  }
}

async function databaseOf(options: TraceExportOptions): Promise<string> {
  const { config } = await loadConfig({ path: configPath(options) });
  const path = join(config.server.dataDirectory, "mayfly.db");
  if (existsSync(path)) return path;
  throw new MayflyError({
    kind: "operator",
    code: "LEDGER_MISSING",
    message: `No server runs, and there is no ledger at ${path}.`,
    suggestion:
      "Name the server with --url, its configuration with --config, or ask GitHub with --from-github.",
  });
}

async function* ledgerParts(path: string, from: number, until: number): AsyncGenerator<TracePart> {
  const database = openDatabase(path);
  try {
    const store = createSqliteStore(database);
    yield* inSteps(from, until, async (start, end) => {
      const { jobs, neverRan } = await readTrace({ store }, start, end);
      return { records: jobs.map(traceRecord), neverRan };
    });
  } finally {
    await database.close();
  }
}

// ---------------------------------------------------------------------------------------------- output

interface Output {
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

async function openOutput(path: string | undefined, terminal: Terminal): Promise<Output> {
  if (path === undefined) {
    return {
      // The line feed of the last job is the one that printing adds.
      write: async (text) => (text === "" ? undefined : terminal.print(text.slice(0, -1))),
      close: async () => undefined,
    };
  }
  const handle: FileHandle = await open(path, "w", 0o600).catch((error: unknown) => {
    throw unwritable(error);
  });
  return {
    write: async (text) => {
      await handle.writeFile(text).catch((error: unknown) => {
        throw unwritable(error);
      });
    },
    close: () => handle.close(),
  };
}

function unwritable(error: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "TRACE_UNWRITABLE",
    message: `The trace cannot be written: ${error instanceof Error ? error.message : String(error)}.`,
    suggestion: "Make room, or name with --output a file in a folder that you may write to.",
    cause: error,
  });
}
