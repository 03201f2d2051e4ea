import { createPrivateKey } from "node:crypto";
import { createAppAuth } from "@octokit/auth-app";
import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { Secrets } from "../../ports/secrets.ts";

/** Makes the token by which the App itself is known: a JWT, valid for ten minutes. */
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
}): AppKey {
  let current: { readonly pem: string; readonly auth: ReturnType<typeof createAppAuth> } | undefined;
  return {
    async appToken() {
      const [secret] = await options.secrets.read("app-private-key");
      const pem = secret?.reveal() ?? "";
      if (current?.pem !== pem) {
        const privateKey = readKey(pem);
        current = {
          pem,
          auth: createAppAuth({ appId: options.appId, privateKey, log: { warn: () => undefined } }),
        };
      }
      // The library reads the system's clock; the only clock that matters for this token is GitHub's.
      const { token } = await current.auth({ type: "app" });
      return new Secret(token);
    },
  };
}

function readKey(pem: string): string {
  let type: string | undefined;
  try {
    const key = createPrivateKey(pem);
    type = key.asymmetricKeyType;
    if (type === "rsa") return String(key.export({ type: "pkcs8", format: "pem" }));
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
