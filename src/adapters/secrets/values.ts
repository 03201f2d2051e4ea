import { MayflyError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { SecretName } from "../../ports/secrets.ts";

// What every place of secrets has to decide in the same way.

/** The values in a text: one in each line, the newest first; a private key is one value of many lines. */
export function valuesIn(text: string, name: SecretName): readonly Secret[] {
  if (name === "app-private-key") {
    // In a variable, the line ends of a PEM file are often written as backslash and n.
    const key = text.includes("\n") ? text.trim() : text.trim().replaceAll("\\n", "\n");
    return key === "" ? [] : [new Secret(key)];
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return lines.filter((line) => line !== "").map((line) => new Secret(line));
}

/** `place` completes "The webhook-secret is empty: … contains nothing". */
export function emptySecret(name: SecretName, place: string): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "SECRET_EMPTY",
    message: `The ${name} is empty: ${place} contains nothing.`,
    suggestion: "Put the secret there.",
  });
}
