import { join } from "node:path";
import { Stack, type StackProps } from "aws-cdk-lib";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import type { Construct } from "constructs";
import type { ImagePipeline } from "../../../../src/targets/aws/image-pipelines.ts";
import type { MachineTemplate } from "../../../../src/targets/aws/machine-templates.ts";
import type { FoundationStack } from "./foundation-stack.ts";
import { Mayfly } from "./mayfly.ts";
import { addOutputs } from "./outputs.ts";
import type { MayflyProps } from "./props.ts";

export interface MayflyStackProps extends StackProps, Partial<Choices> {
  readonly deployment: string;
  /** What `mayfly aws package --out` wrote. */
  readonly package: {
    readonly folder: string;
    readonly machines: readonly MachineTemplate[];
    readonly pipelines?: readonly ImagePipeline[];
  };
  readonly foundation: FoundationStack;
}

type Choices = Pick<
  MayflyProps,
  | "images"
  | "rootDeviceName"
  | "machineTags"
  | "fargate"
  | "taskShell"
  | "taskPublicAddresses"
  | "eventBus"
  | "logRetentionDays"
  | "deletionProtection"
  | "alarmActions"
  | "reservedConcurrency"
>;

const amazonLinux = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default";

/** What changes with every version: all but network and secrets. */
export class MayflyStack extends Stack {
  constructor(scope: Construct, id: string, props: MayflyStackProps) {
    super(scope, id, { ...props, description: "Mayfly: a machine of its own for every GitHub Actions job" });
    const { foundation, deployment } = props;
    const mayfly = new Mayfly(this, "Default", {
      deployment,
      code: (name) => {
        const asset = new Asset(this, `${name}.zip`, { path: join(props.package.folder, `${name}.zip`) });
        return { bucket: asset.s3BucketName, key: asset.s3ObjectKey };
      },
      machines: props.package.machines,
      pipelines: props.package.pipelines ?? [],
      secrets: foundation.secrets,
      subnets: foundation.subnets,
      securityGroupId: foundation.securityGroupId,
      images: props.images ?? { x86_64: `${amazonLinux}-x86_64`, arm64: `${amazonLinux}-arm64` },
      rootDeviceName: props.rootDeviceName ?? "/dev/xvda",
      machineTags: props.machineTags ?? "{}",
      fargate: props.fargate,
      taskShell: props.taskShell,
      taskPublicAddresses: props.taskPublicAddresses ?? "yes",
      eventBus: props.eventBus,
      logRetentionDays: props.logRetentionDays ?? 30,
      deletionProtection: props.deletionProtection ?? true,
      alarmActions: props.alarmActions ?? [],
      reservedConcurrency: props.reservedConcurrency,
    });
    addOutputs(this, mayfly, foundation.securityGroupId);
  }
}
