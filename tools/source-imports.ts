import type { Token } from "./source-tokens.ts";

export interface SourceImport {
  /** Absent when the name of the module is computed. */
  readonly specifier?: string;
  /** Nothing is loaded at run time. `import { type A }` does load: only `import type` is erased as a whole. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Every `import`, `export … from` and `import()` of a source. */
export function sourceImports(tokens: readonly Token[]): readonly SourceImport[] {
  return tokens.flatMap((token, index) => {
    if (token.kind !== "word" || tokens[index - 1]?.text === ".") return [];
    if (token.text === "import") return importAt(tokens, index);
    if (token.text === "export") return exportAt(tokens, index);
    return [];
  });
}

function importAt(tokens: readonly Token[], index: number): readonly SourceImport[] {
  const { line } = tokens[index] as Token;
  const next = tokens[index + 1];
  // `import.meta`, and a property of that name.
  if (next === undefined || next.text === "." || next.text === ":") return [];
  if (next.kind === "text") return [{ specifier: next.text, typeOnly: false, line }];
  if (next.kind === "mark" && next.text === "(") {
    const [name, end] = tokens.slice(index + 2, index + 4);
    const plain = name?.kind === "text" && (end?.text === ")" || end?.text === ",");
    return [{ ...(plain && { specifier: name.text }), typeOnly: false, line }];
  }
  return sourceOf(tokens, index + 1, line);
}

function exportAt(tokens: readonly Token[], index: number): readonly SourceImport[] {
  const { line } = tokens[index] as Token;
  const first = tokens[index + 1]?.text === "type" ? index + 2 : index + 1;
  const mark = tokens[first];
  if (mark?.kind !== "mark" || (mark.text !== "{" && mark.text !== "*")) return [];
  return sourceOf(tokens, index + 1, line);
}

/** The text after `from`, which comes right after the names; without one it is an export of this file's own. */
function sourceOf(tokens: readonly Token[], start: number, line: number): readonly SourceImport[] {
  const typeOnly = tokens[start]?.text === "type" && tokens[start + 1]?.text !== "from";
  for (let at = start; at < tokens.length; at++) {
    const token = tokens[at] as Token;
    const source = tokens[at + 1];
    if (token.text === "from" && source?.kind === "text") return [{ specifier: source.text, typeOnly, line }];
    const partOfNames = token.kind === "word" || /^[{},*]$/.test(token.text) || token.kind === "text";
    if (!partOfNames || (token.text === "}" && source?.text !== "from")) return [];
  }
  return [];
}
