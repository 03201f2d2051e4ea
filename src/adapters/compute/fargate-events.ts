import { MayflyError } from "../../core/errors.ts";
import type { LifecycleEvent } from "../../core/model.ts";
import { wasTaskTakenBack, whyTaskStopped } from "./fargate-errors.ts";
import { type EcsTask, taskIdOf } from "./fargate-tasks.ts";

/**
 * An event of EventBridge about an ECS task, in our terms. Undefined: it tells nothing that changes anything.
 *
 * | lastStatus                       | stopCode                             | means                             |
 * |----------------------------------|--------------------------------------|-----------------------------------|
 * | RUNNING                          |                                      | it is there                       |
 * | RUNNING, …, DEPROVISIONING       | SpotInterruption, TerminationNotice  | it will be taken, in two minutes  |
 * | STOPPED                          | any                                  | it is gone: nothing brings it back |
 * | everything else                  |                                      | –                                 |
 *
 * They come at least once, perhaps more often and out of order, for every task of the account. Anything else is a
 * `MayflyError` of kind `operator`: a rule sends what it should not.
 */
export function fargateEventOf(event: unknown): LifecycleEvent | undefined {
  const { source, time, detail, "detail-type": type } = fieldsOf(event);
  const task = fieldsOf(detail) as EcsTask;
  const at = typeof time === "string" ? Date.parse(time) : Number.NaN;
  const isTask = source === "aws.ecs" && type === "ECS Task State Change" && typeof task.taskArn === "string";
  if (!isTask || Number.isNaN(at)) throw unknownEvent(source, type);
  const cloud = { kind: "cloud", compute: "fargate", providerId: taskIdOf(task), at } as const;
  if (task.lastStatus === "STOPPED") {
    const detail = whyTaskStopped(task) ?? "ECS says that the task has stopped.";
    return { ...cloud, what: "gone", detail, ...(wasTaskTakenBack(task) && { takenBack: true }) };
  }
  if (wasTaskTakenBack(task)) {
    return { ...cloud, what: "interruption-notice", detail: "Fargate takes the spot capacity back." };
  }
  const isRunning = task.lastStatus === "RUNNING" && task.desiredStatus === "RUNNING";
  return isRunning ? { ...cloud, what: "running" } : undefined;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function unknownEvent(source: unknown, type: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "FARGATE_EVENT_UNKNOWN",
    message: `An event is none that ECS is known to send: source ${String(source)}, type ${String(type)}.`,
    suggestion: "Check the EventBridge rules that send to the lifecycle queue.",
  });
}
