import type { z } from "zod";
import { nearest } from "../core/nearest.ts";
import { configJsonSchema, type JsonSchema, schemaAt } from "./json-schema.ts";

/** Something that is wrong with the document, or doubtful. */
export interface Problem {
  /** `presets.linux-x64.max`; empty when it is about the document as a whole. */
  readonly path: string;
  /** What is wrong and what would be right. Never contains the value, which may be a secret in the wrong place. */
  readonly sentence: string;
  /** Where it is written, counted from 1. */
  readonly line?: number;
  readonly column?: number;
  /** The environment variable that gave the value, where it was not the document. */
  readonly variable?: string;
}

export interface Finding {
  readonly path: readonly PropertyKey[];
  readonly sentence: string;
  /** The finding is about the key, not about its value. */
  readonly aboutKey?: true;
}

/** One line for people: where, what, and what would be right. */
export function problemText(problem: Problem): string {
  const line = problem.line === undefined ? undefined : `line ${problem.line}, column ${problem.column ?? 1}`;
  const place = problem.variable ?? line;
  const subject = problem.path === "" ? "" : `${problem.path} `;
  return `${place === undefined ? "" : `${place}: `}${subject}${problem.sentence}`;
}

/** What the validator found, in sentences. `value` is the document that was validated. */
export function explainIssues(issues: readonly z.core.$ZodIssue[], value: unknown): readonly Finding[] {
  const schema = configJsonSchema();
  return issues.flatMap((issue) => explainIssue(issue, value, schema));
}

function explainIssue(issue: z.core.$ZodIssue, value: unknown, schema: JsonSchema): readonly Finding[] {
  const { path } = issue;
  const here = schemaAt(path, schema);
  const actual = valueAt(path, value);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey([...path, key], key, here));
    case "invalid_key":
      return [{ path, sentence: `is not a valid name. ${parentDescription(path, schema)}`, aboutKey: true }];
    case "invalid_value":
      return [{ path, sentence: invalidChoice(issue.values, actual) }];
    case "too_small":
      return [{ path, sentence: bound("at least", issue.origin, issue.minimum, issue.inclusive !== false) }];
    case "too_big":
      return [{ path, sentence: bound("at most", issue.origin, issue.maximum, issue.inclusive !== false) }];
    case "invalid_type":
      return [{ path, sentence: wrongKind(issue.expected, actual, path, here) }];
    default:
      return [{ path, sentence: `is not valid. ${here?.description ?? ""}`.trimEnd() }];
  }
}

function unknownKey(path: readonly PropertyKey[], key: string, parent: JsonSchema | undefined): Finding {
  const known = [
    ...Object.keys(parent?.properties ?? {}),
    ...(parent?.anyOf ?? []).flatMap((choice) => Object.keys(choice.properties ?? {})),
  ];
  const hint = nearest(key, known) || ` Known here: ${known.join(", ")}.`;
  return { path, sentence: `is not a known setting.${hint}`, aboutKey: true };
}

function invalidChoice(values: readonly unknown[], actual: unknown): string {
  const choices = `One of ${values.join(", ")} is expected`;
  if (actual === undefined) return `is missing. ${choices}.`;
  const hint = typeof actual === "string" ? nearest(actual, values.map(String)) : "";
  return `is not one of the choices. ${choices}.${hint}`;
}

function bound(words: string, origin: string, limit: number | bigint, inclusive: boolean): string {
  const unit = origin === "string" ? " characters" : origin === "array" ? " entries" : "";
  if (!inclusive) return `must be ${words === "at least" ? "more" : "less"} than ${limit}${unit}.`;
  return `must be ${words} ${limit}${unit}.`;
}

function wrongKind(
  expected: string,
  actual: unknown,
  path: readonly PropertyKey[],
  here: JsonSchema | undefined,
): string {
  if (path[0] === "secrets" && path.length === 2 && typeof actual === "string") {
    return "is written here in plain text. Put it into a file and write { file: <path> }, or into an environment variable and write { environment: <NAME> }; then replace the secret, because it has been seen.";
  }
  if (actual === undefined) return `is missing. ${here?.description ?? ""}`.trimEnd();
  if (actual === null) return `has no value. Give it ${kindName(expected)}, or remove it.`;
  return `must be ${kindName(expected)}, not ${kindOf(actual)}.`;
}

function kindName(expected: string): string {
  switch (expected) {
    case "object":
    case "record":
      return "a group of settings";
    case "array":
      return "a list";
    case "string":
      return "a text";
    case "int":
      return "a whole number";
    case "number":
      return "a number";
    default:
      return `a ${expected}`;
  }
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a group of settings";
  if (typeof value === "string") return "a text";
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return "an endless number";
    return Number.isInteger(value) ? "a number" : "a fraction";
  }
  return typeof value === "boolean" ? "true or false" : `a ${typeof value}`;
}

function parentDescription(path: readonly PropertyKey[], schema: JsonSchema): string {
  return schemaAt(path.slice(0, -1), schema)?.description ?? "";
}

function valueAt(path: readonly PropertyKey[], value: unknown): unknown {
  let current = value;
  for (const key of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<PropertyKey, unknown>)[key];
  }
  return current;
}
