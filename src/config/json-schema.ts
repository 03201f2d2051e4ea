import { z } from "zod";
import { configSchema } from "./schema.ts";

/** The part of JSON Schema that describes our settings. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** The configuration as JSON Schema (draft 2020-12): for editors, and what the reference page is made from. */
export function configJsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
}

/** What the schema says of one place in the document; undefined for a place that it does not know. */
export function schemaAt(path: readonly PropertyKey[], from: JsonSchema): JsonSchema | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return from;
  const named = from.properties !== undefined && Object.hasOwn(from.properties, key);
  const any = typeof from.additionalProperties === "object" ? from.additionalProperties : undefined;
  const next = typeof key === "number" ? from.items : named ? from.properties?.[String(key)] : any;
  if (next !== undefined) return schemaAt(rest, next);
  for (const choice of from.anyOf ?? []) {
    const found = schemaAt(path, choice);
    if (found !== undefined) return found;
  }
  return undefined;
}

export interface Setting {
  /** `<name>` stands for a name that the user chooses, `[]` for an entry of a list. */
  readonly path: readonly string[];
  readonly schema: JsonSchema;
  readonly required: boolean;
  /** The environment variable that overrides it; only settings with one value, at one place, have one. */
  readonly environment?: string;
}

/** Every setting of the document, groups before what is in them, in the order of the table. */
export function listSettings(
  schema: JsonSchema = configJsonSchema(),
  path: readonly string[] = [],
): readonly Setting[] {
  const settings: Setting[] = [];
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const required = schema.required?.includes(name) === true;
    settings.push(...listWithChildren(child, [...path, name], required));
  }
  if (typeof schema.additionalProperties === "object") {
    settings.push(...listWithChildren(schema.additionalProperties, [...path, "<name>"], false));
  }
  return settings;
}

function listWithChildren(
  schema: JsonSchema,
  path: readonly string[],
  required: boolean,
): readonly Setting[] {
  const fixed = !path.some((part) => part === "<name>" || part === "[]");
  const scalar = schema.properties === undefined && schema.type !== "array" && schema.type !== "object";
  const setting: Setting = {
    path,
    schema,
    required,
    ...(fixed && scalar && { environment: environmentName(path) }),
  };
  const entries = schema.items?.properties === undefined ? [] : listSettings(schema.items, [...path, "[]"]);
  return [setting, ...listSettings(schema, path), ...entries];
}

/** `limits.dailyBudgetUsd` → `MAYFLY_LIMITS_DAILY_BUDGET_USD` */
function environmentName(path: readonly string[]): string {
  const words = path.map((part) => part.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  return `MAYFLY_${words.join("_")}`;
}
