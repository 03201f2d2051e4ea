import { MayflyError } from "../../core/errors.ts";

/** Whether the server is run by GitHub itself, where rate limits always hold. */
export function isHostedByGithub(server: string): boolean {
  const { hostname } = parse(server);
  return hostname === "github.com" || hostname === "www.github.com" || hostname.endsWith(".ghe.com");
}

/**
 * The REST API of a GitHub server, without a slash at its end: `https://api.github.com` for github.com,
 * `https://api.<name>.ghe.com` for data residency, `<server>/api/v3` for a GitHub Enterprise Server.
 */
export function apiUrlOf(server: string, apiUrl?: string): string {
  if (apiUrl !== undefined) return withoutSlash(parse(apiUrl));
  const url = parse(server);
  if (!isHostedByGithub(server)) return `${withoutSlash(url)}/api/v3`;
  return url.hostname.endsWith(".ghe.com")
    ? `https://api.${url.hostname.replace(/^api\./, "")}`
    : "https://api.github.com";
}

function withoutSlash(url: URL): string {
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

function parse(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const usable =
    url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
  if (usable) return url;
  throw new MayflyError({
    kind: "operator",
    code: "GITHUB_ADDRESS_INVALID",
    message: "The address of the GitHub server is not an http or https address without a password.",
    suggestion:
      "Correct github.server or github.apiUrl in the configuration, for example https://github.com.",
  });
}
