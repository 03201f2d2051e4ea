import { basename } from "node:path";
import type { UnservedJobs } from "../targets/sim/replay.ts";
import type { Waits, WhatIfPreset, WhatIfReport } from "../targets/sim/what-if.ts";
import { printable } from "./display-width.ts";
import { countText, durationText, instantText, moneyText, numberText } from "./phrases.ts";
import { renderTable } from "./table.ts";
import { paint, type Screen } from "./terminal.ts";
import type { WhatIfDocument } from "./what-if.ts";

/** The report for people: all in all, each preset, what was not served, and what was assumed. */
export function renderWhatIf(document: WhatIfDocument, screen: Screen): string {
  const { trace, reports } = document;
  const names = configNames(reports.map((report) => report.config));
  const from = `${instantText(trace.from)} to ${instantText(trace.until)} UTC`;
  const blocks = [
    `${countText(trace.jobs, "job")} of ${repositories(trace.repositories)}, queued ${from}, replayed with ${names.map(printable).join(" and ")}.`,
    renderTotals(reports, names, screen),
    renderPresets(reports, names, screen),
    renderUnserved(reports, names, screen),
    assumptionsText(document),
    document.chart === null ? "" : `The chart is in ${printable(document.chart)}.`,
  ];
  return blocks.filter((block) => block !== "").join("\n\n");
}

/** The last part of each path where that tells them apart. */
export function configNames(paths: readonly string[]): readonly string[] {
  const names = paths.map((path) => basename(path));
  return new Set(names).size === names.length ? names : paths;
}

function repositories(count: number): string {
  return count === 1 ? "1 repository" : `${numberText(count)} repositories`;
}

// ---------------------------------------------------------------------------------------------- totals

interface Total {
  readonly title: string;
  readonly value: (report: WhatIfReport) => number;
  readonly text: (value: number, report: WhatIfReport) => string;
  /** Left out when it is nothing in every report. */
  readonly seldom?: true;
}

const whole = (value: number): string => numberText(value);
const hours = (value: number): string => `${numberText(Math.round(value * 10) / 10)} h`;
const seconds = (value: number): string => (Number.isNaN(value) ? "–" : durationText(value));
const wait = (part: keyof Waits) => (report: WhatIfReport) => report.waits[part] ?? Number.NaN;

const totals: readonly Total[] = [
  { title: "jobs that ran", value: ({ jobs }) => jobs.ran, text: whole },
  { title: "jobs refused", value: ({ jobs }) => jobs.refused, text: whole, seldom: true },
  { title: "jobs given up", value: ({ jobs }) => jobs.givenUp, text: whole, seldom: true },
  { title: "jobs left to others", value: ({ jobs }) => jobs.ignored, text: whole, seldom: true },
  { title: "jobs interrupted", value: ({ jobs }) => jobs.interrupted, text: whole, seldom: true },
  { title: "jobs over their time limit", value: ({ jobs }) => jobs.overLimit, text: whole, seldom: true },
  { title: "wait, half of the jobs", value: wait("p50Seconds"), text: seconds },
  { title: "wait, 95 of 100", value: wait("p95Seconds"), text: seconds },
  { title: "wait, 99 of 100", value: wait("p99Seconds"), text: seconds },
  { title: "longest wait", value: wait("longestSeconds"), text: seconds },
  { title: "machines", value: ({ machines }) => machines.launched, text: whole },
  { title: "machines without a job", value: ({ machines }) => machines.unused, text: whole, seldom: true },
  { title: "machines at once", value: ({ machines }) => machines.mostAtOnce, text: whole },
  { title: "hours of jobs", value: ({ jobs }) => jobs.runHours, text: hours },
  { title: "hours of spot machines", value: ({ machines }) => machines.spotHours, text: hours },
  { title: "hours of on-demand machines", value: ({ machines }) => machines.onDemandHours, text: hours },
  { title: "cost", value: ({ cost }) => cost.totalUsd, text: moneyText },
  {
    title: "the same minutes, GitHub-hosted",
    value: ({ cost }) => cost.githubHostedUsd,
    text: (value, { cost }) => `${moneyText(value)}${ratioText(value, cost.totalUsd)}`,
  },
];

function ratioText(hosted: number, own: number): string {
  return hosted === 0 || own === 0 ? "" : ` (${(hosted / own).toFixed(1)} times)`;
}

function renderTotals(reports: readonly WhatIfReport[], names: readonly string[], screen: Screen): string {
  const rows = totals.filter(
    (row) => row.seldom !== true || reports.some((report) => row.value(report) !== 0),
  );
  const [first, second] = reports;
  return renderTable(
    [
      { title: "ALL IN ALL", cell: (row: Total) => row.title },
      ...reports.map((report, index) => ({
        title: names[index] ?? "",
        cell: (row: Total) => row.text(row.value(report), report),
        align: "right" as const,
      })),
      ...(first === undefined || second === undefined
        ? []
        : [
            {
              title: "CHANGE",
              cell: (row: Total) => changeText(row.value(first), row.value(second)),
              align: "right" as const,
            },
          ]),
    ],
    rows,
    screen,
  );
}

