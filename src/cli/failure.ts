import { MayflyError } from "../core/errors.ts";
import { paint, type Screen } from "./terminal.ts";

/** Documented in docs/reference/cli-json.md and in the help. */
export const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The command line itself is wrong: the caller has to write it differently. */
export class UsageError extends Error {
  readonly suggestion: string;

  constructor(message: string, suggestion: string) {
    super(message);
    this.name = "UsageError";
    this.suggestion = suggestion;
  }
}

/** What happened and what to do next, for standard error, and the exit code that goes with it. */
export function explainFailure(
  error: unknown,
  screen: Pick<Screen, "colours">,
): { readonly text: string; readonly exitCode: ExitCode } {
  if (error instanceof UsageError || error instanceof MayflyError) {
    const exitCode = error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
    return { text: failureText(error.message, error.suggestion, screen), exitCode };
  }
  if (isFileRefusal(error)) {
    const suggestion = "Name a place that is there, has room, and is open to you, or make it so.";
    return {
      text: failureText(`The system refused: ${error.message}.`, suggestion, screen),
      exitCode: exitCodes.failed,
    };
  }
  const details = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const text = failureText(
    `Something went wrong that Mayfly did not expect.\n${details}`,
    "Report it with these lines: it is a bug.",
    screen,
  );
  return { text, exitCode: exitCodes.failed };
}

/** What the system says of a path that somebody has named: not there, no room, not permitted. */
function isFileRefusal(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error && "path" in error;
}

/** The two lines of every error. */
export function failureText(what: string, next: string, screen: Pick<Screen, "colours">): string {
  return `${paint(screen, "bad", "error:")} ${what}\n${paint(screen, "strong", "next:")}  ${next}`;
}
