import type { Secret } from "../core/secret.ts";

export type SecretName = "app-private-key" | "webhook-secret" | "status-token";

/**
 * Where secrets are kept: files, the environment, a cloud's secret manager. Read late, cached briefly by the
 * adapter. One failed read never poisons a later one.
 */
export interface Secrets {
  /**
   * All values that are valid now, the newest first: more than one while a secret is being rotated. Never empty
   * and never an empty text: a secret that is not there is a `MayflyError` of kind `operator` that says where it
   * was looked for.
   */
  read(name: SecretName): Promise<readonly Secret[]>;
}
