import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent } from "../../core/model.ts";

/**
 * An event of EventBridge about an EC2 instance, in our terms. Undefined: it tells nothing that changes anything.
 *
 * | detail-type                               | detail                       | means                                 |
 * |-------------------------------------------|------------------------------|---------------------------------------|
 * | EC2 Instance State-change Notification    | running                      | it is there                           |
 * | the same                                  | shutting-down, terminated    | it is gone: nothing brings it back    |
 * | the same                                  | stopping, stopped            | it is gone; the sweep terminates it   |
 * | the same                                  | pending                      | –                                     |
 * | EC2 Spot Instance Interruption Warning    |                              | it will be taken, in two minutes      |
 * | EC2 Instance Rebalance Recommendation     |                              | it may be taken soon                  |
 *
 * All of them are sent once at most and may be lost. They come for every instance of the account, also for those
 * that are none of ours. Anything else is a `MayflyError` of kind `operator`: a rule sends what it should not.
 */
export function ec2EventOf(event: unknown): LifecycleEvent | undefined {
  const { source, time, detail, "detail-type": type } = fieldsOf(event);
  const instance = fieldsOf(detail)["instance-id"];
  const at = typeof time === "string" ? Date.parse(time) : Number.NaN;
  if (source !== "aws.ec2" || typeof instance !== "string" || instance === "" || Number.isNaN(at)) {
    throw unknownEvent(source, type);
  }
  const cloud = { kind: "cloud", compute: "ec2", providerId: instance, at } as const;
  switch (type) {
    case "EC2 Spot Instance Interruption Warning":
      return { ...cloud, what: "interruption-notice", detail: "EC2 takes the spot instance back." };
    case "EC2 Instance Rebalance Recommendation":
      return { ...cloud, what: "at-risk", detail: "EC2 says that it may take the spot instance back soon." };
    case "EC2 Instance State-change Notification": {
      const state = fieldsOf(detail).state;
      if (state === "pending") return undefined;
      if (state === "running") return { ...cloud, what: "running" };
      if (typeof state !== "string" || !endStates.has(state)) throw unknownEvent(source, `${type} ${state}`);
      return { ...cloud, what: "gone", detail: `EC2 says that the instance is ${state}.` };
    }
    default:
      throw unknownEvent(source, type);
  }
}

const endStates: ReadonlySet<string> = new Set(["shutting-down", "terminated", "stopping", "stopped"]);

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function unknownEvent(source: unknown, type: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "EC2_EVENT_UNKNOWN",
    message: `An event is none that EC2 is known to send: source ${String(source)}, type ${String(type)}.`,
    suggestion: "Check the EventBridge rules that send to the lifecycle queue.",
  });
}
