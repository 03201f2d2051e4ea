import { MayflyError } from "../../core/errors.ts";

/** A workflow file that a person named and that cannot be run, as a sentence for them. */
export function workflowProblem(path: string, reason: string, cause: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "WORKFLOW_UNREADABLE",
    message: `The workflow ${path} cannot be started: ${reason.replace(/\.?$/, ".")}`,
    suggestion: "Correct the file, or name another one with --workflow.",
    cause,
  });
}
