import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FleetId, Instant, MachineId } from "../../core/model.ts";
import { runCommand } from "./local-command.ts";
import { isMachineId } from "./machine-id.ts";

/** What stands in a machine's `machine.json`. No secret: the credential exists only in the agent's memory. */
export interface MachineRecord {
  readonly machineId: MachineId;
  readonly fleet: FleetId;
  readonly preset: string;
  readonly launchedAt: Instant;
  /** Absent until the agent runs. */
  readonly process?: { readonly pid: number; readonly startTime: string | undefined };
}

/**
 * The folders of machines. A folder appears whole, with its record, and disappears whole, because both are one
 * `rename`: a server that is killed at any moment leaves either a machine that is known or rubbish that is swept.
 */
export interface MachineFolders {
  path(machineId: MachineId): string;
  /** `exists`: there is a folder of this name already; nothing was changed. */
  create(record: MachineRecord, contents: FolderContents): Promise<"created" | "exists">;
  write(record: MachineRecord): Promise<void>;
  /**
   * Undefined when there is no such folder, or when it has no record: then it is none of ours and is left alone. A
   * damaged record, as a crash of the whole box may leave it, is read as one without marks.
   */
  read(machineId: MachineId): Promise<MachineRecord | undefined>;
  list(): Promise<readonly MachineRecord[]>;
  /** Nothing that uses the folder may run any more. */
  remove(machineId: MachineId): Promise<void>;
  /** Deletes what was begun or half deleted by a server that died. Not to be called beside other calls. */
  sweep(): Promise<void>;
}

export interface FolderContents {
  readonly folders: readonly string[];
  readonly mode: number;
}

const recordFile = "machine.json";
const rubbishPrefix = ".rubbish-";

export function createMachineFolders(machinesDirectory: string): MachineFolders {
  const path = (machineId: MachineId) => join(machinesDirectory, machineId);
  const rubbish = () => join(machinesDirectory, `${rubbishPrefix}${randomUUID()}`);

  async function read(machineId: MachineId): Promise<MachineRecord | undefined> {
    try {
      return JSON.parse(await readFile(join(path(machineId), recordFile), "utf8")) as MachineRecord;
    } catch (error) {
      if (error instanceof SyntaxError) return { machineId, fleet: "", preset: "", launchedAt: 0 };
      if (isOneOf(error, ["ENOENT", "ENOTDIR"])) return undefined;
      throw error;
    }
  }

  return {
    path,
    read,
    async create(record, contents) {
      await mkdir(machinesDirectory, { recursive: true, mode: 0o755 });
      const fresh = rubbish();
      try {
        await mkdir(fresh, { mode: contents.mode });
        await writeFile(join(fresh, recordFile), JSON.stringify(record), { mode: 0o600 });
        for (const folder of contents.folders) await mkdir(join(fresh, folder), { mode: 0o700 });
        await rename(fresh, path(record.machineId));
        return "created";
      } catch (error) {
        await rm(fresh, { recursive: true, force: true });
        if (isOneOf(error, ["ENOTEMPTY", "EEXIST", "ENOTDIR"])) return "exists";
        throw error;
      }
    },
    async write(record) {
      const fresh = join(path(record.machineId), `${recordFile}.new`);
      await writeFile(fresh, JSON.stringify(record), { mode: 0o600 });
      await rename(fresh, join(path(record.machineId), recordFile));
    },
    async list() {
      const names = (await readdirIfAny(machinesDirectory)).filter(isMachineId);
      const records = await Promise.all(names.map(read));
      return records.filter((record) => record !== undefined);
    },
    async remove(machineId) {
      const doomed = rubbish();
      try {
        await rename(path(machineId), doomed);
      } catch (error) {
        if (isOneOf(error, ["ENOENT"])) return;
        throw error;
      }
      await removeTree(doomed);
    },
    async sweep() {
      for (const name of await readdirIfAny(machinesDirectory)) {
        if (!name.startsWith(rubbishPrefix)) continue;
        await removeTree(join(machinesDirectory, name));
      }
    },
  };
}

/**
 * A process of a job may have escaped, and go on to change what is being deleted. `rm` holds each folder open and follows
 * no link, not even one that takes a folder's place meanwhile; node's own goes by names, and would follow it.
 */
async function removeTree(path: string): Promise<void> {
  await runCommand("rm", ["-rf", "--", path]);
}

export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isOneOf(error, ["ENOENT", "ENOTDIR"])) return false;
    throw error;
  }
}

async function readdirIfAny(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isOneOf(error, ["ENOENT"])) return [];
    throw error;
  }
}

function isOneOf(error: unknown, codes: readonly string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? "");
}
