import type { StatusDocument } from "../core/status.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { needsALook, renderImages } from "./images-table.ts";
import { renderActiveJobs } from "./jobs-table.ts";
import { countText, durationText, moneyText, numberText, relativeText } from "./phrases.ts";
import { renderFields, renderTable } from "./table.ts";
import { paint, type Screen, type Terminal } from "./terminal.ts";

export interface StatusCommandOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** `mayfly status`: 0 when the server is ready, 1 when something needs an operator. */
export async function statusCommand(options: StatusCommandOptions, terminal: Terminal): Promise<ExitCode> {
  const client = await connect(options);
  const document = (await client.get("/api/status", "activeJobs")).body as StatusDocument;
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderStatus(document, { ...terminal.screen, now: Date.parse(document.at) }));
  return document.state === "ready" ? exitCodes.ok : exitCodes.failed;
}

/** More jobs than this do not help at a glance; `mayfly jobs list` has them all. */
const jobsShown = 10;

export function renderStatus(status: StatusDocument, screen: Screen): string {
  const blocks = [headline(status, screen), summary(status, screen), presets(status, screen)];
  const blocked = status.fleets.filter((fleet) => fleet.blocked !== null);
  if (blocked.length > 0) {
    const lines = blocked.map(({ fleet, queued, blocked: why }) => {
      const retry =
        why?.nextAttemptAt == null ? "" : ` Tried again ${relativeText(why.nextAttemptAt, screen.now)}.`;
      const since = why === null ? "" : ` for ${durationText((screen.now - Date.parse(why.since)) / 1000)}`;
      return `  ${paint(screen, "doubtful", printable(fleet))}: ${countText(queued, "job")} queued${since}. ${printable(why?.detail ?? "")}${retry}`;
    });
    blocks.push(["Blocked:", ...lines].join("\n"));
  }
  // A server of an earlier version says nothing of images.
  const images = (status.images ?? []).filter(needsALook);
  if (images.length > 0) blocks.push(renderImages(images, screen));
  const { activeJobs } = status;
  if (activeJobs.length > 0) {
    const more = activeJobs.length - jobsShown;
    const rest = more > 0 ? `\n… and ${countText(more, "more job")}: mayfly jobs list` : "";
    blocks.push(renderActiveJobs(activeJobs.slice(0, jobsShown), screen) + rest);
  }
  return blocks.filter((block) => block !== "").join("\n\n");
}

function headline(status: StatusDocument, screen: Screen): string {
  const ready = status.state === "ready";
  const state = paint(screen, ready ? "good" : "bad", status.state);
  const problems = status.problems.map((problem) => `  - ${printable(problem)}`);
  return [`Mayfly ${printable(status.version)} is ${state}.`, ...problems].join("\n");
}

function summary(status: StatusDocument, screen: Screen): string {
  const { jobs, machines, waits, cost } = status;
  const states = (["requested", "launched", "registered", "busy", "retiring"] as const)
    .filter((state) => machines[state] > 0)
    .map((state) => `${machines[state]} ${state}`)
    .join(", ");
  const budget = cost.dailyBudgetUsd === null ? "" : ` of ${moneyText(cost.dailyBudgetUsd)}`;
  const wait = (seconds: number | null): string => (seconds === null ? "–" : durationText(seconds));
  return renderFields(
    [
      ["jobs", `${jobs.queued} queued, ${jobs.running} running, ${jobs.waiting} held back by GitHub`],
      ["machines", `${machines.alive} alive${states === "" ? "" : `: ${states}`}`],
      [
        "last hour",
        `${countText(jobs.completedLastHour, "job")} completed (${jobs.failedLastHour} failed), ${jobs.givenUpLastHour} given up, ${jobs.refusedLastHour} refused; ${countText(machines.launchedLastHour, "machine")} launched, ${machines.endedLastHour} ended, ${machines.launchFailuresLastHour} launches failed`,
      ],
      [
        "waits",
        waits.jobs === 0
          ? undefined
          : `p50 ${wait(waits.p50Seconds)}, p95 ${wait(waits.p95Seconds)}, p99 ${wait(waits.p99Seconds)} (${countText(waits.jobs, "job")}); GitHub's part p50 ${wait(waits.githubP50Seconds)}, p95 ${wait(waits.githubP95Seconds)}`,
      ],
      [
        "cost today",
        `${moneyText(cost.todayUsd)}${budget}; GitHub-hosted would be ${moneyText(cost.githubHostedTodayUsd)}, EC2 spot ${moneyText(cost.ec2SpotTodayUsd)}`,
      ],
      ...status.github.map(
        ({ installationId, remaining, limit, resetAt }) =>
          [
            "GitHub",
            `installation ${installationId}: ${numberText(remaining)} of ${numberText(limit)} requests left, new ones ${relativeText(resetAt, screen.now)}`,
          ] as const,
      ),
    ],
    screen,
  );
}

function presets(status: StatusDocument, screen: Screen): string {
  if (status.presets.length === 0) return "";
  return renderTable(
    [
      { title: "PRESET", cell: (preset) => preset.name },
      { title: "COMPUTE", cell: (preset) => preset.compute },
      { title: "MACHINES", cell: (preset) => `${preset.machines} of ${preset.max}`, align: "right" },
      {
        title: "STATUS",
        cell: (preset) => preset.status,
        style: (preset) => (preset.status === "ready" ? "good" : "doubtful"),
      },
      { title: "LABELS", cell: (preset) => preset.labels.join(", "), shrinksTo: 8 },
    ],
    status.presets,
    screen,
  );
}
