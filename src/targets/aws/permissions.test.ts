import { describe, expect, it } from "vitest";
import {
  type AwsPolicy,
  fargatePermissions,
  type PolicyPlace,
  permissions,
  policyOf,
} from "./permissions.ts";

const place: PolicyPlace = {
  partition: "aws",
  region: "eu-west-1",
  account: "123456789012",
  deployment: "mayfly",
  tableArn: "arn:aws:dynamodb:eu-west-1:123456789012:table/mayfly",
  queueArns: {
    scaleup: "arn:aws:sqs:eu-west-1:123456789012:mayfly-scaleup",
    scaledown: "arn:aws:sqs:eu-west-1:123456789012:mayfly-scaledown",
    lifecycle: "arn:aws:sqs:eu-west-1:123456789012:mayfly-lifecycle",
  },
  secretArns: {
    "webhook-secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mayfly/webhook-secret-a1b2c3",
    "app-private-key": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mayfly/app-private-key-a1b2c3",
    "status-token": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mayfly/status-token-a1b2c3",
  },
  machineRoleArns: ["arn:aws:iam::123456789012:role/mayfly-machine"],
  imageParameterArns: [],
  classParameterArn: "arn:aws:ssm:eu-west-1:123456789012:parameter/mayfly/classes",
};
const policies = Object.entries(permissions).map(
  ([name, granted]) => [name, policyOf(granted, place)] as const,
);

function whoMay(action: string): readonly string[] {
  const may = ({ Statement }: AwsPolicy) => Statement.some(({ Action }) => Action.includes(action));
  return policies.flatMap(([name, policy]) => (may(policy) ? [name] : []));
}

describe("the policies of the functions", () => {
  it("name every action, and every resource but for what only describes", () => {
    for (const { Action, Resource } of policies.flatMap(([, { Statement }]) => Statement)) {
      expect(Action.join()).not.toContain("*");
      if (Resource.includes("*")) {
        for (const action of Action) expect(action).toMatch(/^ec2:Describe/);
      }
    }
  });

  it("let one function launch and another one end, both only what bears the tag of the deployment", () => {
    expect(whoMay("ec2:RunInstances")).toEqual(["scaleup"]);
    expect(whoMay("iam:PassRole")).toEqual(["scaleup"]);
    expect(whoMay("ec2:TerminateInstances")).toEqual(["scaledown"]);
    const conditions = Object.fromEntries(
      policies
        .flatMap(([, { Statement }]) => Statement)
        .flatMap(({ Action, Resource, Condition }) =>
          Action.map((action) => [`${action} ${Resource}`, Condition?.StringEquals]),
        ),
    );
    const instances = "arn:aws:ec2:eu-west-1:123456789012:instance/*";
    expect(conditions).toMatchObject({
      [`ec2:RunInstances ${instances},arn:aws:ec2:eu-west-1:123456789012:volume/*`]: {
        "aws:RequestTag/mayfly:deployment": "mayfly",
      },
      [`ec2:TerminateInstances ${instances}`]: { "aws:ResourceTag/mayfly:deployment": "mayfly" },
      [`iam:PassRole ${place.machineRoleArns}`]: {
        "iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"],
      },
    });
  });

  it("let the function that anybody may call read the webhook's secret and no other", () => {
    const readable = Object.fromEntries(
      policies.map(([name, { Statement }]) => [
        name,
        Statement.filter(({ Action }) => Action.includes("secretsmanager:GetSecretValue")).flatMap(
          ({ Resource }) => Resource.map((arn) => arn.replace(/^.*mayfly\/|-a1b2c3$/g, "")),
        ),
      ]),
    );
    expect(readable).toEqual({
      webhook: ["webhook-secret"],
      scaleup: ["app-private-key"],
      claim: ["app-private-key"],
      lifecycle: [],
      rebalancer: ["app-private-key"],
      scaledown: ["app-private-key"],
      status: ["status-token"],
    });
  });

  it("leave out what there is nothing of", () => {
    expect(whoMay("ssm:GetParameters")).toEqual([]);
    // Whoever routes jobs reads their classes.
    expect(whoMay("ssm:GetParameter")).toEqual(["webhook", "lifecycle", "rebalancer"]);
  });
});

const fargatePlace: PolicyPlace = {
  ...place,
  fargate: {
    clusterArn: "arn:aws:ecs:eu-west-1:123456789012:cluster/mayfly",
    clusterName: "mayfly",
    roleArns: ["arn:aws:iam::123456789012:role/task"],
  },
};

it("E16: nothing may register, run or pass whatever it likes", () => {
  const wide = Object.values(fargatePermissions)
    .flatMap((granted) => policyOf(granted ?? [], fargatePlace).Statement)
    .filter(({ Resource, Condition }) => Resource.includes("*") && Condition === undefined);
  // ECS has no single resources for it.
  expect(wide.map(({ Action }) => Action)).toEqual([["ecs:DescribeTaskDefinition"]]);
  const statements = policyOf(fargatePermissions.scaleup ?? [], fargatePlace).Statement;
  const of = (action: string) => statements.filter(({ Action }) => Action.includes(action));
  expect(of("iam:PassRole")).toEqual([
    {
      ...{ Effect: "Allow", Action: ["iam:PassRole"], Resource: fargatePlace.fargate?.roleArns },
      Condition: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
    },
  ]);
  expect(of("ecs:RunTask")).toMatchObject([
    {
      Resource: ["arn:aws:ecs:eu-west-1:123456789012:task-definition/mayfly-mayfly-*:*"],
      Condition: { StringEquals: { "ecs:cluster": fargatePlace.fargate?.clusterArn } },
    },
  ]);
});

it("E16: only what ends machines may end tasks, and only what launches may run them", () => {
  const may = (action: string) =>
    Object.entries(fargatePermissions).flatMap(([name, granted]) =>
      granted?.some(({ actions }) => actions.includes(action)) ? [name] : [],
    );
  expect(may("ecs:StopTask")).toEqual(["scaledown"]);
  expect(may("ecs:RunTask")).toEqual(["scaleup"]);
  expect(JSON.stringify(permissions)).not.toContain("ecs:");
});
