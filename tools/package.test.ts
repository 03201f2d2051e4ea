import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { homedir, hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateRawSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { functions } from "../src/targets/aws/functions.ts";
import { bundleFunctions } from "./bundle-functions.ts";
import type { ReleaseDocument } from "./package.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const sourceDate = 1_790_000_000;

let folder: string;
let first: ReleaseDocument;
let second: ReleaseDocument;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-release-test-"));
  first = release(root, "first", { TZ: "UTC" }, "022");
  second = release(await otherCheckout(), "second", { TZ: "Asia/Tokyo", LANG: "C" }, "077");
}, 1_200_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

function release(
  checkout: string,
  name: string,
  environment: Readonly<Record<string, string>>,
  umask: string,
): ReleaseDocument {
  const command = `umask ${umask} && exec "$0" "$1" --json --out "$2"`;
  const words = [process.execPath, join(checkout, "tools/package.ts"), join(folder, name)];
  const env = { ...process.env, ...environment, SOURCE_DATE_EPOCH: String(sourceDate) };
  return JSON.parse(execFileSync("/bin/sh", ["-c", command, ...words], { env, encoding: "utf8" }));
}

/** The same sources in another place, seen for the first time now, and readable for their owner alone. */
async function otherCheckout(): Promise<string> {
  const place = join(folder, "somewhere", "else");
  await mkdir(place, { recursive: true });
  const passes = (path: string) => !/\/(node_modules|dist|\.git|\.terraform|cdk\.out|coverage)$/.test(path);
  for (const entry of await readdir(root)) {
    if (passes(join(root, entry)) && !/^(bench|test)$/.test(entry)) {
      await cp(join(root, entry), join(place, entry), { recursive: true, filter: passes });
    }
  }
  // What earlier work has left behind must not get into a release.
  await writeFile(join(place, "infra/aws/terraform/terraform.tfstate"), "{}");
  await mkdir(join(place, "infra/aws/terraform/.terraform/modules"), { recursive: true });
  await writeFile(join(place, "infra/aws/terraform/.terraform/modules/left.tf"), "");
  await symlink(join(root, "node_modules"), join(place, "node_modules"));
  execFileSync("chmod", ["-R", "go=", place]);
  return place;
}

test("the same sources give the same files, wherever and whenever", () => {
  expect(second.files).toEqual(first.files);
});

test("it has all that a release consists of", () => {
  const { version } = first;
  expect(first.files.map(({ name }) => name)).toEqual(
    [
      ...functions.map(({ name }) => `${name}.zip`),
      "images.json",
      "machines.json",
      `mayfly-${version}-cloudformation.yaml`,
      `mayfly-${version}-terraform.tar.gz`,
      `mayfly-${version}.cdx.json`,
      `mayfly-${version}.tgz`,
    ].sort(),
  );
});

test("SHA256SUMS has every other file, as sha256sum reads it", async () => {
  const lines = (await readFile(join(first.folder, "SHA256SUMS"), "utf8")).trimEnd().split("\n");
  const expected = (await readdir(first.folder)).filter((name) => name !== "SHA256SUMS").sort();
  expect(lines.map((line) => line.split("  ")[1])).toEqual(expected);
  for (const line of lines) {
    const [sum, name = ""] = line.split("  ");
    expect(sum).toBe(
      createHash("sha256")
        .update(await readFile(join(first.folder, name)))
        .digest("hex"),
    );
  }
});

test("the module's archive has the module and its example, and nothing that lay beside them", () => {
  const names = tarEntries(`mayfly-${first.version}-terraform.tar.gz`);
  expect(names).toEqual(
    expect.arrayContaining(["LICENSE", "main.tf", "example/main.tf", "function/main.tf"]),
  );
  expect(names.filter((name) => !/^(LICENSE|((example|function)\/)?[a-z-]+\.tf)$/.test(name))).toEqual([]);
});

test("the functions of the zips are those that the package of the command line has", async () => {
  const unpacked = join(folder, "unpacked");
  await mkdir(unpacked);
  const tarball = join(first.folder, `mayfly-${first.version}.tgz`);
  execFileSync("tar", ["-xzf", tarball, "-C", unpacked]);
  for (const { name } of functions) {
    const inPackage = await readFile(join(unpacked, "package/dist/aws", name, "index.js"));
    const inZip = zipEntries(await readFile(join(first.folder, `${name}.zip`))).get("index.js");
    expect([name, inZip?.equals(inPackage)]).toEqual([name, true]);
  }
});

