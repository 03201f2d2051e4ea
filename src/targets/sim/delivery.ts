import { jobEventOf } from "../../adapters/github/job-event.ts";
import type { JobEvent } from "../../core/model.ts";
import { Secret } from "../../core/secret.ts";
import { signatureOf } from "../../core/webhook.ts";
import { type Document, type DocumentSource, repositoryOf } from "../../emulator/document-source.ts";
import { jobDocument } from "../../emulator/documents.ts";
import type { Delivery, ModelState } from "../../emulator/model-state.ts";
import { webhookHeaders, webhookPayload } from "../../emulator/webhook-payload.ts";

export interface SignedDelivery {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const addresses = { api: "https://api.github.com", web: "https://github.com" };

/**
 * A delivery as GitHub sends it, without what nobody here reads of a job's: most of it describes the repository, or says
 * where to read more. What is left is signed, verified and parsed as ever, in a fraction of the time.
 */
export function signedDelivery(state: ModelState, delivery: Delivery, secret: string): SignedDelivery {
  const { event } = delivery;
  const source: DocumentSource = { state, addresses };
  const job = event.name === "workflow_job" ? event.job : undefined;
  const repository = job === undefined ? undefined : state.repositories.get(job.repositoryId);
  if (event.name !== "workflow_job" || job === undefined || repository === undefined) {
    const body = Buffer.from(JSON.stringify(webhookPayload(source, delivery)));
    return { headers: webhookHeaders(source, delivery, body, secret), body };
  }
  const body = Buffer.from(
    JSON.stringify({
      action: event.action,
      workflow_job: whatIsRead(jobDocument(source, job)),
      repository: { name: repository.name, private: repository.private, owner: { login: repository.owner } },
      installation: { id: delivery.installationId },
    }),
  );
  const headers = {
    "content-type": "application/json",
    "x-github-event": event.name,
    "x-github-delivery": delivery.guid,
    "x-hub-signature-256": signatureOf(body, new Secret(secret)),
  };
  return { headers, body };
}

/** What becomes known by a delivery that is believed, without its way as bytes; undefined when it is about no job. */
export function deliveredEvent(state: ModelState, delivery: Delivery, now: number): JobEvent | undefined {
  const { event, installationId } = delivery;
  if (event.name !== "workflow_job") return undefined;
  const repository = { ...repositoryOf(state, event.job.repositoryId), installationId };
  return jobEventOf(jobDocument({ state, addresses }, event.job), repository, now);
}

const readFields: readonly string[] = [
  "id",
  "run_id",
  "run_attempt",
  "name",
  "workflow_name",
  "labels",
  "html_url",
  "status",
  "conclusion",
  "created_at",
  "started_at",
  "completed_at",
  "runner_name",
  "steps",
];

function whatIsRead(job: Document): Document {
  const read: Record<string, unknown> = {};
  for (const name of readFields) read[name] = job[name];
  return read;
}
