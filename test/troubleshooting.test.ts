import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

/* docs/operating/troubleshooting.md: whatever reason somebody sees, there is a line that says what to do. */

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const page = read("docs/operating/troubleshooting.md");
const model = read("src/core/model.ts");

test.each([
  ["BlockReason", "Why a fleet launches nothing now"],
  ["GiveUpReason", "Why a job was given up"],
  ["RefusalReason", "Why a job was refused"],
  ["EndReason", "Why a machine ended"],
])("every %s has a line, and none is invented", (type, heading) => {
  expect(reasonsOf(type).length).toBeGreaterThan(5);
  expect(linesAfter(`**${heading}`)).toEqual(reasonsOf(type));
});

test("what doctor looks at has a line each", () => {
  const sources = [
    "src/core/diagnosis.ts",
    "src/cli/doctor.ts",
    "src/targets/box/doctor.ts",
    ...["", "-deployment", "-machines", "-options", "-quotas", "-secrets"].map(
      (part) => `src/targets/aws/doctor${part}.ts`,
    ),
  ].map(read);
  const subjects = sources.flatMap((source) =>
    [...source.matchAll(/(?:look\(|about(?::| =))\s*["`]([A-Za-z]+(?: [a-z]+)?)/g)].map(
      ([, words = ""]) => words,
    ),
  );
  const listed = [...page.slice(page.indexOf("## What doctor finds")).matchAll(/`([^`]+)`/g)].map(
    ([, name = ""]) => name,
  );
  const missing = subjects.filter(
    (words) => !listed.includes(words) && !listed.includes(words.split(" ")[0] ?? ""),
  );
  expect(new Set(missing)).toEqual(new Set());
  expect(new Set(subjects).size).toBeGreaterThan(8);
});

function reasonsOf(type: string): readonly string[] {
  const [, members = ""] = new RegExp(`export type ${type} =([^;]+);`).exec(model) ?? [];
  return [...members.matchAll(/"([^"]+)"/g)].map(([, reason = ""]) => reason);
}

/** The first cells of the table that follows. */
function linesAfter(text: string): readonly string[] {
  const [, table = ""] = /^\|---.*\n((?:\|.*\n)+)/m.exec(page.slice(page.indexOf(text))) ?? [];
  return [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, reason = ""]) => reason);
}
