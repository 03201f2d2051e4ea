import { createHmac, randomUUID } from "node:crypto";
import { createRequire } from "node:module";

/**
 * Complete HTTP requests with GitHub's own example of a `workflow_job`, the largest one (11.4 KB), as GitHub would
 * send it: signed, each with a job id of its own so that each is a new job.
 */
export function signedRequests(options: {
  readonly firstId: number;
  readonly count: number;
  readonly secret: string;
  readonly path: string;
}): readonly Buffer[] {
  const [before, after] = payloadAroundId();
  return Array.from({ length: options.count }, (_, index) => {
    const body = Buffer.from(`${before}${options.firstId + index}${after}`);
    return Buffer.concat([Buffer.from(headersOf(body, options)), body]);
  });
}

function headersOf(
  body: Buffer,
  { path, secret }: { readonly path: string; readonly secret: string },
): string {
  const sign = (algorithm: string) => createHmac(algorithm, secret).update(body).digest("hex");
  return [
    `POST ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "User-Agent: GitHub-Hookshot/044aadd",
    "Accept: */*",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    `X-GitHub-Delivery: ${randomUUID()}`,
    "X-GitHub-Event: workflow_job",
    "X-GitHub-Hook-ID: 292430182",
    "X-GitHub-Hook-Installation-Target-ID: 12345",
    "X-GitHub-Hook-Installation-Target-Type: integration",
    `X-Hub-Signature: sha1=${sign("sha1")}`,
    `X-Hub-Signature-256: sha256=${sign("sha256")}`,
    "\r\n",
  ].join("\r\n");
}

interface Example {
  readonly name: string;
  readonly examples: readonly {
    readonly action: string;
    readonly workflow_job: Readonly<Record<string, unknown>> & { readonly labels: readonly string[] };
  }[];
}

/** The example's labels are `self-hosted` and `k8s`. It becomes a job that was queued now. */
function payloadAroundId(): readonly [string, string] {
  const all = createRequire(import.meta.url)("@octokit/webhooks-examples") as readonly Example[];
  const example = all
    .find((entry) => entry.name === "workflow_job")
    ?.examples.find(
      (entry) => entry.action === "queued" && entry.workflow_job.labels.includes("self-hosted"),
    );
  if (example === undefined)
    throw new Error("@octokit/webhooks-examples has no queued job of a self-hosted runner.");
  const mark = 4_242_424_242_424_242;
  const at = new Date().toISOString();
  const job = { ...example.workflow_job, id: mark, status: "queued", created_at: at, started_at: at };
  const payload = { ...example, workflow_job: job };
  const [before = "", after = ""] = JSON.stringify(payload).split(String(mark));
  return [before, after];
}
