import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

/** One request to GitHub's REST API and its answer. Bodies are parsed JSON; undefined stands for none. */
export interface Exchange {
  readonly method: string;
  /** With or without a query and the prefix `/api/v3`. */
  readonly path: string;
  readonly requestBody?: unknown;
  readonly status: number;
  readonly responseBody?: unknown;
}

/**
 * Compares an exchange with GitHub's own description of its API and returns what is wrong, each in a sentence;
 * nothing is wrong with an empty list. The body of a request that was refused is not looked at: tests send bad
 * ones on purpose. An operation that the extract does not have is a mistake, too.
 */
export function validateExchange(exchange: Exchange): readonly string[] {
  const path = exchange.path.split("?")[0]?.replace(/^\/api\/v3(?=\/)/, "") ?? "";
  const name = `${exchange.method} ${path} (${exchange.status})`;
  const operation = findOperation(exchange.method, path);
  if (operation === undefined) return [`${name} is not an operation of the extract.`];
  const problems: string[] = [];
  if (exchange.status < 400) {
    const pointer = `${operation}/requestBody/content/application~1json/schema`;
    problems.push(...mismatches(`${name}, request`, pointer, exchange.requestBody ?? {}));
  }
  const response = responsePointer(operation, exchange.status);
  if (response === undefined) problems.push(`${name}: the description has no such status.`);
  else problems.push(...mismatches(`${name}, response`, response, exchange.responseBody));
  return problems;
}

/**
 * Compares the payload of a delivery with GitHub's description of its webhooks. `event` and `action` choose the
 * schema, for instance `workflow_job` and `queued`.
 */
export function validateWebhook(event: string, action: string, payload: unknown): readonly string[] {
  const schema = `webhook-${event}-${action}`.replaceAll("_", "-");
  return mismatches(`${event} ${action}`, `webhooks#/components/schemas/${schema}`, payload);
}

type Json = Readonly<Record<string, unknown>>;

const extract = readJson(new URL("fixtures/github-openapi.generated.json", import.meta.url));
const webhooks = readJson(import.meta.resolve("@octokit/openapi-webhooks/generated/api.github.com.json"));

const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);
ajv.addSchema(withNullTypes(extract), "rest");
ajv.addSchema(webhooks, "webhooks");

/** Statuses that any operation may have, whether or not its description lists them. */
const commonStatuses = new Set([400, 401, 403, 404, 413, 429, 500, 502, 503]);

function findOperation(method: string, path: string): string | undefined {
  const wanted = path.split("/");
  for (const [template, methods] of Object.entries(child(extract, "paths"))) {
    const segments = template.split("/");
    const fits =
      segments.length === wanted.length &&
      segments.every((segment, index) => segment.startsWith("{") || segment === wanted[index]);
    if (!fits || !(method.toLowerCase() in Object(methods))) continue;
    return `rest#/paths/${template.replaceAll("/", "~1")}/${method.toLowerCase()}`;
  }
  return undefined;
}

/** The schema of the answer, an empty pointer when the answer has no body, undefined for an unknown status. */
function responsePointer(operation: string, status: number): string | undefined {
  const responses = child(resolvePointer(operation), "responses");
  if (!(String(status) in responses)) {
    if (status === 304) return "";
    return commonStatuses.has(status) ? "rest#/components/schemas/basic-error" : undefined;
  }
  const response = child(responses, String(status));
  const base =
    typeof response.$ref === "string" ? `rest${response.$ref}` : `${operation}/responses/${status}`;
  const hasBody = "content" in resolvePointer(base);
  return hasBody ? `${base}/content/application~1json/schema` : "";
}

function mismatches(name: string, pointer: string, value: unknown): readonly string[] {
  if (pointer === "") return value === undefined || value === "" ? [] : [`${name}: there should be no body.`];
  const document = pointer.startsWith("rest#") ? extract : webhooks;
  if (lookUp(document, pointer) === undefined) return name.endsWith("request") ? [] : [`${name}: no schema.`];
  const validate = ajv.getSchema(pointer) ?? ajv.compile({ $ref: pointer });
  if (validate(value) === true) return [];
  return (validate.errors ?? []).map((error) => `${name}: ${error.instancePath || "/"} ${error.message}`);
}

function resolvePointer(pointer: string): Json {
  const found = lookUp(extract, pointer);
  if (found === undefined) throw new Error(`The extract has no ${pointer}.`);
  return found;
}

function lookUp(document: Json, pointer: string): Json | undefined {
  let found: Json = document;
  for (const part of (pointer.split("#/")[1] ?? "").split("/")) {
    const name = part.replaceAll("~1", "/");
    if (!(name in found)) return undefined;
    found = child(found, name);
  }
  return found;
}

function child(value: Json, name: string): Json {
  return Object(value[name]);
}

/** OpenAPI 3.0 writes `nullable`, JSON Schema a type `null`. */
function withNullTypes(value: Json): Json {
  return Object(convert(value));
}

function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== "object" || value === null) return value;
  const { nullable, ...rest }: Record<string, unknown> = { ...value };
  const converted = Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, convert(item)]));
  return nullable === true ? { anyOf: [{ type: "null" }, converted] } : converted;
}

function readJson(location: string | URL): Json {
  return JSON.parse(readFileSync(new URL(location), "utf8"));
}
