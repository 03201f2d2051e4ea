import { createHash, createHmac } from "node:crypto";

export interface SignedRequest {
  readonly method: string;
  /** As it was sent, still encoded, without the query. */
  readonly path: string;
  /** What follows the `?`; empty when there is none. */
  readonly query: string;
  /** Names in lower case; the values of a header that came twice, joined with a comma. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string | Uint8Array;
}

export interface VerifierOptions {
  readonly service: string;
  readonly region: string;
  readonly now: number;
  /** By access key id. With a session token, the request must carry it, signed. */
  readonly credentials: Readonly<
    Record<string, { readonly secretAccessKey: string; readonly sessionToken?: string } | undefined>
  >;
}

export type Verdict =
  | { readonly kind: "valid"; readonly accessKeyId: string; readonly signedHeaders: readonly string[] }
  | { readonly kind: "invalid"; readonly because: string };

/**
 * Verifies a request that is signed with AWS Signature Version 4 in its `Authorization` header, as AWS documents it
 * and by nobody's library, so that it can tell whether a signer is right. It says why a request is not valid, which a
 * server must never do.
 */
export function verifySignature(request: SignedRequest, options: VerifierOptions): Verdict {
  const authorization = request.headers.authorization ?? "";
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (parts === null) return invalid(`its Authorization header is none: ${authorization}`);
  const [, accessKeyId = "", day = "", region = "", service = "", names = "", signature = ""] = parts;
  const signedHeaders = names.split(";");

  if (region !== options.region) return invalid(`it is signed for the region ${region}`);
  if (service !== options.service) return invalid(`it is signed for the service ${service}`);
  const date = request.headers["x-amz-date"] ?? "";
  if (!date.startsWith(day)) return invalid(`its date is ${date}, that of its credential ${day}`);
  const minutes = Math.abs(options.now - instantOf(date)) / 60_000;
  if (!(minutes <= 15)) return invalid(`it was signed at ${date}`);

  const known = options.credentials[accessKeyId];
  if (known === undefined) return invalid(`nobody has the access key ${accessKeyId}`);
  const unsigned = mustBeSigned(request).find((name) => !signedHeaders.includes(name));
  if (unsigned !== undefined) return invalid(`its header ${unsigned} is not signed`);
  if (request.headers["x-amz-security-token"] !== known.sessionToken) return invalid("its session token");

  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", date, scope, sha256(canonicalRequest(request, signedHeaders))].join("\n");
  const expected = hmac(signingKey(known.secretAccessKey, day, region, service), text).toString("hex");
  if (signature !== expected) return invalid("its signature is wrong");
  return { kind: "valid", accessKeyId, signedHeaders };
}

function invalid(because: string): Verdict {
  return { kind: "invalid", because };
}

/** The host and everything that AWS reads. A session token that is not signed could be exchanged. */
function mustBeSigned(request: SignedRequest): readonly string[] {
  return ["host", ...Object.keys(request.headers).filter((name) => name.startsWith("x-amz-"))];
}

function canonicalRequest(request: SignedRequest, signedHeaders: readonly string[]): string {
  const headers = signedHeaders.map(
    (name) => `${name}:${(request.headers[name] ?? "").trim().replace(/ +/g, " ")}\n`,
  );
  return [
    request.method,
    // Every service but S3 encodes the path once more.
    request.path.split("/").map(encode).join("/"),
    canonicalQuery(request.query),
    headers.join(""),
    signedHeaders.join(";"),
    request.headers["x-amz-content-sha256"] ?? sha256(request.body),
  ].join("\n");
}

function canonicalQuery(query: string): string {
  if (query === "") return "";
  const pairs = query.split("&").map((pair) => {
    const [name = "", value = ""] = pair.split("=", 2);
    return `${encode(decodeURIComponent(name))}=${encode(decodeURIComponent(value))}`;
  });
  return pairs.sort().join("&");
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function signingKey(secret: string, day: string, region: string, service: string): Buffer {
  return [region, service, "aws4_request"].reduce(hmac, hmac(`AWS4${secret}`, day));
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Of `20150830T123600Z`. */
function instantOf(date: string): number {
  return Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}
