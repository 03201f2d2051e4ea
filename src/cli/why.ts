import type { WhyDocument } from "../core/status.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { imageText } from "./images-table.ts";
import { parseJobReference } from "./job-reference.ts";
import { outcomeStyle } from "./jobs-table.ts";
import { renderMachines } from "./machines-table.ts";
import { durationText, instantText, relativeText } from "./phrases.ts";
import { renderTable } from "./table.ts";
import { paint, type Screen, type Terminal } from "./terminal.ts";

export interface WhyCommandOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** `mayfly why <job>`: what happened to one job, what it waits for and what comes next. */
export async function whyCommand(
  job: string,
  options: WhyCommandOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const id = parseJobReference(job);
  const client = await connect(options);
  const { body, now } = await client.get(`/api/jobs/${id}`, "steps");
  if (options.json === true) terminal.printJson(body);
  else terminal.print(renderWhy(body as WhyDocument, { ...terminal.screen, now }));
  return exitCodes.ok;
}

export function renderWhy(why: WhyDocument, screen: Screen): string {
  const { job, steps, machines, next } = why;
  const blocks = [
    paint(screen, outcomeStyle(job), printable(why.summary)),
    [
      `${paint(screen, "strong", printable(`${job.workflow} / ${job.name}`))} in ${printable(job.repository)}, job ${job.id}`,
      printable(job.url),
      `labels ${printable(job.labels.join(", "))}; fleet ${printable(job.fleet)}`,
    ].join("\n"),
  ];
  if (steps.length > 0) {
    blocks.push(
      renderTable(
        [
          { title: "TIME (UTC)", cell: (step) => instantText(step.at), style: () => "quiet" },
          {
            title: "AFTER",
            cell: (step) => (step === steps[0] ? "" : `+${durationText(step.afterSeconds)}`),
            align: "right",
          },
          { title: "WHAT HAPPENED", cell: (step) => step.what, shrinksTo: 30 },
        ],
        steps,
        screen,
      ),
    );
  }
  if (machines.length > 0) blocks.push(renderMachines(machines, screen));
  if (why.image != null) blocks.push(printable(imageText(why.image, screen.now)));
  if (why.limitation != null && why.job.outcome !== "success" && !why.summary.includes(why.limitation)) {
    blocks.push(paint(screen, "doubtful", printable(why.limitation)));
  }
  if (next !== null) {
    const at =
      next.at === null ? "" : ` (${relativeText(next.at, screen.now)}, at ${instantText(next.at)} UTC)`;
    blocks.push(`${paint(screen, "strong", `Next${at}:`)} ${printable(next.what)}`);
  }
  return blocks.join("\n\n");
}
