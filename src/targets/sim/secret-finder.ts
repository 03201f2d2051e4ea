/** Finds secrets in texts, among thousands of them, without looking for each. */
export interface SecretFinder {
  add(kind: string, secret: string): void;
  /** What kind of secret the text holds, or undefined. */
  contains(text: string): string | undefined;
}

/** Texts that look like a token or a piece of an encoded one. */
const suspicious = /[\w+/-]{40,}/g;
const fingerprintLength = 40;

/** `plain`: secrets that are looked for as they are, because they look like any other text. */
export function createSecretFinder(plain: readonly string[]): SecretFinder {
  const kinds = new Map<string, string>();
  return {
    add(kind, secret) {
      kinds.set(secret.slice(0, fingerprintLength), kind);
    },
    contains(text) {
      if (plain.some((secret) => text.includes(secret))) return "a secret of the installation";
      if (text.length < fingerprintLength) return undefined;
      for (const [piece] of text.matchAll(suspicious)) {
        const kind = kinds.get(piece.slice(0, fingerprintLength));
        if (kind !== undefined) return kind;
      }
      return undefined;
    },
  };
}
