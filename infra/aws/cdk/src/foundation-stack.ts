import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import { GatewayVpcEndpointAwsService, IpAddresses, SubnetType, Vpc } from "aws-cdk-lib/aws-ec2";
import { CfnSecret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";
import { addSecurityGroup } from "./machines.ts";

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
  readonly webhookSecretArn: string;
  readonly appPrivateKeyArn: string;

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
    this.webhookSecretArn = new CfnSecret(this, "WebhookSecret", {
      name: `${deployment}/webhook-secret`,
      description: "With it GitHub signs deliveries; it is the webhook secret of the GitHub App",
      generateSecretString: { passwordLength: 48, excludePunctuation: true },
    }).ref;
    this.appPrivateKeyArn = new CfnSecret(this, "AppPrivateKey", {
      name: `${deployment}/app-private-key`,
      description: "The private key of the GitHub App; it has no value until you put it there",
    }).ref;
    new CfnOutput(this, "WebhookSecretArn", { value: this.webhookSecretArn });
    new CfnOutput(this, "AppPrivateKeyArn", { value: this.appPrivateKeyArn });
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
