import type { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";

/** Tokens of installations: valid for an hour, one request for all who need one at the same time. */
export interface InstallationTokens {
  read(installationId: number): Promise<Secret>;
  /** GitHub did not accept this token: the next `read` asks for a new one. */
  drop(installationId: number, token: Secret): void;
}

export interface FetchedToken {
  readonly token: Secret;
  readonly expiresAt: number;
}

/** Before its end a token is replaced: by this much, or by a tenth of its life where that is shorter. */
const marginMilliseconds = 5 * 60_000;

export function createInstallationTokens(
  fetchToken: (installationId: number) => Promise<FetchedToken>,
  clock: Clock,
): InstallationTokens {
  const cached = new Map<number, { readonly token: Secret; readonly until: number }>();
  const underWay = new Map<number, Promise<Secret>>();

  const fetchAndKeep = async (installationId: number): Promise<Secret> => {
    const { token, expiresAt } = await fetchToken(installationId);
    const life = expiresAt - clock.now();
    cached.set(installationId, { token, until: expiresAt - Math.min(marginMilliseconds, life / 10) });
    return token;
  };

  return {
    read(installationId) {
      const known = cached.get(installationId);
      if (known !== undefined && clock.now() < known.until) return Promise.resolve(known.token);
      const already = underWay.get(installationId);
      if (already !== undefined) return already;
      const fetching = fetchAndKeep(installationId).finally(() => underWay.delete(installationId));
      underWay.set(installationId, fetching);
      return fetching;
    },
    drop(installationId, token) {
      // Another request may have put a newer one there meanwhile.
      if (cached.get(installationId)?.token === token) cached.delete(installationId);
    },
  };
}
