import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import { GatewayVpcEndpointAwsService, IpAddresses, SubnetType, Vpc } from "aws-cdk-lib/aws-ec2";
import { CfnSecret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";
import { addSecurityGroup } from "./machines.ts";
import type { MayflyProps } from "./props.ts";

export interface FoundationProps extends StackProps {
  readonly deployment: string;
  /** Where machines get their addresses; without it, a VPC is made. */
  readonly network?: ExistingNetwork;
  /** Where machines may connect to. Default: everywhere. */
  readonly egressCidrs?: readonly string[];
  readonly egressIpv6Cidrs?: readonly string[];
  /** Zones of the VPC that is made. Each is a pool more for spot machines. Default 3. */
  readonly zones?: number;
}

export interface ExistingNetwork {
  readonly vpcId: string;
  /** One subnet for each availability zone, by the zone's name. Each needs a way to GitHub. */
  readonly subnets: Readonly<Record<string, string>>;
}

/** What changes rarely: the network of the machines, their security group, and the secrets of the GitHub App. */
export class FoundationStack extends Stack {
  readonly subnets: string;
  readonly securityGroupId: string;
  readonly secrets: MayflyProps["secrets"];

  constructor(scope: Construct, id: string, props: FoundationProps) {
    super(scope, id, { ...props, description: "Mayfly: network and secrets" });
    const { deployment } = props;
    const network = props.network ?? this.#makeNetwork(props);
    this.subnets = this.toJsonString(network.subnets);
    this.securityGroupId = addSecurityGroup(this, {
      deployment,
      vpcId: network.vpcId,
      egressCidrs: props.egressCidrs ?? ["0.0.0.0/0"],
      egressIpv6Cidrs: props.egressIpv6Cidrs ?? ["::/0"],
    }).attrGroupId;
    this.secrets = addSecrets(this, deployment);
  }

  /** Public subnets and no NAT gateway, which would cost more than many small fleets. Nothing can come in. */
  #makeNetwork({ deployment, zones }: FoundationProps): ExistingNetwork {
    const vpc = new Vpc(this, "Vpc", {
      vpcName: deployment,
      ipAddresses: IpAddresses.cidr("10.86.0.0/16"),
      maxAzs: zones ?? 3,
      natGateways: 0,
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: "machines", subnetType: SubnetType.PUBLIC, cidrMask: 20, mapPublicIpOnLaunch: true },
      ],
      gatewayEndpoints: { s3: { service: GatewayVpcEndpointAwsService.S3 } },
    });
    const subnets = vpc.publicSubnets.map(({ availabilityZone, subnetId }) => [availabilityZone, subnetId]);
    return { vpcId: vpc.vpcId, subnets: Object.fromEntries(subnets) };
  }
}

/** Made with a value where chance may choose it. What the GitHub App has, replaces it: `put-secret-value`. */
function addSecrets(stack: Stack, deployment: string): MayflyProps["secrets"] {
  const random = { generateSecretString: { passwordLength: 48, excludePunctuation: true } };
  const add = (id: string, name: string, description: string, value: object): string => {
    const secret = new CfnSecret(stack, id, { name: `${deployment}/${name}`, description, ...value });
    new CfnOutput(stack, `${id}Arn`, { value: secret.ref });
    return secret.ref;
  };
  const key = "The private key of the GitHub App; without a value until you put it there";
  return {
    webhookSecret: add("WebhookSecret", "webhook-secret", "With it GitHub signs deliveries", random),
    appPrivateKey: add("AppPrivateKey", "app-private-key", key, {}),
    statusToken: add("StatusToken", "status-token", "The token for Mayfly's status", random),
  };
}
