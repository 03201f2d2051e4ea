import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AwsClient, createAwsClient } from "../../adapters/aws/client.ts";
import { createSystemClock } from "../../adapters/clock/system.ts";
import { createAwsIamIdentity } from "../../adapters/identity/aws-iam.ts";
import { createJsonLinesLog } from "../../adapters/log/json-lines.ts";
import { createSqsQueue } from "../../adapters/queue/sqs.ts";
import { createSystemRandom } from "../../adapters/random/system.ts";
import { createSecretsManager } from "../../adapters/secrets/secrets-manager.ts";
import { createDynamoStore } from "../../adapters/store/dynamodb.ts";
import { awsCredentials, awsPlace } from "../../config/aws.ts";
import { processEnvironment } from "../../config/environment.ts";
import type { Environment } from "../../config/load.ts";
import { type PolicyDocument, readPolicyDocument } from "../../config/policy-document.ts";
import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent, Poke, Policy } from "../../core/model.ts";
import type { Identity } from "../../ports/identity.ts";
import type { Ports } from "../../ports/ports.ts";
import type { Queue, QueueSender } from "../../ports/queue.ts";
import type { SecretName, Secrets } from "../../ports/secrets.ts";
import type { Store } from "../../ports/store.ts";
import { announcedStore } from "./announced.ts";
import type { QueueName } from "./functions.ts";
import { policyWithStoredClasses } from "./stored-classes.ts";

/*
 * One function for each port, so that each function of the deployment is wired with what it needs. What brings a library
 * stands in a file of its own, because whoever imports the file has the library in its bundle. Nothing here waits for
 * anything: the first request is made by the first event.
 */

/** What every function has. */
export interface Basics {
  readonly environment: Environment;
  /** The configuration, as it was resolved when the function was packaged. */
  readonly document: PolicyDocument;
  readonly client: AwsClient;
  readonly ports: Pick<Ports, "clock" | "random" | "log">;
}

export function openBasics(): Basics {
  const environment = processEnvironment();
  const folder = required(environment, "LAMBDA_TASK_ROOT");
  const document = readPolicyDocument(readFileSync(join(folder, "policy.json"), "utf8"));
  const clock = createSystemClock();
  const random = createSystemRandom();
  const client = createAwsClient({
    ...awsPlace(environment),
    credentials: () => awsCredentials(environment),
    clock,
    random,
  });
  const log = createJsonLinesLog({ level: document.logLevel, clock });
  return { environment, document, client, ports: { clock, random, log } };
}

/** The ledger; with what changes in it published, where the deployment has a bus for that. */
export function openStore({ environment, document, client, ports }: Basics): Store {
  const store = createDynamoStore({
    client,
    table: required(environment, "MAYFLY_TABLE"),
    clock: ports.clock,
    random: ports.random,
    historySeconds: document.policy.timing.historySeconds,
  });
  const bus = environment.MAYFLY_EVENT_BUS;
  if (!bus) return store;
  return announcedStore(store, {
    client,
    ...ports,
    bus,
    deployment: required(environment, "MAYFLY_DEPLOYMENT"),
  });
}

/** By which jobs are routed. */
export function openPolicy({ document, client, ports }: Basics): () => Promise<Policy> {
  return policyWithStoredClasses(document, { client, ...ports });
}

/** The rebalancer pokes every fleet in each of its rounds. */
const roundSeconds = 60;

/**
 * Pokes go to the queue of the function that they are for. One that is due after the next round of the rebalancer is
 * not sent: a queue of SQS cannot drop the pokes that are one too many, and every look would leave another one behind.
 */
export function openWork(basics: Basics): QueueSender<Poke> {
  const queues = { scaleup: openPokes(basics, "scaleup"), scaledown: openPokes(basics, "scaledown") };
  return {
    async send(poke, options = {}) {
      if ((options.delaySeconds ?? 0) <= roundSeconds) await queues[poke.stage].send(poke, options);
    },
  };
}

export function openPokes(basics: Basics, stage: Poke["stage"]): Queue<Poke> {
  return openQueue(basics, stage);
}

export function openEvents(basics: Basics): Queue<LifecycleEvent> {
  return openQueue(basics, "lifecycle");
}

function openQueue<Message>({ environment, client, ports }: Basics, name: QueueName): Queue<Message> {
  const url = required(environment, queueVariables[name]);
  return createSqsQueue({ client, name, url, clock: ports.clock });
}

const queueVariables: Readonly<Record<QueueName, string>> = {
  scaleup: "MAYFLY_SCALEUP_QUEUE_URL",
  scaledown: "MAYFLY_SCALEDOWN_QUEUE_URL",
  lifecycle: "MAYFLY_LIFECYCLE_QUEUE_URL",
};

/** Of these secrets only: a function that has no use for a secret does not know where it is. */
export function openSecrets({ environment, client, ports }: Basics, names: readonly SecretName[]): Secrets {
  const ids = names.map((name) => [name, required(environment, secretVariables[name])] as const);
  return createSecretsManager({ client, ids: Object.fromEntries(ids), clock: ports.clock });
}

const secretVariables: Readonly<Record<SecretName, string>> = {
  "webhook-secret": "MAYFLY_WEBHOOK_SECRET_ID",
  "app-private-key": "MAYFLY_APP_PRIVATE_KEY_SECRET_ID",
  "status-token": "MAYFLY_STATUS_TOKEN_SECRET_ID",
};

export function openIdentity({ environment }: Basics): Identity {
  const roles = [{ compute: "ec2", arn: required(environment, "MAYFLY_MACHINE_ROLE_ARN") }];
  // Tasks are there only where a preset is on Fargate.
  const taskRole = environment.MAYFLY_TASK_ROLE_ARN;
  if (taskRole) roles.push({ compute: "fargate", arn: taskRole });
  return createAwsIamIdentity({ roles });
}

/** Where the metrics of this deployment are. */
export function metricsNamespace({ environment }: Basics): string {
  return environment.MAYFLY_METRICS_NAMESPACE || "Mayfly";
}

/** The variable's value. Throws a `MayflyError` of kind `operator` when it has none. */
export function required(environment: Environment, name: string): string {
  const value = environment[name];
  if (value !== undefined && value !== "") return value;
  throw new MayflyError({
    kind: "operator",
    code: "FUNCTION_VARIABLE_MISSING",
    message: `The environment of this function has no ${name}.`,
    suggestion: "Deploy all of Mayfly again: its infrastructure sets this variable.",
  });
}
