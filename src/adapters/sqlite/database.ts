import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { explainOpening, explainSqlite, notOurs, storeClosed, storeDamaged, tooNew } from "./errors.ts";
import { applicationId, migrations } from "./schema.ts";

/**
 * One SQLite file that this process alone has open: the home of the store and of the queues of one box.
 *
 * Writes that are asked for in the same turn of the event loop share one transaction, and so one `fsync`: that is
 * what makes thousands of durable writes a second out of a disk that can do a few hundred. A group is run and
 * committed without giving up the thread, so nobody can read what is not durable yet.
 *
 * The file is locked with POSIX locks, which the kernel drops when the process dies, however it dies. It also
 * drops them when the same process opens and closes the file by other means: never read the file directly.
 */
export class Database {
  readonly path: string;
  readonly #connection: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #closing = new AbortController();
  readonly #rollbackListeners: (() => void)[] = [];
  #waiting: Write[] = [];
  #flushIsDue = false;

  /** Takes over the connection. Use `openDatabase`. */
  constructor(path: string, connection: DatabaseSync) {
    this.path = path;
    this.#connection = connection;
    this.#begin = connection.prepare("BEGIN IMMEDIATE");
    this.#commit = connection.prepare("COMMIT");
  }

  /** Aborts when `close` is called: nobody needs to wait for anything from this database any more. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Prepares a statement whose rows have the columns of `Row`. Prepare once, at construction, and keep it. */
  prepare<Row = never>(sql: string): Statement<Row> {
    return this.#connection.prepare(sql) as unknown as Statement<Row>;
  }

  /** Runs a query. Rejects with a `MayflyError` if the database fails or is closed. */
  async read<Result>(query: () => Result): Promise<Result> {
    return this.readNow(query);
  }

  /** The same without a promise, for those who must not give up the thread. Throws. */
  readNow<Result>(query: () => Result): Result {
    if (this.#closing.signal.aborted) throw storeClosed(this.path);
    try {
      return query();
    } catch (error) {
      throw explainSqlite(error, this.path);
    }
  }

  /**
   * Runs `operation` in a transaction and resolves with its result once that is durable. Operations run in the
   * order in which they were asked for, and each sees what the ones before it wrote.
   *
   * When anything in a group fails, the group is rolled back and every operation is run again in a transaction
   * of its own, so that only the guilty one is rejected. An operation may therefore run twice: it changes nothing
   * but the database, and memory that `onRollback` can restore.
   */
  write<Result>(operation: () => Result): Promise<Result> {
    if (this.#closing.signal.aborted) return Promise.reject(storeClosed(this.path));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve: resolve as (result: unknown) => void, reject });
      this.#flushSoon();
    });
  }

  /** `listener` forgets everything that it remembers of the database: it may never have been committed. */
  onRollback(listener: () => void): void {
    this.#rollbackListeners.push(listener);
  }

  /** Commits what was asked for, then closes the file. What is asked for later is rejected. Harmless when repeated. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    while (this.#waiting.length > 0) this.#flush();
    this.#connection.close();
  }

  #flushSoon(): void {
    if (this.#flushIsDue) return;
    this.#flushIsDue = true;
    setImmediate(() => {
      this.#flushIsDue = false;
      this.#flush();
      if (this.#waiting.length > 0) this.#flushSoon();
    });
  }

  #flush(): void {
    const group = this.#waiting.slice(0, writesPerGroup);
    this.#waiting = this.#waiting.slice(writesPerGroup);
    if (group.length > 0) this.#commitTogether(group);
  }

  #commitTogether(group: readonly Write[]): void {
    const results: unknown[] = [];
    try {
      this.#begin.run();
      for (const write of group) results.push(write.operation());
      this.#commit.run();
    } catch (error) {
      this.#rollBack();
      const [only, ...others] = group;
      if (only !== undefined && others.length === 0) only.reject(explainSqlite(error, this.path));
      else for (const write of group) this.#commitTogether([write]);
      return;
    }
    for (const [index, write] of group.entries()) write.resolve(results[index]);
  }

  #rollBack(): void {
    // SQLite has already rolled back by itself when, for example, the disk was full.
    if (this.#connection.isTransaction) this.#connection.exec("ROLLBACK");
    for (const listener of this.#rollbackListeners) listener();
  }
}

/** A prepared statement. Statements that change something run inside `Database.write`, all others inside `read`. */
export interface Statement<Row> {
  get(...values: SQLInputValue[]): Row | undefined;
  all(...values: SQLInputValue[]): Row[];
  run(...values: SQLInputValue[]): { readonly changes: number | bigint };
}

interface Write {
  readonly operation: () => unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** So that a burst does not keep the event loop for longer than some milliseconds at a time. */
const writesPerGroup = 256;

/**
 * Opens the database of this path, creates it and its folder if need be, brings its tables up to date and checks
 * it. Throws a `MayflyError` of kind `operator` when another process has it open (`STORE_IN_USE`), when it is
 * damaged, no database of Mayfly, from a newer Mayfly, or cannot be written. Nothing is left open then.
 */
export function openDatabase(file: string): Database {
  const path = resolve(file);
  let connection: DatabaseSync | undefined;
  try {
    createFile(path);
    connection = new DatabaseSync(path);
    lock(connection);
    checkOrigin(connection, path);
    migrate(connection, path);
    check(connection, path);
    return new Database(path, connection);
  } catch (error) {
    connection?.close();
    throw explainOpening(error, path);
  }
}

/** Only the owner may read it: names of private repositories and of their jobs are in it. */
function createFile(path: string): void {
  if (existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
}

function lock(connection: DatabaseSync): void {
  // The locking mode must be set before the first access: the file is then locked by that access, and stays so.
  connection.exec("PRAGMA locking_mode = EXCLUSIVE");
  connection.exec("PRAGMA journal_mode = WAL");
  connection.exec("PRAGMA synchronous = FULL");
  connection.exec("PRAGMA temp_store = MEMORY");
  connection.exec("BEGIN IMMEDIATE; COMMIT");
}

function checkOrigin(connection: DatabaseSync, path: string): void {
  const origin = pragma(connection, "application_id");
  if (origin === applicationId) return;
  const tables = connection.prepare("SELECT count(*) AS count FROM sqlite_schema").get();
  if (origin !== 0 || Number(tables?.count) > 0) throw notOurs(path);
}

function migrate(connection: DatabaseSync, path: string): void {
  const version = pragma(connection, "user_version");
  if (version > migrations.length) throw tooNew(path, version, migrations.length);
  for (const [index, migration] of migrations.entries()) {
    if (index < version) continue;
    connection.exec(`BEGIN IMMEDIATE; ${migration};
      PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${index + 1}; COMMIT`);
  }
}

function check(connection: DatabaseSync, path: string): void {
  const found = connection.prepare("PRAGMA quick_check(1)").get()?.quick_check;
  if (found !== "ok") throw storeDamaged(path, new Error(String(found)));
}

function pragma(connection: DatabaseSync, name: string): number {
  return Number(connection.prepare(`PRAGMA ${name}`).get()?.[name]);
}
