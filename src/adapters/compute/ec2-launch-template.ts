/*
 * The launch template of a preset: what all of its machines have in common and no launch changes. The infrastructure
 * makes it from here or is compared with it; the adapter looks at the one that is there before it launches from it.
 */

export interface LaunchTemplateInput {
  /** An AMI's id, or `resolve:ssm:<parameter>`. Presets and jobs may choose others. */
  readonly imageId: string;
  /** The device of that image's root volume: `/dev/xvda` of Amazon Linux, `/dev/sda1` of Ubuntu. */
  readonly rootDeviceName: string;
  readonly diskGib: number;
  readonly instanceProfileArn: string;
  readonly securityGroupIds: readonly string[];
  /** Base64 of `packedUserData` of src/targets/aws/user-data.ts. */
  readonly userData: string;
}

/** In the words of the EC2 API, which are those of CloudFormation too. */
export interface LaunchTemplateData {
  readonly ImageId: string;
  readonly UserData: string;
  readonly IamInstanceProfile: { readonly Arn: string };
  readonly SecurityGroupIds: readonly string[];
  readonly InstanceInitiatedShutdownBehavior: "terminate";
  readonly MetadataOptions: {
    readonly HttpEndpoint: "enabled";
    readonly HttpTokens: "required";
    readonly HttpPutResponseHopLimit: 1;
    readonly InstanceMetadataTags: "disabled";
  };
  readonly BlockDeviceMappings: readonly {
    readonly DeviceName: string;
    readonly Ebs: {
      readonly Encrypted: true;
      readonly VolumeType: "gp3";
      readonly VolumeSize: number;
      readonly DeleteOnTermination: true;
    };
  }[];
}

/** Without an instance type and a subnet: a launch gives them. Without a market: so does a launch. */
export function launchTemplateData(input: LaunchTemplateInput): LaunchTemplateData {
  return {
    ImageId: input.imageId,
    UserData: input.userData,
    IamInstanceProfile: { Arn: input.instanceProfileArn },
    SecurityGroupIds: input.securityGroupIds,
    // The agent powers off: that has to be the end of it, and not a stopped machine whose disk costs money.
    InstanceInitiatedShutdownBehavior: "terminate",
    MetadataOptions: {
      HttpEndpoint: "enabled",
      HttpTokens: "required",
      // So that nothing behind a container's network reaches the metadata service.
      HttpPutResponseHopLimit: 1,
      InstanceMetadataTags: "disabled",
    },
    BlockDeviceMappings: [
      {
        DeviceName: input.rootDeviceName,
        Ebs: { Encrypted: true, VolumeType: "gp3", VolumeSize: input.diskGib, DeleteOnTermination: true },
      },
    ],
  };
}

/** What a preset's launch template is called, when the configuration does not name another one. */
export function launchTemplateName(deployment: string, preset: string): string {
  return `${deployment}-${preset}`;
}

/** What the adapter reads of a template that exists. Undefined: the template does not say it. */
export interface ReadTemplate {
  readonly shutdownBehavior: string | undefined;
  readonly httpTokens: string | undefined;
  readonly hopLimit: number | undefined;
  readonly hasUserData: boolean;
  readonly hasInstanceProfile: boolean;
  readonly devices: readonly { readonly name: string; readonly encrypted: boolean }[];
}

/** Why machines must not be launched from this template; empty when they may. */
export function templateProblems(template: ReadTemplate): readonly string[] {
  const problems: string[] = [];
  if (template.shutdownBehavior !== "terminate") {
    problems.push("its shutdown behaviour is not terminate, so machines would stay and cost money");
  }
  if (template.httpTokens !== "required") {
    problems.push("it does not require tokens of the metadata service (IMDSv2)");
  }
  if (template.hopLimit !== 1) {
    problems.push("its hop limit is not 1, so containers of a job could reach the metadata service");
  }
  if (!template.hasUserData) problems.push("it has no user data, so machines would never claim");
  if (!template.hasInstanceProfile)
    problems.push("it has no instance profile, so machines could not prove who they are");
  if (template.devices.length === 0)
    problems.push("it maps no root volume, so nothing says that it is encrypted");
  for (const { name, encrypted } of template.devices) {
    if (!encrypted) problems.push(`its volume ${name} is not encrypted`);
  }
  return problems;
}
