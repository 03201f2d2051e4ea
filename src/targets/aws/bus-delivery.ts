import type { RawDelivery } from "../../core/webhook.ts";
import type { DeliveryAnswer } from "../../flow/webhook.ts";
import type { Log } from "../../ports/log.ts";

/** What is used of an event of EventBridge. */
export interface BusEvent {
  readonly "detail-type": string;
  readonly id?: string;
  readonly source?: string;
  /** `{ headers, body }` of a delivery: docs/reference/events.md. */
  readonly detail?: unknown;
}

export function isBusEvent(event: object): event is BusEvent {
  return "detail-type" in event;
}

/**
 * A delivery that came over a bus goes where every other goes, with the headers and the bytes that GitHub has signed. One
 * that is refused is not sent again by anybody, so that it ends here, with a line in the log. Rejects where it was not
 * recorded, so that Lambda calls again.
 */
export async function receiveBusDelivery(
  { id, source, detail }: BusEvent,
  {
    receive,
    log,
  }: { readonly receive: (delivery: RawDelivery) => Promise<DeliveryAnswer>; readonly log: Log },
): Promise<void> {
  const from = { stage: "webhook", event: id ?? "", source: source ?? "" };
  const delivery = deliveryIn(detail);
  if (delivery === undefined) {
    const because = "Its detail has no headers and no body as the text that GitHub has signed.";
    log.warn("An event of the bus is no delivery.", { ...from, because });
    return;
  }
  const { status, text } = await receive(delivery);
  log.info("A delivery came over the bus.", { ...from, status, answer: text });
}

function deliveryIn(detail: unknown): RawDelivery | undefined {
  if (typeof detail !== "object" || detail === null) return undefined;
  const { headers, body, isBase64Encoded } = detail as Readonly<Record<string, unknown>>;
  if (typeof body !== "string" || typeof headers !== "object" || headers === null) return undefined;
  const texts = Object.entries(headers).filter((entry): entry is [string, string] => {
    return typeof entry[1] === "string";
  });
  return {
    headers: Object.fromEntries(texts.map(([name, value]) => [name.toLowerCase(), value])),
    body: Buffer.from(body, isBase64Encoded === true ? "base64" : "utf8"),
  };
}
