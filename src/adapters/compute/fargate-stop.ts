import type { TerminateOutcome } from "../../ports/compute.ts";
import type { Log } from "../../ports/log.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";
import { describeTasks, taskIdOf } from "./fargate-tasks.ts";

/** As ECS names tasks; those of older accounts are UUIDs. */
const taskId = /^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * Stops tasks, each by a call of its own, as ECS has none for several. A task gets SIGTERM, and two minutes later
 * SIGKILL; one that was told already is not told again.
 */
export async function stopTasks(
  client: AwsClient,
  log: Log,
  cluster: string,
  providerIds: readonly string[],
): Promise<readonly TerminateOutcome[]> {
  const real = [...new Set(providerIds)].filter((id) => taskId.test(id));
  const described = await describeTasks(client, cluster, real);
  const tasks = new Map(described.map((task) => [taskIdOf(task), task]));
  const kinds = new Map<string, TerminateOutcome["kind"]>();
  for (const id of real) {
    const task = tasks.get(id);
    if (task?.lastStatus === "STOPPED") kinds.set(id, "absent");
    else if (task?.desiredStatus === "STOPPED") kinds.set(id, "terminating");
    // One that is not described may be too young for that.
    else kinds.set(id, await stop(client, log, { cluster, id, isDescribed: task !== undefined }));
  }
  return providerIds.map((providerId) => ({ providerId, kind: kinds.get(providerId) ?? "absent" }));
}

interface TaskToStop {
  readonly cluster: string;
  readonly id: string;
  readonly isDescribed: boolean;
}

async function stop(
  client: AwsClient,
  log: Log,
  { cluster, id, isDescribed }: TaskToStop,
): Promise<TerminateOutcome["kind"]> {
  try {
    const input = { cluster, task: id, reason: "Mayfly ends this machine." };
    await callJson(client, { service: "ecs", action: "StopTask", resource: `task ${id}`, input });
    return "terminating";
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    const isDenied = error.awsCode === "AccessDeniedException";
    // Our role may stop what bears our tag, and what ECS has forgotten bears none.
    if (isUnknownTask(error) || (isDenied && !isDescribed)) return "absent";
    if (error.kind === "retry" || isDenied) throw error;
    log.warn("A task refuses to be stopped.", { stage: "scaledown", providerIds: [id], error });
    // It is listed, and tried again.
    return "terminating";
  }
}

function isUnknownTask({ awsCode, message }: AwsError): boolean {
  return awsCode === "InvalidParameterException" && /task was not found/i.test(message);
}
