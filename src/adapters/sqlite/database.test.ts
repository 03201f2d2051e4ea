import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fleetRecord, job, machine } from "../../../test/builders.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import { type Database, openDatabase } from "./database.ts";
import { migrations } from "./schema.ts";

let folder: string;
let path: string;
let opened: Database[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-database-"));
  path = join(folder, "mayfly.db");
  opened = [];
});
afterEach(async () => {
  for (const database of opened) await database.close();
  await rm(folder, { recursive: true });
});

function openHere(): Database {
  const database = openDatabase(path);
  opened.push(database);
  return database;
}

function setVersion(version: number): void {
  const connection = new DatabaseSync(path);
  connection.exec(`PRAGMA user_version = ${version}`);
  connection.close();
}

describe("opening", () => {
  it("creates the folder and the file, which only the owner may read", async () => {
    path = join(folder, "a", "b", "mayfly.db");
    openHere();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("refuses a second opener in this process and in another, also after a refusal", async () => {
    await createSqliteStore(openHere()).addJob(fleetRecord(), job());
    const refusal = { kind: "operator", code: "STORE_IN_USE", message: expect.stringContaining(path) };
    expect(() => openDatabase(path)).toThrowError(expect.objectContaining(refusal));
    const other = spawn(process.execPath, [
      "--input-type=module-typescript",
      "--eval",
      `import { openDatabase } from ${JSON.stringify(import.meta.resolve("./database.ts"))};
       try { openDatabase(${JSON.stringify(path)}); } catch (error) { process.stdout.write(error.code); }`,
    ]);
    const [said] = await once(other.stdout, "data");
    expect(String(said)).toBe("STORE_IN_USE");
  });

  it("opens again what was closed, or refused for another reason", async () => {
    await openHere().close();
    await openHere().close();
    setVersion(migrations.length + 1);
    const refusal = { kind: "operator", code: "STORE_TOO_NEW" };
    expect(() => openDatabase(path)).toThrowError(expect.objectContaining(refusal));
    setVersion(migrations.length);
    openHere();
  });

  it("refuses while another program reads or writes the file", async () => {
    await openHere().close();
    const connection = new DatabaseSync(path);
    connection.exec("BEGIN; SELECT * FROM jobs");
    expect(() => openDatabase(path)).toThrowError(expect.objectContaining({ code: "STORE_IN_USE" }));
    connection.close();
    openHere();
  });

  it("refuses the database of another program and leaves it alone", () => {
    const connection = new DatabaseSync(path);
    connection.exec("CREATE TABLE photos (id INTEGER)");
    connection.close();
    expect(() => openDatabase(path)).toThrowError(expect.objectContaining({ code: "STORE_NOT_OURS" }));
    expect(new DatabaseSync(path).prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.n).toBe(1);
  });

  it("says that it cannot write where it cannot", async () => {
    await mkdir(join(folder, "is-a-folder.db"));
    await writeFile(join(folder, "is-a-file"), "");
    const places = [join(folder, "is-a-folder.db"), join(folder, "is-a-file", "mayfly.db")];
    // Not even root may create a file there.
    if (process.platform === "linux") places.push("/proc/self/mayfly.db");
    for (const place of places) {
      const refusal = {
        kind: "operator",
        code: "STORE_NOT_WRITABLE",
        message: expect.stringContaining(place),
      };
      expect(() => openDatabase(place)).toThrowError(expect.objectContaining(refusal));
    }
  });
});

describe("damage", () => {
  const refusal = { kind: "operator", code: "STORE_DAMAGED" };

  it("refuses a file that is no database", async () => {
    await writeFile(path, "This was written over the database. ".repeat(1_000));
    expect(() => openDatabase(path)).toThrowError(expect.objectContaining(refusal));
  });

  it("refuses a database with a page that was overwritten", async () => {
    const database = openHere();
    const store = createSqliteStore(database);
    await Promise.all(Array.from({ length: 200 }, (_, id) => store.addJob(fleetRecord(), job({ id }))));
    await database.close();
    const file = await open(path, "r+");
    const { size } = await file.stat();
    for (let page = 4_096 * 12; page < size; page += 4_096 * 3) {
      await file.write(Buffer.alloc(4_096, 0xab), 0, 4_096, page);
    }
    await file.close();
    expect(() => openDatabase(path)).toThrowError(expect.objectContaining(refusal));
  });

  it("says so when it reads a document that is none any more", async () => {
    const database = openHere();
    const store = createSqliteStore(database);
    await store.addJob(fleetRecord(), job());
    const garble = database.prepare("UPDATE jobs SET document = '{' || document");
    await database.write(() => garble.run());
    await expect(store.findJob(1001)).rejects.toMatchObject(refusal);
  });
});

describe("groups of writes", () => {
  it("fails the guilty one alone and forgets what it made the store remember", async () => {
    const database = openHere();
    const store = createSqliteStore(database);
    await store.addJob(fleetRecord(), job({ id: 1 }));
    await store.load("fleet-a");
    const results = await Promise.allSettled([
      store.addJob(fleetRecord(), job({ id: 2 })),
      store.commit("fleet-a", 0, [{ put: "machine", machine: machine() }]),
      database.write(() => {
        throw new Error("guilty");
      }),
      store.addJob(fleetRecord(), job({ id: 3 })),
    ]);
    expect(results.map((result) => result.status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    const ledger = await store.load("fleet-a");
    expect(ledger.version).toBe(1);
    expect(ledger.jobs.map((each) => each.id)).toEqual([1, 2, 3]);
    expect(await store.counters()).toMatchObject({ machines: 1 });
  });

  it("survives a full disk: what was written stays, small writes go on when there is room", async () => {
    const database = openHere();
    const store = createSqliteStore(database);
    await store.addJob(fleetRecord(), job({ id: 1 }));
    await store.load("fleet-a");
    const pages = Number(database.prepare<{ page_count: number }>("PRAGMA page_count").get()?.page_count);
    database.prepare(`PRAGMA max_page_count = ${pages + 1}`).get();
    const large = job({ id: 2, name: "x".repeat(100_000) });
    const full = { kind: "operator", code: "STORE_FULL" };
    const results = await Promise.allSettled([
      store.addJob(fleetRecord(), job({ id: 3 })),
      store.addJob(fleetRecord(), large),
      store.addJob(fleetRecord(), job({ id: 4 })),
    ]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(results[1]).toMatchObject({ reason: full });
    expect((await store.load("fleet-a")).jobs.map((each) => each.id)).toEqual([1, 3, 4]);
    database.prepare("PRAGMA max_page_count = 1000000").get();
    expect(await store.addJob(fleetRecord(), large)).toBe("added");
  });

  it("is committed when the database is closed right away; later calls are rejected", async () => {
    const database = openHere();
    const store = createSqliteStore(database);
    const writes = Array.from({ length: 600 }, (_, id) => store.addJob(fleetRecord(), job({ id })));
    const closed = database.close();
    await Promise.all([closed, ...writes]);
    const refusal = { kind: "retry", code: "STORE_CLOSED" };
    await expect(store.addJob(fleetRecord(), job({ id: 700 }))).rejects.toMatchObject(refusal);
    await expect(store.load("fleet-a")).rejects.toMatchObject(refusal);
    const again = createSqliteStore(openHere());
    expect((await again.load("fleet-a")).jobs).toHaveLength(600);
  });
});
