import type { Environment } from "./load.ts";

/**
 * The environment of this process. This is the only file that reads it; it imports nothing at run time, so that
 * a short command can ask for one variable without loading the schema of the configuration.
 */
export function processEnvironment(): Environment {
  return process.env;
}
