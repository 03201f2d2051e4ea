import { stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * The folder nearest to the root on the way to `path` that this user may not list and pass through, or undefined; one
 * that is not there yet is open. Only owner, main group and others are looked at: who is let in by a further group or an
 * access list is not believed.
 */
export async function firstClosedFolder(
  user: { readonly uid: number; readonly gid: number },
  path: string,
): Promise<string | undefined> {
  if (user.uid === 0) return undefined;
  const folders: string[] = [];
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    folders.unshift(folder);
    if (folder === dirname(folder)) break;
  }
  for (const folder of folders) {
    const found = await stat(folder).catch(() => undefined);
    if (found === undefined) continue;
    const { mode, uid, gid } = found;
    const mayList = uid === user.uid ? 0o500 : gid === user.gid ? 0o050 : 0o005;
    if ((mode & mayList) !== mayList) return folder;
  }
  return undefined;
}
