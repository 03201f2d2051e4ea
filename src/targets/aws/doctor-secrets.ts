import { createPrivateKey } from "node:crypto";
import { createSecretsManager } from "../../adapters/secrets/secrets-manager.ts";
import type { Finding } from "../../core/diagnosis.ts";
import type { Secret } from "../../core/secret.ts";
import type { SecretName } from "../../ports/secrets.ts";
import { look, type Trouble, trouble, warning } from "../doctor/look.ts";
import type { Examination } from "./doctor.ts";
import type { FunctionVariables } from "./doctor-deployment.ts";

export type SecretIds = Readonly<Record<SecretName, string>>;

/** Where the functions look for each secret; where there are no functions yet, where the guide puts it. */
export function secretIdsOf({ webhook, claim, status }: FunctionVariables, deployment: string): SecretIds {
  const otherwise = (name: SecretName): string => `${deployment}/${name}`;
  return {
    "webhook-secret": webhook?.MAYFLY_WEBHOOK_SECRET_ID ?? otherwise("webhook-secret"),
    "app-private-key": claim?.MAYFLY_APP_PRIVATE_KEY_SECRET_ID ?? otherwise("app-private-key"),
    "status-token": status?.MAYFLY_STATUS_TOKEN_SECRET_ID ?? otherwise("status-token"),
  };
}

/** Whether each secret is there and looks like what it is. What is in it is never shown. */
export function examineSecrets({ client, clock }: Examination, ids: SecretIds): Promise<readonly Finding[]> {
  const secrets = createSecretsManager({ client, ids, clock });
  const names = Object.keys(ids) as SecretName[];
  return Promise.all(
    names.map((name) =>
      look(`secret ${name}`, async () => {
        const values = await secrets.read(name);
        return shapeTrouble(name, values, ids[name]) ?? `It is in ${ids[name]}.`;
      }),
    ),
  );
}

/** GitHub proposes 40 characters; what is much shorter can be guessed. */
const shortestSecret = 16;

function shapeTrouble(name: SecretName, values: readonly Secret[], id: string): Trouble | undefined {
  const put = (file: string): string =>
    `aws secretsmanager put-secret-value --secret-id ${id} --secret-string file://${file}`;
  const texts = values.map((value) => value.reveal());
  if (name === "app-private-key") {
    if (texts.every(isRsaKey)) return undefined;
    const cure = `Make a key on the App's page under Private keys, then: ${put("key.pem")}`;
    return trouble("It holds no RSA private key in PEM form.", cure);
  }
  const cure = put(name);
  if (texts.some((text) => text.includes("-----BEGIN"))) {
    return trouble("It holds a PEM file, which belongs into app-private-key.", cure);
  }
  if (texts.some((text) => text.length < shortestSecret)) {
    return warning(`It has fewer than ${shortestSecret} characters, which can be guessed.`, cure);
  }
  return undefined;
}

function isRsaKey(text: string): boolean {
  try {
    return createPrivateKey(text).asymmetricKeyType === "rsa";
  } catch {
    // Why it cannot be read could tell of what is in it.
    return false;
  }
}
