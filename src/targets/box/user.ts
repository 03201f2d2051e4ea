import { readFileSync } from "node:fs";
import { MayflyError } from "../../core/errors.ts";

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** The numbers of a user of this box, from its name or its number. */
export function resolveUser(name: string, passwdFile = "/etc/passwd"): UserIds {
  const lines = readFileSync(passwdFile, "utf8").split("\n");
  for (const line of lines) {
    const [login, , uid, gid] = line.split(":");
    if ((login === name || uid === name) && uid !== undefined && gid !== undefined) {
      return { uid: Number(uid), gid: Number(gid) };
    }
  }
  throw new MayflyError({
    kind: "operator",
    code: "USER_UNKNOWN",
    message: `There is no user ${name} on this box, which local.user names.`,
    suggestion: `Create it, for example with \`useradd --system --create-home ${name}\`, or name another.`,
  });
}
