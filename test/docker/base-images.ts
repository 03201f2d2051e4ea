import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { programPath } from "../support/search-path.ts";

/*
 * Root file systems of real distributions, made by debootstrap from their own archives, as images of the tests' Podman.
 * No registry of containers is needed. It takes a minute or two for each; with MAYFLY_TEST_ROOTS, a folder, they are kept
 * there for the next run.
 */

export interface Base {
  /** As install.sh calls it. */
  readonly system: string;
  readonly suite: string;
  readonly archive: string;
  /** The scripts of debootstrap, where it may be older than the suite. */
  readonly script: string;
  /** Its curl cannot sign, so that the runner's Node has to. */
  readonly oldCurl?: true;
}

const debian = { archive: "http://deb.debian.org/debian", script: "sid" };
const ubuntu = { archive: "http://archive.ubuntu.com/ubuntu", script: "gutsy" };

const bases: readonly Base[] = [
  { system: "debian-12", suite: "bookworm", ...debian },
  { system: "debian-13", suite: "trixie", ...debian },
  { system: "ubuntu-22.04", suite: "jammy", ...ubuntu, oldCurl: true },
  { system: "ubuntu-24.04", suite: "noble", ...ubuntu },
];

/** The others take as long again, and are tested with MAYFLY_TEST_BASES=all. */
const usual = ["debian-12", "ubuntu-22.04"];

export function chosenBases(): readonly Base[] {
  const { MAYFLY_TEST_BASES: wanted } = process.env;
  return bases.filter(({ system }) => wanted === "all" || usual.includes(system));
}

/** Why this base cannot be had here; undefined when it can. */
export async function whyNoBase({ suite, archive }: Base): Promise<string | undefined> {
  if (programPath("debootstrap") === undefined) return "there is no debootstrap";
  if (process.getuid?.() !== 0) return "debootstrap needs root";
  try {
    const { status } = await fetch(`${archive}/dists/${suite}/InRelease`, {
      method: "HEAD",
      signal: AbortSignal.timeout(10_000),
    });
    return status === 200 ? undefined : `${archive} has no ${suite} (status ${status})`;
  } catch (error) {
    return `${archive} does not answer: ${error instanceof Error ? error.message : error}`;
  }
}

/** The name of the image, which is there afterwards. */
export async function importBase(
  { system, suite, archive, script }: Base,
  podman: (...words: readonly string[]) => Promise<string>,
  folder: string,
): Promise<string> {
  const kept = process.env.MAYFLY_TEST_ROOTS ?? folder;
  mkdirSync(kept, { recursive: true });
  const tar = join(kept, `${system}.tar`);
  if (!existsSync(tar)) {
    const root = join(kept, system);
    const scripts = `/usr/share/debootstrap/scripts/${script}`;
    const words = ["--variant=minbase", ...keyring(archive), suite, root, archive, scripts];
    await promisify(execFile)("debootstrap", words, { maxBuffer: 50_000_000 });
    // As the official images have it: nobody needs each file of a package on the disk for certain.
    writeFileSync(join(root, "etc/dpkg/dpkg.cfg.d/unsafe-io"), "force-unsafe-io\n");
    execFileSync("tar", ["-C", root, "--exclude=./var/cache/apt/archives/*.deb", "-cf", tar, "."]);
    rmSync(root, { recursive: true, force: true });
  }
  const name = `localhost/mayfly-base:${system}`;
  await podman("import", tar, name);
  return name;
}

/** Signatures are checked where the keys are at hand; these images go nowhere. */
function keyring(archive: string): readonly string[] {
  const name = archive.endsWith("/ubuntu") ? "ubuntu-archive-keyring.gpg" : "debian-archive-keyring.gpg";
  const file = `/usr/share/keyrings/${name}`;
  const isThere = existsSync(file) && readFileSync(file).length > 0;
  return isThere ? [`--keyring=${file}`] : ["--no-check-gpg"];
}
