import { timestamp } from "./document-source.ts";
import { appDocument, deliveryDocument, installationDocument, tokenDocument } from "./documents.ts";
import { repositoryDocument } from "./documents-accounts.ts";
import { tokenCovers } from "./model-installations.ts";
import { bucketOf } from "./model-rate-limits.ts";
import type { Installation } from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";
import {
  bodyFields,
  type Call,
  idParameter,
  page,
  pageAddress,
  pageSize,
  type Reply,
  type Route,
  requiredTexts,
  textParameter,
} from "./route.ts";
import { webhookHeaders, webhookPayload } from "./webhook-payload.ts";

/** The App itself: its installations, their tokens, its hook deliveries; and what anyone may ask. */
export const appRoutes: readonly Route[] = [
  { method: "GET", path: "/app", access: "app", handle: getApp },
  { method: "GET", path: "/app/installations", access: "app", handle: listInstallations },
  {
    method: "GET",
    path: "/app/installations/{installation_id}",
    access: "app",
    handle: (call) => answerInstallation(call, idParameter(call, "installation_id")),
  },
  {
    method: "POST",
    path: "/app/installations/{installation_id}/access_tokens",
    access: "app",
    handle: createToken,
  },
  { method: "GET", path: "/orgs/{org}/installation", access: "app", handle: getOwnerInstallation },
  {
    method: "GET",
    path: "/repos/{owner}/{repo}/installation",
    access: "app",
    handle: getRepositoryInstallation,
  },
  { method: "GET", path: "/app/hook/config", access: "app", handle: getHookConfig },
  { method: "GET", path: "/app/hook/deliveries", access: "app", handle: listDeliveries },
  { method: "GET", path: "/app/hook/deliveries/{delivery_id}", access: "app", handle: getDelivery },
  {
    method: "POST",
    path: "/app/hook/deliveries/{delivery_id}/attempts",
    access: "app",
    handle: redeliver,
  },
  { method: "GET", path: "/installation/repositories", access: "installation", handle: listRepositories },
  {
    method: "GET",
    path: "/rate_limit",
    access: "either",
    isFreeOfPrimaryLimit: true,
    handle: getRateLimit,
  },
  { method: "GET", path: "/meta", access: "anyone", handle: getMeta },
];

function getApp(call: Call): Reply {
  return { status: 200, body: appDocument(call.context, call.context.state.app) };
}

function getHookConfig(call: Call): Reply {
  const url = call.context.webhookUrl();
  const body = {
    content_type: "json",
    insecure_ssl: "0",
    ...(url !== undefined && { url, secret: "********" }),
  };
  return { status: 200, body };
}

function listInstallations(call: Call): Reply {
  const { items, headers } = page(call, [...call.context.state.installations.values()]);
  return { status: 200, headers, body: items.map((item) => installationDocument(call.context, item)) };
}

function answerInstallation(call: Call, id: number): Reply {
  const installation = call.context.model.findInstallation(id);
  return { status: 200, body: installationDocument(call.context, installation) };
}

function getOwnerInstallation(call: Call): Reply {
  return answerInstallation(call, installationOf(call, textParameter(call, "org")).id);
}

function getRepositoryInstallation(call: Call): Reply {
  const { model } = call.context;
  const repository = model.findRepository(textParameter(call, "owner"), textParameter(call, "repo"));
  const installation = installationOf(call, repository.owner);
  if (!model.repositoriesOf(installation).includes(repository)) throw notFound();
  return answerInstallation(call, installation.id);
}

function installationOf(call: Call, owner: string): Installation {
  for (const installation of call.context.state.installations.values()) {
    if (installation.accountLogin.toLowerCase() === owner.toLowerCase()) return installation;
  }
  throw notFound();
}

function createToken(call: Call): Reply {
  const fields = bodyFields(call);
  const ids = fields.repository_ids;
  const permissions = fields.permissions;
  const token = call.context.model.createToken(call.now, idParameter(call, "installation_id"), {
    ...(fields.repositories === undefined ? {} : { repositories: requiredTexts(fields, "repositories") }),
    ...(Array.isArray(ids) ? { repositoryIds: ids.map(Number) } : {}),
    ...(isPermissions(permissions) ? { permissions } : {}),
  });
  return { status: 201, body: tokenDocument(call.context, token) };
}

