import { UsageError } from "./failure.ts";

/** The id in what people have at hand: the number itself, or the address of the job's page at GitHub. */
export function parseJobReference(text: string): number {
  const trimmed = text.trim();
  if (/^\d{1,15}$/.test(trimmed)) return Number(trimmed);
  const path = URL.canParse(trimmed) ? new URL(trimmed).pathname : "";
  const id = /\/actions\/(?:runs\/\d+\/(?:attempts\/\d+\/)?job|jobs)\/(\d{1,15})\/?$/.exec(path)?.[1];
  if (id !== undefined) return Number(id);
  if (/\/actions\/runs\/\d+/.test(path)) {
    throw new UsageError(
      "The address is that of a whole run, which has several jobs.",
      "Open the job on that page and copy the address from there: it ends in /job/ and a number.",
    );
  }
  throw new UsageError(
    `${trimmed === "" ? "An empty text" : trimmed} is neither the id of a job nor the address of one.`,
    "Give a number as in `mayfly jobs list`, or an address like https://github.com/o/r/actions/runs/1/job/2.",
  );
}
