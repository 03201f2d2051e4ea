import {
  type Delivery,
  type HookEvent,
  happens,
  type Job,
  type JobAction,
  type ModelState,
} from "./model-state.ts";
import { GithubRefusal, notFound } from "./refusal.ts";

/**
 * Deliveries of the App's webhook. GitHub does not repeat a failed one by itself; it remembers each one that it
 * sent, and a redelivery re-uses the GUID.
 *
 *   announce ─┬─ no installation, suspended, event not subscribed ──▶ nothing
 *             ├─ an unannounced job was queued ──▶ nothing
 *             ├─ fault: lost ──▶ nothing, not even a line in the log
 *             ├─ fault: held back ──▶ sent after the job's next delivery
 *             └─ due ──▶ effect `deliver` ──▶ recordDelivery (status code) ──▶ log
 *                  └─ fault: failed ──▶ log with 502, never sent
 */
export function announceJob(state: ModelState, now: number, action: JobAction, job: Job): void {
  const repository = state.repositories.get(job.repositoryId);
  if (repository === undefined) return;
  if (action === "queued" && state.runs.get(job.runId)?.foreign === true) return;
  for (const installation of state.installations.values()) {
    if (installation.suspendedAt !== undefined || !installation.events.includes("workflow_job")) continue;
    if (!coversRepository(state, installation.id, job.repositoryId)) continue;
    const event: HookEvent = { name: "workflow_job", action, job: { ...job } };
    planDelivery(state, now, installation.id, job.repositoryId, event);
  }
}

/** Tells that an installation itself changed. Every App hears that, whatever it subscribed to. */
export function announceInstallation(
  state: ModelState,
  now: number,
  installationId: number,
  event: HookEvent,
): void {
  planDelivery(state, now, installationId, undefined, event);
}

/** Whether the installation may see the repository. */
export function coversRepository(state: ModelState, installationId: number, repositoryId: number): boolean {
  const installation = state.installations.get(installationId);
  const repository = state.repositories.get(repositoryId);
  if (installation === undefined || repository === undefined) return false;
  if (installation.repositories !== "all") return installation.repositories.has(repositoryId);
  return installation.accountLogin.toLowerCase() === repository.owner.toLowerCase();
}

/** The delivery is sent now, unless a fault says that it never reaches the receiver. */
export function sendDelivery(state: ModelState, now: number, deliveryId: number): void {
  const delivery = state.deliveries.get(deliveryId);
  if (delivery === undefined) return;
  delivery.deliveredAt = now;
  if (!delivery.isRedelivery && happens(state.random, state.faults.deliveryFailedFraction)) {
    recordDelivery(state, deliveryId, {
      statusCode: 502,
      status: "failed to connect to host",
      durationSeconds: 0,
    });
  } else {
    state.effects.push({ kind: "deliver", deliveryId });
  }
  releaseHeldDelivery(state, now, delivery);
}

/** A delivery that was held back too long is sent although no later one came. */
export function sendHeldDelivery(state: ModelState, now: number, jobId: number, deliveryId: number): void {
  if (state.heldDeliveryIds.get(jobId) !== deliveryId) return;
  state.heldDeliveryIds.delete(jobId);
  sendDelivery(state, now, deliveryId);
}

export interface DeliveryOutcome {
  readonly statusCode: number;
  readonly status: string;
  readonly durationSeconds: number;
}

/** Writes into the log what the receiver answered. */
export function recordDelivery(state: ModelState, deliveryId: number, outcome: DeliveryOutcome): void {
  const delivery = state.deliveries.get(deliveryId);
  if (delivery === undefined) return;
  delivery.statusCode = outcome.statusCode;
  delivery.status = outcome.status;
  delivery.durationSeconds = outcome.durationSeconds;
}

/** Sends a delivery of the log again: a new entry with the old GUID. */
export function redeliver(state: ModelState, now: number, deliveryId: number): Delivery {
  forgetOldDeliveries(state, now);
  const original = state.deliveries.get(deliveryId);
  if (original === undefined || original.deliveredAt === undefined) throw notFound();
  const again = addDelivery(state, { ...original, isRedelivery: true });
  state.schedule.add(now, { kind: "delivery-due", deliveryId: again.id });
  return again;
}

export interface DeliveryQuery {
  readonly status?: "success" | "failure";
  readonly perPage: number;
  /** From an earlier page. */
  readonly cursor?: string;
}

