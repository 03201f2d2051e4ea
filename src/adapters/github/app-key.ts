import { createPrivateKey, createSign, type KeyObject, randomUUID } from "node:crypto";
import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Secrets } from "../../ports/secrets.ts";

/** Makes the token by which the App itself is known: a JWT, valid for nine minutes. */
export interface AppKey {
  appToken(): Promise<Secret>;
}

/**
 * The App's private key, read when it is needed, so that a new one is used without a restart. PKCS#1 (as GitHub
 * gives it) and PKCS#8 are accepted. A key that cannot be used is an error of kind `operator`, which says
 * nothing of what is in it.
 */
export function createAppKey(options: {
  readonly appId: number | string;
  readonly secrets: Secrets;
  readonly clock: Clock;
}): AppKey {
  let current: { readonly pem: string; readonly key: KeyObject } | undefined;
  return {
    async appToken() {
      const [secret] = await options.secrets.read("app-private-key");
      const pem = secret?.reveal() ?? "";
      if (current?.pem !== pem) current = { pem, key: readKey(pem) };
      return signedToken(options.appId, current.key, options.clock.now());
    },
  };
}

/** GitHub accepts at most ten minutes, by its own clock: ours may be half a minute ahead or behind. */
const backdatedSeconds = 30;
const validSeconds = 570;

/** Two tokens are never the same: GitHub was seen to refuse the second of two that were made within one second. */
function signedToken(appId: number | string, key: KeyObject, now: number): Secret {
  const issuedAt = Math.floor(now / 1000) - backdatedSeconds;
  const claims = { iat: issuedAt, exp: issuedAt + validSeconds, iss: String(appId), jti: randomUUID() };
  const signed = `${encoded({ alg: "RS256", typ: "JWT" })}.${encoded(claims)}`;
  return new Secret(`${signed}.${createSign("RSA-SHA256").update(signed).sign(key, "base64url")}`);
}

function encoded(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

function readKey(pem: string): KeyObject {
  let type: string | undefined;
  try {
    const key = createPrivateKey(pem);
    type = key.asymmetricKeyType;
    if (type === "rsa") return key;
  } catch {
    // The cause could quote the key, so it is dropped; what is wrong is said below.
  }
  throw new MayflyError({
    kind: "operator",
    code: "GITHUB_KEY_UNUSABLE",
    message:
      type === undefined
        ? "The App's private key is not a PEM file with an unencrypted key."
        : `The App's private key is of the type ${type}; GitHub Apps have RSA keys.`,
    suggestion:
      "Generate a private key in the App's settings and put the downloaded file where secrets.appPrivateKey points.",
  });
}
