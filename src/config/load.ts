import { readFile, stat } from "node:fs/promises";
import { MayflyError } from "../core/errors.ts";
import type { Policy } from "../core/model.ts";
import { nearest } from "../core/nearest.ts";
import { type Config, interpret } from "./config.ts";
import { documentLimitBytes, parseDocument, pathText } from "./document.ts";
import { processEnvironment } from "./environment.ts";
import { explainIssues, type Finding, type Problem, problemText } from "./explain.ts";
import { listSettings, type Setting } from "./json-schema.ts";
import { checkRules } from "./rules.ts";
import { configSchema } from "./schema.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LoadOptions {
  readonly path: string;
  /** Without it, the environment of this process. */
  readonly environment?: Environment;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly policy: Policy;
  readonly warnings: readonly Problem[];
}

export interface CheckedConfig {
  /** Absent when there are problems. */
  readonly loaded?: Omit<LoadedConfig, "warnings">;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * The configuration of this document and of the MAYFLY_… variables of the environment, which win. Rejects with a
 * `MayflyError` of kind `operator` that lists every problem, if there is one.
 */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const text = await readDocument(options.path);
  const { loaded, problems, warnings } = checkConfig(text, options);
  if (loaded !== undefined) return { ...loaded, warnings };
  const count = problems.length === 1 ? "a problem" : `${problems.length} problems`;
  throw new MayflyError({
    kind: "operator",
    code: "CONFIG_INVALID",
    message: `${options.path} has ${count}:\n${problems.map((problem) => `  ${problemText(problem)}`).join("\n")}`,
    suggestion: "Correct the document; every setting is described in docs/reference/config.md.",
  });
}

/** The same with the problems as data. Rejects with a `MayflyError` only when the file cannot be read. */
export async function checkConfigFile(options: LoadOptions): Promise<CheckedConfig> {
  return checkConfig(await readDocument(options.path), options);
}

/** The same for a text that was read already, with the problems as data. Never throws. */
export function checkConfig(text: string, options: LoadOptions): CheckedConfig {
  const environment = options.environment ?? processEnvironment();
  const document = parseDocument(text);
  if (document.problems.length > 0) return { problems: document.problems, warnings: [] };

  const overrides = readOverrides(environment);
  const value = withOverrides(document.value, overrides);
  const place = (finding: Finding): Problem => {
    const from = overrides.find(({ setting }) => pathText(setting.path) === pathText(finding.path));
    if (from === undefined) return document.locate(finding);
    return { path: pathText(finding.path), sentence: finding.sentence, variable: from.name };
  };
  const unknown = unknownVariables(environment);
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    return { problems: explainIssues(parsed.error.issues, value).map(place), warnings: unknown };
  }
  const verdict = checkRules(parsed.data);
  const warnings = [...verdict.warnings.map(place), ...unknown];
  if (verdict.problems.length > 0) return { problems: verdict.problems.map(place), warnings };
  return { loaded: interpret(parsed.data, options.path), problems: [], warnings };
}

/** A variable of this process's environment: for the secrets that the document keeps there. */
export function readEnvironmentVariable(name: string): string | undefined {
  return processEnvironment()[name];
}

async function readDocument(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size <= documentLimitBytes) return await readFile(path, "utf8");
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw new MayflyError({
      kind: "operator",
      code: missing ? "CONFIG_MISSING" : "CONFIG_UNREADABLE",
      message: missing
        ? `There is no configuration at ${path}.`
        : `The configuration ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      suggestion: missing
        ? "Copy examples/mayfly.yaml there and fill it in, or name another place with --config."
        : "Make it a file that the user that runs Mayfly may read.",
      cause: error,
    });
  }
  throw new MayflyError({
    kind: "operator",
    code: "CONFIG_UNREADABLE",
    message: `The configuration ${path} is bigger than ${documentLimitBytes / 1024} KiB.`,
    suggestion: "Check that the path names the configuration.",
  });
}

// ------------------------------------------------------------------------------------------- environment

interface Override {
  readonly name: string;
  readonly setting: Setting;
  readonly value: unknown;
}

function readOverrides(environment: Environment): readonly Override[] {
  return listSettings().flatMap((setting) => {
    const name = setting.environment;
    const text = name === undefined ? undefined : environment[name];
    if (name === undefined || text === undefined || text === "") return [];
    return [{ name, setting, value: readScalar(text, setting) }];
  });
}

/** The text as the kind that the setting has; left as it is when it is not of that kind, so that validation says so. */
function readScalar(text: string, { schema }: Setting): unknown {
  const kinds = [schema.type, ...(schema.anyOf ?? []).map((choice) => choice.type)];
  const numeric = kinds.includes("number") || kinds.includes("integer");
  if (numeric && /^-?\d+(\.\d+)?$/.test(text.trim())) return Number(text);
  if (kinds.includes("boolean") && /^(true|false)$/.test(text.trim())) return text.trim() === "true";
  return text;
}

function withOverrides(value: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce(
    (merged, override) => withValue(merged, override.setting.path, override.value),
    value,
  );
}

/** A copy with this one value in its place. What is in the way there is kept, so that validation says so. */
function withValue(value: unknown, path: readonly string[], leaf: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return leaf;
  if (value !== undefined && value !== null && (typeof value !== "object" || Array.isArray(value)))
    return value;
  const group = (value ?? {}) as Readonly<Record<string, unknown>>;
  return { ...group, [key]: withValue(group[key], rest, leaf) };
}

/** Variables that look like a mistyped setting. Others are left alone: they may belong to something else. */
function unknownVariables(environment: Environment): readonly Problem[] {
  const known = listSettings().flatMap((setting) => setting.environment ?? []);
  return Object.keys(environment)
    .filter((name) => name.startsWith("MAYFLY_") && !known.includes(name))
    .flatMap((name) => {
      const hint = nearest(
        name.slice("MAYFLY_".length),
        known.map((other) => other.slice("MAYFLY_".length)),
      );
      const word = /Did you mean (\S+)\?/.exec(hint)?.[1];
      if (word === undefined) return [];
      const sentence = `is not a known setting and is ignored. Did you mean MAYFLY_${word}?`;
      return [{ path: "", sentence, variable: name }];
    });
}
