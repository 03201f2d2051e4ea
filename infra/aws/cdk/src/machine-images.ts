import { Fn, Stack } from "aws-cdk-lib";
import { CfnRule } from "aws-cdk-lib/aws-events";
import { CfnInstanceProfile, CfnRole } from "aws-cdk-lib/aws-iam";
import {
  CfnComponent,
  CfnDistributionConfiguration,
  CfnImagePipeline,
  CfnImageRecipe,
  CfnInfrastructureConfiguration,
} from "aws-cdk-lib/aws-imagebuilder";
import type { CfnQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { beforePipelines, pipelineName } from "../../../../src/adapters/images/image-builder-names.ts";
import type { ImagePipeline } from "../../../../src/targets/aws/image-pipelines.ts";
import { allow, type Statement, trust } from "./function.ts";
import { arnHere, logicalId } from "./place.ts";
import type { MayflyProps } from "./props.ts";

/** What presets whose images EC2 Image Builder makes need. */
export interface MachineImages {
  readonly pipelines: readonly CfnImagePipeline[];
  /** Of the functions that begin builds and tell of them. */
  readonly variables: Readonly<Record<string, string>>;
  readonly permissions: Readonly<Record<"scaleup" | "status", readonly Statement[]>>;
}

/**
 * A pipeline for each image, and who builds: a machine that nothing reaches and that may do nothing but what Image Builder
 * asks of it. No schedule: the function scaleup begins builds, each week and with each new runner, while jobs want the
 * image. Undefined: no preset has a pipeline.
 */
export function addMachineImages(
  scope: Construct,
  props: MayflyProps,
  lifecycle: CfnQueue,
): MachineImages | undefined {
  if (props.pipelines.length === 0) return undefined;
  const ours = beforePipelines(props.deployment);
  const profile = addBuilder(scope, props);
  const pipelines = props.pipelines.map((pipeline) => addPipeline(scope, props, profile, pipeline));
  const images = arnHere(scope, "imagebuilder", `image/${ours}*/*`);
  new CfnRule(scope, "MachineImageRule", {
    name: machineImageRuleName(props),
    description: "A build of a machine's image has ended.",
    eventPattern: {
      source: ["aws.imagebuilder"],
      "detail-type": ["EC2 Image Builder Image State Change"],
      resources: [{ prefix: arnHere(scope, "imagebuilder", `image/${ours}`) }],
      detail: { state: { status: ["AVAILABLE", "FAILED", "CANCELLED"] } },
    },
    targets: [{ id: "lifecycle", arn: lifecycle.attrArn }],
  });
  const readLog = allow(
    ["logs:GetLogEvents"],
    arnHere(scope, "logs", `log-group:/aws/imagebuilder/${ours}*:*`),
  );
  const start = arnHere(scope, "imagebuilder", `image-pipeline/${ours}*`);
  return {
    pipelines,
    variables: {
      MAYFLY_IMAGE_PIPELINES: arnHere(scope, "imagebuilder", `image-pipeline/${ours}`),
    },
    permissions: {
      scaleup: [
        // The second is Image Builder's, in the name of the caller, as it begins.
        allow(["imagebuilder:StartImagePipelineExecution", "imagebuilder:GetImagePipeline"], start),
        allow(["imagebuilder:GetImage"], images),
        readLog,
      ],
      status: [readLog],
    },
  };
}

export function machineImageRuleName({ deployment }: Pick<MayflyProps, "deployment">): string {
  return `${deployment}-machine-images`;
}

/** Who a builder is: the agent of Systems Manager takes orders, the component is read, and the log is written. */
function addBuilder(scope: Construct, { deployment }: MayflyProps): CfnInstanceProfile {
  const { partition } = Stack.of(scope);
  const ours = beforePipelines(deployment);
  const role = new CfnRole(scope, "ImageBuilderRole", {
    roleName: `${deployment}-image-builder`,
    assumeRolePolicyDocument: trust("ec2.amazonaws.com"),
    policies: [
      {
        policyName: "image-builder",
        policyDocument: {
          Version: "2012-10-17",
          Statement: [
            // AWS knows no resource for what the agent of Systems Manager asks.
            allow([...agentActions], "*"),
            allow(["imagebuilder:GetComponent"], arnHere(scope, "imagebuilder", `component/${ours}*/*/*`)),
            // Image Builder's own programs, which are in buckets of AWS.
            allow(["s3:GetObject"], `arn:${partition}:s3:::ec2imagebuilder*`),
            allow(
              ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
              arnHere(scope, "logs", `log-group:/aws/imagebuilder/${ours}*`),
            ),
          ],
        },
      },
    ],
  });
  return new CfnInstanceProfile(scope, "ImageBuilderProfile", {
    instanceProfileName: `${deployment}-image-builder`,
    roles: [role.ref],
  });
}

const agentActions = [
  ...["ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage"],
  ...["ec2messages:GetEndpoint", "ec2messages:GetMessages", "ec2messages:SendReply"],
  ...["ssm:DescribeAssociation", "ssm:DescribeDocument", "ssm:GetDocument", "ssm:GetManifest"],
  ...["ssm:ListAssociations", "ssm:ListInstanceAssociations", "ssm:UpdateAssociationStatus"],
  ...["ssm:UpdateInstanceAssociationStatus", "ssm:UpdateInstanceInformation"],
  ...["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"],
  ...["ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"],
];

function addPipeline(
  scope: Construct,
  props: MayflyProps,
  profile: CfnInstanceProfile,
  image: ImagePipeline,
): CfnImagePipeline {
  const { partition, region } = Stack.of(scope);
  const name = pipelineName({ ...image, deployment: props.deployment });
  const id = (kind: string): string => logicalId("image", image.pipeline, image.architecture, kind);
  const tags = { "mayfly:deployment": props.deployment, "mayfly:pipeline": image.pipeline };
  const component = new CfnComponent(scope, id("Component"), {
    name,
    platform: "Linux",
    version: image.version,
    description: "What images of Mayfly hold",
    data: image.component,
  });
  const recipe = new CfnImageRecipe(scope, id("Recipe"), {
    name,
    version: image.version,
    parentImage: `arn:${partition}:imagebuilder:${region}:aws:image/${image.parent}/x.x.x`,
    components: [{ componentArn: component.attrArn }],
    blockDeviceMappings: [
      {
        deviceName: image.rootDeviceName,
        ebs: { encrypted: true, volumeType: "gp3", volumeSize: image.diskGib, deleteOnTermination: true },
      },
    ],
  });
  const infrastructure = new CfnInfrastructureConfiguration(scope, id("Infrastructure"), {
    name,
    instanceProfileName: profile.ref,
    instanceTypes: [...image.instanceTypes],
    // The first subnet of those that machines get their addresses from.
    subnetId: Fn.select(3, Fn.split('"', props.subnets)),
    securityGroupIds: [props.securityGroupId],
    terminateInstanceOnFailure: true,
    instanceMetadataOptions: { httpTokens: "required", httpPutResponseHopLimit: 1 },
    resourceTags: tags,
  });
  const distribution = new CfnDistributionConfiguration(scope, id("Distribution"), {
    name,
    distributions: [
      {
        region,
        amiDistributionConfiguration: {
          Name: `${image.imageName}-{{ imagebuilder:buildDate }}`,
          AmiTags: tags,
        },
      },
    ],
  });
  return new CfnImagePipeline(scope, id("Pipeline"), {
    name,
    description: "Begun by Mayfly: it has no schedule",
    imageRecipeArn: recipe.attrArn,
    infrastructureConfigurationArn: infrastructure.attrArn,
    distributionConfigurationArn: distribution.attrArn,
    // The component validates what it made; a second machine for tests would double the time.
    imageTestsConfiguration: { imageTestsEnabled: false },
    enhancedImageMetadataEnabled: false,
    status: "ENABLED",
    tags: { "mayfly:deployment": props.deployment },
  });
}
