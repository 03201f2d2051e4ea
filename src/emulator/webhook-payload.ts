import { createHmac } from "node:crypto";
import { accountOf, type Document, type DocumentSource, nodeId, repositoryOf } from "./document-source.ts";
import { installationDocument, jobDocument } from "./documents.ts";
import { organizationDocument, repositoryDocument, userDocument } from "./documents-accounts.ts";
import type { Delivery } from "./model-state.ts";

/** The JSON of a delivery, complete as GitHub sends it. It shows the job as it was when the event happened. */
export function webhookPayload(source: DocumentSource, delivery: Delivery): Document {
  const { event } = delivery;
  const installation = source.state.installations.get(delivery.installationId);
  const owner = accountOf(source.state, installation?.accountLogin ?? source.state.app.ownerLogin);
  const sender = userDocument(source.addresses, { id: 319_655, login: "octocat", kind: "User" });
  if (event.name === "workflow_job") {
    const repository = repositoryOf(source.state, event.job.repositoryId);
    return {
      action: event.action,
      workflow_job: jobDocument(source, event.job),
      repository: repositoryDocument(source, repository),
      ...(owner.kind === "Organization" ? { organization: organizationDocument(source, owner) } : {}),
      sender,
      installation: {
        id: delivery.installationId,
        node_id: nodeId("IntegrationInstallation", delivery.installationId),
      },
    };
  }
  const document = installation === undefined ? {} : installationDocument(source, installation);
  if (event.name === "installation") {
    const repositories = [...source.state.repositories.keys()]
      .filter((id) => installation?.repositories === "all" || installation?.repositories.has(id))
      .filter((id) => repositoryOf(source.state, id).owner.toLowerCase() === owner.login.toLowerCase());
    return {
      action: event.action,
      installation: document,
      repositories: repositories.map((id) => repositorySummary(source, id)),
      sender,
    };
  }
  const summaries = event.repositoryIds.map((id) => repositorySummary(source, id));
  return {
    action: event.action,
    installation: document,
    repository_selection: installation?.repositories === "all" ? "all" : "selected",
    repositories_added: event.action === "added" ? summaries : [],
    repositories_removed: event.action === "removed" ? summaries : [],
    requester: null,
    sender,
  };
}

/** The headers of a delivery. The signature is over the bytes of `body`. */
export function webhookHeaders(
  source: DocumentSource,
  delivery: Delivery,
  body: Buffer,
  secret: string,
): Readonly<Record<string, string>> {
  const { app } = source.state;
  const sign = (algorithm: string): string =>
    `${algorithm}=${createHmac(algorithm, secret).update(body).digest("hex")}`;
  return {
    accept: "*/*",
    "content-type": "application/json",
    "user-agent": "GitHub-Hookshot/0eb5c2a",
    "x-github-delivery": delivery.guid,
    "x-github-event": delivery.event.name,
    "x-github-hook-id": String(app.hookId),
    "x-github-hook-installation-target-id": String(app.id),
    "x-github-hook-installation-target-type": "integration",
    "x-hub-signature": sign("sha1"),
    "x-hub-signature-256": sign("sha256"),
  };
}

function repositorySummary(source: DocumentSource, id: number): Document {
  const repository = repositoryOf(source.state, id);
  return {
    id,
    node_id: nodeId("Repository", id),
    name: repository.name,
    full_name: `${repository.owner}/${repository.name}`,
    private: repository.private,
  };
}