function changeText(before: number, after: number): string {
  if (before === after || Number.isNaN(before) || Number.isNaN(after)) return "";
  if (before === 0) return "new";
  const percent = Math.round((after / before - 1) * 100);
  return percent === 0 ? "" : `${percent > 0 ? "+" : ""}${numberText(percent)} %`;
}

// --------------------------------------------------------------------------------------------- presets

type PresetRow = WhatIfPreset & { readonly name: string };

function renderPresets(reports: readonly WhatIfReport[], names: readonly string[], screen: Screen): string {
  const rows = reports.flatMap((report, index) =>
    report.presets.map((preset): PresetRow => ({ ...preset, name: names[index] ?? "" })),
  );
  const second = (value: number | null): string => (value === null ? "–" : durationText(value));
  return renderTable<PresetRow>(
    [
      { title: "PRESET", cell: (row) => row.preset },
      { title: "CONFIG", cell: (row) => (reports.length === 1 ? "" : row.name), shrinksTo: 12 },
      { title: "JOBS", cell: (row) => numberText(row.jobs), align: "right" },
      { title: "WAIT P50", cell: (row) => second(row.waits.p50Seconds), align: "right" },
      { title: "P95", cell: (row) => second(row.waits.p95Seconds), align: "right" },
      { title: "P99", cell: (row) => second(row.waits.p99Seconds), align: "right" },
      { title: "MACHINES", cell: (row) => numberText(row.machines.launched), align: "right" },
      { title: "AT ONCE", cell: (row) => numberText(row.machines.mostAtOnce), align: "right" },
      { title: "SPOT", cell: (row) => hours(row.machines.spotHours), align: "right" },
      { title: "ON-DEMAND", cell: (row) => hours(row.machines.onDemandHours), align: "right" },
      { title: "COST", cell: (row) => moneyText(row.cost.totalUsd), align: "right" },
      { title: "GITHUB-HOSTED", cell: (row) => moneyText(row.cost.githubHostedUsd), align: "right" },
    ],
    rows,
    screen,
  );
}

// ------------------------------------------------------------------------------------------ small print

/** A trace of another installation can have hundreds of label sets that nobody serves. */
const unservedShown = 10;

function renderUnserved(reports: readonly WhatIfReport[], names: readonly string[], screen: Screen): string {
  const texts = reports.map(({ unserved }) => unserved.slice(0, unservedShown).map(unservedText).join("\n"));
  const same = texts.every((text) => text === texts[0]);
  const blocks = reports.slice(0, same ? 1 : reports.length).map(({ unserved }, index) => {
    const jobs = unserved.reduce((sum, entry) => sum + entry.jobs, 0);
    if (jobs === 0) return "";
    const config = same ? "" : ` with ${printable(names[index] ?? "")}`;
    const more = unserved.length - unservedShown;
    const rest = more > 0 ? `\n  … and ${countText(more, "more set")} of labels: --json has them all` : "";
    const title = paint(screen, "doubtful", `${countText(jobs, "job")} got no machine${config}:`);
    return `${title}\n${texts[index]}${rest}`;
  });
  return blocks.filter((block) => block !== "").join("\n\n");
}

function unservedText({ labels, result, detail, jobs }: UnservedJobs): string {
  const asked = labels.length === 0 ? "no labels" : labels.join(", ");
  const what = result === "ignored" ? "left to others" : "refused";
  return `  ${printable(`${countText(jobs, "job")} with ${asked}: ${what}. ${detail}`)}`;
}

function assumptionsText({ assumptions, reports }: WhatIfDocument): string {
  const { bootSeconds, taskSeconds, interruptionsPercent } = assumptions;
  const hasTasks = reports.some(({ presets }) => presets.some(({ compute }) => compute === "fargate"));
  const ofTasks = hasTasks ? ` (tasks of Fargate within ${durationText(taskSeconds)})` : "";
  const prices = new Set(
    reports.flatMap(({ presets }) =>
      presets.map(
        ({ preset, spotUsdPerHour, onDemandUsdPerHour }) =>
          `${preset} ${moneyText(onDemandUsdPerHour)} an hour on demand, ${moneyText(spotUsdPerHour)} spot`,
      ),
    ),
  );
  const taken = interruptionsPercent === 0 ? "none" : `${interruptionsPercent} of 100`;
  return `Assumed: half of the machines claim within ${durationText(bootSeconds)} of their launch${ofTasks}; a machine can always be had; of the spot machines, the cloud takes ${taken} back within an hour.\nPrices: ${[...prices].map(printable).join("; ")}.`;
}
