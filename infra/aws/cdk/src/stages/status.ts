import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addRoutes } from "../api.ts";
import { addFunction, allow } from "../function.ts";
import type { Place } from "../place.ts";

/** Anybody may call it; it answers who has the status token. */
export function addStatus(place: Place): CfnFunction {
  const { props, table, queues, fargate } = place;
  const target = addFunction(place, {
    name: "status",
    does: "What runs, why a job waits, what it cost",
    environment: {
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_STATUS_TOKEN_SECRET_ID: props.secrets.statusToken,
      ...fargate?.images.variables,
      ...place.machineImages?.variables,
    },
    permissions: [
      allow(["secretsmanager:GetSecretValue"], props.secrets.statusToken),
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:Query"], `${table.attrArn}/index/active`),
      allow(["dynamodb:Query"], `${table.attrArn}/index/ended`),
      // Where an operator ends a machine.
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["sqs:SendMessage"], queues.scaleup.attrArn),
      allow(["sqs:SendMessage"], queues.scaledown.attrArn),
    ],
    onFargate: [
      allow(["codebuild:BatchGetBuilds"], fargate?.images.projectArn ?? []),
      allow(["logs:GetLogEvents"], fargate?.images.logArn ?? []),
      allow(["ecr:DescribeImageScanFindings"], fargate?.images.repositoryArn ?? []),
    ],
    withPipelines: place.machineImages?.permissions.status ?? [],
  });
  addRoutes(place, "status", target);
  return target;
}
