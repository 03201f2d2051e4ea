import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseAllDocuments } from "yaml";
import type { Finding, Problem } from "./explain.ts";

/** Bigger than any configuration that a person writes; bounds what a wrong file can cost. */
export const documentLimitBytes = 1024 * 1024;

export interface ParsedDocument {
  readonly value: unknown;
  /** Syntax errors. `value` is meaningless when there are any. */
  readonly problems: readonly Problem[];
  /** The finding with the place in the document where it is written. */
  locate(finding: Finding): Problem;
}

/** Reads YAML and remembers where everything stands. Never throws. */
export function parseDocument(text: string): ParsedDocument {
  const lines = new LineCounter();
  // The excerpts of `prettyErrors` could show a secret that was written into the document by mistake.
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const [document] = documents;
  if (!Array.isArray(documents) || document === undefined || isEmpty(document.contents)) {
    return failed({ path: "", sentence: "The document is empty. Start from examples/mayfly.yaml." });
  }
  if (documents.length > 1) {
    return failed({ path: "", sentence: "There are several documents (`---`). Write one document only." });
  }
  const broken = [...document.errors, ...document.warnings].map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    return { path: "", sentence: syntaxSentence(error.code, error.message), line, column: col };
  });
  if (broken.length > 0) return { value: undefined, problems: broken, locate: withoutPlace };
  try {
    // Aliases are few in a real document; the limit stops those that are made to explode.
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    const locate = (finding: Finding): Problem => locateIn(document.contents, lines, finding);
    return { value, problems: [], locate };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return failed({ path: "", sentence: `The anchors and aliases cannot be resolved: ${reason}.` });
  }
}

function isEmpty(contents: Node | null): boolean {
  return contents === null || (isScalar(contents) && (contents.value === null || contents.value === ""));
}

function failed(problem: Problem): ParsedDocument {
  return { value: undefined, problems: [problem], locate: withoutPlace };
}

function withoutPlace(finding: Finding): Problem {
  return { path: pathText(finding.path), sentence: finding.sentence };
}

function syntaxSentence(code: string, message: string): string {
  switch (code) {
    case "DUPLICATE_KEY":
      return "This key is there twice. Remove one of them.";
    case "TAB_AS_INDENT":
      return "A tab is used for indentation, which YAML forbids. Use spaces.";
    case "TAG_RESOLVE_FAILED":
      return "A tag (`!…`) is used, which has no meaning here. Remove it.";
    default:
      return `This is not valid YAML: ${message.replace(/\s+/g, " ").replace(/\.?$/, ".")}`;
  }
}

/** The deepest part of the path that is written in the document: for a missing key, the group that lacks it. */
function locateIn(contents: Node | null, lines: LineCounter, finding: Finding): Problem {
  let node: unknown = contents;
  let start: number | undefined;
  for (const [depth, key] of finding.path.entries()) {
    if (isAlias(node)) break;
    const last = depth === finding.path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => keyOf(item) === String(key));
      if (pair === undefined) break;
      const place = last && finding.aboutKey !== true && pair.value !== null ? pair.value : pair.key;
      start = startOf(place) ?? startOf(pair.key) ?? start;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      start = startOf(node) ?? start;
    } else {
      break;
    }
  }
  if (start === undefined) return withoutPlace(finding);
  const { line, col } = lines.linePos(start);
  return { ...withoutPlace(finding), line, column: col };
}

function keyOf(pair: Pair): string | undefined {
  return isScalar(pair.key) ? String(pair.key.value) : undefined;
}

function startOf(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}

/** Keys can be anything in a broken document, so long ones are cut. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key) => String(key))
    .map((key) => (key.length > 60 ? `${key.slice(0, 60)}…` : key).replace(/\s+/g, " "))
    .join(".");
}
