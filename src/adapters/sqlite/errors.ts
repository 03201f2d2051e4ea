import { type ErrorKind, MayflyError } from "../../core/errors.ts";

/** What a failing SQLite means for the caller. What does not come from SQLite stays as it is. */
export function explainSqlite(error: unknown, path: string): unknown {
  const result = resultCode(error);
  if (result === undefined) return error;
  const { kind, code, sentence, suggestion } = meanings[result] ?? unknownMeaning;
  return new MayflyError({ kind, code, message: `${sentence}: ${path}`, suggestion, cause: error });
}

/** The same while the file is being opened, when a lock means that somebody else works with it. */
export function explainOpening(error: unknown, path: string): unknown {
  const result = resultCode(error);
  if (result === busy || result === locked) return inUse(path, error);
  if (result !== undefined || !isSystemError(error)) return explainSqlite(error, path);
  return new MayflyError({
    kind: "operator",
    code: "STORE_NOT_WRITABLE",
    message: `The database cannot be created: ${path} (${error.message})`,
    suggestion: notWritableSuggestion,
    cause: error,
  });
}

export function storeDamaged(path: string, cause: unknown): MayflyError {
  const { kind, code, sentence, suggestion } = damaged;
  return new MayflyError({ kind, code, message: `${sentence}: ${path}`, suggestion, cause });
}

export function storeClosed(path: string): MayflyError {
  return new MayflyError({
    kind: "retry",
    code: "STORE_CLOSED",
    message: `The database is closed: ${path}`,
    suggestion: "The server is stopping. Do it again when it has started.",
  });
}

export function notOurs(path: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "STORE_NOT_OURS",
    message: `The file is a database of another program: ${path}`,
    suggestion: "Give Mayfly a path of its own.",
  });
}

export function tooNew(path: string, version: number, newest: number): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "STORE_TOO_NEW",
    message: `The database has version ${version}, and this Mayfly knows versions up to ${newest}: ${path}`,
    suggestion: "Start the newer Mayfly that wrote it, or give this one another file.",
  });
}

function inUse(path: string, cause: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "STORE_IN_USE",
    message: `Another process has the database open: ${path}`,
    suggestion: "Stop the other server, or give this one another file. Two servers cannot share a database.",
    cause,
  });
}

interface Meaning {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly sentence: string;
  readonly suggestion: string;
}

const damaged: Meaning = {
  kind: "operator",
  code: "STORE_DAMAGED",
  sentence: "The database is damaged",
  suggestion:
    "Wait until no machine runs, move the file and its -wal file away, and restore a backup or start with an empty " +
    "database: docs/operating/troubleshooting.md says what becomes of waiting jobs.",
};

const notWritableSuggestion = "Let the user who runs Mayfly write to the folder and to the files in it.";
const notWritable: Meaning = {
  kind: "operator",
  code: "STORE_NOT_WRITABLE",
  sentence: "The database cannot be opened for writing",
  suggestion: notWritableSuggestion,
};

const isBusy: Meaning = {
  kind: "retry",
  code: "STORE_BUSY",
  sentence: "The database is busy",
  suggestion: "Do it again. If it stays busy, find out which other program has the file open.",
};

const unknownMeaning: Meaning = {
  kind: "retry",
  code: "STORE_FAILED",
  sentence: "The database could not do what was asked",
  suggestion: "Do it again. If it fails again, the cause below says what SQLite found.",
};

// Primary result codes, https://www.sqlite.org/rescode.html
const busy = 5;
const locked = 6;
const meanings: Readonly<Record<number, Meaning>> = {
  3: notWritable, // SQLITE_PERM
  [busy]: isBusy,
  [locked]: isBusy,
  8: notWritable, // SQLITE_READONLY
  10: {
    // SQLITE_IOERR
    kind: "retry",
    code: "STORE_DISK_FAILED",
    sentence: "The disk failed to read or write the database",
    suggestion: "Do it again. If it fails again, look at the disk and at the system's log.",
  },
  11: damaged, // SQLITE_CORRUPT
  13: {
    // SQLITE_FULL
    kind: "operator",
    code: "STORE_FULL",
    sentence: "The disk is full: nothing more can be written to the database",
    suggestion: "Make room on the disk. Mayfly goes on by itself.",
  },
  14: notWritable, // SQLITE_CANTOPEN
  26: damaged, // SQLITE_NOTADB
};

/** The primary result code is the lowest byte of the extended one. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number")
    return undefined;
  return error.errcode & 0xff;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}
