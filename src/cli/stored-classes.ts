import { createAwsClient } from "../adapters/aws/client.ts";
import { createSystemClock } from "../adapters/clock/system.ts";
import { createSystemRandom } from "../adapters/random/system.ts";
import { awsCredentials, awsPlace } from "../config/aws.ts";
import { processEnvironment } from "../config/environment.ts";
import type { LoadedConfig } from "../config/load.ts";
import { MayflyError } from "../core/errors.ts";
import type { Policy } from "../core/model.ts";
import { readStoredClasses, withClasses } from "../targets/aws/stored-classes.ts";
import type { Terminal } from "./terminal.ts";

/**
 * The policy, with the classes that the configuration keeps at AWS, where it does. Where they cannot be read from here, that
 * is said, and those of the configuration are taken.
 */
export async function policyWithStored(
  { config, policy }: Pick<LoadedConfig, "config" | "policy">,
  terminal: Pick<Terminal, "note">,
): Promise<Policy> {
  const { classesParameter: name } = config;
  if (name === undefined) return policy;
  const environment = processEnvironment();
  try {
    const client = createAwsClient({
      ...awsPlace(environment),
      credentials: () => awsCredentials(environment),
      clock: createSystemClock(),
      random: createSystemRandom(),
    });
    return withClasses(policy, name, await readStoredClasses(client, name));
  } catch (error) {
    // What is wrong with the classes themselves is as wrong for the functions.
    if (!(error instanceof MayflyError) || error.code === "CLASSES_INVALID") throw error;
    terminal.note(`The classes of ${name} are not known here: ${error.message} ${error.suggestion}`);
    return policy;
  }
}
