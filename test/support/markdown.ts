import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A fenced block of a page. */
interface Block {
  /** What follows the opening fence: `console`, `yaml mayfly.yaml`. */
  readonly info: string;
  readonly text: string;
  /** Of the opening fence, counted from 1. */
  readonly line: number;
}

/** The fenced blocks of a page, in order. */
export function blocksOf(page: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { readonly info: string; readonly line: number; readonly lines: string[] } | undefined;
  for (const [index, line] of page.split("\n").entries()) {
    const fence = /^```(.*)$/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) open = { info: fence[1]?.trim() ?? "", line: index + 1, lines: [] };
    else {
      blocks.push({ info: open.info, line: open.line, text: `${open.lines.join("\n")}\n` });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`The block of line ${open.line} is not closed.`);
  return blocks;
}

/** Whole configurations: the blocks that open with `yaml mayfly.yaml`. */
export function configBlocks(page: string): readonly Block[] {
  return blocksOf(page).filter((block) => block.info === "yaml mayfly.yaml");
}

/** A command of a page and what it printed, as far as the page shows it. */
export interface ShownCommand {
  readonly command: string;
  readonly output: string;
  readonly line: number;
}

/** The commands of `console` blocks, after `$ `, and every line of `sh` blocks. Lines that end with `\` go on. */
export function commandsOf(page: string): readonly ShownCommand[] {
  return blocksOf(page).flatMap((block) => {
    if (block.info === "console") return consoleCommands(block);
    return block.info === "sh" ? shellCommands(block) : [];
  });
}

function consoleCommands(block: Block): readonly ShownCommand[] {
  const parts = block.text.split(/^\$ /m);
  let line = block.line + 1;
  return parts.flatMap((part, index) => {
    const at = line;
    line += part.split("\n").length - 1;
    const [command = "", ...output] = part.split("\n");
    return index === 0 ? [] : [{ command, output: output.join("\n"), line: at }];
  });
}

function shellCommands(block: Block): readonly ShownCommand[] {
  const joined = block.text.replaceAll("\\\n", "  ");
  return joined
    .split("\n")
    .map((command, index) => ({ command: command.trim(), output: "", line: block.line + 1 + index }))
    .filter(({ command }) => command !== "" && !command.startsWith("#"));
}

/** The text of a page without its fenced blocks and without `code`, where brackets are no links. */
function proseOf(page: string): string {
  return page
    .replace(/^```.*\n[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ""))
    .replace(/`[^`\n]*`/g, "``");
}

/** Where the links of a page lead to, as they are written. */
export function linksOf(page: string): readonly string[] {
  const prose = proseOf(page);
  const inline = [...prose.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  const defined = [...prose.matchAll(/^\[[^\]]+\]: (\S+)/gm)].map(([, target = ""]) => target);
  return [...inline, ...defined];
}

/** The anchors that GitHub makes of the headings of a page. */
export function anchorsOf(page: string): readonly string[] {
  const seen = new Map<string, number>();
  const withoutBlocks = page.replace(/^```.*\n[\s\S]*?^```$/gm, "");
  return [...withoutBlocks.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => {
    const anchor = heading
      .trim()
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number}\p{Mark} _-]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
}

/** Every page of the repository, from its root. */
export function pagesOf(root: string): readonly string[] {
  const left = ["node_modules", "dist", "coverage", ".git"];
  const walk = (folder: string): readonly string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      if (left.includes(entry.name)) return [];
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) return walk(path);
      return entry.name.endsWith(".md") ? [path] : [];
    });
  return walk("").toSorted();
}

export function readPage(root: string, path: string): string {
  return readFileSync(join(root, path), "utf8");
}
