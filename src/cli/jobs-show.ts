import type { JobStatus, WhyDocument } from "../core/status.ts";
import { connect } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { parseJobReference } from "./job-reference.ts";
import { outcomeText } from "./jobs-table.ts";
import { durationText, instantText, moneyText, relativeText } from "./phrases.ts";
import { renderFields } from "./table.ts";
import type { Screen, Terminal } from "./terminal.ts";
import type { WhyCommandOptions } from "./why.ts";

/** `mayfly jobs show <job>`: the facts about one job. The story behind them is `mayfly why`. */
export async function jobsShowCommand(
  job: string,
  options: WhyCommandOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const id = parseJobReference(job);
  const client = await connect(options);
  const { body, now } = await client.get(`/api/jobs/${id}`, "job");
  if (options.json === true) terminal.printJson(body);
  else terminal.print(renderJob((body as WhyDocument).job, { ...terminal.screen, now }));
  return exitCodes.ok;
}

export function renderJob(job: JobStatus, screen: Screen): string {
  const moment = (at: string | null): string | undefined =>
    at === null ? undefined : `${instantText(at)} UTC, ${relativeText(at, screen.now)}`;
  return renderFields(
    [
      ["job", String(job.id)],
      ["name", job.name],
      ["workflow", job.workflow],
      ["repository", job.repository],
      ["page", job.url],
      ["labels", job.labels.join(", ")],
      ["fleet", job.fleet],
      ["state", outcomeText(job)],
      ["waits for", job.waitsFor ?? undefined],
      ["created", moment(job.createdAt)],
      ["started", moment(job.startedAt)],
      ["completed", moment(job.completedAt)],
      ["waited", durationText(job.waitSeconds)],
      ["ran", job.runSeconds === null ? undefined : durationText(job.runSeconds)],
      ["machine", job.machine ?? undefined],
      ["cost", job.costUsd === null ? undefined : moneyText(job.costUsd)],
    ],
    screen,
  );
}
