import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addRoutes } from "../api.ts";
import { addFunction, allow } from "../function.ts";
import { arnHere, type Place } from "../place.ts";

/** Anybody may call this function, so it reads no secret but the one with which GitHub signs. */
export function addWebhook(place: Place): CfnFunction {
  const { scope, props, table, queues } = place;
  const target = addFunction(place, {
    name: "webhook",
    does: "GitHub's deliveries become entries of the ledger and messages",
    environment: {
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_LIFECYCLE_QUEUE_URL: queues.lifecycle.ref,
      MAYFLY_WEBHOOK_SECRET_ID: props.secrets.webhookSecret,
    },
    permissions: [
      allow(["secretsmanager:GetSecretValue"], props.secrets.webhookSecret),
      allow(["ssm:GetParameter"], arnHere(scope, "ssm", `parameter/${props.deployment}/classes`)),
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["sqs:SendMessage"], queues.scaleup.attrArn),
      allow(["sqs:SendMessage"], queues.lifecycle.attrArn),
    ],
    ...(props.reservedConcurrency && { reservedConcurrency: props.reservedConcurrency.webhook }),
  });
  addRoutes(place, "webhook", target);
  return target;
}
