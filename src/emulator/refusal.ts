/**
 * GitHub says no: an HTTP status and GitHub's sentence. Thrown by the model, so that the HTTP server and the
 * simulator refuse in the same words.
 */
export class GithubRefusal extends Error {
  readonly status: number;
  /** Extra response headers, such as `retry-after`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "GithubRefusal";
    this.status = status;
    this.headers = headers;
  }
}

/** GitHub's answer for everything that is absent or that the caller may not know about. */
export function notFound(): GithubRefusal {
  return new GithubRefusal(404, "Not Found");
}
