import type { Architecture } from "../core/model.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface ImagesLogsOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly architecture?: Architecture;
  readonly lines: number;
}

/** `mayfly images logs <base>`: the last lines of the last build of this image. */
export async function imagesLogsCommand(
  base: string,
  options: ImagesLogsOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { architecture, lines } = options;
  const client = await connect(options);
  const query = new URLSearchParams({ base, lines: String(lines), ...(architecture && { architecture }) });
  const { body } = await client.get(`/api/images/log?${query}`, "lines");
  const log = body as { readonly build: string; readonly lines: readonly string[] };
  if (options.json === true) terminal.printJson(body);
  else if (log.lines.length > 0) terminal.print(log.lines.map(printable).join("\n"));
  else terminal.note(`The build ${printable(log.build)} has no log yet, or not any more.`);
  return exitCodes.ok;
}
