import type { AwsPresetName } from "./aws-config-text.ts";

/** How it is deployed. */
export type AwsWay = "cloudformation" | "terraform" | "cdk";
export const awsWays: readonly AwsWay[] = ["cloudformation", "terraform", "cdk"];

/** Where machines run. Undefined: what AWS has as the default of the region, which a command looks up. */
export type AwsNetwork =
  | { readonly vpcId: string; readonly subnets: Readonly<Record<string, string>> }
  | "new"
  | undefined;

export interface AwsPlan {
  readonly region: string;
  readonly way: AwsWay;
  readonly network: AwsNetwork;
  readonly presets: readonly AwsPresetName[];
  /** Undefined: the account could not be read. */
  readonly account?: string;
  readonly configFile: string;
  /** What is there already, and needs no command. */
  readonly secretsThere: readonly string[];
  readonly rolesThere: readonly string[];
}

/** One step, with what it is for. Several lines are several commands. */
export interface NextCommand {
  readonly what: string;
  readonly command: string;
}

const secretFiles: Readonly<Record<string, string>> = {
  "webhook-secret": "secrets/webhook-secret",
  "app-private-key": "secrets/app.private-key.pem",
  "status-token": "secrets/status-token",
};

/** All that is left to be done, for a shell in a checkout of Mayfly, in its order. */
export function nextCommands(plan: AwsPlan): readonly NextCommand[] {
  const { region, configFile, way } = plan;
  const secrets = way === "cdk" ? [] : secretCommands(plan, "create-secret --name");
  const config = configFile === "mayfly.yaml" ? "" : ` --config ${configFile}`;
  return [
    { what: "the region, for all that follows", command: `export AWS_REGION=${region}` },
    ...step("the App's secrets, where the functions read them", secrets),
    ...step("roles of AWS, once for each account; where one exists, AWS says so", roleCommands(plan)),
    {
      what: "the functions, with this configuration in them",
      command: `mayfly aws package${config} --out build`,
    },
    ...deployCommands[way](plan),
    { what: "what is missing still, and how to cure it", command: `mayfly doctor${config}` },
  ];
}

function step(what: string, commands: readonly string[]): readonly NextCommand[] {
  return commands.length === 0 ? [] : [{ what, command: commands.join("\n") }];
}

function secretCommands({ secretsThere }: AwsPlan, action: string): readonly string[] {
  return Object.entries(secretFiles)
    .filter(([name]) => !secretsThere.includes(name))
    .map(([name, file]) => `aws secretsmanager ${action} mayfly/${name} --secret-string file://${file}`);
}

/** The roles that the presets need, as `mayfly doctor` looks for them; fleets of type `instant` need none of EC2 Fleet. */
export function rolesOf(presets: readonly AwsPresetName[]): Readonly<Record<string, string>> {
  return {
    ...(presets.some((name) => name !== "fargate") && {
      AWSServiceRoleForEC2Spot: "spot.amazonaws.com",
    }),
    ...(presets.includes("fargate") && { AWSServiceRoleForECS: "ecs.amazonaws.com" }),
  };
}

function roleCommands({ presets, rolesThere }: AwsPlan): readonly string[] {
  return Object.entries(rolesOf(presets))
    .filter(([role]) => !rolesThere.includes(role))
    .map(([, service]) => `aws iam create-service-linked-role --aws-service-name ${service}`);
}

