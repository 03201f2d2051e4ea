/** Finds secrets in texts, among thousands of them, without looking for each. */
export interface SecretFinder {
  add(kind: string, secret: string): void;
  /** What kind of secret the text holds, or undefined. */
  contains(text: string): string | undefined;
}

const fingerprintLength = 40;
const isTokenCharacter = characterSet(/[\w+/-]/);

/**
 * `plain`: secrets that are looked for as they are, because they look like any other text. All others begin a piece of at
 * least 40 letters, digits, `_`, `+`, `/` and `-`, as tokens and encoded texts do.
 */
export function createSecretFinder(plain: readonly string[]): SecretFinder {
  const kinds = new Map<string, string>();
  return {
    add(kind, secret) {
      kinds.set(secret.slice(0, fingerprintLength), kind);
    },
    contains(text) {
      for (const secret of plain) if (text.includes(secret)) return "a secret of the installation";
      for (let start = nextPiece(text, 0); start !== -1; start = nextPiece(text, endOfPiece(text, start))) {
        const kind = kinds.get(text.slice(start, start + fingerprintLength));
        if (kind !== undefined) return kind;
      }
      return undefined;
    },
  };
}

/** Where the next piece that is long enough begins, at `from` or after it; -1 when there is none. */
function nextPiece(text: string, from: number): number {
  let start = from;
  // Backwards from where it would be long enough: most texts are passed in steps of nearly that length.
  for (let index = start + fingerprintLength - 1; index < text.length; ) {
    if (isTokenCharacter[text.charCodeAt(index)] === 1) {
      if (index === start) return start;
      index -= 1;
    } else {
      start = index + 1;
      index = start + fingerprintLength - 1;
    }
  }
  return -1;
}

function endOfPiece(text: string, start: number): number {
  let end = start + fingerprintLength;
  while (end < text.length && isTokenCharacter[text.charCodeAt(end)] === 1) end += 1;
  return end;
}

function characterSet(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 128 }, (_, code) => Number(pattern.test(String.fromCharCode(code))));
}
