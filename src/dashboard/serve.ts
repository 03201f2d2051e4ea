import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { HttpHandler, HttpRequest, HttpResponse } from "../ports/http.ts";

export interface DashboardAsset {
  /** Where the page expects it; each answers `GET` and `HEAD`, and needs no token: it says nothing of jobs. */
  readonly path: string;
  readonly handle: HttpHandler;
}

/**
 * The files of the status page, read once from the folder of this module, where the build copies them too.
 * Rejects when one is missing, so that an incomplete installation is noticed at the start.
 */
export async function dashboardAssets(): Promise<readonly DashboardAsset[]> {
  return Promise.all(files.map(readAsset));
}

const page = "text/html; charset=utf-8";
const script = "text/javascript; charset=utf-8";
const style = "text/css; charset=utf-8";
const image = "image/svg+xml";

const files = [
  { path: "/", file: "index.html", type: page },
  { path: "/dashboard.css", file: "dashboard.css", type: style },
  { path: "/icon.svg", file: "icon.svg", type: image },
  ...["dashboard", "chart", "connection", "elements", "format", "tables", "why-panel"].map((name) => ({
    path: `/${name}.js`,
    file: `${name}.js`,
    type: script,
  })),
];

/** Nothing from elsewhere and nothing inline: a job's name that is taken for HTML somewhere still runs nothing. */
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** The picture brings its own style, for light and dark; where it is opened by itself it may do no more. */
const imagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

async function readAsset({ path, file, type }: (typeof files)[number]): Promise<DashboardAsset> {
  const body = await readFile(new URL(file, import.meta.url));
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  const headers = {
    "content-type": type,
    "content-security-policy": type === image ? imagePolicy : pagePolicy,
    etag,
    // Kept, but asked about every time: a new version must not meet the scripts of the old one.
    "cache-control": "no-cache",
  };
  const whole: HttpResponse = { status: 200, headers, body };
  const unchanged: HttpResponse = { status: 304, headers };
  return { path, handle: (request) => (hasSame(request, etag) ? unchanged : whole) };
}

function hasSame(request: HttpRequest, etag: string): boolean {
  const known = request.headers["if-none-match"];
  if (known === undefined) return false;
  return known.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}
