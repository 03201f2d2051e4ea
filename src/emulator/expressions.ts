/** A value that an expression can reach, for instance `{ matrix: { node: 20 } }`. */
export type ExpressionContexts = Readonly<Record<string, unknown>>;

const expression = /\$\{\{\s*(.*?)\s*\}\}/gs;
const propertyPath = /^[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*$/;

/**
 * Replaces each `${{ … }}` that is a plain path into one of the contexts (`matrix.node`, `github.sha`) by its
 * value. `otherwise` decides what becomes of every other expression; by default it stays as it is.
 */
export function substitute(
  text: string,
  contexts: ExpressionContexts,
  otherwise: (source: string, inner: string) => string = (source) => source,
): string {
  return text.replace(expression, (source: string, inner: string) => {
    const found = lookUp(inner, contexts);
    return found === undefined ? otherwise(source, inner) : asText(found.value);
  });
}

/** The value of a text that is nothing but one expression, so that a list or a number stays what it is. */
export function evaluateWhole(text: string, contexts: ExpressionContexts): unknown {
  const inner = /^\$\{\{\s*([^{}]*?)\s*\}\}$/.exec(text.trim())?.[1];
  const found = inner === undefined ? undefined : lookUp(inner, contexts);
  return found === undefined ? substitute(text, contexts) : found.value;
}

function lookUp(path: string, contexts: ExpressionContexts): { readonly value: unknown } | undefined {
  if (!propertyPath.test(path)) return undefined;
  const [first, ...rest] = path.split(".");
  if (first === undefined || !Object.hasOwn(contexts, first)) return undefined;
  let value: unknown = contexts[first];
  for (const name of rest) value = propertyOf(value, name);
  return { value };
}

function propertyOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
