import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { configJsonSchema, type JsonSchema, listSettings, type Setting } from "../src/config/json-schema.ts";

/*
 * Writes docs/reference/config.md and docs/reference/mayfly.schema.json from the table in src/config/schema.ts.
 * With --check it writes nothing and fails when they are not current.
 */

const folder = new URL("../docs/reference/", import.meta.url);

/** The generated files: name and content. */
export function configReference(): ReadonlyMap<string, string> {
  return new Map([
    ["config.md", referencePage()],
    ["mayfly.schema.json", `${printJson(configJsonSchema())}\n`],
  ]);
}

function referencePage(): string {
  const settings = listSettings();
  const sections = settings.filter((setting) => setting.path.length === 1);
  const parts = [
    "# Configuration",
    "",
    "<!-- Made by tools/generate-config-reference.ts from src/config/schema.ts. Do not edit. -->",
    "",
    "One document, usually `mayfly.yaml`. Unknown keys are errors. Relative paths start at the folder of the document.",
    "A setting with a variable can also be given in the environment, which wins over the document.",
    "An annotated example is in [examples/mayfly.yaml](../../examples/mayfly.yaml).",
    "",
  ];
  for (const section of sections) {
    const name = section.path[0] ?? "";
    parts.push(
      `## \`${name}\``,
      "",
      `${section.schema.description ?? ""}${section.required ? " Required." : ""}`,
      "",
    );
    parts.push("| setting | kind | default | what it is |", "|---|---|---|---|");
    for (const setting of settings) {
      if (setting.path[0] === name && setting.path.length > 1) parts.push(row(setting));
    }
    parts.push("");
  }
  return parts.join("\n");
}

function row(setting: Setting): string {
  const name = `\`${setting.path.join(".").replaceAll(".[]", "[]")}\``;
  const variable = setting.environment === undefined ? "" : `<br>Variable: \`${setting.environment}\``;
  const description = `${setting.schema.description ?? ""}${variable}`.replaceAll("|", "\\|");
  return `| ${name} | ${kind(setting.schema)} | ${defaultText(setting)} | ${description} |`;
}

function kind(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(kind))].join(" or ");
  switch (schema.type) {
    case "integer":
      return "whole number";
    case "array":
      return "list";
    case "object":
      return "group";
    case "string":
      return "text";
    default:
      return schema.type ?? "";
  }
}

function defaultText({ schema, required }: Setting): string {
  if (schema.properties !== undefined || schema.type === "object") return required ? "required" : "";
  if (schema.default !== undefined) return `\`${JSON.stringify(schema.default)}\``;
  return required ? "required" : "";
}

/** JSON as the formatter of this repository leaves it: lists of plain values stay on one line. */
const lineWidth = 110;

/** As the formatter of the project would: a list of words on one line, where it fits there. */
function printJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(
    /^(\s*"[^"]*": )\[\s+([^[\]{}]*?)\s+\]/gm,
    (whole: string, before: string, entries: string) => {
      const line = `${before}[${entries.replaceAll(/,\s+/g, ", ")}]`;
      return line.length < lineWidth ? line : whole;
    },
  );
}

async function main(check: boolean): Promise<void> {
  for (const [name, content] of configReference()) {
    const file = new URL(name, folder);
    if (!check) await writeFile(file, content);
    else if ((await readFile(file, "utf8")) !== content) {
      process.stderr.write(
        `docs/reference/${name} is not current. Run node tools/generate-config-reference.ts\n`,
      );
      process.exitCode = 1;
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.includes("--check"));
