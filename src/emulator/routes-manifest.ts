import { generateKeyPairSync } from "node:crypto";
import { clientId } from "./app-authentication.ts";
import { appDocument } from "./documents.ts";
import type { App } from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";
import { bodyFields, type Call, type Reply, type Route, requiredText, textParameter } from "./route.ts";

/**
 * How an App is made from a manifest: a browser posts the manifest, is sent back with a code, and the code is
 * exchanged once for the App with its secrets. GitHub asks a person in between; here the answer is always yes.
 */
export const manifestRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/settings/apps/new",
    access: "anyone",
    handle: (call) => acceptManifest(call, call.context.state.app.ownerLogin),
  },
  {
    method: "POST",
    path: "/organizations/{org}/settings/apps/new",
    access: "anyone",
    handle: (call) => acceptManifest(call, textParameter(call, "org")),
  },
  {
    method: "POST",
    path: "/app-manifests/{code}/conversions",
    access: "anyone",
    handle: convert,
  },
  { method: "GET", path: "/apps/{slug}/installations/new", access: "anyone", handle: install },
];

/** GitHub gives an hour for the whole way. */
const codeMilliseconds = 3_600_000;

function acceptManifest(call: Call, owner: string): Reply {
  const manifest = parseManifest(requiredText(bodyFields(call), "manifest"));
  const target = new URL(manifest.redirectUrl);
  const { context, now } = call;
  const code = randomHex(call, 20);
  context.manifests.set(code, { owner, manifest, expiresAt: now + codeMilliseconds });
  target.searchParams.set("code", code);
  const state = call.url.searchParams.get("state");
  if (state !== null) target.searchParams.set("state", state);
  return { status: 302, headers: { location: target.href } };
}

/** What of a manifest matters here. */
export interface Manifest {
  readonly name: string;
  readonly redirectUrl: string;
  readonly webhookUrl: string | undefined;
  readonly permissions: Readonly<Record<string, string>>;
  readonly events: readonly string[];
}

export interface AcceptedManifest {
  readonly owner: string;
  readonly manifest: Manifest;
  readonly expiresAt: number;
}

interface ManifestDocument {
  readonly name?: unknown;
  readonly url?: unknown;
  readonly redirect_url?: unknown;
  readonly hook_attributes?: { readonly url?: unknown; readonly active?: unknown };
  readonly default_permissions?: Readonly<Record<string, string>>;
  readonly default_events?: readonly string[];
}

function parseManifest(text: string): Manifest {
  const document = parseJson(text);
  const { name, url, redirect_url: redirectUrl, hook_attributes: hook } = document;
  if (!isWebUrl(url)) throw new GithubRefusal(422, 'Invalid GitHub App manifest: "url" wasn\'t supplied.');
  if (!isWebUrl(redirectUrl)) {
    throw new GithubRefusal(422, 'Invalid GitHub App manifest: "redirect_url" wasn\'t supplied.');
  }
  if (hook !== undefined && !isWebUrl(hook.url)) {
    throw new GithubRefusal(422, 'Invalid GitHub App manifest: "hook_attributes.url" wasn\'t supplied.');
  }
  return {
    name: typeof name === "string" ? name : "mayfly-emulated",
    redirectUrl,
    webhookUrl: isWebUrl(hook?.url) ? hook.url : undefined,
    permissions: document.default_permissions ?? {},
    events: document.default_events ?? [],
  };
}

function parseJson(text: string): ManifestDocument {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // What is not JSON is refused like what is not an object.
  }
  throw new GithubRefusal(422, "Invalid GitHub App manifest: it is not a JSON object.");
}

function isWebUrl(value: unknown): value is string {
  return typeof value === "string" && /^https?:\/\//.test(value) && URL.canParse(value);
}

/** Makes the App, in the place of the one that was there: an emulator has one. Its installations stay. */
function convert(call: Call): Reply {
  const { context, now } = call;
  const code = textParameter(call, "code");
  const accepted = context.manifests.get(code);
  if (accepted === undefined || accepted.expiresAt <= now) throw notFound();
  context.manifests.delete(code);
  const { manifest, owner } = accepted;
  context.model.addOrganization(owner);
  const keys = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const webhookSecret = randomHex(call, 20);
  const app: App = {
    ...context.state.app,
    id: context.state.app.id + 1,
    slug: manifest.name.toLowerCase().replace(/[^a-z0-9]+/g, "-"),
    name: manifest.name,
    ownerLogin: owner,
    createdAt: now,
    permissions: manifest.permissions,
    events: manifest.events,
  };
  context.replaceApp(app, keys.publicKey, {
    secret: webhookSecret,
    ...(manifest.webhookUrl !== undefined && { url: manifest.webhookUrl }),
  });
  const body = {
    ...appDocument(context, app),
    client_id: clientId(app.id),
    client_secret: randomHex(call, 20),
    webhook_secret: webhookSecret,
    pem: keys.privateKey,
  };
  return { status: 201, body };
}

function randomHex(call: Call, bytes: number): string {
  return Buffer.from(call.context.state.random.bytes(bytes)).toString("hex");
}

/** Where GitHub asks for which repositories the App is to be installed; here it is there already. */
function install(call: Call): Reply {
  const { app } = call.context.state;
  if (textParameter(call, "slug") !== app.slug) throw notFound();
  return { status: 200, body: { message: `${app.name} is installed.` } };
}
