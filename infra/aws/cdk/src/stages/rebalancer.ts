import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addAlarm } from "../alarms.ts";
import { addFunction, addSchedule, allow } from "../function.ts";
import { arnHere, type Place } from "../place.ts";

/** Finds what nobody told of. While it is silent, what gets lost stays lost: that is an alarm of its own. */
export function addRebalancer(place: Place): CfnFunction {
  const { scope, props, table, queues } = place;
  const target = addFunction(place, {
    name: "rebalancer",
    does: "Finds demand and events that nobody told of, and writes the metrics",
    environment: {
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_APP_PRIVATE_KEY_SECRET_ID: props.secrets.appPrivateKey,
      MAYFLY_METRICS_NAMESPACE: metricsNamespace(place),
    },
    permissions: [
      allow(["secretsmanager:GetSecretValue"], props.secrets.appPrivateKey),
      allow(["ssm:GetParameter"], arnHere(scope, "ssm", `parameter/${props.deployment}/classes`)),
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["dynamodb:Query"], `${table.attrArn}/index/active`),
      allow(["dynamodb:Query"], `${table.attrArn}/index/ended`),
      allow(["dynamodb:BatchWriteItem"], table.attrArn),
      allow(["sqs:SendMessage"], queues.scaleup.attrArn),
      allow(["sqs:SendMessage"], queues.scaledown.attrArn),
    ],
    ...(props.reservedConcurrency && { reservedConcurrency: props.reservedConcurrency.rebalancer }),
  });
  addSchedule(place, "rebalancer", target);
  addAlarm(scope, props, {
    name: "rebalancer-silent",
    says: "The function rebalancer was not called for five minutes: what gets lost is not found.",
    metric: ["AWS/Lambda", "Invocations", { FunctionName: `${props.deployment}-rebalancer` }],
    statistic: "Sum",
    below: 1,
    minutes: 5,
    whenMissing: true,
  });
  addAlarm(scope, props, {
    name: "jobs-given-up",
    says: "A job was given up: `mayfly why` says for what reason.",
    metric: [metricsNamespace(place), "JobsEnded", { Outcome: "given-up" }],
    statistic: "Sum",
    above: 0,
    minutes: 5,
  });
  addAlarm(scope, props, {
    name: "launches-misconfigured",
    says: "EC2 refuses launches for what is configured: `mayfly status` has its sentence.",
    metric: [metricsNamespace(place), "LaunchRefusals", { Class: "configuration" }],
    statistic: "Sum",
    above: 0,
    minutes: 5,
  });
  return target;
}

export function metricsNamespace({ props }: Pick<Place, "props">): string {
  return `Mayfly/${props.deployment}`;
}
