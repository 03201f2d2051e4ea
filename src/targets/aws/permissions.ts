import type { SecretName } from "../../ports/secrets.ts";
import type { FunctionName, QueueName } from "./functions.ts";

/*
 * What each function may do on AWS, as data, and the IAM policy of it. The infrastructure gives each function a role with
 * this policy and nothing else; `test/aws/permissions.test.ts` runs each function under it, and under it without each of
 * its lines.
 */

/** What a permission is about. The infrastructure knows the addresses. */
export type AwsResource =
  | "table"
  | `index/${"active" | "ended" | "provider"}`
  | `queue/${QueueName}`
  | `secret/${SecretName}`
  | "event-bus"
  | "image-parameters"
  | "class-parameter"
  /** What a launch uses: images, subnets and the like. */
  | "launch-parts"
  | "launch-templates"
  /** What a launch makes: instances and their volumes. */
  | "machines"
  | "instances"
  | "machine-roles"
  | "task-definitions"
  | "tasks"
  | "task-roles"
  | "image-project"
  | "image-repository"
  | "image-log"
  /** Of EC2 Image Builder: pipelines, the images that they make, and the logs of that. */
  | "image-pipelines"
  | "pipeline-images"
  | "pipeline-logs"
  /** AWS knows no single resources for what only describes. */
  | "everything";

export interface AwsPermission {
  /** As IAM calls them. */
  readonly actions: readonly string[];
  readonly on: AwsResource;
  readonly only?: AwsCondition;
}

/** Under which condition; `conditions` says what it is for IAM. */
type AwsCondition =
  | "bears-our-tag"
  | "gets-our-tag"
  | "tagged-by-its-launch"
  | "passed-to-ec2"
  | "in-our-cluster"
  | "tagged-as-it-is-made"
  | "passed-to-tasks";

const readLedger: AwsPermission = { actions: ["dynamodb:GetItem", "dynamodb:Query"], on: "table" };
/** A transaction is allowed by what it writes. Which writes a commit has depends on what happened. */
const writeLedger: AwsPermission = {
  actions: ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
  on: "table",
};
const clearHistory: AwsPermission = { actions: ["dynamodb:BatchWriteItem"], on: "table" };
const activeFleets: AwsPermission = { actions: ["dynamodb:Query"], on: "index/active" };
const history: AwsPermission = { actions: ["dynamodb:Query"], on: "index/ended" };
const machinesByProvider: AwsPermission = { actions: ["dynamodb:Query"], on: "index/provider" };

function send(queue: QueueName): AwsPermission {
  return { actions: ["sqs:SendMessage"], on: `queue/${queue}` };
}

/** Lambda receives and deletes in the name of the function; the function gives back what failed. */
function workOn(queue: QueueName): readonly AwsPermission[] {
  const on = `queue/${queue}` as const;
  return [
    { actions: ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], on },
    { actions: ["sqs:ChangeMessageVisibility"], on },
  ];
}

function readSecret(name: SecretName): AwsPermission {
  return { actions: ["secretsmanager:GetSecretValue"], on: `secret/${name}` };
}

/** What changes in the ledger is published, where there is a bus for it. */
const publish: AwsPermission = { actions: ["events:PutEvents"], on: "event-bus" };

/** The classes of jobs, where the configuration says that they are there. */
const readClasses: AwsPermission = { actions: ["ssm:GetParameter"], on: "class-parameter" };

/** CreateFleet of type `instant` launches, tags and passes the role in the name of its caller. */
const launch: readonly AwsPermission[] = [
  { actions: ["ec2:CreateFleet", "ec2:RunInstances"], on: "launch-parts" },
  { actions: ["ec2:CreateFleet", "ec2:RunInstances"], on: "launch-templates", only: "bears-our-tag" },
  { actions: ["ec2:CreateFleet", "ec2:RunInstances"], on: "machines", only: "gets-our-tag" },
  { actions: ["ec2:CreateTags"], on: "machines", only: "tagged-by-its-launch" },
  { actions: ["iam:PassRole"], on: "machine-roles", only: "passed-to-ec2" },
  // The second is EC2's, in the name of the caller, where a launch template has `resolve:ssm:…` for its image.
  { actions: ["ssm:GetParameter", "ssm:GetParameters"], on: "image-parameters" },
  { actions: ["ec2:DescribeLaunchTemplateVersions"], on: "everything" },
  { actions: ["ec2:DescribeImages"], on: "everything" },
  // What became of a launch whose answer was lost.
  { actions: ["ec2:DescribeFleets"], on: "everything" },
  { actions: ["ec2:DescribeInstances"], on: "everything" },
  { actions: ["ec2:DescribeSpotPriceHistory"], on: "everything" },
];

