import { CfnParameter, type CfnParameterProps } from "aws-cdk-lib";
import type { Construct } from "constructs";

/*
 * What a user of the template says. Everything else is in mayfly.yaml, which is in the zips: one place for each thing.
 */
const parameters = {
  Deployment: {
    type: "String",
    default: "mayfly",
    allowedPattern: "^[a-z][a-z0-9-]{1,29}$",
    constraintDescription: "2 to 30 lower-case letters, digits and dashes, a letter first",
    description:
      "What everything is called by, and machines are tagged with. Each deployment of an account needs its own, in other regions too.",
  },
  CodeBucket: {
    type: "String",
    description: "The bucket, in this region, with the zips of `mayfly aws package`.",
  },
  CodePrefix: {
    type: "String",
    allowedPattern: "^[^/].*[^/]$",
    description:
      "The folder of the zips in the bucket, without a slash at its ends; a new one for each package, or Lambda sees no change. For example mayfly/0.1.0.",
  },
  WebhookSecretArn: {
    type: "String",
    allowedPattern: "^arn:aws[a-z-]*:secretsmanager:.+$",
    description: "The secret of Secrets Manager with which GitHub signs deliveries.",
  },
  PrivateKeySecretArn: {
    type: "String",
    allowedPattern: "^arn:aws[a-z-]*:secretsmanager:.+$",
    description: "The secret of Secrets Manager with the private key of the GitHub App.",
  },
  StatusTokenSecretArn: {
    type: "String",
    allowedPattern: "^arn:aws[a-z-]*:secretsmanager:.+$",
    description: "The secret of Secrets Manager with the token for the status.",
  },
  VpcId: { type: "AWS::EC2::VPC::Id", description: "The VPC of the machines." },
  Subnets: {
    type: "String",
    allowedPattern: '^\\{("[a-z0-9-]+":"subnet-[0-9a-f]+",?)+\\}$',
    constraintDescription: 'JSON without spaces: {"eu-west-1a":"subnet-0abc","eu-west-1b":"subnet-0def"}',
    description:
      'One subnet for each availability zone, with a way to GitHub: {"eu-west-1a":"subnet-0abc","eu-west-1b":"subnet-0def"}.',
  },
  DefaultAMI: {
    type: "String",
    default: "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    description: "The image of x86_64 presets that name none: an id, or resolve:ssm: and a parameter.",
  },
  DefaultArmAMI: {
    type: "String",
    default: "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
    description: "The image of arm64 presets that name none.",
  },
  RootDeviceName: {
    type: "String",
    default: "/dev/xvda",
    allowedPattern: "^/dev/[a-z0-9]+$",
    description: "The device of those images' root volume: /dev/xvda of Amazon Linux, /dev/sda1 of Ubuntu.",
  },
  EgressCidr: {
    type: "String",
    default: "0.0.0.0/0",
    description: "Where machines may connect to. They need GitHub and the API.",
  },
  EgressIpv6Cidr: { type: "String", default: "::/0", description: "The same for IPv6." },
  Tags: {
    type: "String",
    default: "{}",
    allowedPattern: "^\\{.*\\}$",
    description: "JSON: tags of instances and volumes, for example for the allocation of costs.",
  },
  Fargate: {
    type: "String",
    default: "no",
    allowedValues: ["yes", "no"],
    description:
      "Whether what presets on Fargate need is made: a cluster, roles and a log, and what builds their images.",
  },
  FargateShell: {
    type: "String",
    default: "no",
    allowedValues: ["yes", "no"],
    description: "Whether the role of tasks allows ECS Exec, for presets with fargate.shell.",
  },
  FargatePublicAddresses: {
    type: "String",
    default: "yes",
    allowedValues: ["yes", "no"],
    description:
      "Whether tasks get public addresses. no where the subnets reach GitHub by a NAT; otherwise nothing can be pulled.",
  },
  EventBusArn: {
    type: "String",
    default: "none",
    allowedPattern: "^(none|arn:.+)$",
    description:
      "The bus of EventBridge on which jobs and machines are published as they change. none: they are not.",
  },
  LogRetentionDays: {
    type: "Number",
    default: 30,
    description:
      "How many days logs are kept, as CloudWatch knows them: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365.",
  },
  AlarmTopicArn: {
    type: "String",
    default: "none",
    allowedPattern: "^(none|arn:.+)$",
    description: "The topic of SNS that hears of alarms. none: they are seen in CloudWatch only.",
  },
  DeletionProtection: {
    type: "String",
    default: "yes",
    allowedValues: ["yes", "no"],
    description: "Whether the table refuses to be deleted. Set it to no before you tear down.",
  },
  ReserveConcurrency: {
    type: "String",
    default: "no",
    allowedValues: ["yes", "no"],
    description:
      "Whether executions are set apart for webhook (20) and rebalancer (1). An account needs a limit of more than 121 for it.",
  },
} satisfies Readonly<Record<string, CfnParameterProps>>;

export type Parameters = Readonly<Record<keyof typeof parameters, CfnParameter>>;

export function addParameters(scope: Construct): Parameters {
  const made = Object.entries(parameters).map(([name, props]) => [
    name,
    new CfnParameter(scope, name, props),
  ]);
  return Object.fromEntries(made) as Parameters;
}
