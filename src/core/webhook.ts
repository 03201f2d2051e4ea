import { createHmac, type Hmac, timingSafeEqual } from "node:crypto";
import type { Instant, JobAction, JobEvent } from "./model.ts";
import type { Secret } from "./secret.ts";

/** A delivery as it arrived: the body in bytes, because the signature is over bytes. */
export interface RawDelivery {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

/**
 * What becomes of a delivery. `refused` and `ignored` leave no trace in the ledger; each has its own status and
 * one sentence. GitHub counts any 2xx as delivered, so what we know and do not need is answered with 202.
 */
export type DeliveryVerdict =
  | { readonly kind: "accepted"; readonly event: JobEvent }
  | { readonly kind: "ignored"; readonly status: 200 | 202; readonly because: string }
  | { readonly kind: "refused"; readonly status: 400 | 401 | 415 | 422; readonly because: string };

/** Of one job. What has more is none of ours: labels are written by strangers, and are kept with the job. */
export const labelsLimit = 100;
export const labelLengthLimit = 256;
const textLengthLimit = 1024;
const jobActions: readonly string[] = ["queued", "waiting", "in_progress", "completed"];

/**
 * Verifies and parses one delivery. Nothing of the body is looked at before its signature was found right. More
 * than one secret is valid while a secret is being rotated.
 */
export function judgeDelivery(
  delivery: RawDelivery,
  secrets: readonly Secret[],
  receivedAt: Instant,
): DeliveryVerdict {
  const unsigned = signatureProblem(delivery, secrets);
  if (unsigned !== undefined) return { kind: "refused", status: 401, because: unsigned };

  const contentType = delivery.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (contentType !== "application/json") {
    return refuse(415, "The content type must be application/json. Set it in the App's webhook settings.");
  }
  const name = delivery.headers["x-github-event"];
  if (name === undefined || name === "") return refuse(400, "The header X-GitHub-Event is missing.");

  const payload = parseJson(delivery.body);
  if (payload === undefined) return refuse(400, "The body is not a JSON object.");
  if (name === "ping") return { kind: "ignored", status: 200, because: "The webhook is set up." };
  if (name !== "workflow_job") {
    return { kind: "ignored", status: 202, because: "Only workflow_job events are used." };
  }
  return judgeWorkflowJob(payload, receivedAt);
}

/** The value of `X-Hub-Signature-256` for these bytes. */
export function signatureOf(body: Uint8Array, secret: Secret): string {
  return `sha256=${hmacOf(body, secret).digest("hex")}`;
}

function hmacOf(body: Uint8Array, secret: Secret): Hmac {
  return createHmac("sha256", secret.reveal()).update(body);
}

function signatureProblem(delivery: RawDelivery, secrets: readonly Secret[]): string | undefined {
  const signature = delivery.headers["x-hub-signature-256"];
  if (signature === undefined || signature === "") {
    return delivery.headers["x-hub-signature"] === undefined
      ? "The header X-Hub-Signature-256 is missing. Set a secret in the App's webhook settings."
      : "Only a SHA-1 signature was sent; X-Hub-Signature-256 is required.";
  }
  if (!/^sha256=[0-9a-f]{64}$/.test(signature)) return "The signature is not sha256= and 64 hex digits.";
  // Every secret is tried, so that the time taken does not tell which one was right.
  const given = Buffer.from(signature.slice("sha256=".length), "hex");
  let right = false;
  for (const secret of secrets) {
    if (timingSafeEqual(given, hmacOf(delivery.body, secret).digest())) right = true;
  }
  return right ? undefined : "The signature does not match the body.";
}

function judgeWorkflowJob(payload: Fields, receivedAt: Instant): DeliveryVerdict {
  const action = payload.action;
  if (typeof action !== "string") return refuse(422, "The field action is missing.");
  if (!jobActions.includes(action)) {
    return { kind: "ignored", status: 202, because: "This action of workflow_job is not used." };
  }
  const event = parseWorkflowJob(payload, action as JobAction, receivedAt);
  return typeof event === "string" ? refuse(422, event) : { kind: "accepted", event };
}

type Fields = Readonly<Record<string, unknown>>;

/** The event, or a sentence that names the first field that is wrong. */
function parseWorkflowJob(payload: Fields, action: JobAction, receivedAt: Instant): JobEvent | string {
  const job = fields(payload.workflow_job);
  const repository = fields(payload.repository);
  if (job === undefined) return "The field workflow_job is missing.";
  if (repository === undefined) return "The field repository is missing.";
  const owner = fields(repository.owner)?.login;
  if (!isName(owner)) return "The field repository.owner.login is missing or too long.";
  if (!isName(repository.name)) return "The field repository.name is missing or too long.";
  if (typeof repository.private !== "boolean") return "The field repository.private is missing.";
  if (!isId(job.id)) return "The field workflow_job.id is not a positive whole number.";
  if (!isId(job.run_id)) return "The field workflow_job.run_id is not a positive whole number.";
  const labels = parseLabels(job.labels);
  if (typeof labels === "string") return labels;
  // Older servers send no created_at; until the job starts, started_at is when it was queued.
  const createdAt = instant(job.created_at === undefined ? job.started_at : job.created_at);
  if (createdAt === undefined) return "The field workflow_job.created_at is not a time.";

  const installation = fields(payload.installation)?.id;
  const startedAt = instant(job.started_at);
  const completedAt = instant(job.completed_at);
  return {
    // A job can be announced as queued while it still waits for an approval: the status says so.
    action: action === "queued" && job.status === "waiting" ? "waiting" : action,
    id: job.id,
    repository: { owner, name: repository.name, private: repository.private },
    installationId: isId(installation) ? installation : 0,
    runId: job.run_id,
    runAttempt: isId(job.run_attempt) ? job.run_attempt : 1,
    name: text(job.name) ?? `job ${job.id}`,
    workflowName: text(job.workflow_name) ?? "",
    labels,
    url: text(job.html_url) ?? "",
    createdAt,
    // GitHub fills started_at of a queued job too, with the time at which it was queued.
    ...(startedAt !== undefined && (action === "in_progress" || action === "completed") && { startedAt }),
    ...(completedAt !== undefined && action === "completed" && { completedAt }),
    ...(action === "completed" && { conclusion: text(job.conclusion) ?? "unknown" }),
    ...runnerOf(job, action),
    ...(hasContainers(job.steps) && { usesContainers: true }),
    receivedAt,
  };
}

/** Only a started job names its runner: a queued one may carry the name of an earlier, unrelated runner. */
function runnerOf(job: Fields, action: JobAction): { runnerName?: string } {
  if (action !== "in_progress" && action !== "completed") return {};
  const runnerName = text(job.runner_name);
  return runnerName === undefined ? {} : { runnerName };
}

/** GitHub's runner begins a job that has any with a step of its own, of this name. */
function hasContainers(steps: unknown): boolean {
  return Array.isArray(steps) && steps.some((step) => fields(step)?.name === "Initialize containers");
}

function parseLabels(value: unknown): readonly string[] | string {
  if (!Array.isArray(value)) return "The field workflow_job.labels is not a list.";
  if (value.length > labelsLimit) return `A job has at most ${labelsLimit} labels; this one has more.`;
  const labels: string[] = [];
  for (const label of value) {
    if (typeof label !== "string" || label === "" || label.length > labelLengthLimit) {
      return `A label is a text of 1 to ${labelLengthLimit} characters.`;
    }
    labels.push(label);
  }
  return labels;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function parseJson(body: Uint8Array): Fields | undefined {
  try {
    return fields(JSON.parse(utf8.decode(body)));
  } catch {
    // Not JSON, or not UTF-8: the caller refuses the delivery and says so.
    return undefined;
  }
}

function fields(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

function isName(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9._-]{1,100}$/.test(value);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.slice(0, textLengthLimit) : undefined;
}

function instant(value: unknown): Instant | undefined {
  if (typeof value !== "string") return undefined;
  const milliseconds = Date.parse(value);
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}

function refuse(status: 400 | 415 | 422, because: string): DeliveryVerdict {
  return { kind: "refused", status, because };
}
