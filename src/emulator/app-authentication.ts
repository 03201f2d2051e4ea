import { type KeyObject, verify } from "node:crypto";
import { GithubRefusal } from "./refusal.ts";

/**
 * Checks the JWT by which an App proves who it is: RS256 with the App's key, issued by the App, not issued in
 * the future, not expired, and not valid for more than ten minutes from now. Refuses with 401 and the sentence
 * that GitHub uses, because clients recognise a skewed clock by it.
 */
export function checkAppToken(token: string, publicKey: KeyObject, appId: number, now: number): void {
  const [header, claims, signature, ...more] = token.split(".");
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) {
    throw undecodable();
  }
  if (readPart(header).alg !== "RS256") throw undecodable();
  const signed = Buffer.from(`${header}.${claims}`);
  if (!verify("RSA-SHA256", signed, publicKey, Buffer.from(signature, "base64url"))) throw undecodable();
  checkClaims(readPart(claims), appId, Math.floor(now / 1000));
}

function checkClaims(claims: Readonly<Record<string, unknown>>, appId: number, nowSeconds: number): void {
  const { exp, iat, iss } = claims;
  if (typeof exp !== "number" || exp <= nowSeconds) {
    throw new GithubRefusal(
      401,
      "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
    );
  }
  if (exp > nowSeconds + 600) {
    throw new GithubRefusal(401, "'Expiration time' claim ('exp') is too far in the future");
  }
  if (!Number.isInteger(iat) || Number(iat) > nowSeconds) {
    throw new GithubRefusal(
      401,
      "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
    );
  }
  if (String(iss) !== String(appId) && iss !== clientId(appId)) {
    throw new GithubRefusal(404, "Integration not found");
  }
}

/** The App's client id, which may stand in for its id. */
export function clientId(appId: number): string {
  return `Iv23li${appId}emulated`;
}

function readPart(part: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // Anything that is not JSON is refused like anything that is not a JWT.
  }
  throw undecodable();
}

function undecodable(): GithubRefusal {
  return new GithubRefusal(401, "A JSON web token could not be decoded");
}
