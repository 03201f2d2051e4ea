import type { Fields } from "./cloudformation.ts";
import { grants, type Statement } from "./policies.ts";

/*
 * What is deployed, in words that are neither CloudFormation's nor Terraform's, so that both can be compared: each part by
 * the name that it has on AWS.
 */

export type Deployment = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** By the name that is in this field; of an address or ARN of a queue or function, its last part. */
export function byName(
  made: readonly Fields[],
  name: string,
  describe: (fields: Fields) => unknown,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(made.map((fields) => [nameIn(String(fields[name])), describe(fields)]));
}

/** The last part of an address or ARN of a queue or function; everything else is a name already. */
export function nameIn(text: string): string {
  return /^(arn:aws:(lambda|sqs):|https?:)/.test(text) ? (text.split(/[:/]/).at(-1) ?? "") : text;
}

export function functionIn(arn: unknown): string {
  return nameIn(String(arn));
}

export function keysOf(schema: readonly Fields[]): readonly string[] {
  return schema.map(({ AttributeName }) => AttributeName);
}

export function sortedGrants({ Statement }: { readonly Statement: readonly Statement[] }): readonly string[] {
  return [...grants(Statement)].sort();
}

/** The order of a list of texts says nothing in a policy. */
export function sortedTexts(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(sortedTexts);
    return items.every((item) => typeof item === "string") ? items.sort() : items;
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, sortedTexts(inner)]));
}
