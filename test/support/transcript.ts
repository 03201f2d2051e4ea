import { readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";

/**
 * What a command really printed, against the block of a page below `<!-- transcript: <name> -->`. With
 * `UPDATE_TRANSCRIPTS=1` the page is written anew instead. Names and numbers that differ from run to run are replaced
 * before: each pattern by what the page has in its place.
 */
export function expectTranscript(
  where: { readonly page: string; readonly name: string },
  printed: string,
  replacements: readonly (readonly [pattern: RegExp | string, text: string])[],
): void {
  const file = new URL(`../../${where.page}`, import.meta.url);
  const page = readFileSync(file, "utf8");
  const block = new RegExp(`(<!-- transcript: ${where.name} -->\\n\`\`\`console\\n)(.*?)(\`\`\`\\n)`, "s");
  const shown = block.exec(page);
  if (shown === null) throw new Error(`${where.page} has no block for the transcript ${where.name}.`);
  let text = printed;
  for (const [pattern, replacement] of replacements) text = text.replaceAll(pattern, replacement);
  text = `${text.trimEnd()}\n`;
  if (process.env.UPDATE_TRANSCRIPTS === "1") {
    writeFileSync(
      file,
      page.replace(block, (_, before, __, after) => `${before}${text}${after}`),
    );
    return;
  }
  expect(text).toBe(shown[2]);
}
