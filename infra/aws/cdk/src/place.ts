import { Aws, type CfnCondition, Fn, Stack } from "aws-cdk-lib";
import type { CfnApi } from "aws-cdk-lib/aws-apigatewayv2";
import type { CfnTable } from "aws-cdk-lib/aws-dynamodb";
import type { CfnQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import type { QueueName } from "../../../../src/targets/aws/functions.ts";
import type { Fargate } from "./fargate.ts";
import type { MachineImages } from "./machine-images.ts";
import type { MayflyProps } from "./props.ts";

/** What the stages share. */
export interface Place {
  readonly scope: Construct;
  readonly props: MayflyProps;
  readonly table: CfnTable;
  readonly queues: Readonly<Record<QueueName, CfnQueue>>;
  readonly api: CfnApi;
  readonly machineRoleArn: string;
  readonly fargate: Fargate | undefined;
  readonly machineImages: MachineImages | undefined;
}

/** An ARN in this account and region, or in the region alone. */
export function arnHere(scope: Construct, service: string, resource: string, owner = "account"): string {
  const { partition, region, account } = Stack.of(scope);
  const whose = owner === "account" ? account : owner;
  return `arn:${partition}:${service}:${region}:${whose}:${resource}`;
}

/** `MachineRole` of `machine role`. */
export function logicalId(...words: readonly string[]): string {
  return words
    .flatMap((word) => word.split(/[^A-Za-z0-9]+/))
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
}

/** The variables, where the condition holds. */
export function onlyIf(
  condition: CfnCondition | undefined,
  variables: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (condition === undefined) return variables;
  const conditional = (value: string): string =>
    Fn.conditionIf(condition.logicalId, value, Aws.NO_VALUE).toString();
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, conditional(value)]));
}