function isPermissions(value: unknown): value is Readonly<Record<string, "read" | "write">> {
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every((level) => level === "read" || level === "write");
}

function listRepositories(call: Call): Reply {
  const { token, context } = call;
  const repositories = [...context.state.repositories.values()].filter(
    (repository) => token !== undefined && tokenCovers(context.state, token, repository.id),
  );
  const { items, headers } = page(call, repositories);
  const body = {
    total_count: repositories.length,
    repository_selection: token?.repositoryIds === undefined ? "all" : "selected",
    repositories: items.map((repository) => repositoryDocument(context, repository)),
  };
  return { status: 200, headers, body };
}

function listDeliveries(call: Call): Reply {
  const query = call.url.searchParams;
  const status = query.get("status");
  if (status !== null && status !== "success" && status !== "failure") {
    throw new GithubRefusal(422, "Invalid status. Use one of: success, failure.");
  }
  const cursor = query.get("cursor");
  const { deliveries, nextCursor } = call.context.model.listDeliveries(call.now, {
    perPage: pageSize(call),
    ...(status === null ? {} : { status }),
    ...(cursor === null ? {} : { cursor }),
  });
  const link =
    nextCursor === undefined ? {} : { link: `<${pageAddress(call, { cursor: nextCursor })}>; rel="next"` };
  return { status: 200, headers: link, body: deliveries.map(deliveryDocument) };
}

function getDelivery(call: Call): Reply {
  const delivery = call.context.model.findDelivery(idParameter(call, "delivery_id"));
  if (delivery.deliveredAt === undefined) throw notFound();
  const payload = webhookPayload(call.context, delivery);
  const headers = webhookHeaders(call.context, delivery, Buffer.from(JSON.stringify(payload)), "hidden");
  const { "x-hub-signature": _sha1, "x-hub-signature-256": _sha256, ...shown } = headers;
  const body = {
    ...deliveryDocument(delivery),
    url: call.context.addresses.web,
    request: { headers: shown, payload },
    response: { headers: {}, payload: delivery.status },
  };
  return { status: 200, body };
}

function redeliver(call: Call): Reply {
  call.context.model.redeliver(call.now, idParameter(call, "delivery_id"));
  return { status: 202, body: {} };
}

function getRateLimit(call: Call): Reply {
  const { state } = call.context;
  if (!state.limits.rateLimitsEnabled) throw new GithubRefusal(404, "Rate limiting is not enabled.");
  const caller = callerOf(call);
  const show = (resource: "core" | "actions_runner_registration"): Readonly<Record<string, number>> => {
    const { limit, used, resetAt } = bucketOf(state, call.now, caller, resource);
    return { limit, used, remaining: limit - used, reset: Math.ceil(resetAt / 1000) };
  };
  const untouched = (limit: number): Readonly<Record<string, number>> => ({
    limit,
    used: 0,
    remaining: limit,
    reset: Math.ceil(call.now / 1000) + 3600,
  });
  const resources = {
    core: show("core"),
    search: untouched(30),
    graphql: untouched(5000),
    integration_manifest: untouched(5000),
    actions_runner_registration: show("actions_runner_registration"),
  };
  return { status: 200, body: { resources, rate: resources.core } };
}

/** By whom requests are counted, as it stands in GitHub's refusal. */
export function callerOf(call: Pick<Call, "token" | "context">): string {
  return call.token === undefined
    ? `app ID ${call.context.state.app.id}`
    : `installation ID ${call.token.installationId}`;
}

function getMeta(call: Call): Reply {
  const body = {
    verifiable_password_authentication: false,
    hooks: ["127.0.0.0/8", "::1/128"],
    web: ["127.0.0.0/8"],
    api: ["127.0.0.0/8"],
    actions: ["127.0.0.0/8"],
    installed_version: `emulated ${timestamp(call.context.state.app.createdAt)}`,
  };
  return { status: 200, body };
}
