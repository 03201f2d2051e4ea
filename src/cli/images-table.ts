import type { ImageStatus } from "../core/image-status.ts";
import { countText, durationText, relativeText } from "./phrases.ts";
import { renderTable } from "./table.ts";
import type { Screen, Style } from "./terminal.ts";

/** Images, one a line. Columns that say nothing of these images are left out. */
export function renderImages(images: readonly ImageStatus[], screen: Screen): string {
  return renderTable(
    [
      { title: "BASE", cell: ({ base }) => base, shrinksTo: 12 },
      { title: "ARCHITECTURE", cell: ({ architecture }) => architecture },
      { title: "STATE", cell: ({ state }) => state, style: imageStyle },
      {
        title: "AGE",
        cell: ({ ageSeconds }) => (ageSeconds === null ? "" : durationText(ageSeconds)),
        align: "right",
      },
      { title: "ATTEMPTS", cell: ({ attempts }) => (attempts === 0 ? "" : String(attempts)), align: "right" },
      { title: "WAITING", cell: ({ waitingJobs: jobs }) => (jobs === 0 ? "" : countText(jobs, "job")) },
      { title: "FLEETS", cell: ({ fleets }) => fleets.map(({ fleet }) => fleet).join(" "), shrinksTo: 8 },
      { title: "SCAN", cell: scanText, style: (image) => (isAlarming(image) ? "bad" : undefined) },
      { title: "REFERENCE, OR WHY NOT", cell: (image) => detailOf(image, screen.now), shrinksTo: 20 },
    ],
    images,
    screen,
  );
}

/** One image in a sentence or two. */
export function imageText(image: ImageStatus, now: number): string {
  const { base, architecture, state } = image;
  const scan = scanText(image);
  const found = scan === "" ? "" : ` The scan of the one that serves says: ${scan}.`;
  return `Image ${base} (${architecture}): ${state}, ${detailOf(image, now).replace(/\.?$/, ".")}${found}`;
}

/** Most severe first; empty where nothing was scanned. */
export function scanText({ scan }: ImageStatus): string {
  if (scan === null) return "";
  const known = severities.flatMap((severity) => {
    const count = scan.findings[severity] ?? 0;
    return count === 0 ? [] : [`${count} ${severity}`];
  });
  return known.length === 0 ? "nothing found" : known.join(", ");
}

/** It does not serve as it should, its scan says that it had better not, or another is about to take its place. */
export function needsALook(image: ImageStatus): boolean {
  return image.state !== "ready" || isAlarming(image) || trialText(image) !== "";
}

const severities = ["critical", "high", "medium", "low", "informational", "undefined", "untriaged"];

function isAlarming({ scan }: ImageStatus): boolean {
  return (scan?.findings.critical ?? 0) + (scan?.findings.high ?? 0) > 0;
}

function detailOf(image: ImageStatus, now: number): string {
  const { state, reference, reason, log, buildStartedAt, nextAttemptAt } = image;
  const serves = reference === null ? "" : `${reference} `;
  if (state === "ready") return `${reference ?? ""}${trialText(image)}`;
  if (state === "building") {
    const since = buildStartedAt === null ? "" : `begun ${relativeText(buildStartedAt, now)}`;
    return `${serves}${serves === "" ? since : `(a new one was ${since})`}`;
  }
  const end = log === null ? "" : ` Its log ends: ${log}`;
  const again =
    nextAttemptAt === null ? "" : ` Tried again, when it is wanted, ${relativeText(nextAttemptAt, now)}.`;
  return `${serves}${(reason ?? "").replace(/\.?$/, ".")}${again}${end}`;
}

/** Empty where none is tried. A server of an earlier version says nothing of trials. */
function trialText({ trial }: ImageStatus): string {
  if (!trial) return "";
  const { worked, failed, reference } = trial;
  return ` (on trial: ${reference}, of whose machines ${worked} worked and ${failed} did not)`;
}

function imageStyle({ state }: ImageStatus): Style {
  if (state === "ready") return "good";
  return state === "building" ? "doubtful" : "bad";
}
