import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where this program is, as a shell would find it. Undefined: it is not installed. */
export function programPath(program: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(":").filter(Boolean);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
