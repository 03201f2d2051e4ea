import { readdirSync, readFileSync } from "node:fs";

/**
 * Sends a signal to every process that a job started, found by the mark in its environment. The steps stay in
 * the runner's own process group, so that whoever ends that group ends them too; the mark also finds those
 * that left it. Without /proc nothing is found.
 */
export function endProcesses(trackingId: string, signal: "SIGTERM" | "SIGKILL"): void {
  const mark = `RUNNER_TRACKING_ID=${trackingId}`;
  for (const name of entriesOf("/proc")) {
    const id = Number(name);
    if (!Number.isInteger(id) || id === process.pid) continue;
    try {
      if (readFileSync(`/proc/${id}/environ`, "latin1").includes(mark)) process.kill(id, signal);
    } catch {
      // The process ended meanwhile, or belongs to somebody else.
    }
  }
}

function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
