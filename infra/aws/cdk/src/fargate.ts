import type { CfnCondition } from "aws-cdk-lib";
import type { CfnApi } from "aws-cdk-lib/aws-apigatewayv2";
import { CfnCluster } from "aws-cdk-lib/aws-ecs";
import { CfnRule } from "aws-cdk-lib/aws-events";
import { CfnRole, CfnRolePolicy } from "aws-cdk-lib/aws-iam";
import { CfnLogGroup } from "aws-cdk-lib/aws-logs";
import type { CfnQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { allow, type Statement, trust } from "./function.ts";
import { arnHere, onlyIf } from "./place.ts";
import type { MayflyProps } from "./props.ts";
import { addTaskImages, type TaskImages } from "./task-images.ts";

/** What presets on Fargate need. */
export interface Fargate {
  readonly clusterArn: string;
  /** The role that tasks prove themselves with, and the one with which ECS starts them. */
  readonly roleArns: readonly string[];
  /** Of the functions that launch and end. */
  readonly variables: Readonly<Record<string, string>>;
  /** Of the function that tasks ask. */
  readonly claimVariables: Readonly<Record<string, string>>;
  readonly images: TaskImages;
  /** In a template: whether any of it is made. */
  readonly condition: CfnCondition | undefined;
}

/** A cluster, two roles, a log, and what builds images. None of it costs anything while nothing runs. Undefined: there are no such presets. */
export function addFargate(
  scope: Construct,
  props: MayflyProps,
  api: CfnApi,
  lifecycle: CfnQueue,
): Fargate | undefined {
  if (props.fargate === undefined) return undefined;
  const condition = props.fargate === "always" ? undefined : props.fargate;
  const { deployment } = props;
  const cluster = new CfnCluster(scope, "Cluster", {
    clusterName: deployment,
    capacityProviders: ["FARGATE", "FARGATE_SPOT"],
  });
  const log = new CfnLogGroup(scope, "TaskLogGroup", {
    logGroupName: `/mayfly/${deployment}/tasks`,
    retentionInDays: props.logRetentionDays,
  });
  const claims = allow(
    ["execute-api:Invoke"],
    arnHere(scope, "execute-api", `${api.ref}/*/POST/v1/machines/fargate/*`),
  );
  const task = taskRole(scope, "TaskRole", `${deployment}-task`, [claims]);
  const start = taskRole(scope, "TaskStartRole", `${deployment}-task-start`, [
    // AWS knows no resource for it.
    allow(["ecr:GetAuthorizationToken"], "*"),
    allow(
      ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
      arnHere(scope, "ecr", "repository/*"),
    ),
    allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.attrArn),
  ]);
  addShell(scope, props, task);
  const clusterArn = arnHere(scope, "ecs", `cluster/${deployment}`);
  const rule = new CfnRule(scope, "TaskStateRule", {
    name: taskRuleName(props),
    description: "A task of our cluster runs, is taken back, or is gone.",
    eventPattern: {
      source: ["aws.ecs"],
      "detail-type": ["ECS Task State Change"],
      detail: { clusterArn: [clusterArn] },
    },
    targets: [{ id: "lifecycle", arn: lifecycle.attrArn }],
  });
  for (const made of [cluster, log, task, start, rule]) {
    if (condition !== undefined) made.cfnOptions.condition = condition;
  }
  const variables = {
    MAYFLY_API_URL: api.attrApiEndpoint,
    MAYFLY_CLUSTER: deployment,
    MAYFLY_TASK_EXECUTION_ROLE_ARN: start.attrArn,
    MAYFLY_TASK_LOG_GROUP: log.ref,
    MAYFLY_TASK_PUBLIC_ADDRESSES: props.taskPublicAddresses,
    MAYFLY_TASK_ROLE_ARN: task.attrArn,
    MAYFLY_TASK_SECURITY_GROUPS: props.securityGroupId,
  };
  const images = addTaskImages(scope, props, lifecycle, condition);
  return {
    clusterArn,
    images: { ...images, variables: onlyIf(condition, images.variables) },
    roleArns: [task.attrArn, start.attrArn],
    variables: onlyIf(condition, variables),
    claimVariables: onlyIf(condition, { MAYFLY_TASK_ROLE_ARN: task.attrArn }),
    condition,
  };
}

export function taskRuleName({ deployment }: Pick<MayflyProps, "deployment">): string {
  return `${deployment}-task-state`;
}

/** ECS Exec is the task's own agent of SSM, so the task's role needs it, and the one that starts it does not. */
function addShell(scope: Construct, { taskShell }: MayflyProps, task: CfnRole): void {
  if (taskShell === undefined) return;
  const policy = new CfnRolePolicy(scope, "TaskShellPolicy", {
    roleName: task.ref,
    policyName: "shell",
    policyDocument: {
      Version: "2012-10-17",
      Statement: [
        allow(
          [
            ...["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"],
            ...["ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"],
          ],
          // AWS knows no resource for them.
          "*",
        ),
      ],
    },
  });
  if (taskShell !== "always") policy.cfnOptions.condition = taskShell;
}

function taskRole(scope: Construct, id: string, roleName: string, statements: readonly Statement[]): CfnRole {
  return new CfnRole(scope, id, {
    roleName,
    assumeRolePolicyDocument: trust("ecs-tasks.amazonaws.com"),
    policies: [{ policyName: "task", policyDocument: { Version: "2012-10-17", Statement: statements } }],
  });
}
