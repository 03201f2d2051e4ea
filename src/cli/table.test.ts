import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { displayWidth } from "./display-width.ts";
import { type Column, renderTable } from "./table.ts";

interface Entry {
  readonly id: string;
  readonly name: string;
  readonly note: string;
}

const columns: readonly Column<Entry>[] = [
  { title: "ID", cell: (entry) => entry.id, align: "right" },
  { title: "NAME", cell: (entry) => entry.name, shrinksTo: 8, style: () => "good" },
  { title: "NOTE", cell: (entry) => entry.note },
];
const rows: readonly Entry[] = [
  { id: "7", name: "a short one", note: "" },
  { id: "1234", name: "a name that is much too long for a small terminal", note: "" },
];
const screen = { colours: false, now: 0 };

test("columns are aligned, empty ones left out, and a pipe gets every word", () => {
  expect(renderTable(columns, rows, screen)).toMatchInlineSnapshot(`
    "  ID  NAME
       7  a short one
    1234  a name that is much too long for a small terminal"
  `);
});

test("a terminal gets lines that fit", () => {
  const text = renderTable(columns, rows, { ...screen, widthColumns: 24 });
  expect(text).toMatchInlineSnapshot(`
    "  ID  NAME
       7  a short one
    1234  a name that is mu…"
  `);
});

test.each([9, 14, 40])("no line is wider than %d columns, whatever is in it", (widthColumns) => {
  const awkward = [
    { id: "1234567", name: "テスト 🚀 実行ジョブ名前が長い", note: "n".repeat(50) },
    { id: "", name: "e\u0301".repeat(30), note: "x" },
  ];
  const text = renderTable(columns, awkward, { colours: true, now: 0, widthColumns });
  for (const line of text.split("\n")) {
    // Titles and marks of a cut need four columns each, which a terminal of nine cannot give three columns of.
    expect(displayWidth(stripVTControlCharacters(line))).toBeLessThanOrEqual(Math.max(16, widthColumns));
  }
});

test("names from outside cannot move the cursor, colour the line or start a new one", () => {
  const evil = [{ id: "1", name: "\u001b[2J\u001b[31mred\nnext\u202e\u061c", note: "\u0007bell" }];
  const text = renderTable(columns, evil, screen);
  expect(text.split("\n")[1]).toBe(" 1  red next  bell");
});
