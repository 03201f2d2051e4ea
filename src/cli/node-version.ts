import { MayflyError } from "../core/errors.ts";

/**
 * Refuses a Node that is older than `engines.node` of package.json (">=22.18"): on one, the first thing that it lacks would
 * look like a bug of ours.
 */
export function expectNode(range: string, running: string): void {
  const [major = 0, minor = 0] = numbersOf(range);
  const [isMajor = 0, isMinor = 0] = numbersOf(running);
  if (isMajor > major || (isMajor === major && isMinor >= minor)) return;
  throw new MayflyError({
    kind: "operator",
    code: "NODE_TOO_OLD",
    message: `This is Node ${running}, and Mayfly needs ${major}.${minor} or newer.`,
    suggestion:
      "Install a newer Node; in a clone, `npm run mayfly -- <command>` takes the one that `npm ci` installs.",
  });
}

function numbersOf(version: string): readonly number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
