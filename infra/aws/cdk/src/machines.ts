import { Fn, Stack } from "aws-cdk-lib";
import type { CfnApi } from "aws-cdk-lib/aws-apigatewayv2";
import { CfnLaunchTemplate, CfnSecurityGroup } from "aws-cdk-lib/aws-ec2";
import { CfnInstanceProfile, CfnRole, CfnRolePolicy } from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";
import {
  launchTemplateData,
  launchTemplateName,
} from "../../../../src/adapters/compute/ec2-launch-template.ts";
import { apiWord, type MachineTemplate, regionWord } from "../../../../src/targets/aws/machine-templates.ts";
import { allow, trust } from "./function.ts";
import { arnHere, logicalId } from "./place.ts";
import type { MayflyProps } from "./props.ts";

export interface SecurityGroupProps {
  readonly deployment: string;
  readonly vpcId: string;
  /** Where machines may connect to. */
  readonly egressCidrs: readonly string[];
  readonly egressIpv6Cidrs: readonly string[];
}

/** Machines begin connections and accept none. */
export function addSecurityGroup(scope: Construct, props: SecurityGroupProps): CfnSecurityGroup {
  const rule = { ipProtocol: "-1", description: "Where jobs may connect to" };
  return new CfnSecurityGroup(scope, "MachineSecurityGroup", {
    groupName: `${props.deployment}-machine`,
    groupDescription: "Machines of Mayfly: nothing comes in",
    vpcId: props.vpcId,
    securityGroupEgress: [
      ...props.egressCidrs.map((cidrIp) => ({ ...rule, cidrIp })),
      ...props.egressIpv6Cidrs.map((cidrIpv6) => ({ ...rule, cidrIpv6 })),
    ],
    tags: [{ key: "mayfly:deployment", value: props.deployment }],
  });
}

/** Who a machine is: whatever runs on it, and can reach its role, can call the two routes of machines and no more. */
export function addMachineRole(scope: Construct, { deployment }: MayflyProps, api: CfnApi): CfnRole {
  const role = new CfnRole(scope, "MachineRole", {
    roleName: `${deployment}-machine`,
    description: "A machine of Mayfly; the name of its session is the id of its instance",
    assumeRolePolicyDocument: trust("ec2.amazonaws.com"),
  });
  new CfnRolePolicy(scope, "MachineRolePolicy", {
    roleName: role.ref,
    policyName: "machine",
    policyDocument: {
      Version: "2012-10-17",
      Statement: [
        allow(["execute-api:Invoke"], arnHere(scope, "execute-api", `${api.ref}/*/POST/v1/machines/ec2/*`)),
      ],
    },
  });
  return role;
}

/** One launch template for each preset, as the adapter of EC2 wants it, and the instance profile of all of them. */
export function addLaunchTemplates(
  scope: Construct,
  props: MayflyProps,
  role: CfnRole,
  api: CfnApi,
): CfnInstanceProfile {
  const profile = new CfnInstanceProfile(scope, "MachineProfile", {
    instanceProfileName: `${props.deployment}-machine`,
    roles: [role.ref],
  });
  for (const machine of props.machines) {
    const data = launchTemplateData({
      imageId: props.images[machine.architecture],
      rootDeviceName: props.rootDeviceName,
      diskGib: machine.diskGib,
      instanceProfileArn: profile.attrArn,
      securityGroupIds: [props.securityGroupId],
      userData: Fn.base64(userDataOf(scope, machine, api)),
    });
    new CfnLaunchTemplate(scope, logicalId(machine.preset, "LaunchTemplate"), {
      launchTemplateName: launchTemplateName(props.deployment, machine.preset),
      launchTemplateData: lowerCamel(data) as CfnLaunchTemplate.LaunchTemplateDataProperty,
      tagSpecifications: [
        {
          resourceType: "launch-template",
          tags: [{ key: "mayfly:deployment", value: props.deployment }],
        },
      ],
    });
  }
  return profile;
}

function userDataOf(scope: Construct, machine: MachineTemplate, api: CfnApi): string {
  return machine.userData
    .replaceAll(apiWord, api.attrApiEndpoint)
    .replaceAll(regionWord, Stack.of(scope).region);
}

/** As the CDK spells what CloudFormation, like the API of EC2, begins with capitals. */
function lowerCamel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerCamel);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name.charAt(0).toLowerCase() + name.slice(1),
      lowerCamel(inner),
    ]),
  );
}
