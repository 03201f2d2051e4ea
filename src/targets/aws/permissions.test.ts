import { expect, test } from "vitest";
import { fargatePermissions, type PolicyPlace, permissions, policyOf } from "./permissions.ts";

const place: PolicyPlace = {
  ...{ partition: "aws", region: "eu-west-1", account: "123456789012", deployment: "mayfly" },
  tableArn: "table",
  queueArns: { scaleup: "q1", scaledown: "q2", lifecycle: "q3" },
  secretArns: { "app-private-key": "s1", "webhook-secret": "s2", "status-token": "s3" },
  machineRoleArns: ["arn:aws:iam::123456789012:role/machine"],
  imageParameterArns: [],
  fargate: {
    clusterArn: "arn:aws:ecs:eu-west-1:123456789012:cluster/mayfly",
    clusterName: "mayfly",
    roleArns: ["arn:aws:iam::123456789012:role/task"],
  },
};

test("B12, 16: nothing may register, run or pass whatever it likes", () => {
  const wide = Object.values(fargatePermissions)
    .flatMap((granted) => policyOf(granted ?? [], place).Statement)
    .filter(({ Resource, Condition }) => Resource.includes("*") && Condition === undefined);
  // ECS has no single resources for it.
  expect(wide.map(({ Action }) => Action)).toEqual([["ecs:DescribeTaskDefinition"]]);
  const statements = policyOf(fargatePermissions.scaleup ?? [], place).Statement;
  const of = (action: string) => statements.filter(({ Action }) => Action.includes(action));
  expect(of("iam:PassRole")).toEqual([
    {
      ...{ Effect: "Allow", Action: ["iam:PassRole"], Resource: place.fargate?.roleArns },
      Condition: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
    },
  ]);
  expect(of("ecs:RunTask")).toMatchObject([
    {
      Resource: ["arn:aws:ecs:eu-west-1:123456789012:task-definition/mayfly-mayfly-*:*"],
      Condition: { StringEquals: { "ecs:cluster": place.fargate?.clusterArn } },
    },
  ]);
});

test("B12, 16: only what ends machines may end tasks, and only what launches may run them", () => {
  const may = (action: string) =>
    Object.entries(fargatePermissions).flatMap(([name, granted]) =>
      granted?.some(({ actions }) => actions.includes(action)) ? [name] : [],
    );
  expect(may("ecs:StopTask")).toEqual(["scaledown"]);
  expect(may("ecs:RunTask")).toEqual(["scaleup"]);
  expect(JSON.stringify(permissions)).not.toContain("ecs:");
});