/** Beside these, a function writes its log. */
export const permissions: Readonly<Record<FunctionName, readonly AwsPermission[]>> = {
  webhook: [
    readSecret("webhook-secret"),
    readClasses,
    readLedger,
    writeLedger,
    publish,
    send("scaleup"),
    send("lifecycle"),
  ],
  scaleup: [
    ...workOn("scaleup"),
    readLedger,
    writeLedger,
    publish,
    machinesByProvider,
    // What all fleets spend is read where the day has a budget.
    activeFleets,
    ...launch,
    // For the check run of a job that is given up.
    readSecret("app-private-key"),
    send("scaleup"),
    send("scaledown"),
  ],
  claim: [
    readLedger,
    writeLedger,
    publish,
    machinesByProvider,
    readSecret("app-private-key"),
    send("lifecycle"),
    send("scaledown"),
  ],
  lifecycle: [
    ...workOn("lifecycle"),
    readClasses,
    readLedger,
    writeLedger,
    publish,
    machinesByProvider,
    activeFleets,
    send("scaleup"),
    send("scaledown"),
  ],
  rebalancer: [
    readSecret("app-private-key"),
    readClasses,
    readLedger,
    writeLedger,
    publish,
    activeFleets,
    history,
    clearHistory,
    send("scaleup"),
    send("scaledown"),
  ],
  scaledown: [
    ...workOn("scaledown"),
    readLedger,
    writeLedger,
    publish,
    activeFleets,
    machinesByProvider,
    readSecret("app-private-key"),
    { actions: ["ec2:DescribeInstances"], on: "everything" },
    { actions: ["ec2:TerminateInstances"], on: "instances", only: "bears-our-tag" },
    send("scaleup"),
    send("scaledown"),
  ],
  status: [
    readSecret("status-token"),
    readLedger,
    activeFleets,
    history,
    // Where an operator ends a machine.
    writeLedger,
    publish,
    send("scaleup"),
    send("scaledown"),
  ],
};

/** What is added where a preset is on Fargate. */
export const fargatePermissions: Readonly<Partial<Record<FunctionName, readonly AwsPermission[]>>> = {
  scaleup: [
    { actions: ["ecs:DescribeTaskDefinition"], on: "everything" },
    { actions: ["ecs:RegisterTaskDefinition"], on: "task-definitions", only: "gets-our-tag" },
    { actions: ["ecs:RunTask"], on: "task-definitions", only: "in-our-cluster" },
    { actions: ["ecs:TagResource"], on: "task-definitions", only: "tagged-as-it-is-made" },
    { actions: ["ecs:TagResource"], on: "tasks", only: "tagged-as-it-is-made" },
    { actions: ["iam:PassRole"], on: "task-roles", only: "passed-to-tasks" },
    // What became of a launch whose answer was lost.
    { actions: ["ecs:ListTasks"], on: "everything", only: "in-our-cluster" },
    { actions: ["codebuild:StartBuild", "codebuild:BatchGetBuilds"], on: "image-project" },
    // Why a build failed.
    { actions: ["logs:GetLogEvents"], on: "image-log" },
  ],
  status: [
    { actions: ["codebuild:BatchGetBuilds"], on: "image-project" },
    { actions: ["logs:GetLogEvents"], on: "image-log" },
    // What a scan on push found.
    { actions: ["ecr:DescribeImageScanFindings"], on: "image-repository" },
  ],
  scaledown: [
    { actions: ["ecs:ListTasks"], on: "everything", only: "in-our-cluster" },
    { actions: ["ecs:DescribeTasks"], on: "tasks" },
    { actions: ["ecs:StopTask"], on: "tasks", only: "bears-our-tag" },
  ],
};

/** What is added where EC2 Image Builder makes images. */
export const pipelinePermissions: Readonly<Partial<Record<FunctionName, readonly AwsPermission[]>>> = {
  scaleup: [
    // The second is Image Builder's, in the name of the caller, as it begins.
    {
      actions: ["imagebuilder:StartImagePipelineExecution", "imagebuilder:GetImagePipeline"],
      on: "image-pipelines",
    },
    { actions: ["imagebuilder:GetImage"], on: "pipeline-images" },
    // Why a build failed.
    { actions: ["logs:GetLogEvents"], on: "pipeline-logs" },
  ],
  status: [{ actions: ["logs:GetLogEvents"], on: "pipeline-logs" }],
};

/** Where a deployment is. ARNs may be references of a template, such as `${Table.Arn}`. */
export interface PolicyPlace {
  /** For example `aws`. */
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** The value of `MAYFLY_DEPLOYMENT`, by which machines are tagged. */
  readonly deployment: string;
  readonly tableArn: string;
  readonly queueArns: Readonly<Record<QueueName, string>>;
  readonly secretArns: Readonly<Record<SecretName, string>>;
  /** The roles of the launch templates' instance profiles. */
  readonly machineRoleArns: readonly string[];
  /** Absent where no preset is on Fargate. */
  readonly fargate?: {
    /** `arn:…:cluster/<name>` */
    readonly clusterArn: string;
    readonly clusterName: string;
    /** The role that tasks prove themselves with, and the one with which ECS starts them. */
    readonly roleArns: readonly string[];
    /** The project that builds images, and its log group; absent where images are not built. */
    readonly imageProjectArn?: string;
    readonly imageLogArn?: string;
    /** Where built images are pushed to. */
    readonly imageRepositoryArn?: string;
  };
  /** Parameters that an image may be named by (`ssm:…`). Empty: none, and the permission is left out. */
  readonly imageParameterArns: readonly string[];
  /** Where events are published; absent where none are. */
  readonly eventBusArn?: string;
  /** `arn:…:parameter/<deployment>/classes` */
  readonly classParameterArn: string;
}

