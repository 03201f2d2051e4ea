export interface EcsTag {
  readonly key: string;
  readonly value: string;
}

/**
 * Our marks as tags of ECS, whose values hold letters, digits, spaces and `+ - = . _ : / @` only, where ids of fleets
 * hold commas too. What may not stand there is written as `@` and two hexadecimal digits for each byte.
 */
export function ourTags(marks: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(marks).map(([name, value]) => [prefix + name, encoded(value)]));
}

/** The marks among these tags. */
export function marksOf(tags: readonly EcsTag[]): ReadonlyMap<string, string> {
  const ours = tags.filter(({ key }) => key.startsWith(prefix));
  return new Map(ours.map(({ key, value }) => [key.slice(prefix.length), decoded(value)]));
}

const prefix = "mayfly:";

function encoded(text: string): string {
  return text.replace(/[^A-Za-z0-9 +=._:/-]/gu, (letter) =>
    [...Buffer.from(letter, "utf8")].map((byte) => `@${byte.toString(16).padStart(2, "0")}`).join(""),
  );
}

function decoded(text: string): string {
  return text.replace(/(@[0-9a-f]{2})+/g, (bytes) =>
    Buffer.from(bytes.replaceAll("@", ""), "hex").toString("utf8"),
  );
}
