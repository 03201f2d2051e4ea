import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addFunction, addQueueTrigger, allow } from "../function.ts";
import { arnHere, type Place } from "../place.ts";

/** Changes states, and calls neither GitHub nor EC2. */
export function addLifecycle(place: Place): CfnFunction {
  const { scope, props, table, queues } = place;
  const target = addFunction(place, {
    name: "lifecycle",
    does: "What GitHub, EC2 and the machines say happened changes the ledger",
    environment: {
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_LIFECYCLE_QUEUE_URL: queues.lifecycle.ref,
    },
    permissions: [
      allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queues.lifecycle.attrArn),
      allow(["sqs:ChangeMessageVisibility"], queues.lifecycle.attrArn),
      allow(["ssm:GetParameter"], arnHere(scope, "ssm", `parameter/${props.deployment}/classes`)),
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["dynamodb:Query"], `${table.attrArn}/index/provider`),
      allow(["dynamodb:Query"], `${table.attrArn}/index/active`),
      allow(["sqs:SendMessage"], queues.scaleup.attrArn),
      allow(["sqs:SendMessage"], queues.scaledown.attrArn),
    ],
  });
  addQueueTrigger(place, "lifecycle", target);
  return target;
}
