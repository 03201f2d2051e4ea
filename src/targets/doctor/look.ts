import type { Finding } from "../../core/diagnosis.ts";
import { MayflyError } from "../../core/errors.ts";

/** Something that is not as it should be, in the course of a look. */
export interface Trouble {
  readonly says: string;
  readonly cure: string;
  /** Default `problem`. */
  readonly verdict?: "problem" | "warning" | "unknown";
}

export function trouble(says: string, cure: string): Trouble {
  return { says, cure };
}

export function warning(says: string, cure: string): Trouble {
  return { says, cure, verdict: "warning" };
}

/** What a look says: a sentence where all is well. One that cannot be made does not hide the others. */
export async function look(about: string, see: () => Promise<string | Trouble>): Promise<Finding> {
  try {
    const seen = await see();
    if (typeof seen !== "string")
      return { about, verdict: seen.verdict ?? "problem", says: seen.says, cure: seen.cure };
    return { about, verdict: "ok", says: seen, cure: null };
  } catch (error) {
    return findingOf(about, error);
  }
}

/** What may not be looked at, or could not be just now, is not known to be wrong. */
export function findingOf(about: string, error: unknown): Finding {
  if (!(error instanceof MayflyError)) {
    const says = error instanceof Error ? error.message : String(error);
    return { about, verdict: "unknown", says, cure: "Report it with this line: it is a bug." };
  }
  const isUnknown = error.kind === "retry" || error.kind === "wait" || error.code === "AWS_ACCESS_DENIED";
  return { about, verdict: isUnknown ? "unknown" : "problem", says: error.message, cure: error.suggestion };
}
