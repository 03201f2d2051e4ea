import type { CfnCondition } from "aws-cdk-lib";
import type { FunctionName } from "../../../../src/targets/aws/functions.ts";
import type { ImagePipeline } from "../../../../src/targets/aws/image-pipelines.ts";
import type { MachineTemplate } from "../../../../src/targets/aws/machine-templates.ts";

/** What a deployment is made from. Texts may be tokens: references to other stacks, or parameters of a template. */
export interface MayflyProps {
  /**
   * What everything is called by, and what machines are tagged with. Two deployments in one account need different
   * names, also in different regions: roles are the account's.
   */
  readonly deployment: string;
  /** Where the zip of each function is, as `mayfly aws package` writes them. */
  readonly code: (name: FunctionName) => { readonly bucket: string; readonly key: string };
  /** The presets, as `mayfly aws package` writes them to `machines.json`: one launch template for each. */
  readonly machines: readonly MachineTemplate[];
  /** What presets with a pipeline start from, as `mayfly aws package` writes it to `images.json`. Empty: nothing is made. */
  readonly pipelines: readonly ImagePipeline[];
  /** ARNs of secrets of Secrets Manager. */
  readonly secrets: {
    readonly webhookSecret: string;
    readonly appPrivateKey: string;
    readonly statusToken: string;
  };
  /** JSON: one subnet for each availability zone, by the zone's name. */
  readonly subnets: string;
  /** Of the machines. Nothing needs to come in. */
  readonly securityGroupId: string;
  /** The images of presets that name none: `ami-…` or `resolve:ssm:<parameter>`. */
  readonly images: Readonly<Record<"x86_64" | "arm64", string>>;
  /** The device of those images' root volume. */
  readonly rootDeviceName: string;
  /** JSON: tags of instances and volumes beside our own. */
  readonly machineTags: string;
  /** Whether what presets on Fargate need is made; in a template, under this condition. Undefined: there are none. */
  readonly fargate: "always" | CfnCondition | undefined;
  /** Whether tasks may open a shell to those who may ask for one (`fargate.shell` of a preset). */
  readonly taskShell: "always" | CfnCondition | undefined;
  /** Whether tasks get public addresses: `no` where their subnets have another way out. */
  readonly taskPublicAddresses: string;
  /** The bus on which the functions publish what happens; in a template, under its condition. Undefined: none. */
  readonly eventBus: { readonly arn: string; readonly condition?: CfnCondition } | undefined;
  readonly logRetentionDays: number;
  /** Whether the table refuses to be deleted. */
  readonly deletionProtection: boolean | Resolvable;
  /** ARNs of what is told of alarms, such as a topic of SNS. */
  readonly alarmActions: readonly string[] | Resolvable;
  /** How many executions of the functions that can be flooded, or must not run twice, are set apart. */
  readonly reservedConcurrency: Readonly<Record<"webhook" | "rebalancer", number>> | undefined;
}

/** A token that stands for something else than a text. */
export type Resolvable = import("aws-cdk-lib").IResolvable;
