import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { checkConfig } from "../src/config/load.ts";
import {
  anchorsOf,
  blocksOf,
  commandsOf,
  configBlocks,
  linksOf,
  pagesOf,
  readPage,
  type ShownCommand,
} from "./support/markdown.ts";

/*
 * README.md and every other page, as far as they can be checked cheaply: links, configurations, names and options of
 * commands, and the output of those commands that need no server.
 */

const root = fileURLToPath(new URL("../", import.meta.url));
const pages = pagesOf(root).map((path) => ({ path, text: readPage(root, path) }));
const folder = mkdtempSync(join(tmpdir(), "mayfly-pages-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("links", () => {
  test.each(pages)("of $path lead somewhere", ({ path, text }) => {
    expect(linksOf(text).filter((target) => !leadsSomewhere(path, target))).toEqual([]);
  });

  test("that lead nowhere are found", () => {
    expect(leadsSomewhere("docs/README.md", "start/no-such-page.md")).toBe(false);
    expect(leadsSomewhere("docs/README.md", "start/box.md#no-such-heading")).toBe(false);
    expect(leadsSomewhere("docs/README.md", "start/box.md#4-the-runner")).toBe(true);
    expect(leadsSomewhere("docs/README.md", "../..")).toBe(false);
  });
});

describe("configurations", () => {
  const blocks = pages.flatMap(({ path, text }) =>
    configBlocks(text).map((block) => ({ where: `${path}:${block.line}`, text: block.text })),
  );

  test.each([{ where: "examples/mayfly.yaml", text: exampleConfig() }, ...blocks])(
    "$where is valid, without a warning",
    ({ text }) => {
      const { problems, warnings } = checkConfig(text, { path: "mayfly.yaml", environment: {} });
      expect([...problems, ...warnings]).toEqual([]);
    },
  );

  test("none is left out: whoever shows presets marks the block as `yaml mayfly.yaml`", () => {
    const unmarked = pages.flatMap(({ path, text }) =>
      blocksOf(text)
        .filter(({ info, text: content }) => info === "yaml" && /^presets:/m.test(content))
        .map(({ line }) => `${path}:${line}`),
    );
    expect(unmarked).toEqual([]);
  });
});

describe("commands", () => {
  const shown = pages.flatMap(({ path, text }) =>
    commandsOf(text).flatMap((one) =>
      [one.command, ...printedCommands(one)].flatMap((command) =>
        partsOf(command).map((words) => ({ where: `${path}:${one.line}`, words })),
      ),
    ),
  );
  const scripts = Object.keys(
    (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object }).scripts,
  );

  test("npm scripts exist", () => {
    const missing = shown.filter(({ words: [program, verb = "", name = ""] }) => {
      if (program !== "npm" || ["ci", "install"].includes(verb)) return false;
      return !scripts.includes(verb === "run" ? name : verb);
    });
    expect(missing).toEqual([]);
  });

  const calls = shown.flatMap(({ where, words }) => {
    const call = mayflyCall(words);
    return call === undefined ? [] : [{ where, ...call, written: words.join(" ") }];
  });
  const commands = [...new Set(calls.map(({ command }) => command))];

  test.each(commands)("mayfly %s exists, with the options that pages show", async (command) => {
    const help = await mayfly([...command.split(" ").filter((word) => word !== ""), "--help"]);
    expect(help.code).toBe(0);
    if (command !== "") expect(help.output).toMatch(new RegExp(`^Usage: mayfly ${command}\\b`, "m"));
    const known = [...help.output.matchAll(/(?<=[\s,])--?[a-z][a-z-]*/gi)].map(([option]) => option);
    const wrong = calls.filter((call) => call.command === command && !call.options.every(isIn(known)));
    expect(wrong.map(({ where, written }) => `${where} ${written}`)).toEqual([]);
  });

  test("variables of Terraform, parameters of CloudFormation and context of the CDK exist", () => {
    const wrong = shown.filter(({ words }) =>
      givenNames(words).some(([where, name]) => !isDeclared(where, name)),
    );
    expect(wrong).toEqual([]);
    const given = new Set(shown.flatMap(({ words }) => givenNames(words).map(([, name]) => name)));
    expect([...given]).toEqual(
      expect.arrayContaining([
        "package_folder",
        "deletion_protection",
        "CodePrefix",
        "DeletionProtection",
        "keepTable",
      ]),
    );
    expect(isDeclared("infra/aws/terraform/example/main.tf", "no_such_variable")).toBe(false);
  });

  test("most pages have some", () => {
    expect(commands.length).toBeGreaterThan(8);
  });
});

