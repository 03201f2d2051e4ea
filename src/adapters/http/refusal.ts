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
