import { MayflyError } from "../core/errors.ts";
import type { JobStatus, MachineStatus, WhyDocument } from "../core/status.ts";
import type { ApiClient } from "./api-client.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface RunnersTerminateOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly force?: boolean;
  readonly yes?: boolean;
}

/**
 * `mayfly runners terminate <id>`: without `--force` a job that runs there ends first. With it the job is lost,
 * which is said, by name, before it is done.
 */
export async function runnersTerminateCommand(
  id: string,
  options: RunnersTerminateOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const client = await connect(options);
  const force = options.force === true;
  if (force && !(await confirmLoss(client, id, options, terminal))) {
    terminal.note("Nothing was done.");
    return exitCodes.failed;
  }
  const { body } = await client.post(
    `/api/machines/${encodeURIComponent(id)}/terminate`,
    { force },
    "result",
  );
  if (options.json === true) terminal.printJson(body);
  else terminal.print(resultText(id, (body as { readonly result: string }).result, force));
  return exitCodes.ok;
}

export function resultText(id: string, result: string, force: boolean): string {
  if (result === "ended") return `Machine ${id} has ended already.`;
  if (force) return `Machine ${id} is being terminated, with whatever runs on it.`;
  return `Machine ${id} is being terminated. If a job runs on it, the job ends first. \`mayfly runners details ${id}\` shows how far it is.`;
}

async function confirmLoss(
  client: ApiClient,
  id: string,
  options: RunnersTerminateOptions,
  terminal: Terminal,
): Promise<boolean> {
  const { body } = await client.get(`/api/machines/${encodeURIComponent(id)}`, "state");
  const machine = body as MachineStatus;
  if (machine.state === "ended") return true;
  terminal.note(lossText(machine, await jobOn(client, machine)));
  if (options.yes === true) return true;
  if (!terminal.interactive) {
    throw new UsageError("Nobody is here to confirm that.", "Add --yes, or leave out --force.");
  }
  return terminal.confirm(`Terminate machine ${id} now?`);
}

export function lossText(machine: MachineStatus, job: JobStatus | undefined): string {
  if (machine.jobId === null) return `No job is known to run on machine ${machine.id}.`;
  if (job === undefined)
    return `Job ${machine.jobId} on machine ${machine.id} is lost: GitHub will call it failed.`;
  const name = printable(`${job.workflow} / ${job.name}`);
  const where = `${printable(job.repository)}, job ${job.id}`;
  if (job.state === "running") {
    return `The job ${name} (${where}) runs on machine ${machine.id}. It is lost: GitHub will call it failed, and it is not started again by itself.`;
  }
  if (job.state === "done") return `The job ${name} (${where}) on machine ${machine.id} has ended already.`;
  return `Machine ${machine.id} was about to run the job ${name} (${where}). If it has started by now, it is lost; otherwise another machine will take it.`;
}

async function jobOn(client: ApiClient, machine: MachineStatus): Promise<JobStatus | undefined> {
  if (machine.jobId === null) return undefined;
  try {
    return ((await client.get(`/api/jobs/${machine.jobId}`, "job")).body as WhyDocument).job;
  } catch (error) {
    // The name is a courtesy: a job that the server no longer knows is named by its id.
    if (error instanceof MayflyError && error.code === "SERVER_REFUSED") return undefined;
    throw error;
  }
}
