import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addRoutes } from "../api.ts";
import { addFunction, allow } from "../function.ts";
import type { Place } from "../place.ts";

/** Only who signs with the role of the machines gets as far as this function. */
export function addClaim(place: Place): CfnFunction {
  const { props, table, queues, machineRoleArn } = place;
  const target = addFunction(place, {
    name: "claim",
    does: "A machine asks what it is for, and reports what it does",
    environment: {
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_LIFECYCLE_QUEUE_URL: queues.lifecycle.ref,
      MAYFLY_APP_PRIVATE_KEY_SECRET_ID: props.secrets.appPrivateKey,
      MAYFLY_MACHINE_ROLE_ARN: machineRoleArn,
      ...place.fargate?.claimVariables,
    },
    permissions: [
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["dynamodb:Query"], `${table.attrArn}/index/provider`),
      allow(["secretsmanager:GetSecretValue"], props.secrets.appPrivateKey),
      allow(["sqs:SendMessage"], queues.lifecycle.attrArn),
      allow(["sqs:SendMessage"], queues.scaledown.attrArn),
    ],
  });
  addRoutes(place, "claim", target);
  return target;
}
