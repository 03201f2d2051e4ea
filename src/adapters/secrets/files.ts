import { type FileHandle, open } from "node:fs/promises";
import { MayflyError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { SecretName, Secrets } from "../../ports/secrets.ts";
import { emptySecret, valuesIn } from "./values.ts";

/** Where one secret is kept. */
type SecretPlace = { readonly file: string } | { readonly environment: string };

export interface FileSecretsOptions {
  readonly places: Readonly<Partial<Record<SecretName, SecretPlace | undefined>>>;
  /** The value of an environment variable: only the config reads the environment. */
  readonly readEnvironment: (name: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a value is used before its file is read again. */
  readonly cacheSeconds?: number;
}

/** More than any key or list of tokens has; a wrong path must not fill the memory. */
const fileLimitBytes = 64 * 1024;

/**
 * Secrets from files and environment variables. A file is read again after a short while, so a new secret needs
 * no restart. Several lines are several values, the newest first; a private key is one value of many lines.
 */
export function createFileSecrets(options: FileSecretsOptions): Secrets {
  const cached = new Map<SecretName, { readonly until: number; readonly values: readonly Secret[] }>();
  const warned = new Set<string>();
  const cacheMilliseconds = (options.cacheSeconds ?? 5) * 1000;

  return {
    async read(name) {
      const known = cached.get(name);
      if (known !== undefined && options.clock.now() < known.until) return known.values;
      const place = options.places[name];
      if (place === undefined) throw notConfigured(name);
      const text =
        "file" in place
          ? await readSecretFile(name, place.file, options.log, warned)
          : readVariable(name, place.environment, options.readEnvironment);
      const values = valuesIn(text, name);
      if (values.length === 0) throw emptySecret(name, describe(place));
      cached.set(name, { until: options.clock.now() + cacheMilliseconds, values });
      return values;
    },
  };
}

function readVariable(
  name: SecretName,
  variable: string,
  readEnvironment: FileSecretsOptions["readEnvironment"],
): string {
  const value = readEnvironment(variable);
  if (value !== undefined) return value;
  throw new MayflyError({
    kind: "operator",
    code: "SECRET_MISSING",
    message: `The ${name} is not there: the environment variable ${variable} is not set.`,
    suggestion: "Set it for the process of Mayfly, or name another place under secrets in the configuration.",
  });
}

async function readSecretFile(
  name: SecretName,
  path: string,
  log: Log,
  warned: Set<string>,
): Promise<string> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { mode, size } = await file.stat();
    if (size > fileLimitBytes) throw new Error(`it has more than ${fileLimitBytes / 1024} KiB`);
    if (process.platform !== "win32" && (mode & 0o077) !== 0 && !warned.has(path)) {
      warned.add(path);
      const suggestion = `Run \`chmod 600 ${path}\`.`;
      log.warn("A secret may be read by others than the owner of its file.", {
        stage: "start",
        secret: name,
        path,
        suggestion,
      });
    }
    return await file.readFile("utf8");
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const reason = error instanceof Error ? error.message : String(error);
    throw new MayflyError({
      kind: "operator",
      code: missing ? "SECRET_MISSING" : "SECRET_UNREADABLE",
      message: missing
        ? `The ${name} is not there: there is no file ${path}.`
        : `The ${name} cannot be read from the file ${path}: ${reason}.`,
      suggestion: missing
        ? "Put it there, or name another place under secrets in the configuration."
        : "Make it a file that the user of Mayfly, and nobody else, may read.",
      cause: error,
    });
  } finally {
    await file?.close();
  }
}

function notConfigured(name: SecretName): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "SECRET_MISSING",
    message: `The ${name} is needed, and the configuration does not say where it is.`,
    suggestion:
      "Name its place under secrets in the configuration: { file: <path> } or { environment: <NAME> }.",
  });
}

function describe(place: SecretPlace): string {
  return "file" in place ? `the file ${place.file}` : `the environment variable ${place.environment}`;
}
