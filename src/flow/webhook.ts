import { newJob } from "../core/lifecycle.ts";
import { fullName, type JobEvent, type Policy } from "../core/model.ts";
import { admit, refusedFleet, routeJob } from "../core/route.ts";
import { judgeDelivery, type RawDelivery } from "../core/webhook.ts";
import type { Ports as AllPorts } from "../ports/ports.ts";
import { applyJobEvent } from "./lifecycle.ts";
import { poke } from "./pokes.ts";

type Ports = Pick<AllPorts, "secrets" | "clock" | "log" | "lifecycle" | "store" | "work">;

export interface DeliveryAnswer {
  readonly status: number;
  /** One sentence. */
  readonly text: string;
}

/**
 * Stage **webhook**: verify, record, poke, answer. What was answered with 202 and accepted is durable; everything
 * else happens later. Nothing is recorded of a delivery that was refused.
 */
export async function receiveDelivery(
  ports: Ports,
  policy: Policy,
  delivery: RawDelivery,
): Promise<DeliveryAnswer> {
  const secrets = await ports.secrets.read("webhook-secret");
  const verdict = judgeDelivery(delivery, secrets, ports.clock.now());
  if (verdict.kind !== "accepted") {
    if (verdict.kind === "refused") {
      ports.log.warn("A delivery was refused.", {
        stage: "webhook",
        status: verdict.status,
        because: verdict.because,
      });
    }
    return { status: verdict.status, text: verdict.because };
  }
  return receiveJobEvent(ports, policy, verdict.event);
}

/** What GitHub says of a job, once it is certain that GitHub says it. */
export async function receiveJobEvent(
  ports: Omit<Ports, "secrets">,
  policy: Policy,
  event: JobEvent,
): Promise<DeliveryAnswer> {
  if (event.action === "in_progress" || event.action === "completed") {
    await ports.lifecycle.send({ kind: "job", job: event });
    return { status: 202, text: "Recorded." };
  }
  return { status: 202, text: await recordDemand(ports, policy, event) };
}

/**
 * A job that GitHub says is queued or waiting, from whatever source: a delivery, the sweep, a saved file. All of
 * them end here, so merging sources costs nothing. Returns a sentence that says what became of it.
 */
export async function recordDemand(
  ports: Omit<Ports, "secrets" | "lifecycle">,
  policy: Policy,
  event: JobEvent,
): Promise<string> {
  const log = ports.log.with({ stage: "webhook", job: event.id, repository: fullName(event.repository) });
  const route = routeJob(event.labels, policy);
  if (route.kind === "ignored") return `Ignored: ${route.detail}`;

  const refusal = route.kind === "refused" ? route : refusalOf(event, policy);
  if (refusal !== undefined) {
    const outcome = { kind: "refused", because: refusal.because, detail: refusal.detail } as const;
    const added = await ports.store.addJob(refusedFleet, newJob(event, refusedFleet.id, outcome));
    if (added === "added")
      log.info("A job was refused.", { because: refusal.because, detail: refusal.detail });
    return `Refused: ${refusal.detail}`;
  }
  if (route.kind !== "routed") return "Ignored.";

  const job = newJob(event, route.record.id);
  const added = await ports.store.addJob(route.record, job);
  if (added === "exists") {
    await applyJobEvent(ports, policy, event);
    // The poke of the first time may have been lost with the process that recorded the job.
    const known = await ports.store.findJob(event.id);
    if (known?.state === "queued") await poke(ports, "scaleup", known.fleet);
    return "Known already.";
  }
  if (job.state === "queued") await poke(ports, "scaleup", job.fleet);
  log.info("A job was accepted.", { fleet: job.fleet, state: job.state });
  return "Accepted.";
}

function refusalOf(event: JobEvent, policy: Policy): ReturnType<typeof admit> {
  if (event.installationId === 0) {
    return {
      because: "no-installation",
      detail:
        "The delivery names no installation: it came from a repository's own webhook, not from the App.",
    };
  }
  return admit(event.repository, policy);
}
