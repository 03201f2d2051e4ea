import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

/**
 * The Terraform module as a tar.gz, its files at the top as `source` of a module wants them: what is named `*.tf`, without
 * the module's tests, and the licence. State, providers and lock files, which lie about after a run, are never in it.
 * The same files give the same bytes.
 */
export async function terraformArchive(moduleFolder: string, licence: string): Promise<Buffer> {
  const found = (await readdir(moduleFolder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith(".tf"))
    .map((entry) => relative(moduleFolder, join(entry.parentPath, entry.name)))
    .filter((name) => !/^tests\/|(^|\/)\./.test(name));
  const archive = pack();
  for (const name of ["LICENSE", ...found].sort()) {
    const content = await readFile(name === "LICENSE" ? licence : join(moduleFolder, name));
    archive.entry({ name, mode: 0o644, mtime: new Date(0), uid: 0, gid: 0 }, content);
  }
  archive.finalize();
  return gzipSync(await buffer(archive), { level: 9 });
}
