import type { JobStatus } from "../core/status.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { renderActiveJobs, renderRecentJobs } from "./jobs-table.ts";
import type { Terminal } from "./terminal.ts";

export interface ListOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly state: "active" | "recent";
  readonly limit?: number;
}

/** `mayfly jobs list`: those that wait or run, or those that ended lately. */
export async function jobsListCommand(options: ListOptions, terminal: Terminal): Promise<ExitCode> {
  const client = await connect(options);
  const { body, now } = await client.get(`/api/jobs?${listQuery(options)}`, "jobs");
  if (options.json === true) {
    terminal.printJson(body);
    return exitCodes.ok;
  }
  const { jobs } = body as { readonly jobs: readonly JobStatus[] };
  const screen = { ...terminal.screen, now };
  if (jobs.length > 0) {
    terminal.print(
      options.state === "active" ? renderActiveJobs(jobs, screen) : renderRecentJobs(jobs, screen),
    );
  } else if (options.state === "active") {
    terminal.print("No job waits or runs. `mayfly jobs list --state recent` shows those that ended.");
  } else {
    terminal.print("No job has ended lately.");
  }
  return exitCodes.ok;
}

/** The query of both lists of the API. */
export function listQuery(options: Pick<ListOptions, "state" | "limit">): string {
  const { state, limit } = options;
  return new URLSearchParams({ state, ...(limit !== undefined && { limit: String(limit) }) }).toString();
}
