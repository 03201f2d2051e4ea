import { basename } from "node:path";
import type { TimelinePoint } from "../targets/sim/what-if.ts";
import { countText, durationText, numberText } from "./phrases.ts";
import type { WhatIfDocument } from "./what-if.ts";
import { configNames } from "./what-if-text.ts";

/*
 * The chart of a what-if: machines alive above, jobs waiting below, over the same time, one line for each config. It is
 * an SVG that stands alone and follows the reader's light or dark scheme. The second line is dashed as well, so that
 * nothing is said by colour alone.
 */

const width = 960;
const left = 64;
const right = 24;
const top = 108;
const panelHeight = 190;
const panelGap = 64;
const plotWidth = width - left - right;
const height = top + 2 * panelHeight + panelGap + 76;

interface Line {
  readonly name: string;
  readonly points: readonly TimelinePoint[];
}

/** Instants in milliseconds since the epoch. */
interface TimeRange {
  readonly from: number;
  readonly until: number;
}

export function renderChart(document: WhatIfDocument): string {
  const { trace, reports } = document;
  const names = configNames(reports.map((report) => report.config));
  const lines = reports.map((report, index) => ({ name: names[index] ?? "", points: report.timeline }));
  const range = rangeOf(lines);
  const title = `${countText(trace.jobs, "job")} of ${basename(trace.file)}, replayed with ${names.join(" and ")}`;
  const within = `, the most at once in ${durationText(stepOf(lines[0]?.points ?? []) / 1000)}`;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title about">`,
    `<title id="title">${escaped(title)}</title>`,
    `<desc id="about">${escaped(aboutText(lines))}</desc>`,
    `<style>${styles}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    `<text class="head" x="${left}" y="32">${escaped(title)}</text>`,
    ...legend(lines),
    ...panel(`machines alive${within}`, lines, "machines", range, top),
    ...panel(`jobs waiting${within}`, lines, "waiting", range, top + panelHeight + panelGap),
    ...timeAxis(range),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

const styles = `
svg { font: 13px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #1c2330; } .head { font-size: 16px; font-weight: 600; }
.axis { font-weight: 600; } .tick { fill: #5b6472; } .grid { stroke: #d9dee6; } .base { stroke: #5b6472; }
.line { fill: none; stroke-width: 2; } .first { stroke: #0b62c4; } .second { stroke: #b4470b; stroke-dasharray: 6 3; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #12161d; } text { fill: #e6eaf0; } .tick { fill: #a3adbb; } .grid { stroke: #2b3340; }
  .base { stroke: #a3adbb; } .first { stroke: #6cb2ff; } .second { stroke: #ffae70; }
}
`;

/** The same for those who do not see the lines. */
function aboutText(lines: readonly Line[]): string {
  const sentences = lines.map(({ name, points }) => {
    const most = (field: Field): string =>
      numberText(points.reduce((high, point) => Math.max(high, point[field]), 0));
    return `With ${name}, at most ${most("machines")} machines were alive and ${most("waiting")} jobs waited at once.`;
  });
  return sentences.join(" ");
}

function legend(lines: readonly Line[]): readonly string[] {
  return lines.map(({ name }, index) => {
    const x = left + index * (plotWidth / 2);
    return `<path class="line ${classOf(index)}" d="M${x} 55h36"/><text x="${x + 44}" y="60">${escaped(name)}</text>`;
  });
}

// --------------------------------------------------------------------------------------------- a panel

type Field = "machines" | "waiting";

function panel(
  title: string,
  lines: readonly Line[],
  field: Field,
  range: TimeRange,
  y: number,
): readonly string[] {
  const most = Math.max(1, ...lines.flatMap(({ points }) => points.map((point) => point[field])));
  const step = niceStep(most / 4);
  const highest = Math.ceil(most / step) * step;
  const bottom = y + panelHeight;
  const placeOf = (value: number): string => place(bottom - (value / highest) * panelHeight);
  const ticks = Array.from({ length: highest / step + 1 }, (_, index) => index * step);
  return [
    `<text class="axis" x="${left}" y="${y - 12}">${title}</text>`,
    ...ticks.map((value) => {
      const at = placeOf(value);
      return `<path class="${value === 0 ? "base" : "grid"}" d="M${left} ${at}h${plotWidth}"/><text class="tick" x="${left - 8}" y="${at}" dy="4" text-anchor="end">${numberText(value)}</text>`;
    }),
    ...lines.map(
      ({ points }, index) =>
        `<path class="line ${classOf(index)}" d="${stairs(points, field, range, placeOf)}"/>`,
    ),
  ];
}

/** A value holds until the next one. */
function stairs(
  points: readonly TimelinePoint[],
  field: Field,
  range: TimeRange,
  placeOf: (value: number) => string,
): string {
  const steps = points.map((point, index) => {
    const move = index === 0 ? `M${timePlace(Date.parse(point.at), range)} ` : "V";
    const end = points[index + 1]?.at;
    return `${move}${placeOf(point[field])}H${timePlace(end === undefined ? endOf(points) : Date.parse(end), range)}`;
  });
  return steps.join("");
}

/** At most as many steps as fit; whole numbers only, because machines and jobs are. */
function niceStep(atLeast: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(atLeast, 1)));
  return [1, 2, 5, 10].map((factor) => factor * magnitude).find((step) => step >= atLeast) ?? magnitude;
}

// ------------------------------------------------------------------------------------------------ time

const minute = 60_000;
const tickSteps = [1, 5, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080].map((count) => count * minute);
const ticksAtMost = 12;

function rangeOf(lines: readonly Line[]): TimeRange {
  const filled = lines.flatMap(({ points }) => (points.length === 0 ? [] : [points]));
  if (filled.length === 0) return { from: 0, until: minute };
  return {
    from: Math.min(...filled.map((points) => Date.parse(points[0]?.at ?? ""))),
    until: Math.max(...filled.map(endOf)),
  };
}

/** Points are equally far apart, and the last one stands for as long as the others. */
function endOf(points: readonly TimelinePoint[]): number {
  return Date.parse(points.at(-1)?.at ?? "") + stepOf(points);
}

function stepOf(points: readonly TimelinePoint[]): number {
  const [first, second] = points;
  return first === undefined || second === undefined ? minute : Date.parse(second.at) - Date.parse(first.at);
}

function timePlace(instant: number, { from, until }: TimeRange): string {
  return place(left + ((instant - from) / (until - from)) * plotWidth);
}

function timeAxis(range: TimeRange): readonly string[] {
  const length = range.until - range.from;
  const step = tickSteps.find((size) => length / size <= ticksAtMost) ?? length;
  const ticks: string[] = [];
  const y = top + 2 * panelHeight + panelGap;
  for (let at = Math.ceil(range.from / step) * step; at <= range.until; at += step) {
    const [day = "", time = ""] = new Date(at).toISOString().slice(0, 16).split("T");
    const x = timePlace(at, range);
    const withDay = ticks.length === 0 || time === "00:00";
    ticks.push(
      `<path class="base" d="M${x} ${y}v5"/><text class="tick" x="${x}" y="${y + 20}" text-anchor="middle">${time}</text>${withDay ? `<text class="tick" x="${x}" y="${y + 37}" text-anchor="middle">${day}</text>` : ""}`,
    );
  }
  return [
    ...ticks,
    `<text class="axis" x="${left + plotWidth / 2}" y="${y + 60}" text-anchor="middle">time (UTC)</text>`,
  ];
}

function classOf(index: number): string {
  return index === 0 ? "first" : "second";
}

function place(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  // A file may have any name; control characters are not allowed in XML at all.
  return text.replace(/\p{Cc}/gu, " ").replace(/[&<>"]/g, (character) => entities[character] ?? "");
}
