import { type Problem, problemText } from "../config/explain.ts";
import { checkConfigFile } from "../config/load.ts";
import { configPath } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { countText } from "./phrases.ts";
import { paint, type Screen, type Terminal } from "./terminal.ts";

export interface ConfigCheckOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** What `mayfly config check --json` prints. Fields are only ever added. */
export interface ConfigCheckDocument {
  readonly path: string;
  readonly valid: boolean;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** `mayfly config check`: every problem at once; 1 when there is one, and 0 when there are only warnings. */
export async function configCheckCommand(options: ConfigCheckOptions, terminal: Terminal): Promise<ExitCode> {
  const path = configPath(options);
  const { loaded, problems, warnings } = await checkConfigFile({ path });
  const document: ConfigCheckDocument = { path, valid: loaded !== undefined, problems, warnings };
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderConfigCheck(document, terminal.screen));
  return document.valid ? exitCodes.ok : exitCodes.failed;
}

export function renderConfigCheck(document: ConfigCheckDocument, screen: Screen): string {
  const { path, problems, warnings } = document;
  const lines = (list: readonly Problem[]): string =>
    list.map((problem) => `  ${printable(problemText(problem))}`).join("\n");
  const verdict = document.valid
    ? paint(screen, "good", `${path} is valid.`)
    : paint(screen, "bad", `${path} has ${countText(problems.length, "problem")}:`);
  const blocks = [problems.length > 0 ? `${verdict}\n${lines(problems)}` : verdict];
  if (warnings.length > 0) {
    blocks.push(
      `${paint(screen, "doubtful", `${countText(warnings.length, "warning")}:`)}\n${lines(warnings)}`,
    );
  }
  if (problems.length > 0) blocks.push("Every setting is described in docs/reference/config.md.");
  return blocks.join("\n\n");
}
