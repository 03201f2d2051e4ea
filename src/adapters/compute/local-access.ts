import { stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * The folder nearest to the root on the way to `path` that this user may not pass through, or undefined. Only owner,
 * main group and others are looked at: who is let in by a further group or an access list is not believed.
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
    const { mode, uid, gid } = await stat(folder);
    const mayPass = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & mayPass) === 0) return folder;
  }
  return undefined;
}
