import { link, mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { Random } from "../../ports/random.ts";

const keyBytes = 32;

/**
 * The key in this file, made of 32 random bytes if there is none yet. The file is readable by its owner only.
 * Two processes that start at the same time end with the same key: the file appears under its name complete,
 * and only one of them can make it appear.
 */
export async function readOrCreateKey(path: string, random: Random): Promise<Secret> {
  try {
    const existing = await readKey(path);
    if (existing !== undefined) return existing;
    await createKey(path, random);
    const created = await readKey(path);
    if (created !== undefined) return created;
  } catch (error) {
    if (error instanceof MayflyError) throw error;
    throw new MayflyError({
      kind: "operator",
      code: "KEY_FILE_UNUSABLE",
      message: `The key file ${path} can be neither read nor created: ${reasonOf(error)}.`,
      suggestion:
        "Make its folder writable for the user that runs Mayfly, and check that the disk is not full.",
      cause: error,
    });
  }
  throw new MayflyError({
    kind: "retry",
    code: "KEY_FILE_VANISHED",
    message: `The key file ${path} was removed right after it was created.`,
    suggestion: "Find out what removes it, then start Mayfly again.",
  });
}

async function readKey(path: string): Promise<Secret | undefined> {
  const file = await openExisting(path);
  if (file === undefined) return undefined;
  try {
    if (process.platform !== "win32" && ((await file.stat()).mode & 0o077) !== 0) {
      throw new MayflyError({
        kind: "operator",
        code: "KEY_FILE_EXPOSED",
        message: `The key file ${path} may be read by others than its owner.`,
        suggestion: `Run \`chmod 600 ${path}\`, or remove the file to get a new key: machines that run lose their claim.`,
      });
    }
    const text = (await file.readFile("utf8")).trim();
    if (/^[\w-]{43}$/.test(text)) return new Secret(text);
  } finally {
    await file.close();
  }
  throw new MayflyError({
    kind: "operator",
    code: "KEY_FILE_DAMAGED",
    message: `The key file ${path} does not contain a key of ${keyBytes} bytes.`,
    suggestion: "Remove the file to get a new key: machines that run lose their claim.",
  });
}

async function openExisting(path: string): Promise<Awaited<ReturnType<typeof open>> | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Written beside its place and linked into it: unlike a rename, a link never replaces the key of a faster process. */
async function createKey(path: string, random: Random): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${Buffer.from(random.bytes(8)).toString("hex")}.new`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(`${Buffer.from(random.bytes(keyBytes)).toString("base64url")}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  } finally {
    await unlink(temporary);
  }
  const directory = await open(folder, "r");
  await directory.sync().finally(() => directory.close());
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.message : String(error));
}
