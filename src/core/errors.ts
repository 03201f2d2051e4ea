/**
 * Errors are named for what the caller does next:
 *
 * | kind       | the caller                                                             |
 * |------------|------------------------------------------------------------------------|
 * | `retry`    | does the same again soon: nothing is known to have happened            |
 * | `wait`     | does the same again, not before `retryAt`                              |
 * | `give-up`  | does not do it again: the other side said no, for a reason             |
 * | `operator` | tells the operator: only a person can change the cause                 |
 */
export type ErrorKind = "retry" | "wait" | "give-up" | "operator";

export interface ErrorOptions {
  readonly kind: ErrorKind;
  /** Stable, in capitals with underscores: `GITHUB_RATE_LIMITED`. Documented in docs/reference/errors.md. */
  readonly code: string;
  /** What happened, to what. A sentence without secrets. */
  readonly message: string;
  /** What to do next. A sentence. */
  readonly suggestion: string;
  /** Not before this instant, in milliseconds since the epoch. Only with `wait`. */
  readonly retryAt?: number;
  readonly cause?: unknown;
}

export class MayflyError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly suggestion: string;
  readonly retryAt: number | undefined;

  constructor(options: ErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MayflyError";
    this.kind = options.kind;
    this.code = options.code;
    this.suggestion = options.suggestion;
    this.retryAt = options.retryAt;
  }
}

/** The error as one of ours: what is not gets `retry`, because nothing better is known of it. */
export function asMayflyError(error: unknown, code: string, suggestion: string): MayflyError {
  if (error instanceof MayflyError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new MayflyError({ kind: "retry", code, message, suggestion, cause: error });
}