/** The log, newest first. `nextCursor` is absent on the last page. */
export function listDeliveries(
  state: ModelState,
  now: number,
  query: DeliveryQuery,
): { readonly deliveries: readonly Delivery[]; readonly nextCursor?: string } {
  forgetOldDeliveries(state, now);
  const newest = state.identifiers.delivery - 1;
  const oldest = state.deliveries.keys().next().value ?? newest + 1;
  const from = query.cursor === undefined ? newest : Math.min(newest, cursorPosition(query.cursor) - 1);
  const found: Delivery[] = [];
  for (let id = from; id >= oldest; id--) {
    const delivery = state.deliveries.get(id);
    if (delivery?.deliveredAt === undefined || delivery.statusCode === 0) continue;
    const failed = delivery.statusCode >= 400;
    if (query.status !== undefined && failed !== (query.status === "failure")) continue;
    if (found.length === query.perPage) {
      return { deliveries: found, nextCursor: `v1_${found.at(-1)?.id}` };
    }
    found.push(delivery);
  }
  return { deliveries: found };
}

function planDelivery(
  state: ModelState,
  now: number,
  installationId: number,
  repositoryId: number | undefined,
  event: HookEvent,
): void {
  const { faults, random } = state;
  forgetOldDeliveries(state, now);
  if (happens(random, faults.deliveryLostFraction)) return;
  const delivery = addDelivery(state, { guid: createGuid(state), event, installationId, repositoryId });
  if (event.name === "workflow_job" && happens(random, faults.deliveryReorderedFraction)) {
    holdDelivery(state, now, event.job.id, delivery.id);
    return;
  }
  let at = now + state.limits.deliveryLatencySeconds * 1000;
  if (happens(random, faults.deliveryDelayedFraction)) {
    at += random.fraction() * faults.deliveryDelayMaximumSeconds * 1000;
  }
  state.schedule.add(Math.ceil(at), { kind: "delivery-due", deliveryId: delivery.id });
  if (happens(random, faults.deliveryDuplicatedFraction)) {
    const copy = addDelivery(state, { ...delivery });
    state.schedule.add(Math.ceil(at), { kind: "delivery-due", deliveryId: copy.id });
  }
}

function holdDelivery(state: ModelState, now: number, jobId: number, deliveryId: number): void {
  const earlier = state.heldDeliveryIds.get(jobId);
  state.heldDeliveryIds.set(jobId, deliveryId);
  if (earlier !== undefined) state.schedule.add(now, { kind: "delivery-due", deliveryId: earlier });
  const at = now + Math.max(1, state.faults.deliveryDelayMaximumSeconds) * 1000;
  state.schedule.add(at, { kind: "held-delivery-due", jobId, deliveryId });
}

function releaseHeldDelivery(state: ModelState, now: number, sent: Delivery): void {
  if (sent.event.name !== "workflow_job") return;
  const heldId = state.heldDeliveryIds.get(sent.event.job.id);
  if (heldId === undefined || heldId > sent.id) return;
  state.heldDeliveryIds.delete(sent.event.job.id);
  state.schedule.add(now, { kind: "delivery-due", deliveryId: heldId });
}

type NewDelivery = Pick<Delivery, "guid" | "event" | "installationId" | "repositoryId"> & Partial<Delivery>;

function addDelivery(state: ModelState, fields: NewDelivery): Delivery {
  const delivery: Delivery = {
    isRedelivery: false,
    ...fields,
    id: state.identifiers.delivery++,
    deliveredAt: undefined,
    statusCode: 0,
    status: "pending",
    durationSeconds: 0,
  };
  state.deliveries.set(delivery.id, delivery);
  return delivery;
}

function forgetOldDeliveries(state: ModelState, now: number): void {
  const oldest = now - state.limits.deliveryRetentionHours * 3_600_000;
  for (const delivery of state.deliveries.values()) {
    if (delivery.deliveredAt === undefined || delivery.deliveredAt >= oldest) return;
    state.deliveries.delete(delivery.id);
  }
}

function cursorPosition(cursor: string): number {
  const position = Number(/^v1_(\d+)$/.exec(cursor)?.[1]);
  if (!Number.isSafeInteger(position)) throw new GithubRefusal(422, "Invalid cursor");
  return position;
}

function createGuid(state: ModelState): string {
  const hex = Buffer.from(state.random.bytes(16)).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, hex.slice(16, 20), hex.slice(20)].join(
    "-",
  );
}
