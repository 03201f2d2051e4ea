import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

/* docs/reference/failures-of-others.md against the tests that it names. */

const pageUrl = new URL("../docs/reference/failures-of-others.md", import.meta.url);
const page = readFileSync(pageUrl, "utf8");

interface NamedTest {
  readonly name: string;
  readonly file: string;
}

const rows = [...page.matchAll(/^\| ([TJSE]\d+) \|.*\| (.+) \|$/gm)].map(([, failure = "", tests = ""]) => ({
  failure,
  tests: [...tests.matchAll(/\[(.+?)\]\((\S+)\)/g)].map(
    ([, name = "", file = ""]): NamedTest => ({ name, file }),
  ),
}));

test("every failure has a test, and every test that is named exists", () => {
  expect(rows.length).toBeGreaterThan(90);
  expect(rows.filter(({ tests }) => tests.length === 0)).toEqual([]);
  expect(rows.flatMap(({ tests }) => tests).filter((named) => !exists(named))).toEqual([]);
});

test("no failure of the lists is left out, and none is there twice", () => {
  const later = [...page.matchAll(/^\| [A-Z][\w ]+ \| ((?:[TJSE]\d+(?:, )?)+) \|/gm)].flatMap(
    ([, all = ""]) => all.split(", "),
  );
  const named = [...rows.map(({ failure }) => failure), ...later];
  const expected = Object.entries({ T: 37, J: 34, S: 25, E: 25 }).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, index) => `${letter}${index + 1}`),
  );
  expect(named.sort()).toEqual(expected.sort());
});

test("a test that does not exist is found", () => {
  const [first] = rows[0]?.tests ?? [];
  expect(exists({ ...first!, name: "does what no test says" })).toBe(false);
  // A text within a test is not its name.
  expect(exists({ name: "hung", file: "../../test/peers/deliveries.test.ts" })).toBe(false);
});

/** As the name of a test, or as that of a row of a table of tests. */
function exists({ name, file }: NamedTest): boolean {
  const url = new URL(file, pageUrl);
  if (!existsSync(url)) return false;
  const literal = [`"${name}"`, `'${name}'`, `\`${name.replaceAll("`", "\\`")}\``]
    .map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("|");
  const isNamed = new RegExp(
    `(?:(?:\\bit|\\btest|each\\b.*|\\]|\\))\\(|^\\s*\\]\\)\\(|\\[)\\s*(?:${literal}),`,
    "m",
  );
  return isNamed.test(readFileSync(url, "utf8"));
}
