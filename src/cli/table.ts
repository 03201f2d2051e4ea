import { cutToWidth, displayWidth, printable } from "./display-width.ts";
import { paint, type Screen, type Style } from "./terminal.ts";

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly style?: (row: Row) => Style | undefined;
  readonly align?: "right";
  /** The column is cut down to so many columns of the terminal before any other is. */
  readonly shrinksTo?: number;
}

const gap = "  ";

/** Aligned rows under a line of titles. Columns that are empty in every row are left out. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  screen: Screen,
): string {
  const filled = columns
    .map((column) => ({ column, cells: rows.map((row) => printable(column.cell(row))) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const natural = filled.map(({ column, cells }) =>
    Math.max(displayWidth(column.title), ...cells.map(displayWidth)),
  );
  const widths = fitWidths(
    natural,
    filled.map(({ column }) => column.shrinksTo),
    screen.widthColumns,
  );
  const line = (cells: readonly { text: string; style: Style | undefined; right: boolean }[]): string =>
    cells
      .map(({ text, style, right }, index) => aligned(text, widths[index] ?? 0, right, style, screen))
      .join(gap)
      .trimEnd();
  const titles = filled.map(({ column }) => ({
    text: column.title,
    style: "quiet" as const,
    right: column.align === "right",
  }));
  const body = rows.map((row, rowIndex) =>
    line(
      filled.map(({ column, cells }) => ({
        text: cells[rowIndex] ?? "",
        style: column.style?.(row),
        right: column.align === "right",
      })),
    ),
  );
  return [line(titles), ...body].join("\n");
}

/** Lines of a name and a text, the texts below each other. Entries without a text are left out. */
export function renderFields(
  fields: readonly (readonly [name: string, text: string | undefined])[],
  screen: Screen,
): string {
  const filled = fields.filter((field): field is readonly [string, string] => (field[1] ?? "") !== "");
  const width = Math.max(0, ...filled.map(([name]) => name.length));
  return filled
    .map(([name, text]) => `${paint(screen, "quiet", name.padEnd(width))}${gap}${printable(text)}`)
    .join("\n");
}

function aligned(
  text: string,
  width: number,
  right: boolean,
  style: Style | undefined,
  screen: Screen,
): string {
  const cut = cutToWidth(text, width);
  const padding = " ".repeat(Math.max(0, width - displayWidth(cut)));
  const painted = paint(screen, style, cut);
  return right ? `${padding}${painted}` : `${painted}${padding}`;
}

/** First the columns that may be cut, the widest first; then any, from the right. */
function fitWidths(
  natural: readonly number[],
  limits: readonly (number | undefined)[],
  available: number | undefined,
): readonly number[] {
  const widths = [...natural];
  if (available === undefined) return widths;
  const room = available - gap.length * (widths.length - 1);
  const excess = (): number => widths.reduce((sum, width) => sum + width, 0) - room;
  while (excess() > 0) {
    const candidates = widths.map((width, index) => width - Math.max(1, limits[index] ?? width));
    const widest = widths.reduce(
      (best, width, index) => ((candidates[index] ?? 0) > 0 && width > (widths[best] ?? -1) ? index : best),
      -1,
    );
    if (widest === -1) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  for (let index = widths.length - 1; index >= 0 && excess() > 0; index--) {
    widths[index] = Math.max(4, (widths[index] ?? 0) - excess());
  }
  return widths;
}