describe("the bill of materials", () => {
  const bill = async () =>
    JSON.parse(await readFile(join(first.folder, `mayfly-${first.version}.cdx.json`), "utf8"));

  test("says of every package what it is, under which licence, and the hash of what was downloaded", async () => {
    const { components, ...document } = await bill();
    expect(document).toMatchObject({
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: expect.stringMatching(
        /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-/,
      ),
      metadata: {
        timestamp: new Date(sourceDate * 1_000).toISOString(),
        component: { type: "application", name: "mayfly", version: first.version },
      },
    });
    for (const component of components) {
      expect(component).toEqual({
        "bom-ref": component.purl,
        type: "library",
        name: expect.any(String),
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        purl: `pkg:npm/${component.name.replace("@", "%40")}@${component.version}`,
        licenses: [{ license: { id: expect.stringMatching(/^[\w.-]+$/) } }],
        hashes: [{ alg: "SHA-512", content: expect.stringMatching(/^[0-9a-f]{128}$/) }],
      });
    }
  });

  test("has every dependency of the manifest and every package in a function, and nothing for development", async () => {
    const { components, dependencies } = await bill();
    const names: readonly string[] = components.map(({ name }: { name: string }) => name);
    const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const bundles = await bundleFunctions(join(folder, "bundles"));
    const bundled = bundles
      .flatMap(({ inputs }) => inputs)
      .flatMap(({ path }) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []);
    expect(names).toEqual(expect.arrayContaining([...Object.keys(manifest.dependencies), ...bundled]));
    expect(names.filter((name) => name in manifest.devDependencies)).toEqual([]);
    // From the project, every package is reached.
    const byRef = new Map<string, readonly string[]>(
      dependencies.map((one: { ref: string; dependsOn: string[] }) => [one.ref, one.dependsOn]),
    );
    const reached = new Set([`pkg:npm/mayfly@${first.version}`]);
    for (const ref of reached) for (const next of byRef.get(ref) ?? []) reached.add(next);
    expect([...reached].sort()).toEqual([...byRef.keys()].sort());
    expect(byRef.size).toBe(names.length + 1);
  });
});

describe("what is in the files", () => {
  const patterns: Readonly<Record<string, RegExp>> = {
    "a private key": /-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[\w+/=]{40}/,
    "a token of GitHub": /\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60})/,
    "a key of AWS": /\b(AKIA|ASIA)[A-Z0-9]{16}\b/,
    "a token of npm": /\bnpm_[A-Za-z0-9]{36}\b/,
    "a registry with a password": /_authToken|https?:\/\/[^\s/:@]+:[^\s/@]+@/,
    "the address of a registry": /registry\.npmjs|\/artifactory\//,
  };
  const places = [root, tmpdir(), homedir(), hostname()].filter((text) => text.length > 4);

  test("is neither a secret nor a place of this machine", async () => {
    const found: string[] = [];
    for (const [name, content] of await contents()) {
      for (const [what, pattern] of Object.entries(patterns)) {
        if (pattern.test(content)) found.push(`${name}: ${what}`);
      }
      for (const place of [...places, `/home/${userInfo().username}`]) {
        if (mentions(content, place)) found.push(`${name}: ${place}`);
      }
    }
    expect(found).toEqual([]);
  });

  test("would be found if there was one", () => {
    const key = `-----BEGIN RSA PRIVATE KEY-----\n${"MIIEow".repeat(10)}`;
    expect(patterns["a private key"]?.test(key)).toBe(true);
    expect(patterns["a token of GitHub"]?.test(`x ghs_${"a1".repeat(18)}`)).toBe(true);
    expect(mentions(`"sources": ["${root}src/x.ts"]`, root)).toBe(true);
  });

  function mentions(content: string, place: string): boolean {
    const at = content.indexOf(place);
    // `/tmp/` and the like are words of the sources, too; what is below it with our own name is not.
    return at >= 0 && (place !== tmpdir() || content.includes(`${place}/mayfly-release`));
  }

  /** Every file of the release, and every file within its archives. */
  async function contents(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const name of await readdir(first.folder)) {
      const path = join(first.folder, name);
      if (name.endsWith(".zip")) {
        for (const [inner, content] of zipEntries(await readFile(path)))
          found.set(`${name}: ${inner}`, content.toString("latin1"));
      } else if (/\.t(ar\.)?gz$/.test(name)) {
        found.set(name, execFileSync("tar", ["-xzOf", path], { maxBuffer: 1e9, encoding: "latin1" }));
        found.set(`${name}: names`, tarEntries(name).join("\n"));
      } else found.set(name, await readFile(path, "latin1"));
    }
    return found;
  }
});

function tarEntries(name: string): readonly string[] {
  const text = execFileSync("tar", ["-tzf", join(first.folder, name)], { encoding: "utf8" });
  return text.trimEnd().split("\n");
}

/** The files of a zip as we write them: with their sizes before them. */
function zipEntries(zip: Buffer): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; zip.readUInt32LE(at) === 0x04034b50; ) {
    const start = at + 30 + zip.readUInt16LE(at + 26) + zip.readUInt16LE(at + 28);
    const end = start + zip.readUInt32LE(at + 18);
    found.set(
      zip.toString("utf8", at + 30, at + 30 + zip.readUInt16LE(at + 26)),
      inflateRawSync(zip.subarray(start, end)),
    );
    at = end;
  }
  return found;
}