const deployCommands: Readonly<Record<AwsWay, (plan: AwsPlan) => readonly NextCommand[]>> = {
  cloudformation: (plan) => {
    const { region, account, presets } = plan;
    const id = account ?? "$(aws sts get-caller-identity --query Account --output text)";
    const { vpcId, subnets } = chosenNetwork(plan);
    const lookUp =
      vpcId === undefined ? step("the default VPC, and a subnet for each zone", defaultNetwork) : [];
    const fargate = presets.includes("fargate") ? " Fargate=yes" : "";
    return [
      {
        what: "the bucket for the functions, once; its name, too, is for all that follows",
        command: `BUCKET=mayfly-${id}-${region}\naws s3 mb s3://$BUCKET`,
      },
      {
        what: "another prefix for each package, or Lambda sees no change",
        command: "aws s3 cp --recursive build s3://$BUCKET/mayfly/1",
      },
      ...lookUp,
      {
        what: "the stack",
        command: [
          "secret() { aws secretsmanager describe-secret --secret-id mayfly/$1 --query ARN --output text; }",
          "aws cloudformation deploy --stack-name mayfly --s3-bucket $BUCKET --capabilities CAPABILITY_NAMED_IAM \\",
          "  --template-file infra/aws/cloudformation/template.yaml \\",
          `  --parameter-overrides CodeBucket=$BUCKET CodePrefix=mayfly/1${fargate} \\`,
          `    VpcId=${vpcId ?? "$VPC"} ${subnets === undefined ? '"Subnets=$SUBNETS"' : `'Subnets=${subnets}'`} \\`,
          "    WebhookSecretArn=$(secret webhook-secret) PrivateKeySecretArn=$(secret app-private-key) \\",
          "    StatusTokenSecretArn=$(secret status-token)",
        ].join("\n"),
      },
      {
        what: "where GitHub sends deliveries: into the App's settings, Webhook URL",
        command:
          "aws cloudformation describe-stacks --stack-name mayfly --output text \\\n" +
          "  --query \"Stacks[0].Outputs[?OutputKey=='WebhookUrl'].OutputValue\"",
      },
    ];
  },
  terraform: (plan) => {
    const { vpcId, subnets } = chosenNetwork(plan);
    const network = vpcId === undefined ? "" : ` \\\n  -var vpc_id=${vpcId} -var 'subnets=${subnets}'`;
    const fargate = plan.presets.includes("fargate") ? " -var fargate=true" : "";
    return [
      {
        what: "the example keeps its state in its folder: copy it, and choose a backend, for more than a trial",
        command:
          "terraform -chdir=infra/aws/terraform/example init\n" +
          `terraform -chdir=infra/aws/terraform/example apply -var region=${plan.region} -var package_folder="$PWD/build"${fargate}${network}`,
      },
      {
        what: "where GitHub sends deliveries: into the App's settings, Webhook URL",
        command: "terraform -chdir=infra/aws/terraform/example output -raw webhook_url",
      },
    ];
  },
  cdk: (plan) => {
    const { vpcId, subnets } = chosenNetwork(plan);
    const network = vpcId === undefined ? "" : ` --context vpcId=${vpcId} --context 'subnets=${subnets}'`;
    const fargate = plan.presets.includes("fargate") ? " --context fargate=true" : "";
    const deploy = (stack: string): string =>
      `(cd infra/aws/cdk && npx cdk deploy ${stack}${network}${fargate})`;
    return [
      {
        what: "once for each account and region",
        command: "(cd infra/aws/cdk && npm ci && npx cdk bootstrap)",
      },
      { what: "network and secrets", command: deploy("MayflyFoundation") },
      {
        what: "what the App has, into the secrets that this made",
        command: secretCommands({ ...plan, secretsThere: [] }, "put-secret-value --secret-id").join("\n"),
      },
      {
        what: "all else; its output WebhookUrl goes into the App's settings, Webhook URL",
        command: deploy("Mayfly"),
      },
    ];
  },
};

function chosenNetwork({ network }: AwsPlan): { readonly vpcId?: string; readonly subnets?: string } {
  if (network === undefined || network === "new") return {};
  return { vpcId: network.vpcId, subnets: JSON.stringify(network.subnets) };
}

const defaultNetwork = [
  "VPC=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)",
  "SUBNETS=$(aws ec2 describe-subnets --filters Name=default-for-az,Values=true |",
  "  jq -c '[.Subnets[] | { (.AvailabilityZone): .SubnetId }] | add')",
];
