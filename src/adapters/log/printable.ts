import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { LogFields } from "../../ports/log.ts";

const depthLimit = 6;
const textLimit = 8_192;
const listLimit = 100;

/**
 * The fields as plain JSON values. What may carry a secret by accident is left out: of an error only its texts
 * and codes are taken, never the request or response that a library hung on it; of binary data only the length.
 * Never throws, whatever it is given.
 */
export function printableFields(fields: LogFields | undefined): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields ?? {})) {
    const printed = printable(value);
    if (printed !== undefined) result[reservedNames.has(name) ? `${name}_` : name] = printed;
  }
  return result;
}

/** Names that every line has already; a field of that name would appear twice in the JSON. */
const reservedNames: ReadonlySet<string> = new Set(["level", "time", "message"]);

function printable(value: unknown): unknown {
  try {
    return print(value, depthLimit);
  } catch (error) {
    // A getter or a proxy of somebody else threw. The line is worth more than this field.
    return `[unprintable: ${error instanceof Error ? error.name : typeof error}]`;
  }
}

function print(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return shorten(value);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
      return value;
    case "bigint":
      return String(value);
    case "object":
      return value === null ? null : printObject(value, depth);
    default:
      return undefined;
  }
}

function printObject(value: object, depth: number): unknown {
  if (value instanceof Secret) return "[secret]";
  if (value instanceof Error) return printError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "[no date]" : value.toISOString();
  if (value instanceof URL) return `${value.origin}${value.pathname}`;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth === 0) return "[too deep]";
  if (Array.isArray(value) || value instanceof Set) return printList([...value], depth);
  if (value instanceof Map) return printEntries([...value], depth);
  return printEntries(Object.entries(value), depth);
}

function printList(values: readonly unknown[], depth: number): unknown {
  const printed = values.slice(0, listLimit).map((value) => print(value, depth - 1) ?? null);
  if (values.length > listLimit) printed.push(`[${values.length - listLimit} more]`);
  return printed;
}

function printEntries(entries: readonly (readonly [unknown, unknown])[], depth: number): unknown {
  const result: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    const printed = print(value, depth - 1);
    if (printed !== undefined) result[String(key)] = printed;
  }
  return result;
}

function printError(error: Error, depth: number): Record<string, unknown> {
  const printed: Record<string, unknown> = { name: error.name, message: shorten(error.message) };
  if (error instanceof MayflyError) {
    printed.code = error.code;
    printed.kind = error.kind;
    printed.suggestion = error.suggestion;
    if (error.retryAt !== undefined) printed.retryAt = new Date(error.retryAt).toISOString();
  } else {
    if ("code" in error && (typeof error.code === "string" || typeof error.code === "number")) {
      printed.code = error.code;
    }
    if (error.stack !== undefined) printed.stack = shorten(error.stack);
  }
  if (error.cause !== undefined && depth > 0) {
    // A cause that is not an error may be anything, a response for example: only its kind is said.
    printed.cause = error.cause instanceof Error ? printError(error.cause, depth - 1) : typeof error.cause;
  }
  return printed;
}

function shorten(text: string): string {
  return text.length <= textLimit ? text : `${text.slice(0, textLimit)}[${text.length - textLimit} more]`;
}
