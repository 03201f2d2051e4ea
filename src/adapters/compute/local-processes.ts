import { readdir, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";

/**
 * A process that belongs to a machine, found by its environment. A job may leave the process group, close its
 * files and lose its parent, but what it was started with stays readable in /proc for as long as it lives.
 */
export interface MachineProcess {
  readonly pid: number;
  readonly machineDirectory: string;
  readonly environment: ReadonlyMap<string, string>;
}

/** The variable that marks every process of a machine: the machine's folder, which no two machines share. */
export const machineDirectoryVariable = "MAYFLY_MACHINE_DIRECTORY";

export interface ProcessScanner {
  /**
   * All processes that were started for machines below `machinesDirectory`, as they were at some moment after the
   * call. Callers that wait at the same time share one look. Empty where there is no /proc.
   */
  scan(): Promise<readonly MachineProcess[]>;
}

export function createProcessScanner(machinesDirectory: string): ProcessScanner {
  let current: Promise<unknown> = Promise.resolve();
  let next: Promise<readonly MachineProcess[]> | undefined;
  return {
    scan() {
      // A look that is under way began before this call, so it may have missed what the caller asks about.
      next ??= current.then(() => {
        const found = findProcesses(`${machinesDirectory}/`);
        next = undefined;
        current = found.catch(() => undefined);
        return found;
      });
      return next;
    },
  };
}

async function findProcesses(prefix: string): Promise<readonly MachineProcess[]> {
  const pids = (await readDirectoryIfAny("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: MachineProcess[] = [];
  const mark = Buffer.from(`${machineDirectoryVariable}=${prefix}`);
  for (let at = 0; at < pids.length; at += scannedAtOnce) {
    const some = pids.slice(at, at + scannedAtOnce);
    const processes = await Promise.all(some.map((pid) => readProcess(pid, mark)));
    for (const one of processes) if (one !== undefined && one.pid !== process.pid) found.push(one);
    await setImmediate();
  }
  return found;
}

/** The threads that read files are few, and others wait for them too. */
const scannedAtOnce = 32;

async function readProcess(pid: number, mark: Buffer): Promise<MachineProcess | undefined> {
  const bytes = await readIfAny(`/proc/${pid}/environ`);
  if (bytes === undefined || !bytes.includes(mark)) return undefined;
  const environment = new Map<string, string>();
  for (const line of bytes.toString("utf8").split("\0")) {
    const equals = line.indexOf("=");
    if (equals > 0) environment.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const machineDirectory = environment.get(machineDirectoryVariable);
  return machineDirectory === undefined ? undefined : { pid, machineDirectory, environment };
}

/**
 * When a process started, in the system's own unit, which only serves to tell it from a later process that
 * received the same number. Undefined when it has ended (a zombie has ended) or where there is no /proc.
 */
export async function processStartTime(pid: number): Promise<string | undefined> {
  const bytes = await readIfAny(`/proc/${pid}/stat`);
  if (bytes === undefined) return undefined;
  // The name of the program comes second, in parentheses, and may hold anything.
  const text = bytes.toString("latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  return state === "Z" || state === "X" ? undefined : fields[19];
}

/** Sends a signal to a process, or to a group when `id` is negative. What has ended already needs no signal. */
export function signal(id: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(id, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Undefined when the process has ended or belongs to somebody else, who is none of our machines. */
async function readIfAny(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(code)) return undefined;
    throw error;
  }
}

async function readDirectoryIfAny(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
