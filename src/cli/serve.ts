import { serve } from "../targets/box/serve.ts";
import { configPath } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface ServeCommandOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly version: string;
}

/** `mayfly serve`: the server, until a signal ends it. Its log, on standard output, is one JSON object a line. */
export async function serveCommand(options: ServeCommandOptions, terminal: Terminal): Promise<ExitCode> {
  await serve({
    configPath: configPath(options),
    version: options.version,
    onListening: (url) => {
      if (options.json !== true && terminal.interactive)
        terminal.note(`Mayfly listens at ${url}. Ctrl-C ends it.`);
    },
  });
  return exitCodes.ok;
}
