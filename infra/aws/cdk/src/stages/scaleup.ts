import type { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { addFunction, addQueueTrigger, allow, type Statement } from "../function.ts";
import { arnHere, type Place } from "../place.ts";

/** The only function that launches: from templates that bear our tag, and nothing that does not get it. */
export function addScaleup(place: Place): CfnFunction {
  const { scope, props, table, queues, machineRoleArn } = place;
  const target = addFunction(place, {
    name: "scaleup",
    does: "Looks at a fleet and launches the machines that it misses",
    environment: {
      MAYFLY_DEPLOYMENT: props.deployment,
      MAYFLY_TABLE: table.ref,
      MAYFLY_SCALEUP_QUEUE_URL: queues.scaleup.ref,
      MAYFLY_SCALEDOWN_QUEUE_URL: queues.scaledown.ref,
      MAYFLY_APP_PRIVATE_KEY_SECRET_ID: props.secrets.appPrivateKey,
      MAYFLY_SUBNETS: props.subnets,
      MAYFLY_TAGS: props.machineTags,
      ...place.fargate?.variables,
      ...place.fargate?.images.variables,
      ...place.machineImages?.variables,
    },
    permissions: [
      allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queues.scaleup.attrArn),
      allow(["sqs:ChangeMessageVisibility"], queues.scaleup.attrArn),
      allow(["dynamodb:GetItem", "dynamodb:Query"], table.attrArn),
      allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], table.attrArn),
      allow(["dynamodb:Query"], `${table.attrArn}/index/provider`),
      allow(["dynamodb:Query"], `${table.attrArn}/index/active`),
      allow(["ec2:CreateFleet", "ec2:RunInstances"], ofLaunches(place)),
      allow(["ec2:CreateFleet", "ec2:RunInstances"], arnHere(scope, "ec2", "launch-template/*"), {
        "aws:ResourceTag/mayfly:deployment": props.deployment,
      }),
      allow(["ec2:CreateFleet", "ec2:RunInstances"], madeByLaunches(place), {
        "aws:RequestTag/mayfly:deployment": props.deployment,
      }),
      allow(["ec2:CreateTags"], madeByLaunches(place), {
        "ec2:CreateAction": ["CreateFleet", "RunInstances"],
      }),
      allow(["iam:PassRole"], machineRoleArn, {
        "iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"],
      }),
      allow(
        ["ssm:GetParameter", "ssm:GetParameters"],
        [
          // AWS's own, such as those of its images, and those that are named after the deployment.
          arnHere(scope, "ssm", "parameter/aws/service/*", ""),
          arnHere(scope, "ssm", `parameter/${props.deployment}/*`),
        ],
      ),
      allow(["ec2:DescribeLaunchTemplateVersions"], "*"),
      allow(["ec2:DescribeImages"], "*"),
      allow(["ec2:DescribeFleets"], "*"),
      allow(["ec2:DescribeInstances"], "*"),
      allow(["ec2:DescribeSpotPriceHistory"], "*"),
      allow(["secretsmanager:GetSecretValue"], props.secrets.appPrivateKey),
      allow(["sqs:SendMessage"], queues.scaleup.attrArn),
      allow(["sqs:SendMessage"], queues.scaledown.attrArn),
    ],
    onFargate: onFargate(place),
    withPipelines: place.machineImages?.permissions.scaleup ?? [],
  });
  addQueueTrigger(place, "scaleup", target);
  return target;
}

function onFargate({ scope, props, fargate }: Place): readonly Statement[] {
  const definitions = arnHere(scope, "ecs", `task-definition/mayfly-${props.deployment}-*:*`);
  const tasks = arnHere(scope, "ecs", `task/${props.deployment}/*`);
  const inOurCluster = { "ecs:cluster": fargate?.clusterArn };
  const asItIsMade = { "ecs:CreateAction": ["RegisterTaskDefinition", "RunTask"] };
  return [
    allow(["ecs:DescribeTaskDefinition"], "*"),
    allow(["ecs:RegisterTaskDefinition"], definitions, {
      "aws:RequestTag/mayfly:deployment": props.deployment,
    }),
    allow(["ecs:RunTask"], definitions, inOurCluster),
    allow(["ecs:TagResource"], definitions, asItIsMade),
    allow(["ecs:TagResource"], tasks, asItIsMade),
    allow(["iam:PassRole"], fargate?.roleArns ?? [], { "iam:PassedToService": "ecs-tasks.amazonaws.com" }),
    allow(["ecs:ListTasks"], "*", inOurCluster),
    allow(["codebuild:StartBuild", "codebuild:BatchGetBuilds"], fargate?.images.projectArn ?? []),
    allow(["logs:GetLogEvents"], fargate?.images.logArn ?? []),
  ];
}

/** What a launch uses. Images and snapshots have no account, or that of whoever shares them. */
function ofLaunches({ scope }: Place): readonly string[] {
  const kinds = [
    ...["fleet", "image", "key-pair", "network-interface", "placement-group", "security-group"],
    ...["snapshot", "spot-instances-request", "subnet"],
  ];
  return kinds.map((kind) => arnHere(scope, "ec2", `${kind}/*`, "*"));
}

function madeByLaunches({ scope }: Place): readonly string[] {
  return ["instance", "volume"].map((kind) => arnHere(scope, "ec2", `${kind}/*`));
}
