/**
 * Whether a host, as in a `listen` option or a `Host` header (with or without a port), names this machine only.
 *
 * Where reading needs no token because the server listens on loopback, the `Host` header of each request must
 * pass this too: a page elsewhere may point its own name at 127.0.0.1, and the visitor's browser would then let
 * it read the answers.
 */
export function isLoopbackHost(host: string): boolean {
  const name = host.trim().toLowerCase();
  // A bare IPv6 address has no port.
  return name === "::1" || /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(name);
}
