import { readFile, stat } from "node:fs/promises";
import { MayflyError } from "../core/errors.ts";
import { parseJobTrace, type TracedJob, traceLimits } from "../core/job-trace.ts";

/** The jobs of a trace file, in the order in which they were queued. Rejects with every line that is wrong. */
export async function readTraceFile(path: string): Promise<readonly TracedJob[]> {
  const { jobs, problems } = parseJobTrace(await readText(path));
  if (problems.length === 0) return jobs;
  const list = problems.map(({ line, sentence }) => `  line ${line}: ${sentence}`).join("\n");
  throw new MayflyError({
    kind: "operator",
    code: "TRACE_INVALID",
    message: `The trace ${path} cannot be replayed:\n${list}`,
    suggestion: "Correct these lines, or write the trace anew with `mayfly trace export`.",
  });
}

async function readText(path: string): Promise<string> {
  let reason: string;
  try {
    const { size } = await stat(path);
    if (size <= traceLimits.bytes) return await readFile(path, "utf8");
    reason = `it is bigger than ${traceLimits.bytes / (1024 * 1024)} MiB`;
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  throw new MayflyError({
    kind: "operator",
    code: "TRACE_UNREADABLE",
    message: `The trace ${path} cannot be read: ${reason}.`,
    suggestion: "Name a file of JSON lines, such as `mayfly trace export` writes.",
  });
}
