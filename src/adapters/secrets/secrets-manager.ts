import { MayflyError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";
import type { SecretName, Secrets } from "../../ports/secrets.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";
import { readParameter } from "../aws/parameter.ts";
import { emptySecret, valuesIn } from "./values.ts";

export interface SecretsManagerOptions {
  readonly client: AwsClient;
  /**
   * Where each secret is: the name or ARN of a secret of Secrets Manager, or `ssm:` and the name of a parameter of
   * Parameter Store, which should be a SecureString.
   */
  readonly ids: Readonly<Partial<Record<SecretName, string>>>;
  readonly clock: Clock;
  /** How long a value is used before it is read again. Default 300. */
  readonly cacheSeconds?: number;
}

/** The value before a rotation is taken for so long after it: what was signed with it may still be under way. */
const previousSeconds = 24 * 60 * 60;
/** While AWS does not answer, a value that was read is used for so long, and asked for again every `retrySeconds`. */
const outageSeconds = 60 * 60;
const retrySeconds = 15;

/**
 * Secrets from AWS Secrets Manager or Parameter Store. Several lines are several values, the newest first; a private
 * key is one value of many lines.
 *
 * A rotation needs no restart: after `cacheSeconds` the new value is read, and for a day after the rotation the one
 * before it (the stage `AWSPREVIOUS`) is valid beside it. Reads that fail are not remembered.
 */
export function createSecretsManager(options: SecretsManagerOptions): Secrets {
  const { clock, ids, cacheSeconds = 300 } = options;
  const kept = new Map<SecretName, Kept>();
  const underWay = new Map<SecretName, Promise<readonly Secret[]>>();

  async function readAnew(name: SecretName): Promise<readonly Secret[]> {
    const id = ids[name];
    if (id === undefined) throw notConfigured(name);
    try {
      const texts = id.startsWith("ssm:")
        ? [await readStored(options.client, name, id.slice("ssm:".length))]
        : await readSecret(options, name, id);
      const values = texts.flatMap((text) => valuesIn(text, name));
      if (values.length === 0) throw emptySecret(name, placeOf(id));
      const now = clock.now();
      kept.set(name, { values, readAt: now, until: now + cacheSeconds * 1000 });
      return values;
    } catch (error) {
      const before = kept.get(name);
      const isOutage = error instanceof MayflyError && error.kind === "retry";
      const now = clock.now();
      if (!isOutage || before === undefined || before.readAt + outageSeconds * 1000 < now) throw error;
      kept.set(name, { ...before, until: now + retrySeconds * 1000 });
      return before.values;
    }
  }

  return {
    async read(name) {
      const known = kept.get(name);
      if (known !== undefined && clock.now() < known.until) return known.values;
      const reading = underWay.get(name) ?? readAnew(name).finally(() => underWay.delete(name));
      underWay.set(name, reading);
      return await reading;
    },
  };
}

interface Kept {
  readonly values: readonly Secret[];
  readonly readAt: number;
  readonly until: number;
}

/** The current value, and the one before it when it was replaced not long ago. */
async function readSecret(
  { client, clock }: SecretsManagerOptions,
  name: SecretName,
  id: string,
): Promise<readonly string[]> {
  const current = await readStage(client, id, "AWSCURRENT");
  if (current === undefined) throw missing(name, placeOf(id));
  // Seconds since the epoch, with a fraction.
  const replacedAt = (current.CreatedDate ?? 0) * 1000;
  const wasReplaced = replacedAt + previousSeconds * 1000 > clock.now();
  const previous = wasReplaced ? await readStage(client, id, "AWSPREVIOUS") : undefined;
  return [current, previous].flatMap((stage) => stage?.SecretString ?? []);
}

interface SecretVersion {
  readonly SecretString?: string;
  readonly CreatedDate?: number;
}

/** Undefined: there is no such secret, or no value of this stage. */
async function readStage(client: AwsClient, id: string, stage: string): Promise<SecretVersion | undefined> {
  return await unlessMissing("ResourceNotFoundException", () =>
    callJson<SecretVersion>(client, {
      service: "secretsmanager",
      action: "GetSecretValue",
      resource: placeOf(id),
      input: { SecretId: id, VersionStage: stage },
      limits: { timeoutSeconds: 5 },
    }),
  );
}

async function readStored(client: AwsClient, name: SecretName, parameter: string): Promise<string> {
  const text = await readParameter(client, parameter);
  if (text === undefined) throw missing(name, placeOf(`ssm:${parameter}`));
  return text;
}

async function unlessMissing<Answer>(
  awsCode: string,
  call: () => Promise<Answer>,
): Promise<Answer | undefined> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof AwsError && error.awsCode === awsCode) return undefined;
    throw error;
  }
}

function placeOf(id: string): string {
  return id.startsWith("ssm:") ? `the parameter ${id.slice("ssm:".length)}` : `the secret ${id}`;
}

function missing(name: SecretName, place: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "SECRET_MISSING",
    message: `The ${name} is not there: there is no value in ${place}.`,
    suggestion: "Put it there, in the region of this deployment.",
  });
}

function notConfigured(name: SecretName): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "SECRET_MISSING",
    message: `The ${name} is needed, and this function was not told where it is.`,
    suggestion: "Deploy all of Mayfly again: its infrastructure tells each function where its secrets are.",
  });
}
