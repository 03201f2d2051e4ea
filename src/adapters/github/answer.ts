/** What GitHub answered, whatever the status, stripped of everything that belonged to the request. */
export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The parsed JSON; a text where it was none. */
  readonly data: unknown;
}

export type Fields = Readonly<Record<string, unknown>>;

/** GitHub's own sentence about a refusal, cut to what fits into an error. Empty when there was none. */
export function messageOf(answer: Answer): string {
  const body = fields(answer.data);
  const texts = [body?.message, ...list(body?.errors).map((entry) => fields(entry)?.message ?? entry)];
  const text = texts.filter((part): part is string => typeof part === "string" && part !== "").join(": ");
  return text
    .replace(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, 300);
}

/** The value as an object, or undefined. */
export function fields(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

/** The value as a list; anything else is an empty one. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

/** The instant of an ISO 8601 time, or undefined. */
export function instant(value: unknown): number | undefined {
  if (typeof value !== "string") return undefined;
  const milliseconds = Date.parse(value);
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}
