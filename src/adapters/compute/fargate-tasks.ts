import type { Instant, Purchase } from "../../core/model.ts";
import type { ListedMachine } from "../../ports/compute.ts";
import type { AwsClient } from "../aws/client.ts";
import { callJson } from "../aws/json.ts";
import { type StoppedTask, wasTaskTakenBack, whyTaskStopped } from "./fargate-errors.ts";
import { type EcsTag, marksOf } from "./fargate-tags.ts";

/** A task as ECS describes it; what is not read here is left out. */
export interface EcsTask extends StoppedTask {
  readonly taskArn?: string;
  readonly lastStatus?: string;
  readonly desiredStatus?: string;
  readonly capacityProviderName?: string;
  /** Seconds since the epoch. */
  readonly createdAt?: number;
  readonly tags?: readonly EcsTag[];
}

/** ECS lists and describes a hundred at a time. */
const pageSize = 100;

/** The last part of the ARN: what its role's session is called, too. */
export function taskIdOf({ taskArn = "" }: EcsTask): string {
  return taskArn.slice(taskArn.lastIndexOf("/") + 1);
}

/** Every task of this deployment, whatever its state. Those that have stopped are listed for about an hour. */
export async function listTasks(
  client: AwsClient,
  cluster: string,
  deployment: string,
): Promise<readonly ListedMachine[]> {
  // ECS calls running what is to run, and stopped what is to stop: both lists make all tasks.
  const [running, stopped] = await Promise.all([
    listArns(client, cluster, { desiredStatus: "RUNNING" }),
    listArns(client, cluster, { desiredStatus: "STOPPED" }),
  ]);
  const tasks = await describeTasks(client, cluster, [...new Set([...running, ...stopped])]);
  return tasks.flatMap((task) => {
    const marks = marksOf(task.tags ?? []);
    const isOurs = marks.get("deployment") === deployment && marks.has("launch");
    return isOurs ? [readMachine(task, marks)] : [];
  });
}

/** What is left of one launch: tasks that run, or are about to. */
export async function listTasksOfLaunch(
  client: AwsClient,
  cluster: string,
  token: string,
): Promise<readonly EcsTask[]> {
  const filter = { startedBy: token, desiredStatus: "RUNNING" };
  return (await listArns(client, cluster, filter)).map((taskArn) => ({ taskArn }));
}

/** Those that ECS knows; a task that stopped an hour ago is not among them. */
export async function describeTasks(
  client: AwsClient,
  cluster: string,
  tasks: readonly string[],
): Promise<readonly EcsTask[]> {
  const described: EcsTask[] = [];
  for (let from = 0; from < tasks.length; from += pageSize) {
    const input = { cluster, tasks: tasks.slice(from, from + pageSize), include: ["TAGS"] };
    const call = { service: "ecs", action: "DescribeTasks", resource: `cluster ${cluster}` } as const;
    const answer = await callJson<{ readonly tasks?: readonly EcsTask[] }>(client, { ...call, input });
    described.push(...(answer.tasks ?? []));
  }
  return described;
}

async function listArns(
  client: AwsClient,
  cluster: string,
  filter: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const arns: string[] = [];
  let nextToken: string | undefined;
  do {
    const input = { cluster, ...filter, maxResults: pageSize, ...(nextToken && { nextToken }) };
    const call = { service: "ecs", action: "ListTasks", resource: `cluster ${cluster}` } as const;
    const page: ListPage = await callJson<ListPage>(client, { ...call, input });
    arns.push(...(page.taskArns ?? []));
    nextToken = page.nextToken;
  } while (nextToken);
  return arns;
}

interface ListPage {
  readonly taskArns?: readonly string[];
  readonly nextToken?: string;
}

function readMachine(task: EcsTask, marks: ReadonlyMap<string, string>): ListedMachine {
  const machineId = marks.get("machine");
  const launchToken = marks.get("launch");
  const ended = endOf(task);
  return {
    providerId: taskIdOf(task),
    fleet: marks.get("fleet") ?? "",
    preset: marks.get("preset") ?? "",
    launchedAt: createdAt(task),
    purchase: purchaseOf(task),
    ...(machineId !== undefined && { machineId }),
    ...(launchToken !== undefined && { launchToken }),
    ...(ended !== undefined && { ended }),
  };
}

function createdAt({ createdAt: seconds = 0 }: EcsTask): Instant {
  return Math.round(seconds * 1_000);
}

function purchaseOf({ capacityProviderName }: EcsTask): Purchase {
  return capacityProviderName === "FARGATE_SPOT" ? "spot" : "on-demand";
}

function endOf(task: EcsTask): ListedMachine["ended"] {
  if (task.lastStatus !== "STOPPED") return undefined;
  const detail = whyTaskStopped(task) ?? "ECS says that the task has stopped.";
  return { detail, takenBack: wasTaskTakenBack(task) };
}
