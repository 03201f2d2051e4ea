import { createHash } from "node:crypto";

/** What is read of package-lock.json, version 3. */
export interface Lock {
  /** By folder: "" is the project itself. */
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

interface LockedPackage {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  /** Algorithm and hash in base64, of the package as it is downloaded. */
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/**
 * A software bill of materials, CycloneDX 1.6: every package that is installed with Mayfly, with its licence and its hash,
 * and who needs whom. All of it is from the lock file, so that the same lock gives the same document.
 *
 * npm can write such bills itself, and leaves out what packages for development may use as well: of npm 11.19.1, `yaml`
 * and `zod` were missing.
 *
 * @param sourceDate ISO 8601; undefined: the document has no date.
 */
export function softwareBill(lock: Lock, sourceDate?: string): object {
  const { name = "", version = "", license } = lock.packages[""] ?? {};
  const shipped = Object.entries(lock.packages).filter(([folder, { dev }]) => folder !== "" && dev !== true);
  const itself = component(name, { version, ...(license !== undefined && { license }) }, "application");
  const document = {
    version: 1,
    metadata: {
      ...(sourceDate !== undefined && { timestamp: sourceDate }),
      lifecycles: [{ phase: "build" }],
      component: itself,
    },
    components: shipped.map(([folder, locked]) => component(nameIn(folder), locked, "library")),
    dependencies: [["", lock.packages[""] ?? {}] as const, ...shipped].map(([folder, locked]) => ({
      ref: folder === "" ? itself.purl : purlOf(nameIn(folder), locked.version ?? ""),
      dependsOn: needed(lock, folder, locked),
    })),
  };
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(document))}`,
    ...document,
  };
}

function component(name: string, locked: LockedPackage, type: "application" | "library") {
  const purl = purlOf(name, locked.version ?? "");
  return {
    "bom-ref": purl,
    type,
    name,
    version: locked.version ?? "",
    purl,
    ...(locked.license !== undefined && { licenses: [licence(locked.license)] }),
    ...(locked.integrity !== undefined && { hashes: [hash(locked.integrity)] }),
  };
}

/** One licence by its name in SPDX, several as the expression that the package has. */
function licence(text: string): object {
  return /^[\w.+-]+$/.test(text) ? { license: { id: text } } : { expression: text };
}

function hash(integrity: string): object {
  const [algorithm, base64 = ""] = integrity.split("-");
  if (algorithm !== "sha512")
    throw new Error(`The lock file has a hash of another kind than SHA-512: ${integrity}`);
  return { alg: "SHA-512", content: Buffer.from(base64, "base64").toString("hex") };
}

/** What the package needs and has got: the nearest of that name, as Node looks for it. */
function needed(lock: Lock, folder: string, locked: LockedPackage): readonly string[] {
  const wanted = { ...locked.dependencies, ...locked.optionalDependencies, ...locked.peerDependencies };
  return Object.keys(wanted).flatMap((name) => {
    const place = placesAbove(folder)
      .map((above) => `${above}node_modules/${name}`)
      .find((candidate) => candidate in lock.packages);
    const found = place === undefined ? undefined : lock.packages[place];
    return found === undefined || found.dev === true ? [] : [purlOf(name, found.version ?? "")];
  });
}

/** `node_modules/a/node_modules/b` → itself, then `node_modules/a/`, then the project. */
function placesAbove(folder: string): readonly string[] {
  if (folder === "") return [""];
  return [`${folder}/`, ...placesAbove(folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/"))))];
}

function nameIn(folder: string): string {
  return folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
}

function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** A UUID of version 8, whose bits are ours to choose: the document's own hash. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
