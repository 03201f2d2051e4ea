import { spawn } from "node:child_process";
import { once } from "node:events";

/** The system's usual folders of programs. */
export const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs a program of the system to its end, with nothing of our environment. Rejects with what it said when it fails. */
export async function runCommand(command: string, parameters: readonly string[]): Promise<void> {
  const child = spawn(command, parameters, {
    env: { PATH: usualPath, LC_ALL: "C" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (text) => {
    if (said.length < 1_000) said += text;
  });
  const [status] = (await once(child, "close")) as [number | null];
  if (status !== 0) throw new Error(`"${command}" ended with ${status}: ${said.trim()}`);
}
