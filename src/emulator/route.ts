import type { KeyObject } from "node:crypto";
import type { DocumentSource } from "./document-source.ts";
import type { GithubModel } from "./model.ts";
import type { RateResource } from "./model-rate-limits.ts";
import type { App, InstallationToken } from "./model-state.ts";
import { GithubRefusal } from "./refusal.ts";
import type { AcceptedManifest } from "./routes-manifest.ts";
import type { RunsOn } from "./workflow.ts";

/** One operation of the API: who may call it, what it costs, what it does. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Parameters in braces, for instance `/orgs/{org}/actions/runners/{runner_id}`. */
  readonly path: string;
  readonly access: "app" | "installation" | "either" | "anyone";
  /** What the installation token needs, for instance `actions: write`. */
  readonly permission?: { readonly name: string; readonly level: "read" | "write" };
  readonly resource?: RateResource;
  readonly isFreeOfPrimaryLimit?: boolean;
  readonly handle: (call: Call) => Reply;
}

/** What all handlers may use. */
export interface EmulatorContext extends DocumentSource {
  readonly model: GithubModel;
  readonly now: () => number;
  /** Another one after `replaceApp`. */
  readonly appPublicKey: KeyObject;
  /** Where deliveries go. */
  webhookUrl(): string | undefined;
  /** Codes of manifests that nobody has exchanged yet. */
  readonly manifests: Map<string, AcceptedManifest>;
  /** The App is another one from now on, with this key; deliveries are signed with this secret and, with `url`, go there. */
  replaceApp(app: App, publicKey: string, webhook: { readonly secret: string; readonly url?: string }): void;
  readonly runsOn?: RunsOn;
}

export interface Call {
  readonly context: EmulatorContext;
  readonly now: number;
  readonly url: URL;
  readonly parameters: Readonly<Record<string, string>>;
  /** The parsed JSON body; undefined when there was none. */
  readonly body: unknown;
  /** Undefined for calls of the App itself. */
  readonly token: InstallationToken | undefined;
}

export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The path parameter of that name. */
export function textParameter(call: Call, name: string): string {
  const text = call.parameters[name];
  if (text === undefined) throw new Error(`The route has no parameter ${name}.`);
  return text;
}

/** The path parameter of that name as an id; 404 for anything that is no number. */
export function idParameter(call: Call, name: string): number {
  const text = textParameter(call, name);
  if (!/^\d{1,15}$/.test(text)) throw new GithubRefusal(404, "Not Found");
  return Number(text);
}

/** The fields of a JSON object in the body; 422 for a body that is something else. */
export function bodyFields(call: Call): Readonly<Record<string, unknown>> {
  const { body } = call;
  if (body === undefined || body === null) return {};
  if (typeof body !== "object" || Array.isArray(body)) {
    throw new GithubRefusal(422, "Invalid request.\n\nThe body is not an object.");
  }
  return { ...body };
}

/** A field that has to be a string. */
export function requiredText(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (typeof value === "string") return value;
  throw wrongField(name, value, "string");
}

/** A field that may be absent. */
export function optionalText(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : requiredText(fields, name);
}

/** A field that has to be an integer. */
export function requiredInteger(fields: Readonly<Record<string, unknown>>, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isInteger(value)) return value;
  throw wrongField(name, value, "integer");
}

/** A field that has to be a list of strings. */
export function requiredTexts(fields: Readonly<Record<string, unknown>>, name: string): readonly string[] {
  const value = fields[name];
  if (Array.isArray(value) && value.every((item): item is string => typeof item === "string")) return value;
  throw wrongField(name, value, "array of strings");
}

/** The part of a list that the query asks for, with the `link` header that leads to the other parts. */
export function page<Item>(
  call: Call,
  items: readonly Item[],
): { readonly items: readonly Item[]; readonly headers: Readonly<Record<string, string>> } {
  const perPage = pageSize(call);
  const number = Math.max(1, Number(call.url.searchParams.get("page") ?? 1) || 1);
  const last = Math.max(1, Math.ceil(items.length / perPage));
  const links: string[] = [];
  const add = (target: number, relation: string): void => {
    links.push(`<${pageAddress(call, { page: String(target) })}>; rel="${relation}"`);
  };
  if (number > 1) add(Math.min(number - 1, last), "prev");
  if (number < last) {
    add(number + 1, "next");
    add(last, "last");
  }
  if (number > 1) add(1, "first");
  const start = (number - 1) * perPage;
  return {
    items: items.slice(start, start + perPage),
    headers: links.length === 0 ? {} : { link: links.join(", ") },
  };
}

/** How many entries a page has: 30 unless asked for, 100 at most. */
export function pageSize(call: Call): number {
  const wanted = Number(call.url.searchParams.get("per_page") ?? 30);
  return Number.isInteger(wanted) && wanted > 0 ? Math.min(wanted, 100) : 30;
}

/** The address of the call with other query parameters. */
export function pageAddress(call: Call, parameters: Readonly<Record<string, string>>): string {
  const address = new URL(call.url.pathname, call.context.addresses.api);
  for (const [name, value] of call.url.searchParams) address.searchParams.set(name, value);
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
  return address.href;
}

function wrongField(name: string, value: unknown, expected: string): GithubRefusal {
  const problem =
    value === undefined
      ? `"${name}" wasn't supplied.`
      : `For 'properties/${name}', ${JSON.stringify(value)} is not a ${expected}.`;
  return new GithubRefusal(422, `Invalid request.\n\n${problem}`);
}