export interface PolicyStatement {
  readonly Effect: "Allow";
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: { readonly StringEquals: Readonly<Record<string, string | readonly string[]>> };
}

export interface AwsPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly PolicyStatement[];
}

/** The policy that these permissions are, one statement for each. */
export function policyOf(granted: readonly AwsPermission[], place: PolicyPlace): AwsPolicy {
  const statements = granted.map(({ actions, on, only }): PolicyStatement => {
    const statement = { Effect: "Allow", Action: actions, Resource: arnsOf(on, place) } as const;
    return only === undefined
      ? statement
      : { ...statement, Condition: { StringEquals: conditions(place)[only] } };
  });
  return { Version: "2012-10-17", Statement: statements.filter(({ Resource }) => Resource.length > 0) };
}

/** What launches are made of, as IAM names its kinds. */
const launchParts = [
  ...["fleet", "image", "key-pair", "network-interface", "placement-group", "security-group"],
  ...["snapshot", "spot-instances-request", "subnet"],
];

function arnsOf(resource: AwsResource, place: PolicyPlace): readonly string[] {
  const { partition, region, account } = place;
  const ec2 = (owner: string, kinds: readonly string[]): readonly string[] =>
    kinds.map((kind) => `arn:${partition}:ec2:${region}:${owner}:${kind}/*`);
  switch (resource) {
    case "table":
      return [place.tableArn];
    case "image-parameters":
      return place.imageParameterArns;
    case "event-bus":
      return place.eventBusArn === undefined ? [] : [place.eventBusArn];
    case "class-parameter":
      return [place.classParameterArn];
    case "launch-parts":
      // Images and snapshots have no account, or that of whoever shares them.
      return ec2("*", launchParts);
    case "launch-templates":
      return ec2(account, ["launch-template"]);
    case "machines":
      return ec2(account, ["instance", "volume"]);
    case "instances":
      return ec2(account, ["instance"]);
    case "machine-roles":
      return place.machineRoleArns;
    case "task-definitions":
      return [`arn:${partition}:ecs:${region}:${account}:task-definition/mayfly-${place.deployment}-*:*`];
    case "tasks":
      return place.fargate === undefined
        ? []
        : [`arn:${partition}:ecs:${region}:${account}:task/${place.fargate.clusterName}/*`];
    case "task-roles":
      return place.fargate?.roleArns ?? [];
    case "image-project":
      return place.fargate?.imageProjectArn === undefined ? [] : [place.fargate.imageProjectArn];
    case "image-repository":
      return place.fargate?.imageRepositoryArn === undefined ? [] : [place.fargate.imageRepositoryArn];
    case "image-log":
      return place.fargate?.imageLogArn === undefined ? [] : [place.fargate.imageLogArn];
    case "image-pipelines":
      return [
        `arn:${partition}:imagebuilder:${region}:${account}:image-pipeline/${place.deployment}-image-*`,
      ];
    case "pipeline-images":
      return [`arn:${partition}:imagebuilder:${region}:${account}:image/${place.deployment}-image-*/*`];
    case "pipeline-logs":
      return [
        `arn:${partition}:logs:${region}:${account}:log-group:/aws/imagebuilder/${place.deployment}-image-*:*`,
      ];
    case "everything":
      return ["*"];
    default: {
      const [kind = "", name = ""] = resource.split("/");
      if (kind === "index") return [`${place.tableArn}/index/${name}`];
      if (kind === "queue") return [place.queueArns[name as QueueName]];
      return [place.secretArns[name as SecretName]];
    }
  }
}

function conditions({
  deployment,
  fargate,
}: PolicyPlace): Readonly<Record<AwsCondition, Readonly<Record<string, string | readonly string[]>>>> {
  return {
    "bears-our-tag": { "aws:ResourceTag/mayfly:deployment": deployment },
    "gets-our-tag": { "aws:RequestTag/mayfly:deployment": deployment },
    "tagged-by-its-launch": { "ec2:CreateAction": ["CreateFleet", "RunInstances"] },
    // The second in China.
    "in-our-cluster": { "ecs:cluster": fargate?.clusterArn ?? "none" },
    "tagged-as-it-is-made": { "ecs:CreateAction": ["RegisterTaskDefinition", "RunTask"] },
    "passed-to-tasks": { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
    "passed-to-ec2": { "iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"] },
  };
}
