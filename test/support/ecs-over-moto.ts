import type { Reply } from "./aws-fault-proxy.ts";

/*
 * What moto (5.2.1) gets wrong of ECS, put right for requests and answers that pass through the fault proxy:
 *
 * - RunTask knows launch types only: a capacity provider strategy fails. Here it becomes the launch type FARGATE, and
 *   the provider is in the answers, as with ECS.
 * - Tasks have no `createdAt`.
 * - Every description of a task moves it on towards its end. The stand-in is told not to (`keepTasksRunning`).
 * - StopTask of an unknown task is an internal error, and that of a running one stops it within the call.
 * - A family that does not exist is another refusal than with ECS.
 *
 * What stays: `clientToken` is the fault proxy's; no capacity is ever missing; no events; ListTasks has one page only;
 * capacity providers of a cluster are not looked at; task definitions are hardly checked.
 */

interface Task {
  readonly taskArn: string;
  readonly lastStatus: string;
}

interface Known {
  readonly capacityProviderName: string;
  readonly createdAt: number;
}

export interface EcsOverMoto {
  asMoto(action: string, body: string): string;
  asEcs(action: string, body: string, reply: Reply): Reply;
}

export function createEcsOverMoto(): EcsOverMoto {
  const known = new Map<string, Known>();
  const described = (task: Task): Task => ({ ...task, ...known.get(task.taskArn) });
  return {
    asMoto(action, body) {
      if (action !== "RunTask") return body;
      const { capacityProviderStrategy: _, ...rest } = JSON.parse(body);
      return JSON.stringify({ ...rest, launchType: "FARGATE" });
    },
    asEcs(action, body, reply) {
      if (action === "StopTask" && reply.status >= 500) {
        return refusal(reply, "InvalidParameterException", "The referenced task was not found.");
      }
      if (action === "DescribeTaskDefinition" && reply.status !== 200) {
        return refusal(reply, "ClientException", "Unable to describe task definition.");
      }
      if (reply.status !== 200) return reply;
      const answer = JSON.parse(reply.body);
      if (action === "RunTask") {
        const [strategy] = JSON.parse(body).capacityProviderStrategy;
        for (const { taskArn } of answer.tasks as readonly Task[]) {
          known.set(taskArn, {
            capacityProviderName: strategy.capacityProvider,
            createdAt: Date.now() / 1_000,
          });
        }
      }
      if (action !== "RunTask" && action !== "DescribeTasks") return reply;
      return { ...reply, body: JSON.stringify({ ...answer, tasks: answer.tasks.map(described) }) };
    },
  };
}

function refusal({ contentType }: Reply, code: string, message: string): Reply {
  return { status: 400, contentType, body: JSON.stringify({ __type: code, message }) };
}
