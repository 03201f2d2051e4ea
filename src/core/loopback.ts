/**
 * Whether a host, as in a `listen` option or a `Host` header (with or without a port), names this machine only.
 *
 * Where reading needs no token because the server listens on loopback, the `Host` header of each request must
 * pass this too: a page elsewhere may point its own name at 127.0.0.1, and the visitor's browser would then let
 * it read the answers.
 */
export function isLoopbackHost(host: string): boolean {
  const name = withoutPort(host.trim().toLowerCase());
  return name === "localhost" || name === "::1" || isLoopbackIpv4(name);
}

function withoutPort(host: string): string {
  if (host.startsWith("[")) return host.slice(1, host.indexOf("]") === -1 ? undefined : host.indexOf("]"));
  const firstColon = host.indexOf(":");
  // More than one colon without brackets is a bare IPv6 address, which has no port.
  if (firstColon === -1 || host.indexOf(":", firstColon + 1) !== -1) return host;
  return host.slice(0, firstColon);
}

function isLoopbackIpv4(name: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(name);
}
