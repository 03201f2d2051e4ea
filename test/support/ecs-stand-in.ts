import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { callJson } from "../../src/adapters/aws/json.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import type { TaskShape } from "../../src/adapters/compute/fargate-plan.ts";
import { callEc2 } from "./ec2-stand-in.ts";

export function callEcs<Answer>(
  client: AwsClient,
  action: string,
  input: Readonly<Record<string, unknown>>,
): Promise<Answer> {
  return callJson<Answer>(client, { service: "ecs", action, resource: "the stand-in", input });
}

/** moto moves a task on with every description of it; ECS does not. */
export async function keepTasksRunning(moto: string): Promise<void> {
  const transition = { progression: "manual", times: 1_000_000_000 };
  const body = JSON.stringify({ model_name: "ecs::task", transition });
  await fetch(`${moto}/moto-api/state-manager/set-transition`, { method: "POST", body });
}

/** Makes what the infrastructure makes, in a cluster of its own. */
export async function prepareEcs(client: AwsClient, deployment: string): Promise<TaskShape> {
  await callEcs(client, "CreateCluster", { clusterName: deployment });
  const subnets = itemsAt(await callEc2(client, "DescribeSubnets", {}), "subnetSet");
  const groups = itemsAt(await callEc2(client, "DescribeSecurityGroups", {}), "securityGroupInfo");
  return {
    deployment,
    cluster: deployment,
    region: "eu-west-1",
    subnets: subnets.map((subnet) => textAt(subnet, "subnetId") ?? ""),
    securityGroups: [textAt(groups[0] ?? {}, "groupId") ?? ""],
    publicAddresses: true,
    taskRoleArn: "arn:aws:iam::123456789012:role/mayfly-task",
    executionRoleArn: "arn:aws:iam::123456789012:role/mayfly-execution",
    logGroup: "/mayfly/tasks",
    script: "exit 0",
    environment: {},
  };
}

/** The project that builds images. moto (5.2.1) wants a place of its source, of which there is none. */
export async function createImageProject(client: AwsClient, name: string): Promise<void> {
  await callJson(client, {
    service: "codebuild",
    action: "CreateProject",
    resource: "the stand-in",
    input: {
      name,
      source: { type: "NO_SOURCE", location: "none" },
      artifacts: { type: "NO_ARTIFACTS" },
      environment: {
        type: "LINUX_CONTAINER",
        image: "aws/codebuild/amazonlinux-x86_64-standard:5.0",
        computeType: "BUILD_GENERAL1_SMALL",
        privilegedMode: true,
      },
      serviceRole: "arn:aws:iam::123456789012:role/service-role/images",
    },
  });
}

/** The builds of a project, by id. */
export async function buildsOf(client: AwsClient, projectName: string): Promise<readonly string[]> {
  const call = { service: "codebuild", action: "ListBuildsForProject", resource: "the stand-in" } as const;
  return (await callJson<{ ids: string[] }>(client, { ...call, input: { projectName } })).ids;
}
