import { createPinoLog } from "../../adapters/log/pino.ts";
import { problemText } from "../../config/explain.ts";
import { loadConfig } from "../../config/load.ts";
import { openBox } from "./wiring.ts";

export interface ServeOptions {
  readonly configPath: string;
  readonly version: string;
  /** Told once, when the box answers. */
  readonly onListening?: (url: string) => void;
}

/**
 * Runs a box until SIGTERM or SIGINT. The first signal stops it gracefully: no job is lost, machines finish their
 * jobs and find the next process. A second one ends it at once, which loses nothing either.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const loaded = await loadConfig({ path: options.configPath });
  const log = createPinoLog({ level: loaded.config.server.logLevel });
  for (const warning of loaded.warnings) {
    log.warn("The configuration has a doubtful setting.", { stage: "start", problem: problemText(warning) });
  }
  const box = await openBox(loaded, { version: options.version, log });
  log.info("The box is ready.", { stage: "start", url: box.url, config: loaded.config.path });
  options.onListening?.(box.url);

  const signal = await nextSignal();
  log.info("The box stops: no job is lost, machines go on.", { stage: "stop", signal });
  await box.stop();
  log.info("The box has stopped.", { stage: "stop" });
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, resolve);
  });
}
