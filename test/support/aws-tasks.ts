import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EcsTask } from "../../src/adapters/compute/fargate-tasks.ts";
import type { AwsDeployment } from "./aws-deployment.ts";
import { callEcs } from "./ecs-stand-in.ts";
import { killAll } from "./fake-instance.ts";
import { type FakeTask, startFakeTask } from "./fake-task.ts";

export interface Task {
  readonly id: string;
  readonly image: string;
  readonly size: string;
  readonly process: FakeTask;
  /** Fargate takes it: a notice and SIGTERM at the same time, and the end some seconds later. */
  interrupt(noticeSeconds: number): Promise<void>;
  isOver: boolean;
}

/** What moto says that runs in a cluster, run for real: each task is a process of this host with its real script. */
export interface AwsTasks {
  readonly all: ReadonlyMap<string, Task>;
  stop(): Promise<void>;
}

export interface AwsTasksOptions {
  readonly deployment: AwsDeployment;
  readonly cluster: string;
  readonly taskRoleName: string;
  readonly listener: string;
}

interface Described extends EcsTask {
  readonly taskDefinitionArn: string;
}

interface Definition {
  readonly cpu: string;
  readonly memory: string;
  readonly containerDefinitions: readonly [
    {
      readonly image: string;
      readonly command: readonly [string];
      readonly environment: readonly { readonly name: string; readonly value: string }[];
    },
  ];
}

/** Starts what is to run, stops what is to stop, and tells of both as ECS does. */
export async function startTasks(options: AwsTasksOptions): Promise<AwsTasks> {
  const { deployment, cluster } = options;
  const folder = await mkdtemp(join(tmpdir(), "mayfly-tasks-"));
  const all = new Map<string, Task>();
  let stopped = false;
  const watch = async (): Promise<void> => {
    while (!stopped) {
      const { taskArns } = await callEcs<{ taskArns: string[] }>(deployment.client, "ListTasks", { cluster });
      const input = { cluster, tasks: taskArns };
      const { tasks } =
        taskArns.length === 0
          ? { tasks: [] }
          : await callEcs<{ tasks: Described[] }>(deployment.client, "DescribeTasks", input);
      for (const task of tasks) {
        const id = idOf(task);
        const known = all.get(id);
        if (task.desiredStatus === "RUNNING" && known === undefined)
          all.set(id, await begin(options, task, folder));
        if (task.desiredStatus === "STOPPED" && known?.isOver === false)
          known.process.process.kill("SIGTERM");
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  const watching = watch();
  return {
    all,
    async stop() {
      stopped = true;
      await watching;
      for (const task of all.values()) {
        killAll(task.id);
        await task.process.close();
      }
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function begin(options: AwsTasksOptions, described: Described, folder: string): Promise<Task> {
  const { deployment, cluster, taskRoleName, listener } = options;
  const id = idOf(described);
  const definition = await definitionOf(deployment, described);
  const [container] = definition.containerDefinitions;
  const root = join(folder, id);
  await mkdir(root);
  const process = await startFakeTask({
    ...{ script: container.command[0], taskId: id, root, listener },
    ...{ runnerUser: "mayfly-runner", playsAccounts: true },
    environment: {
      ...Object.fromEntries(container.environment.map(({ name, value }) => [name, value])),
      // The functions were started before the API had an address.
      MAYFLY_URL: deployment.url,
      FAKE_INSTANCE: id,
    },
  });
  const arn = `arn:aws:sts::123456789012:assumed-role/${taskRoleName}/${id}`;
  deployment.signers.set(process.credentials.accessKeyId, { ...process.credentials, arn });
  const tell = (detail: object): Promise<void> =>
    deployment.sendEvent("lifecycle", ecsEvent({ taskArn: described.taskArn, ...detail }));
  await tell({ lastStatus: "RUNNING", desiredStatus: "RUNNING" });
  let stopCode = "EssentialContainerExited";
  const task: Task = {
    ...{ id, image: container.image, size: `${definition.cpu}/${definition.memory}`, process, isOver: false },
    async interrupt(noticeSeconds) {
      stopCode = "SpotInterruption";
      process.process.kill("SIGTERM");
      await tell({ lastStatus: "RUNNING", desiredStatus: "STOPPED", stopCode });
      await new Promise((resolve) => setTimeout(resolve, noticeSeconds * 1_000));
      killAll(id);
    },
  };
  void process.ended.then(async () => {
    task.isOver = true;
    await callEcs(deployment.client, "StopTask", { cluster, task: id, reason: "It has ended." });
    await tell({ lastStatus: "STOPPED", desiredStatus: "STOPPED", stopCode });
  });
  return task;
}

async function definitionOf({ client }: AwsDeployment, task: Described): Promise<Definition> {
  const input = { taskDefinition: task.taskDefinitionArn };
  const answer = await callEcs<{ taskDefinition: Definition }>(client, "DescribeTaskDefinition", input);
  return answer.taskDefinition;
}

function idOf({ taskArn = "" }: EcsTask): string {
  return taskArn.slice(taskArn.lastIndexOf("/") + 1);
}

/** As EventBridge sends it. */
function ecsEvent(detail: object): unknown {
  return {
    version: "0",
    "detail-type": "ECS Task State Change",
    source: "aws.ecs",
    account: "123456789012",
    time: new Date().toISOString(),
    region: "eu-west-1",
    detail: { launchType: "FARGATE", ...detail },
  };
}
