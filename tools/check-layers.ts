import { readdir, readFile } from "node:fs/promises";
import { join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { environmentReaders, exceptions, type Layer, layers, type Permission } from "./layers.ts";
import { sourceImports } from "./source-imports.ts";
import { sourceTokens, type Token } from "./source-tokens.ts";

/*
 * Checks every file below src/ against the layer table (tools/layers.ts) and against the agreements that neither the
 * compiler nor the linter knows. Prints each violation with what would be allowed, and fails when there is one.
 */

export interface Violation {
  /** From the root of the repository, with slashes. */
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** All violations below `src/` of this folder, by file and line. */
export async function checkLayers(root: string): Promise<readonly Violation[]> {
  const entries = await readdir(join(root, "src"), { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort();
  const checked = files.map(async (file) => checkSource(file, await readFile(join(root, file), "utf8")));
  return (await Promise.all(checked)).flat();
}

/** The violations of one file. `file` is its path from the root of the repository, with slashes. */
export function checkSource(file: string, source: string): readonly Violation[] {
  const tokens = sourceTokens(source);
  const report = (line: number, message: string): Violation => ({ file, line, message });
  const common = [...checkName(file, report), ...checkForm(tokens, report)];
  // Tests may import everything, and look at the clock.
  const code = file.endsWith(".test.ts") ? [] : checkCode(file, tokens, report);
  return [...common, ...code].sort((left, right) => left.line - right.line);
}

type Report = (line: number, message: string) => Violation;

function checkCode(file: string, tokens: readonly Token[], report: Report): readonly Violation[] {
  const layer = layers.find((candidate) => file.startsWith(`src/${candidate.name}/`));
  if (layer === undefined) {
    const known = layers.map((candidate) => candidate.name).join(", ");
    return [report(1, `is in no layer. The layers are ${known}; a new one belongs into tools/layers.ts.`)];
  }
  return [
    ...checkImports(file, layer, tokens, report),
    ...checkEnvironment(file, tokens, report),
    ...(layer.name === "cli" ? [] : checkConsole(tokens, report)),
    ...(layer.pure === true ? checkPurity(layer, tokens, report) : []),
    ...(layer.pure === true ? checkCloudNames(layer, tokens, report) : []),
  ];
}

// --------------------------------------------------------------------------------------------- imports

function checkImports(
  file: string,
  layer: Layer,
  tokens: readonly Token[],
  report: Report,
): readonly Violation[] {
  return sourceImports(tokens).flatMap(({ specifier, typeOnly, line }) => {
    if (specifier === undefined) {
      return [report(line, "imports a module whose name is computed. Write the name as a plain text.")];
    }
    const refused = specifier.startsWith(".")
      ? fileRefusal(file, layer, specifier, typeOnly)
      : packageRefusal(file, layer, specifier);
    return refused === undefined ? [] : [report(line, `imports ${specifier}. ${refused}`)];
  });
}

/** Why this file may not be imported, as sentences; undefined when it may. */
function fileRefusal(file: string, layer: Layer, specifier: string, typeOnly: boolean): string | undefined {
  const target = posix.normalize(posix.join(posix.dirname(file), specifier));
  const [top, name = "", folder = ""] = target.split("/");
  if (top !== "src") return `It is not below src/. ${allowedText(layer)}`;
  if (exceptions.some((exception) => exception.file === file && exception.layer === name)) return undefined;
  const permission = layer.may[name];
  if (permission === "yes" || (permission === "types" && typeOnly)) return undefined;
  if (permission === "types") return `Of ${name}, it may import types only: write \`import type\`.`;
  if (permission !== undefined) {
    const own = file.split("/")[2] ?? "";
    const allowed = permission.map((entry) => (entry === "own folder" ? own : entry));
    if (allowed.includes(folder)) return undefined;
  }
  return allowedText(layer);
}

function packageRefusal(file: string, layer: Layer, specifier: string): string | undefined {
  if (specifier.startsWith("node:")) {
    if (specifier === "node:process") return "The global `process` is there without it.";
    if (layer.nodeModules === undefined || layer.nodeModules.includes(specifier)) return undefined;
    return allowedText(layer);
  }
  const parts = specifier.split("/");
  const name = parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
  const folder = file.split("/")[2] ?? "";
  const allowed = [...(layer.packages["*"] ?? []), ...(layer.packages[folder] ?? [])];
  if (allowed.includes(name)) return undefined;
  const list = allowed.length === 0 ? "no package" : allowed.join(", ");
  return `${folderName(layer, folder)} may import ${list}. A new one belongs into tools/layers.ts.`;
}

function folderName(layer: Layer, folder: string): string {
  return layer.name === "adapters" ? `adapters/${folder}` : layer.name;
}

function allowedText(layer: Layer): string {
  const entries = Object.entries(layer.may).map(([name, permission]) => permissionText(name, permission));
  const modules = layer.nodeModules ?? ["any node: module"];
  const all = [...entries, ...modules];
  return `${layer.name} may import ${all.length === 0 ? "nothing" : all.join(", ")}.`;
}

function permissionText(name: string, permission: Permission | undefined): string {
  if (permission === "types") return `${name} (types only)`;
  if (permission === "yes" || permission === undefined) return name;
  return permission
    .map((entry) => (entry === "own folder" ? `its own folder of ${name}` : `${name}/${entry}`))
    .join(", ");
}

// ------------------------------------------------------------------------------------------ agreements

const emptyNames: readonly string[] = ["utils", "util", "helpers", "helper", "common", "index", "misc"];

function checkName(file: string, report: Report): readonly Violation[] {
  const words = file.split("/").map((part) => part.replace(/(\.test)?\.ts$/, ""));
  const empty = words.find((word) => emptyNames.includes(word));
  return empty === undefined
    ? []
    : [report(1, `is named ${empty}, which says nothing. Name a file for what it exports.`)];
}

function checkForm(tokens: readonly Token[], report: Report): readonly Violation[] {
  const violations: Violation[] = [];
  for (const { specifier, line } of sourceImports(tokens)) {
    if (specifier?.startsWith(".") === true && !specifier.endsWith(".ts")) {
      violations.push(
        report(line, `imports ${specifier}. Write the ending: Node finds only \`.ts\` files by it.`),
      );
    }
  }
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== "word" || token.text !== "default") continue;
    const before = tokens[index - 1]?.text;
    const exported = before === "export" || (before === "as" && isInExportList(tokens, index));
    if (exported) violations.push(report(token.line, "has a default export. Export it by its name."));
  }
  return violations;
}

function isInExportList(tokens: readonly Token[], index: number): boolean {
  for (let at = index; at >= 0; at--) {
    const token = tokens[at];
    if (token?.kind === "mark" && token.text === "{") return tokens[at - 1]?.text === "export";
  }
  return false;
}

function checkEnvironment(file: string, tokens: readonly Token[], report: Report): readonly Violation[] {
  if (environmentReaders.some((reader) => file.startsWith(reader))) return [];
  return findUses(tokens, "process", (next) => next.includes("env")).map(({ line }) =>
    report(
      line,
      "reads process.env. Only src/config/environment.ts does; take what you need as an argument.",
    ),
  );
}

function checkConsole(tokens: readonly Token[], report: Report): readonly Violation[] {
  return findUses(tokens, "console", () => true).map(({ line }) =>
    report(line, "writes to the console. Only src/cli does; take a Log as an argument."),
  );
}

function checkPurity(layer: Layer, tokens: readonly Token[], report: Report): readonly Violation[] {
  const rules: readonly (readonly [
    name: string,
    applies: (next: readonly string[]) => boolean,
    port: string,
  ])[] = [
    ["Date", (next) => next[0] === "." && next[1] === "now", "the port Clock"],
    ["Math", (next) => next[0] === "." && next[1] === "random", "the port Random"],
    ["performance", (next) => next[0] === "." && next[1] === "now", "the port Clock"],
    ["process", () => true, "an argument"],
    ["setTimeout", () => true, "the port Clock"],
    ["setInterval", () => true, "the port Clock"],
    ["setImmediate", () => true, "the port Clock"],
  ];
  const found = rules.flatMap(([name, applies, instead]) =>
    findUses(tokens, name, applies).map(({ line }) =>
      report(
        line,
        `uses ${name}, which ${layer.name} may not: it would run differently each time. Use ${instead}.`,
      ),
    ),
  );
  const dates = tokens.flatMap((token, index) => {
    const [date, open, close] = tokens.slice(index + 1, index + 4);
    const bare = open?.text !== "(" || close?.text === ")";
    return token.text === "new" && date?.text === "Date" && bare
      ? [
          report(
            token.line,
            `uses new Date() for the present, which ${layer.name} may not. Use the port Clock.`,
          ),
        ]
      : [];
  });
  return [...found, ...dates];
}

/** Uses of a global, and not of a property or a key of that name. */
function findUses(
  tokens: readonly Token[],
  name: string,
  applies: (next: readonly string[]) => boolean,
): readonly Token[] {
  return tokens.filter((token, index) => {
    if (token.kind !== "word" || token.text !== name) return false;
    const [owner, dot] = tokens.slice(Math.max(0, index - 2), index).map((other) => other.text);
    if (dot === "." && owner !== "." && owner !== "globalThis") return false;
    const next = tokens.slice(index + 1, index + 4).map((other) => other.text);
    return next[0] !== ":" && applies(next);
  });
}

const cloudNames: readonly string[] = ["aws", "ec2", "gcp", "gce", "fargate"];

/** Prices compare with a cloud by name, and unions of types list adapters; all else must not know where it runs. */
function checkCloudNames(layer: Layer, tokens: readonly Token[], report: Report): readonly Violation[] {
  return tokens.flatMap((token, index) => {
    if (token.kind !== "word" && token.kind !== "text") return [];
    const words = token.text
      .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
      .toLowerCase()
      .split(/[^a-z0-9]+/);
    const cloud = words.find((word) => cloudNames.includes(word));
    if (cloud === undefined) return [];
    const price = token.kind === "word" && /Usd$|Price/.test(token.text);
    const inUnion = token.kind === "text" && [tokens[index - 1]?.text, tokens[index + 1]?.text].includes("|");
    if (price || inUnion) return [];
    return [
      report(
        token.line,
        `names the cloud ${cloud}, of which ${layer.name} must not know. What is special about it belongs into an adapter.`,
      ),
    ];
  });
}

// ------------------------------------------------------------------------------------------ the command

async function main(): Promise<void> {
  const violations = await checkLayers(fileURLToPath(new URL("..", import.meta.url)));
  for (const { file, line, message } of violations) process.stderr.write(`${file}:${line} ${message}\n`);
  if (violations.length > 0) {
    process.stderr.write(
      `\n${violations.length} against the layers and agreements. The table is in ARCHITECTURE.md.\n`,
    );
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
