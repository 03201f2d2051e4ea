#!/usr/bin/env node
/*
 * Stands in for curl in tasks whose own curl is too old to sign: Ubuntu 22.04 has 7.81, RHEL 9 has 7.76, and 7.86 is
 * needed. Runs on the Node that comes with GitHub's runner. It knows what agent.sh says to curl, and nothing else.
 */
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const flags = new Set(["-q", "--silent", "--show-error", "--globoff", "--fail"]);
const ignored = new Set(["--noproxy", "--proto", "--connect-timeout", "--config"]);

/** What was asked for: by arguments, and by the lines of a config on standard input, where secrets are. */
function wishOf(words) {
  const wish = {
    method: "GET",
    headers: {},
    form: undefined,
    writeOut: "",
    seconds: 30,
    fail: words.includes("--fail"),
  };
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (flags.has(word)) continue;
    const value = word.startsWith("-") ? words[++at] : word;
    if (word === "--request") wish.method = value;
    else if (word === "--max-time") wish.seconds = Number(value);
    else if (word === "--write-out") wish.writeOut = value;
    else if (word.startsWith("--data")) wish.form = [...(wish.form ?? []), formPart(word, value)];
    else if (!word.startsWith("-")) wish.url = word;
    else if (!ignored.has(word)) throw new Error(`unknown option ${word}`);
  }
  if (words.includes("--config")) readConfig(wish, readFileSync(0, "utf8"));
  return wish;
}

function readConfig(wish, text) {
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z0-9-]+) = "(.*)"$/.exec(line) ?? [];
    if (name === "url") wish.url = value;
    else if (name === "user") wish.user = value;
    else if (name === "aws-sigv4") wish.sigv4 = value;
    else if (name === "header") {
      const colon = value.indexOf(":");
      wish.headers[value.slice(0, colon).toLowerCase()] = value.slice(colon + 1).trim();
    } else if (line !== "") throw new Error("unknown line in the config");
  }
}

/** `name=value`, or `name@file`. */
function formPart(word, value) {
  if (word === "--data") return value;
  const [, name, kind, rest] = /^([^=@]*)([=@])(.*)$/s.exec(value) ?? [];
  return `${name}=${encoded(kind === "@" ? readFileSync(rest, "utf8") : rest)}`;
}

function encoded(text) {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** AWS Signature Version 4. Each part of the path is encoded once more than it is sent. */
function sign(wish, url, body) {
  const [, , region, service] = wish.sigv4.split(":");
  const colon = wish.user.indexOf(":");
  const now = new Date().toISOString().replace(/[:-]|\.\d{3}/g, "");
  const headers = { ...wish.headers, host: url.host, "x-amz-date": now };
  const names = Object.keys(headers).sort();
  const scope = `${now.slice(0, 8)}/${region}/${service}/aws4_request`;
  const canonical = [
    ...[wish.method, url.pathname.split("/").map(encoded).join("/"), ""],
    ...names.map((name) => `${name}:${headers[name]}`),
    ...["", names.join(";"), createHash("sha256").update(body).digest("hex")],
  ].join("\n");
  const hash = createHash("sha256").update(canonical).digest("hex");
  const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
  const parts = [now.slice(0, 8), region, service, "aws4_request"];
  const key = parts.reduce(hmac, `AWS4${wish.user.slice(colon + 1)}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", now, scope, hash].join("\n")).toString("hex");
  const credential = `${wish.user.slice(0, colon)}/${scope}`;
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return headers;
}

function main(words) {
  if (words.includes("--version")) return process.stdout.write("curl 8.0.0 (mayfly) libcurl/8.0.0\n");
  const wish = wishOf(words);
  const url = new URL(wish.url);
  const body = wish.form?.join("&") ?? "";
  if (wish.form !== undefined) wish.headers["content-type"] = "application/x-www-form-urlencoded";
  const headers = wish.sigv4 === undefined ? { ...wish.headers } : sign(wish, url, body);
  if (wish.form !== undefined) headers["content-length"] = Buffer.byteLength(body);
  const client = url.protocol === "https:" ? https : http;
  const { hostname, port, pathname, search } = url;
  const request = client.request(
    { hostname, port, path: pathname + search, method: wish.method, headers },
    (answer) => {
      const isRefused = wish.fail && answer.statusCode >= 400;
      answer.on("data", (chunk) => isRefused || process.stdout.write(chunk));
      answer.on("end", () => {
        process.stdout.write(
          wish.writeOut.replaceAll("\\n", "\n").replaceAll("%{http_code}", String(answer.statusCode)),
        );
        if (isRefused) process.exitCode = 22;
      });
      answer.on("error", () => request.destroy());
    },
  );
  request.setTimeout(wish.seconds * 1000, () => request.destroy(new Error("timeout")));
  request.on("error", (error) => {
    process.stderr.write(`curl: ${error.message}\n`);
    process.stdout.write(wish.writeOut.replaceAll("\\n", "\n").replaceAll("%{http_code}", "000"));
    process.exitCode = 7;
  });
  request.end(body);
}

main(process.argv.slice(2));
