import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { createMachineFolders } from "./local-folders.ts";

const root = mkdtempSync(join(tmpdir(), "mayfly-folders-"));
afterEach(() => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));

const folderNames = Array.from({ length: 100 }, (_, index) => `folder-${index}`);

/** A process of a job that has escaped: it puts links in the place of folders and back for as long as it lives. */
const swapping = `
  const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
  const names = ${JSON.stringify(folderNames)};
  console.log("ready");
  for (;;) {
    for (const name of names) {
      try {
        renameSync(name, "kept");
        symlinkSync(process.argv[1], name);
        unlinkSync(name);
        renameSync("kept", name);
      } catch {}
    }
  }
`;

it("what is removed is the machine's folder alone, though a job puts links into it meanwhile", async () => {
  const theirs = join(root, "theirs");
  mkdirSync(theirs);
  for (let file = 0; file < 20; file++) writeFileSync(join(theirs, String(file)), "");
  const folders = createMachineFolders(join(root, "machines"));
  for (let round = 0; round < 8; round++) {
    const record = { machineId: "machine-1", fleet: "f", preset: "p", launchedAt: 0 };
    await folders.create(record, { folders: ["runner"], mode: 0o711 });
    const runner = join(folders.path("machine-1"), "runner");
    for (const name of folderNames) {
      mkdirSync(join(runner, name));
      writeFileSync(join(runner, name, "file"), "");
    }
    const job = spawn(process.execPath, ["-e", swapping, theirs], {
      cwd: runner,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = once(job, "close");
    await once(job.stdout, "data");
    // Whether it gets to its end beside that job is not the question.
    await folders.remove("machine-1").catch(() => {});
    job.kill("SIGKILL");
    await ended;
    await folders.sweep();
  }
  expect(readdirSync(theirs)).toHaveLength(20);
  expect(readdirSync(join(root, "machines"))).toEqual([]);
});
