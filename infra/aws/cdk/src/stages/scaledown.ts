import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addFunction, addQueueTrigger, addSchedule, allow } from "../function.ts";
import { arnHere, type Place } from "../place.ts";

/** The only function that terminates, and only what bears our tag. */
export function addScaledown(place: Place): CfnFunction {
  const { scope, props, table, queues } = place;
  const target = addFunction(place, {
    name: "scaledown",
    does: "Ends machines that are not needed, and compares what exists with the ledger",
    environment: {
      MAYFLY_DEPLOYMENT: props.deployment,
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_APP_PRIVATE_KEY_SECRET_ID: props.secrets.appPrivateKey,
      MAYFLY_SUBNETS: props.subnets,
      MAYFLY_TAGS: props.machineTags,
      ...place.fargate?.variables,
    },
    permissions: [
      allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queues.scaledown.attrArn),
      allow(["sqs:ChangeMessageVisibility"], queues.scaledown.attrArn),
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["dynamodb:Query"], `${table.attrArn}/index/active`),
      allow(["dynamodb:Query"], `${table.attrArn}/index/provider`),
      allow(["secretsmanager:GetSecretValue"], props.secrets.appPrivateKey),
      allow(["ec2:DescribeInstances"], "*"),
      allow(["ec2:TerminateInstances"], arnHere(scope, "ec2", "instance/*"), {
        "aws:ResourceTag/mayfly:deployment": props.deployment,
      }),
      allow(["sqs:SendMessage"], queues.scaleup.attrArn),
      allow(["sqs:SendMessage"], queues.scaledown.attrArn),
    ],
    onFargate: [
      allow(["ecs:ListTasks"], "*", { "ecs:cluster": place.fargate?.clusterArn }),
      allow(["ecs:DescribeTasks"], arnHere(scope, "ecs", `task/${props.deployment}/*`)),
      allow(["ecs:StopTask"], arnHere(scope, "ecs", `task/${props.deployment}/*`), {
        "aws:ResourceTag/mayfly:deployment": props.deployment,
      }),
    ],
  });
  addSchedule(place, "scaledown", target);
  addQueueTrigger(place, "scaledown", target);
  return target;
}
