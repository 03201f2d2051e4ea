import { MayflyError } from "../core/errors.ts";
import type { Policy } from "../core/model.ts";
import type { Config } from "./config.ts";

/**
 * What a function in a cloud needs of the configuration, checked and resolved when the function was packaged: neither
 * YAML nor the schema are read when it starts. It is read by the very version that wrote it, but while a new version
 * is being deployed, functions of both work on one table: nothing of it may be needed to read what the other wrote.
 */
export interface PolicyDocument {
  readonly format: typeof policyFormat;
  /** The version of Mayfly that wrote it. */
  readonly version: string;
  readonly github: Pick<Config["github"], "server" | "apiUrl" | "appId">;
  readonly logLevel: Config["server"]["logLevel"];
  readonly policy: Policy;
  /** The parameter whose classes hold in place of the policy's. */
  readonly classesParameter?: string;
  /** What the compute adapters have to know of each preset, by its name. */
  readonly ec2: Readonly<Record<string, Config["compute"][string]["ec2"]>>;
  readonly fargate: Readonly<Record<string, Config["compute"][string]["fargate"]>>;
  /** Absent where no preset is on Fargate. */
  readonly tasks?: TaskParts;
  /** What each pipeline of images makes, by its name: another text, another image. Absent where there is none. */
  readonly pipelines?: Readonly<Record<string, string>>;
}

/** What is made when the functions are packaged, for tasks of Fargate. */
export interface TaskParts {
  /** What tasks run. */
  readonly script: string;
  /** How their images are built, and what changes when that does. */
  readonly recipe: { readonly buildspec: string; readonly version: string };
}

/** Rises when an older reader could not read a document any more. */
const policyFormat = 1;

export function policyDocument(
  { config, policy }: { readonly config: Config; readonly policy: Policy },
  version: string,
  parts: Pick<PolicyDocument, "tasks" | "pipelines"> = {},
): PolicyDocument {
  const { server, apiUrl, appId } = config.github;
  const github = { server, appId, ...(apiUrl !== undefined && { apiUrl }) };
  const entries = Object.entries(config.compute);
  const ec2 = Object.fromEntries(entries.map(([name, preset]) => [name, preset.ec2]));
  const fargate = Object.fromEntries(entries.map(([name, preset]) => [name, preset.fargate]));
  return {
    format: policyFormat,
    version,
    github,
    logLevel: config.server.logLevel,
    policy,
    ...(config.classesParameter !== undefined && { classesParameter: config.classesParameter }),
    ec2,
    fargate,
    ...parts,
  };
}

/** Throws a `MayflyError` of kind `operator` when the text is no document of this format. */
export function readPolicyDocument(text: string): PolicyDocument {
  const document = parse(text);
  if (document?.format === policyFormat) return document as PolicyDocument;
  throw new MayflyError({
    kind: "operator",
    code: "POLICY_DOCUMENT_UNUSABLE",
    message:
      document === undefined
        ? "The policy document of this function is not JSON."
        : `The policy document of this function has the format ${String(document.format)}, and ${policyFormat} is needed.`,
    suggestion: "Package the function again: its code and its policy document belong to one version.",
  });
}

function parse(text: string): { readonly format?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
