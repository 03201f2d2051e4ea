import { type AwsClient, createAwsClient } from "../../adapters/aws/client.ts";
import { type AwsCaller, inspectCaller, inspectHttpApi } from "../../adapters/aws/inspection.ts";
import { createSystemClock } from "../../adapters/clock/system.ts";
import { createSystemRandom } from "../../adapters/random/system.ts";
import { createSecretsManager } from "../../adapters/secrets/secrets-manager.ts";
import { awsCredentials, awsPlace } from "../../config/aws.ts";
import type { Environment, LoadedConfig } from "../../config/load.ts";
import type { Finding } from "../../core/diagnosis.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import { examineGithub } from "../doctor/github.ts";
import { findingOf, look, trouble } from "../doctor/look.ts";
import { examineDeployment } from "./doctor-deployment.ts";
import { examineMachines } from "./doctor-machines.ts";
import { examineOptions } from "./doctor-options.ts";
import { examineSecrets, type SecretIds, secretIdsOf } from "./doctor-secrets.ts";

export interface AwsDoctorOptions {
  /** What everything of the deployment is called by. */
  readonly deployment: string;
  /** The stack whose outputs say what was deployed, where CloudFormation deployed it. */
  readonly stack: string;
  readonly environment: Environment;
  readonly version: string;
  readonly log: Log;
}

/** What each part of the examination has. */
export interface Examination extends Pick<AwsDoctorOptions, "deployment" | "stack"> {
  readonly client: AwsClient;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Looks at everything that a deployment on AWS needs for its first job and changes nothing: credentials, clock, functions
 * and what starts them, queues, table, secrets, the GitHub App, what only some deployments have, and for each preset
 * what its machines are made of. One thing that may not be looked at does not hide the others.
 */
export async function examineAws(
  loaded: Pick<LoadedConfig, "config" | "policy">,
  options: AwsDoctorOptions,
): Promise<readonly Finding[]> {
  const { environment, deployment, stack, log } = options;
  const clock = createSystemClock();
  let client: AwsClient;
  let caller: AwsCaller;
  try {
    const credentials = () => awsCredentials(environment);
    client = createAwsClient({
      ...awsPlace(environment),
      credentials,
      clock,
      random: createSystemRandom(),
    });
    caller = await inspectCaller(client, clock);
  } catch (error) {
    // Whoever is not let in at all hears the same of everything.
    return [findingOf("AWS", error)];
  }
  const examination: Examination = { client, clock, log, deployment, stack };
  const { findings, variables } = await examineDeployment(examination);
  const ids = secretIdsOf(variables, deployment);
  const secrets = await examineSecrets(examination, ids);
  return [
    {
      about: "AWS",
      verdict: "ok",
      says: `Account ${caller.account} in ${client.region}, as ${caller.arn}.`,
      cure: null,
    },
    await look("AWS: clock", async () => clockVerdict(caller.clockAheadSeconds)),
    ...findings,
    ...secrets,
    ...(await examineApp(loaded, examination, { ids, version: options.version })),
    ...(await examineOptions(loaded, examination, variables.scaleup)),
    ...(await examineMachines(loaded, examination, variables.scaleup)),
  ];
}

/** AWS takes signatures that are up to five minutes old. */
const clockLimitSeconds = 60;

function clockVerdict(aheadSeconds: number): string | ReturnType<typeof trouble> {
  const seconds = Math.abs(aheadSeconds);
  if (seconds <= clockLimitSeconds) return "This clock and AWS's agree.";
  const says = `This clock is ${seconds} s ${aheadSeconds > 0 ? "behind" : "ahead of"} AWS's.`;
  return trouble(says, "Set it by NTP: AWS refuses a request whose time is 5 minutes off.");
}

async function examineApp(
  { config }: Pick<LoadedConfig, "config">,
  { client, clock, log, deployment }: Examination,
  { ids, version }: { readonly ids: SecretIds; readonly version: string },
): Promise<readonly Finding[]> {
  const { server, apiUrl, appId, scope } = config.github;
  const secrets = createSecretsManager({ client, ids, clock });
  // Where GitHub's deliveries should go. That it may not be read keeps nothing else from being looked at.
  let address: string | undefined;
  const unread: Finding[] = [];
  try {
    address = await inspectHttpApi(client, deployment);
  } catch (error) {
    unread.push(findingOf("HTTP API", error));
  }
  const app = { server, ...(apiUrl !== undefined && { apiUrl }), appId, secrets, clock, log, version };
  return [...unread, ...(await examineGithub(app, { scope, publicUrl: address }))];
}
