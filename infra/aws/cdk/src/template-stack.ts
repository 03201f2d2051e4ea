import { Aws, CfnCondition, Fn, Stack, type StackProps, Token, Validations } from "aws-cdk-lib";
import type { Construct } from "constructs";
import type { ImagePipeline } from "../../../../src/targets/aws/image-pipelines.ts";
import type { MachineTemplate } from "../../../../src/targets/aws/machine-templates.ts";
import { addSecurityGroup } from "./machines.ts";
import { Mayfly } from "./mayfly.ts";
import { addOutputs } from "./outputs.ts";
import { addParameters } from "./parameters.ts";

/** The same Mayfly with parameters in the place of what the CDK's user writes: the CloudFormation template. */
export class TemplateStack extends Stack {
  constructor(
    scope: Construct,
    id: string,
    props: StackProps & { machines: readonly MachineTemplate[]; pipelines: readonly ImagePipeline[] },
  ) {
    super(scope, id, { ...props, description: "Mayfly: a machine of its own for every GitHub Actions job" });
    const given = addParameters(this);
    const text = (name: keyof typeof given): string => given[name].valueAsString;
    const condition = (name: string, parameter: keyof typeof given, value: string): string => {
      const expression = Fn.conditionEquals(given[parameter], value);
      return new CfnCondition(this, name, { expression }).logicalId;
    };
    const isSilent = condition("IsSilent", "AlarmTopicArn", "none");
    const reserves = condition("ReservesConcurrency", "ReserveConcurrency", "yes");
    const keepsTable = condition("KeepsTable", "DeletionProtection", "yes");
    const reserved = (count: number): number => Token.asNumber(Fn.conditionIf(reserves, count, Aws.NO_VALUE));
    const deployment = text("Deployment");
    const securityGroup = addSecurityGroup(this, {
      deployment,
      vpcId: text("VpcId"),
      egressCidrs: [text("EgressCidr")],
      egressIpv6Cidrs: [text("EgressIpv6Cidr")],
    });
    const mayfly = new Mayfly(this, "Default", {
      deployment,
      code: (name) => ({ bucket: text("CodeBucket"), key: `${text("CodePrefix")}/${name}.zip` }),
      machines: props.machines,
      pipelines: props.pipelines,
      secrets: {
        webhookSecret: text("WebhookSecretArn"),
        appPrivateKey: text("PrivateKeySecretArn"),
        statusToken: text("StatusTokenSecretArn"),
      },
      subnets: text("Subnets"),
      securityGroupId: securityGroup.attrGroupId,
      images: { x86_64: text("DefaultAMI"), arm64: text("DefaultArmAMI") },
      rootDeviceName: text("RootDeviceName"),
      machineTags: text("Tags"),
      fargate: new CfnCondition(this, "OnFargate", { expression: Fn.conditionEquals(given.Fargate, "yes") }),
      taskShell: new CfnCondition(this, "OnFargateWithShell", {
        expression: Fn.conditionAnd(
          Fn.conditionEquals(given.Fargate, "yes"),
          Fn.conditionEquals(given.FargateShell, "yes"),
        ),
      }),
      taskPublicAddresses: text("FargatePublicAddresses"),
      eventBus: {
        arn: text("EventBusArn"),
        condition: new CfnCondition(this, "Publishes", {
          expression: Fn.conditionNot(Fn.conditionEquals(given.EventBusArn, "none")),
        }),
      },
      logRetentionDays: given.LogRetentionDays.valueAsNumber,
      deletionProtection: Fn.conditionIf(keepsTable, true, false),
      alarmActions: Fn.conditionIf(isSilent, Aws.NO_VALUE, [text("AlarmTopicArn")]),
      reservedConcurrency: { webhook: reserved(20), rebalancer: reserved(1) },
    });
    addOutputs(this, mayfly, securityGroup.attrGroupId);
    acceptFindings(this);
  }
}

/** What the checks of templates find, and is meant. */
function acceptFindings(stack: Stack): void {
  const imageByParameter =
    "resolve:ssm:… is no image's id: each launch takes the image that is the newest then";
  const accepted = {
    "CloudFormation-Validate::W1030": imageByParameter,
    "CloudFormation-Validate::W2506": imageByParameter,
    "CloudFormation-Validate::W2509": "the parameters are ARNs of secrets, not secrets",
  };
  for (const [id, reason] of Object.entries(accepted)) Validations.of(stack).acknowledge({ id, reason });
  stack.addMetadata("cfn-lint", { config: { ignore_checks: ["W2506"] } });
}
