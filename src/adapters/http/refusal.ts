import type { HttpResponse } from "../../ports/http.ts";

/** An answer that says no: one sentence on what happened, one on what to do next. */
export function refusal(
  status: number,
  error: string,
  next: string,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return jsonResponse(status, { error, next }, headers);
}

/** `value` as JSON with its content type. */
export function jsonResponse(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: `${JSON.stringify(value)}\n`,
  };
}

/** What whoever asks is told of an error here: nothing. The details are in the log. */
export const failureRefusal = refusal(
  500,
  "Something went wrong here while the request was handled.",
  "Send it again later; the operator finds the reason in Mayfly's log.",
);

export function tooLargeRefusal(limitBytes: number): HttpResponse {
  return refusal(413, "The body of the request is too large.", `Send at most ${limitBytes} bytes here.`);
}
