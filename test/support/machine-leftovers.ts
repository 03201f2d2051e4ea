import { readdir, readFile, readlink } from "node:fs/promises";

export interface FoundProcess {
  readonly pid: number;
  readonly commandLine: string;
}

/**
 * Processes of machines whose folders are below this directory: found by the environment that the machine gave
 * to everything it started. Linux only.
 */
export async function machineProcesses(directory: string): Promise<readonly FoundProcess[]> {
  const all = await Promise.all((await processIds()).map((pid) => machineProcess(pid, directory)));
  return all.filter((found) => found !== undefined);
}

async function machineProcess(pid: number, directory: string): Promise<FoundProcess | undefined> {
  const environment = await readProcessFile(pid, "environ");
  if (environment === undefined) return undefined;
  const variables = environment.split("\0");
  if (!variables.some((variable) => variable.startsWith("MAYFLY_MACHINE_ID="))) return undefined;
  // Other tests run at the same time: only what lives below this directory belongs to this one.
  const place = await workingDirectory(pid);
  if (!place.startsWith(directory) && !environment.includes(directory)) return undefined;
  return { pid, commandLine: (await readProcessFile(pid, "cmdline")) ?? "" };
}

/** Ends what a failed test left. */
export async function killMachines(directory: string): Promise<void> {
  for (const { pid } of await machineProcesses(directory)) killIfAny(pid);
}

/** Does nothing when it has ended by itself since it was found. */
export function killIfAny(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The command lines of all processes of this machine, by their arguments. */
export async function allCommandLines(): Promise<readonly string[]> {
  const lines = await Promise.all((await processIds()).map((pid) => readProcessFile(pid, "cmdline")));
  return lines.filter((line) => line !== undefined && line !== "") as string[];
}

async function processIds(): Promise<readonly number[]> {
  return (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Undefined when the process has ended, or belongs to somebody else. */
async function readProcessFile(pid: number, name: "environ" | "cmdline"): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/${name}`, "utf8");
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

async function workingDirectory(pid: number): Promise<string> {
  try {
    return await readlink(`/proc/${pid}/cwd`);
  } catch (error) {
    if (isGone(error)) return "";
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ESRCH", "EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "");
}