describe("output of mayfly config explain", () => {
  const explained = pages.flatMap(({ path, text }) =>
    commandsOf(text)
      .filter(({ command, output }) => /^mayfly config explain /.test(command) && output.trim() !== "")
      .map((one) => ({ where: `${path}:${one.line}`, ...one, config: configBefore(text, one) })),
  );

  test("is shown somewhere", () => expect(explained.length).toBeGreaterThan(1));

  test.each(explained)("of $where is what it prints", async ({ command, output, config }) => {
    const file = join(folder, "mayfly.yaml");
    writeFileSync(file, config);
    const words = command.replace(/ --config \S+/, "").split(" ");
    const real = await mayfly([...words.slice(1), "--config", file]);
    expect(output.trimEnd()).toBe(real.output.trimEnd());
  });
});

// ------------------------------------------------------------------------------------------------- helpers

function leadsSomewhere(page: string, target: string): boolean {
  if (/^(https?|mailto):/.test(target)) return true;
  const [file = "", anchor] = target.split("#");
  const path = normalize(file === "" ? page : join(dirname(page), decodeURIComponent(file)));
  if (path.startsWith("..") || !existsSync(join(root, path))) return false;
  if (anchor === undefined) return true;
  return statSync(join(root, path)).isFile() && anchorsOf(readPage(root, path)).includes(anchor);
}

function exampleConfig(): string {
  return readFileSync(join(root, "examples/mayfly.yaml"), "utf8");
}

/** The configuration that a page showed last before this command; the example where it showed none. */
function configBefore(page: string, { line }: ShownCommand): string {
  const before = configBlocks(page).filter((block) => block.line < line);
  return before.at(-1)?.text ?? exampleConfig();
}

/** The words of each command of a line, without comments. */
function partsOf(line: string): readonly (readonly string[])[] {
  return line
    .replace(/(^|\s)#.*$/, "")
    .split(/&&|\|\||;|\|/)
    .map((part) => part.trim().split(/\s+/))
    .filter(([program]) => program !== "");
}

/** What a command gives a value to, and the file that has to know it. */
function givenNames(words: readonly string[]): readonly (readonly [string, string])[] {
  const after = (option: string) =>
    words.flatMap((word, index) => (words[index - 1] === option ? [word.split("=")[0] ?? ""] : []));
  const [program, second = ""] = words;
  if (program === "terraform") {
    const file = join(second.replace("-chdir=", ""), "main.tf");
    return after("-var").map((name) => [file, name]);
  }
  if (words.includes("cdk")) return after("--context").map((name) => ["infra/aws/cdk/src/app.ts", name]);
  const overrides = words.indexOf("--parameter-overrides");
  if (program !== "aws" || overrides < 0) return [];
  const parameters = words
    .slice(overrides + 1)
    .filter((word) => word.includes("="))
    .map((word) => word.replace(/^["']|=.*$/g, ""));
  return parameters.map((name) => ["infra/aws/cloudformation/template.yaml", name]);
}

function isDeclared(file: string, name: string): boolean {
  const text = readPage(root, file);
  return [`variable "${name}" {`, `text("${name}")`, `\n  ${name}:\n    Type: `].some((line) =>
    text.includes(line),
  );
}

/** `mayfly setup aws` prints the commands that are left. */
function printedCommands({ command, output }: ShownCommand): readonly string[] {
  if (!command.startsWith("mayfly setup aws ")) return [];
  const lines = output.replace(/\\\n/g, " ").split("\n");
  return lines.map((line) => line.replace(/^\((.*)\)$/, "$1"));
}

interface Call {
  /** `jobs list`, without options and arguments. */
  readonly command: string;
  readonly options: readonly string[];
}

const groups: readonly string[] = ["jobs", "runners", "images", "config", "emulate", "setup", "aws", "trace"];

/** What a line asks of Mayfly, as `mayfly …`, `npm run mayfly -- …` or `npm run demo -- …`. */
function mayflyCall(words: readonly string[]): Call | undefined {
  const [program, verb, script] = words;
  const from = words.indexOf("--") + 1 || words.length;
  const parts =
    program === "mayfly"
      ? words.slice(1)
      : program === "npm" && verb === "run" && script === "mayfly"
        ? words.slice(from)
        : program === "npm" && verb === "run" && script === "demo"
          ? ["demo", ...words.slice(from)]
          : undefined;
  if (parts === undefined) return undefined;
  const names = parts.filter((word) => !word.startsWith("-"));
  const [first = "", second = ""] = parts[0]?.startsWith("-") ? [] : names;
  return {
    command: groups.includes(first) ? `${first} ${second}` : first,
    options: parts.filter((word) => word.startsWith("-")).map((word) => word.split("=")[0] ?? ""),
  };
}

function isIn(known: readonly string[]): (option: string) => boolean {
  return (option) => known.includes(option);
}

function mayfly(words: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const environment = { PATH: process.env.PATH, NO_COLOR: "1" };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, "src/cli/main.ts"), ...words],
      { env: environment },
      (error, stdout) => {
        resolve({ code: typeof error?.code === "number" ? error.code : 0, output: stdout });
      },
    );
  });
}
