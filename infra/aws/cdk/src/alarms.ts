import { CfnAlarm } from "aws-cdk-lib/aws-cloudwatch";
import type { Construct } from "constructs";
import { logicalId } from "./place.ts";
import type { MayflyProps } from "./props.ts";

export interface AlarmSpec {
  /** Behind the deployment's name. */
  readonly name: string;
  /** What has happened, and where to look. */
  readonly says: string;
  readonly metric: readonly [namespace: string, name: string, dimensions: Readonly<Record<string, string>>];
  readonly statistic: "Sum" | "Maximum";
  /** One of the two. */
  readonly above?: number;
  readonly below?: number;
  /** Of one period. */
  readonly minutes: number;
  /** So many periods in a row. Default 1. */
  readonly periods?: number;
  /** Whether it is an alarm when nothing is measured. */
  readonly whenMissing?: true;
}

export function addAlarm(scope: Construct, props: MayflyProps, spec: AlarmSpec): void {
  const [namespace, metricName, dimensions] = spec.metric;
  new CfnAlarm(scope, logicalId(spec.name, "Alarm"), {
    alarmName: `${props.deployment}-${spec.name}`,
    alarmDescription: spec.says,
    namespace,
    metricName,
    dimensions: Object.entries(dimensions).map(([name, value]) => ({ name, value })),
    statistic: spec.statistic,
    period: spec.minutes * 60,
    evaluationPeriods: spec.periods ?? 1,
    threshold: spec.above ?? spec.below ?? 0,
    comparisonOperator: spec.above === undefined ? "LessThanThreshold" : "GreaterThanThreshold",
    treatMissingData: spec.whenMissing ? "breaching" : "notBreaching",
    alarmActions: props.alarmActions as string[],
    okActions: props.alarmActions as string[],
  });
}
