import type { Document, LineCounter } from "yaml";

/** A workflow file that GitHub would not run. The message names the file, the line and the key. */
export class WorkflowError extends Error {
  readonly line: number;
  /** For instance `jobs.build.runs-on`. */
  readonly key: string;

  constructor(path: string, line: number, key: string, sentence: string) {
    super(`${path}:${line}: ${key === "" ? "" : `${key}: `}${sentence}`);
    this.name = "WorkflowError";
    this.line = line;
    this.key = key;
  }
}

export type KeyPath = readonly (string | number)[];

/** A parsed file that can say where a key stands. */
export interface SourceFile {
  readonly path: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

/** The error about a key, with the line of the key or of the nearest key above it that exists. */
export function errorAt(file: SourceFile, keys: KeyPath, sentence: string): WorkflowError {
  return new WorkflowError(file.path, lineOf(file, keys), keys.join("."), sentence);
}

function lineOf(file: SourceFile, keys: KeyPath): number {
  for (let length = keys.length; length > 0; length--) {
    const node: unknown = file.document.getIn(keys.slice(0, length), true);
    const offset = startOf(node);
    if (offset !== undefined) return file.lines.linePos(offset).line;
  }
  return 1;
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node)) return undefined;
  const { range } = node;
  return Array.isArray(range) && typeof range[0] === "number" ? range[0] : undefined;
}
